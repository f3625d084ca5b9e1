// The blocked product behind matmul, conv2d and its input gradient: Out = A · B with A read through row pointers.
//
// Loops, from the outside: bands of rows (what A needs of them stays in L2), panels of columns, chunks of the reduction (a chunk of a
// panel stays in L2 under all tiles of the band), tiles. Sums stay in registers over a chunk; between chunks they wait in the member's
// scratch. The order of every sum is fixed by the shapes, so neither the thread count nor the partition changes a bit.
#pragma once
#include "dreamdist/thread_team.h"
#include "epilogue.h"

namespace dreamdist::cpu::DD_ISA {

constexpr int64_t kDepth = 2048;         // rows of a panel at a time: 512 KB of f32
constexpr int64_t kShallowDepth = 128;   // where a panel is made in scratch for few rows: made, used and forgotten in L1
constexpr int64_t kMaxSegment = 2048;    // longer stretches of the reduction are cut
constexpr int64_t kBandRows = 1024;
constexpr int64_t kBandBytes = 1024 << 10;  // of a band's memory and a panel's chunk together: half of L2
constexpr int64_t kBandPointers = 32768;        // row pointers of a band

// Hands out aligned pieces of one block of memory; with a null base it only counts.
struct Carver {
	char* base;
	int64_t used = 0;
	template <class T>
	T* take(int64_t count) {
		T* piece = (T*)(base + used);
		used += round_up(count * (int64_t)sizeof(T), 64);
		return piece;
	}
};

struct Workspace {
	float* panel;
	float* band;  // sums between chunks
	const float** table;
	int64_t* lengths;
	Workspace(Carver& carver, int64_t segments)
		: panel(carver.take<float>(kDepth * kPanelColumns)),
		  band(carver.take<float>(kBandRows * kPanelColumns)),
		  table(carver.take<const float*>(max_of(kBandPointers, segments * kMaxRows))),
		  lengths(carver.take<int64_t>(segments + 1)) {}
};

// A stretch of the reduction in equal segments of at most kMaxSegment.
struct Cut {
	int64_t depth, pieces;
	explicit Cut(int64_t k) : depth(k), pieces(ceil_div(k, kMaxSegment)) {}
	int64_t start(int64_t s) const { return min_of(s * round_up(ceil_div(depth, max_of(pieces, 1)), kLanes), depth); }
	int64_t length(int64_t s) const { return start(s + 1) - start(s); }
};

// Where a panel's values lie, and how many bytes each of its rows takes.
struct Memory {
	const char* from;
	int64_t row_bytes;
};

// B: the panels of a packed weight from row `base` on, in order.
struct PackedColumns {
	const Packed& weight;
	int64_t base;
	bool made() const { return weight.type != DType::f32; }
	const float* panel(int64_t index, const Panel& panel, int64_t, int64_t, int64_t k0, int64_t k1, float* scratch) const {
		return weight.forward(index, panel, base + k0, base + k1, scratch);
	}
	Memory source(int64_t index, const Panel& panel, int64_t k0) const {
		const int64_t size = bytes_of(weight.type);
		return {(const char*)weight.data + (weight.offset(index) + (base + k0) * panel.width()) * size, panel.width() * size};
	}
};

struct Share {
	int64_t row_begin, row_end, panel_begin, panel_end;
};

// A: segments(), length(s), row_bytes() (new memory a further row touches), max_rows(),
//    rows(first, count, table): table[s·count + i] points at row first + i's values of segment s.
// B: made() (panels are written to scratch rather than read in place), panel(index, panel, s0, s1, k0, k1, scratch),
//    source(index, panel, k0): where the panel's row k0 comes from, if it lies in one piece.
// Out: store(first, rows, panel, tile).
template <class A, class B, class Out>
void multiply(const A& a, const B& b, const Out& out, const Columns& columns, const Share& share, Workspace& work) {
	const int64_t rows = share.row_end - share.row_begin, segments = a.segments();
	if (rows <= 0 || share.panel_begin >= share.panel_end) return;
	int64_t total = 0;
	for (int64_t s = 0; s < segments; s++) total += work.lengths[s] = a.length(s);
	const int64_t band_bytes = kBandBytes - min_of(total, kDepth) * kPanelColumns * 4;
	int64_t limit = b.made() ? kBandRows : max_of(band_bytes / max_of(a.row_bytes(), 1), 8 * kRowsOf[kPanelVectors]);
	limit = min_of(min_of(limit, kBandRows), min_of(a.max_rows(), max_of(kBandPointers / max_of(segments, 1), kMaxRows)));
	const int64_t bands = ceil_div(rows, limit);
	alignas(64) float tile_sums[kMaxRows * kPanelColumns];
	for (int64_t band = 0; band < bands; band++) {
		const int64_t first = share.row_begin + rows * band / bands, count = share.row_begin + rows * (band + 1) / bands - first;
		a.rows(first, count, work.table);
		const int64_t depth = b.made() && count <= 4 * kRowsOf[kPanelVectors] ? kShallowDepth : kDepth;
		for (int64_t index = share.panel_begin; index < share.panel_end; index++) {
			const Panel panel = columns.panel(index);
			const int64_t tiles = ceil_div(count, kRowsOf[panel.vectors]);
			const int low = (int)(count / tiles);
			const SegmentTile tile_low = segment_tile_for(low, panel.vectors), tile_high = segment_tile_for(low + (count % tiles != 0), panel.vectors);
			int64_t s0 = 0, k0 = 0;
			do {
				int64_t s1 = s0, k1 = k0;
				while (s1 < segments && (s1 == s0 || k1 - k0 + work.lengths[s1] <= depth)) k1 += work.lengths[s1++];
				const float* values = b.panel(index, panel, s0, s1, k0, k1, work.panel);
				const bool whole = s0 == 0 && s1 == segments;
				// What comes next: this panel's next chunk, or the next panel's first.
				const int64_t next = s1 < segments ? index : index + 1 < share.panel_end ? index + 1 : share.panel_begin;
				const Memory source = b.source(next, columns.panel(next), s1 < segments ? k1 : 0);
				for (int64_t t = 0; t < tiles; t++) {
					const int64_t begin = count * t / tiles, n = count * (t + 1) / tiles - begin;
					float* sums = whole ? tile_sums : work.band + begin * panel.width();
					const int64_t fetched = t * (k1 - k0) * 64;
					const char* ahead = fetched < (k1 - k0) * source.row_bytes ? source.from + fetched : (const char*)values;
					(n == low ? tile_low : tile_high)(work.lengths + s0, s1 - s0, work.table + s0 * count + begin, count, values, sums, s0 > 0, ahead);
					if (s1 == segments) out.store(first + begin, (int)n, panel, sums);
				}
				s0 = s1;
				k0 = k1;
			} while (s0 < segments);
		}
	}
}

// How `items` products of rows × panels are cut so that `threads` members finish together.
struct Grid {
	int64_t row_parts = 1, panel_parts = 1;
	int64_t parts() const { return row_parts * panel_parts; }
	Share share(int64_t part, int64_t rows, int64_t panels) const {
		const int64_t r = part / panel_parts, p = part % panel_parts;
		return {rows * r / row_parts, rows * (r + 1) / row_parts, panels * p / panel_parts, panels * (p + 1) / panel_parts};
	}
};

// `work`: multiplications per row and column of a panel. `panel_cost`: what bringing one row of a panel costs, in the time one tile row spends on it.
inline Grid choose_grid(int64_t items, int64_t rows, int64_t panels, int64_t work, int64_t panel_cost, int threads) {
	Grid best;
	if (threads == 1 || items * rows * panels * work < 2048) return best;  // less work than waking the team
	const int64_t tile_rows = kRowsOf[kPanelVectors];
	int64_t best_cost = INT64_MAX;
	for (int64_t r = 1; r <= threads && r <= ceil_div(rows, tile_rows); r++)
		for (int64_t p = 1; r * p <= threads && p <= panels; p++) {
			const int64_t part_rows = ceil_div(rows, r);
			// A tile of fewer rows than usual still waits for its panel: count every tile in full.
			const int64_t cost = ceil_div(items * r * p, threads) * ceil_div(panels, p) *
								 (ceil_div(part_rows, tile_rows) * tile_rows + panel_cost * ceil_div(part_rows, kBandRows));
			if (cost < best_cost) {
				best_cost = cost;
				best = {r, p};
			}
		}
	return best;
}

}  // namespace dreamdist::cpu::DD_ISA
