// How the attention kernels lay out their operands for the register tile, and the shape both directions share.
#pragma once
#include "lanes.h"
#include "micro_kernel.h"
#include "panels.h"
#include "table.h"

namespace dreamdist::cpu::DD_ISA {

// The integers of an attention call. Head h of row r of batch b starts at b·batch + r·pitch + h·D.
struct AttentionShape {
	int64_t batches, heads, queries, keys, width;
	bool causal;
	int64_t q_pitch, k_pitch, v_pitch, o_pitch, q_batch, k_batch, v_batch, o_batch;
	explicit AttentionShape(const KernelArgs& args)
		: batches(args.ints[0]), heads(args.ints[1]), queries(args.ints[2]), keys(args.ints[3]), width(args.ints[4]), causal(args.ints[5] != 0),
		  q_pitch(args.ints[6]), k_pitch(args.ints[7]), v_pitch(args.ints[8]), o_pitch(args.ints[9]), q_batch(args.ints[10]),
		  k_batch(args.ints[11]), v_batch(args.ints[12]), o_batch(args.ints[13]) {}
	bool empty() const { return batches <= 0 || heads <= 0 || queries <= 0 || keys <= 0 || width <= 0; }
};

// A panel that starts `left` columns before the end is only as many vectors wide as it needs.
inline int64_t panel_width(int64_t left) { return min_of(kTileCols, round_up(left, kLanes)); }

// to[d·ld + r] = from[r·pitch + d] for r < rows, d < width; columns from `rows` up to the next multiple of kLanes become zero.
inline void pack_transposed(const float* from, int64_t pitch, int64_t rows, int64_t width, float* to, int64_t ld) {
	for (int64_t r = 0; r < rows; r += kLanes)
		for (int64_t d = 0; d < width; d += kLanes)
			transpose_into<Storage<DType::f32>>(to + d * ld + r, ld, from + r * pitch + d, pitch, rows - r, width - d);
}

// Rows as columns of panels: to + first·width holds [width][panel_width(rows − first)] for first = 0, kTileCols, …
inline void pack_row_panels(const float* from, int64_t pitch, int64_t rows, int64_t width, float* to) {
	for (int64_t first = 0; first < rows; first += kTileCols) {
		const int64_t n = min_of(kTileCols, rows - first);
		pack_transposed(from + first * pitch, pitch, n, width, to + first * width, panel_width(n));
	}
}

// Columns as columns of panels: to + first·capacity holds [rows][panel_width(width − first)]; columns beyond `width` are zero.
inline void pack_column_panels(const float* from, int64_t pitch, int64_t rows, int64_t width, float* to, int64_t capacity) {
	for (int64_t first = 0; first < width; first += kTileCols) {
		const int64_t n = min_of(kTileCols, width - first), padded = panel_width(n);
		for (int64_t r = 0; r < rows; r++) {
			float* target = to + first * capacity + r * padded;
			over(n, [&](int64_t c, auto lanes) { store(target + c, lanes.load(from + r * pitch + first + c)); });
		}
	}
}

// to[r·ld + d] = factor · from[r·pitch + d].
inline void copy_rows(const float* from, int64_t pitch, int64_t rows, int64_t width, float factor, float* to, int64_t ld) {
	const vf f = set1(factor);
	for (int64_t r = 0; r < rows; r++)
		over(width, [&](int64_t d, auto lanes) { lanes.store(to + r * ld + d, lanes.load(from + r * pitch + d) * f); });
}

// Hands out pieces of one scratch allocation, each 64-byte aligned. With no base it only counts.
struct ScratchPieces {
	float* base;
	int64_t used = 0;
	float* take(int64_t floats) {
		float* piece = base ? base + used : nullptr;
		used += round_up(floats, 16);
		return piece;
	}
};

}  // namespace dreamdist::cpu::DD_ISA
