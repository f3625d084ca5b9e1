// The product of few rows with a packed weight transposed, computed as its transpose: Outᵀ = W · Aᵀ.
//
// The blocked product would transpose every block of the weight to use it on a handful of rows. Here the weight's panels are the tile's
// rows, read in place (16-bit ones expanded, a tile's rows at a time), and the few rows of A are transposed instead, once per member.
// Every sum runs over the same terms in the same order as in the blocked product.
#pragma once
#include "gemm.h"

namespace dreamdist::cpu::DD_ISA {

constexpr int64_t kFewRows = 256;
constexpr int64_t kFewColumns = 1024;   // of the product at a time; their sums wait in scratch
constexpr int64_t kFewPanel = 128 << 10;  // floats of Aᵀ at a time: 512 KB, which stay in L2 under all tiles
constexpr int64_t kFewExpanded = 6 << 10;  // floats of a tile's expanded rows: 24 KB, which stay in L1 under all panels
constexpr int64_t kFewPieces = 256;

struct FewRowsWorkspace {
	float *panels, *sums, *expanded;
	const float** pointers;
	FewRowsWorkspace(Carver& carver, bool used)
		: panels(carver.take<float>(used ? kFewPanel : 0)),
		  sums(carver.take<float>(used ? kFewColumns * round_up(kFewRows, kLanes) : 0)),
		  expanded(carver.take<float>(used ? kFewExpanded : 0)),
		  pointers(carver.take<const float*>(used ? kFewPieces * kMaxRows : 0)) {}
};

inline bool few_rows(int64_t rows, int64_t segments) { return rows <= kFewRows && rows * segments <= kBandPointers; }

// panel[k·width + i] = row[i][from + k] for i < rows, zero up to `width`, and k < depth.
inline void transpose_rows(float* panel, int64_t width, const float* const* row, int64_t from, int64_t rows, int64_t depth) {
	for (int64_t i = 0; i < width; i += kLanes)
		for (int64_t k = 0; k < depth; k += kLanes) {
			vf block[kLanes];
			for (int64_t j = 0; j < kLanes; j++) block[j] = i + j < rows ? load_some<Storage<DType::f32>>(row[i + j] + from + k, depth - k) : zero();
			transpose_block(block);
			for (int64_t j = 0; j < min_of(kLanes, depth - k); j++) store(panel + (k + j) * width + i, block[j]);
		}
}

// Rows [first, first + n) of the pieces in f32, each `depth` long and one after the other; the next tile's are fetched meanwhile.
inline void expand_rows(const Packed& weight, const Piece* pieces, int64_t count, int64_t depth, int64_t first, int64_t n, float* expanded) {
	with_storage(weight.type, [&]<class S>(S) {
		for (int64_t j = 0; j < count; j++) {
			const Piece& piece = pieces[j];
			const auto* from = (const typename S::Element*)weight.data + piece.from + first * piece.pitch;
			for (int64_t r = 0; r < n; r++, from += piece.pitch) {
				float* to = expanded + r * depth;
				for (int64_t i = 0; i < piece.length; i += 64 / (int64_t)sizeof(*from)) __builtin_prefetch(from + n * piece.pitch + i, 0, 2);
				int64_t i = 0;
				for (; i + kLanes <= piece.length; i += kLanes) store(to + i, S::vector(from + i));
				for (; i < piece.length; i++) to[i] = S::one(from[i]);
			}
			expanded += piece.length;
		}
	});
}

// A: as for multiply().  B: weight; outputs_begin(s) and depth_row(s): segment s multiplies A by W[outputs_begin …][depth_row + column].
// Out: index(first, rows, to) gives the rows' places in epilogue.y.
template <class A, class B, class Out>
void multiply_few_rows(const A& a, const B& b, const Out& out, int64_t rows, int64_t column_begin, int64_t column_end, Workspace& work,
					   const FewRowsWorkspace& few) {
	if (rows <= 0 || column_begin >= column_end) return;
	const Packed& weight = b.weight;
	const bool in_place = weight.type == DType::f32;
	const int64_t vectors = ceil_div(rows, kLanes), parts = ceil_div(vectors, kPanelVectors), segments = a.segments();
	const int64_t tile_rows = kRowsOf[ceil_div(vectors, parts)];
	const int64_t room = in_place ? kFewPanel / (vectors * kLanes) : min_of(kFewPanel / (vectors * kLanes), kFewExpanded / tile_rows);
	const int64_t limit = room / kPanelColumns * kPanelColumns;
	struct Part {
		int64_t row, rows;
		int vectors;
		float *panel, *sums;
	} part[kFewRows / kLanes];
	for (int64_t p = 0; p < parts; p++) {
		const int64_t v0 = vectors * p / parts, v1 = vectors * (p + 1) / parts;
		part[p] = {v0 * kLanes, min_of(v1 * kLanes, rows) - v0 * kLanes, (int)(v1 - v0), few.panels + limit * v0 * kLanes, few.sums + kFewColumns * v0 * kLanes};
	}
	a.rows(0, rows, work.table);
	for (int64_t c0 = column_begin; c0 < column_end; c0 += kFewColumns) {
		const int64_t columns = min_of(kFewColumns, column_end - c0), tiles = ceil_div(columns, tile_rows);
		int64_t s = 0, done = 0;
		bool first = true;
		do {
			Piece pieces[kFewPieces];
			int64_t lengths[kFewPieces], count = 0, depth = 0;
			for (; s < segments && count < kFewPieces && depth < limit; count++) {
				Piece piece = weight.piece(b.outputs_begin(s) + done);
				piece.length = min_of(min_of(piece.length, a.length(s) - done), limit - depth);
				piece.from += b.depth_row(s) * piece.pitch;
				for (int64_t p = 0; p < parts; p++)
					transpose_rows(part[p].panel + depth * part[p].vectors * kLanes, part[p].vectors * kLanes, work.table + s * rows + part[p].row, done,
								   part[p].rows, piece.length);
				pieces[count] = piece;
				lengths[count] = piece.length;
				depth += piece.length;
				done += piece.length;
				if (done == a.length(s)) {
					s++;
					done = 0;
				}
			}
			for (int64_t t = 0; t < tiles; t++) {
				const int64_t column = columns * t / tiles, n = columns * (t + 1) / tiles - column;
				if (in_place) {
					for (int64_t j = 0; j < count; j++)
						for (int64_t r = 0; r < n; r++)
							few.pointers[j * n + r] = (const float*)weight.data + pieces[j].from + (c0 + column + r) * pieces[j].pitch;
				} else {
					expand_rows(weight, pieces, count, depth, c0 + column, n, few.expanded);
					for (int64_t r = 0; r < n; r++) few.pointers[r] = few.expanded + r * depth;
				}
				for (int64_t p = 0; p < parts; p++)
					segment_tile_for((int)n, part[p].vectors)(in_place ? lengths : &depth, in_place ? count : 1, few.pointers, n, part[p].panel,
															  part[p].sums + column * part[p].vectors * kLanes, !first, nullptr);
			}
			first = false;
		} while (s < segments);
		for (int64_t p = 0; p < parts; p++) {
			int64_t index[kFewRows];
			out.index(part[p].row, part[p].rows, index);
			out.epilogue.store_transposed(index, part[p].rows, c0, columns, part[p].sums, part[p].vectors * kLanes);
		}
	}
}

}  // namespace dreamdist::cpu::DD_ISA
