// Flash attention, forward: o = softmax(scale · q kᵀ) v, one pass over the keys with a running maximum and sum, so the score matrix
// never exists beyond one register tile of queries by one block of keys.
//
// A task is one head and one block of queries. It walks the keys in blocks small enough for L2, packing k as [D][keys] and v as [keys][D]
// panels of the register tile; each tile of queries then makes its scores (q · panels of k), turns them into probabilities in place, in L1,
// and adds probabilities · panels of v to its rows of the output. A row's numbers do not depend on how queries are cut into tasks.
#include "attention_pack.h"
#include "../vector_math.h"
#include "exp2.h"
#include "lanes.h"

#include <cmath>

namespace dreamdist::cpu::DD_ISA {

namespace {

// Keys per block: K and V panels of about 128 KiB each. Queries per task: enough that packing the panels is a few per cent of the work.
int64_t key_block(int64_t width) { return max_of(2 * kTileCols, min_of(512, 32768 / width) / kTileCols * kTileCols); }
int64_t query_block(const AttentionShape& s, int threads) {
	const int64_t best = (s.width <= 128 ? 448 : 224) / kTileRows * kTileRows;
	const int64_t spread = s.batches * s.heads * s.queries / (3 * (int64_t)threads);  // at least three tasks per thread where there is work for it
	const int64_t rows = max_of(4 * kTileRows, min_of(best, spread));
	const int64_t blocks = (s.queries + rows - 1) / rows;
	return round_up((s.queries + blocks - 1) / blocks, kTileRows);
}

struct Workspace {
	float *q, *o, *k, *v, *scores, *shift, *sum;
	int64_t bytes;
	Workspace(float* base, int64_t query_rows, int64_t key_rows, int64_t width) {
		ScratchPieces carver{base};
		const int64_t padded = round_up(width, kLanes);
		q = carver.take(query_rows * width);
		o = carver.take(query_rows * padded);
		k = carver.take(key_rows * width);
		v = carver.take(key_rows * padded);
		scores = carver.take(kTileRows * key_rows);
		shift = carver.take(query_rows);
		sum = carver.take(query_rows);
		bytes = carver.used * 4;
	}
};

// Turns the first `visible` scores of a row into 2^(c·score − shift), where shift is the running maximum of c·score; the rest, up to
// `columns`, becomes zero. Updates shift and sum and returns the factor that what was accumulated before must be multiplied with.
float probabilities(float* row, int64_t visible, int64_t columns, float c, bool first, float& shift, float& sum) {
	const int64_t whole = visible / kLanes * kLanes;
	int64_t from = whole;
	float factor = 1;
	if (visible > 0) {
		constexpr float kNone = -__builtin_inff();
		const PartRegister rest{visible - whole};
		vf best[4] = {rest.n ? rest.keep(load(row + whole), kNone) : load(row)};
		best[1] = best[2] = best[3] = best[0];
		int64_t at = 0;
		for (; at + 4 * kLanes <= whole; at += 4 * kLanes)
#pragma GCC unroll 4
			for (int i = 0; i < 4; i++) best[i] = vmax(best[i], load(row + at + i * kLanes));
		for (; at < whole; at += kLanes) best[0] = vmax(best[0], load(row + at));
		const float here = c * max_of(vmax(vmax(best[0], best[1]), vmax(best[2], best[3]))), before = shift;
		const float now = first || here > before ? here : before;
		const vf scale = set1(c), offset = set1(-now);
		vf total = zero();
		if (rest.n) {
			total = rest.keep(exp2_flushed(fma(load(row + whole), scale, offset)));
			store(row + whole, total);
			from += kLanes;
		}
		for (int64_t j = 0; j < whole; j += kLanes) {
			const vf p = exp2_flushed(fma(load(row + j), scale, offset));
			total += p;
			store(row + j, p);
		}
		factor = first ? 0 : now == before ? 1 : exp2_flushed(set1(before - now))[0];
		shift = now;
		sum = (first ? 0 : sum * factor) + dreamdist::cpu::DD_ISA::sum(total);
	}
	for (int64_t j = from; j < columns; j += kLanes) store(row + j, zero());
	return factor;
}

}  // namespace

void attention(const KernelArgs& args, ThreadTeam& team) {
	const AttentionShape s(args);
	if (s.empty()) return;
	const float *q = args.ptr(0), *k = args.ptr(1), *v = args.ptr(2);
	float *o = args.ptr(3), *lse = args.ptr(4);
	// The sign of the scale goes into the copy of q, so that the largest score is always the largest exponent.
	const double scale = args.floats[0];
	const float sign = scale < 0 ? -1.0f : 1.0f, c = (float)(std::fabs(scale) / kLn2);
	const int64_t width = s.width, padded = round_up(width, kLanes), key_rows = key_block(width), query_rows = query_block(s, team.size());
	const int64_t blocks = (s.queries + query_rows - 1) / query_rows;

	team.parallel_dynamic(s.batches * s.heads * blocks, [&](int64_t task, int thread) {
		const int64_t bytes = Workspace(nullptr, query_rows, key_rows, width).bytes;
		const Workspace w(static_cast<float*>(team.scratch(thread, bytes)), query_rows, key_rows, width);
		const int64_t head = task / blocks, b = head / s.heads, h = head % s.heads;
		const int64_t q0 = task % blocks * query_rows, rows = min_of(query_rows, s.queries - q0);
		copy_rows(q + b * s.q_batch + q0 * s.q_pitch + h * width, s.q_pitch, rows, width, sign, w.q, width);

		const int64_t reach = s.causal ? min_of(s.keys, q0 + rows) : s.keys;  // keys that some query of this block sees
		for (int64_t k0 = 0; k0 < reach; k0 += key_rows) {
			const int64_t columns = min_of(key_rows, reach - k0);
			pack_row_panels(k + b * s.k_batch + k0 * s.k_pitch + h * width, s.k_pitch, columns, width, w.k);
			pack_column_panels(v + b * s.v_batch + k0 * s.v_pitch + h * width, s.v_pitch, columns, width, w.v, key_rows);

			for (int64_t r0 = 0; r0 < rows; r0 += kTileRows) {
				const int count = (int)min_of(kTileRows, rows - r0);
				const int64_t seen = s.causal ? min_of(columns, q0 + r0 + count - k0) : columns;  // keys that the tile's last query sees
				if (seen <= 0) continue;
				const float* row[kTileRows];
				for (int r = 0; r < count; r++) row[r] = w.q + (r0 + r) * width;
				for (int64_t j = 0; j < seen; j += kTileCols)
					tile_for(count, panel_width(columns - j))(width, row, w.k + j * width, w.scores + j, key_rows, false);
				for (int r = 0; r < count; r++) {
					row[r] = w.scores + r * key_rows;
					const int64_t visible = s.causal ? max_of(0, min_of(columns, q0 + r0 + r + 1 - k0)) : columns;
					const float old = probabilities(w.scores + r * key_rows, visible, seen, c, k0 == 0, w.shift[r0 + r], w.sum[r0 + r]);
					if (k0 > 0 && old != 1) {
						float* out = w.o + (r0 + r) * padded;
						const vf factor = set1(old);
						for (int64_t d = 0; d < padded; d += kLanes) store(out + d, load(out + d) * factor);
					}
				}
				for (int64_t d = 0; d < padded; d += kTileCols)
					tile_for(count, panel_width(width - d))(seen, row, w.v + d * key_rows, w.o + r0 * padded + d, padded, k0 > 0);
			}
		}
		for (int64_t r = 0; r < rows; r++)
			copy_rows(w.o + r * padded, padded, 1, width, 1 / w.sum[r], o + b * s.o_batch + (q0 + r) * s.o_pitch + h * width, s.o_pitch);
		if (lse)
			over(rows, [&](int64_t r, auto lanes) {
				lanes.store(lse + head * s.queries + q0 + r, fma(load(w.shift + r), set1((float)kLn2), vlog(load(w.sum + r))));
			});
	});
}

int64_t attention_scratch(const KernelArgs&, int) { return 0; }

}  // namespace dreamdist::cpu::DD_ISA
