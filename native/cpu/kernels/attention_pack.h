// How the attention kernels lay out their operands for the register tile, and the shape both directions share.
#pragma once
#include <utility>

#include "micro_kernel.h"
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

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// Exchanges the lanes with bit S between two registers: one step of a transposition by halves.
template <int S, int... L>
inline void exchange(vf& a, vf& b, std::integer_sequence<int, L...>) {
	const vf low = __builtin_shufflevector(a, b, ((L & S) ? kLanes + L - S : L)...);
	const vf high = __builtin_shufflevector(a, b, ((L & S) ? kLanes + L : L + S)...);
	a = low;
	b = high;
}
template <int S = kLanes / 2>
inline void transpose(vf (&rows)[kLanes]) {
#pragma GCC unroll 16
	for (int i = 0; i < kLanes; i++)
		if (!(i & S)) exchange<S>(rows[i], rows[i + S], std::make_integer_sequence<int, kLanes>{});
	if constexpr (S > 1) transpose<S / 2>(rows);
}

// to[d·ld + r] = from[r·pitch + d] for r < rows, d < width; columns from `rows` up to `padded` (a multiple of kLanes) become zero.
inline void pack_transposed(const float* from, int64_t pitch, int64_t rows, int64_t width, float* to, int64_t ld, int64_t padded) {
	for (int64_t r0 = 0; r0 < padded; r0 += kLanes)
		for (int64_t d0 = 0; d0 < width; d0 += kLanes) {
			const int64_t n = least(kLanes, width - d0);
			vf block[kLanes];
#pragma GCC unroll 16
			for (int r = 0; r < kLanes; r++) {
				const float* row = from + (r0 + r) * pitch + d0;
				block[r] = r0 + r >= rows ? zero() : n == kLanes ? load(row) : load_n(row, n);
			}
			transpose(block);
#pragma GCC unroll 16
			for (int d = 0; d < kLanes; d++)
				if (d < n) store(to + (d0 + d) * ld + r0, block[d]);
		}
}

// Panels of kTileCols columns of a row-major matrix: to[panel][r][column], columns beyond `width` zero.
inline void pack_columns(const float* from, int64_t pitch, int64_t rows, int64_t width, float* to, int64_t panel_stride) {
	for (int64_t c0 = 0; c0 < width; c0 += kTileCols, to += panel_stride)
		for (int64_t r = 0; r < rows; r++)
#pragma GCC unroll 4
			for (int v = 0; v < kTileVectors; v++) {
				const int64_t left = width - c0 - v * kLanes;
				const float* source = from + r * pitch + c0 + v * kLanes;
				store(to + r * kTileCols + v * kLanes, left >= kLanes ? load(source) : left > 0 ? load_n(source, left) : zero());
			}
}

// to[r·ld + d] = factor · from[r·pitch + d].
inline void copy_rows(const float* from, int64_t pitch, int64_t rows, int64_t width, float factor, float* to, int64_t ld) {
	const vf f = set1(factor);
	for (int64_t r = 0; r < rows; r++) {
		const float* source = from + r * pitch;
		float* target = to + r * ld;
		int64_t d = 0;
		for (; d + kLanes <= width; d += kLanes) store(target + d, load(source + d) * f);
		if (d < width) store_n(target + d, load_n(source + d, width - d) * f, width - d);
	}
}

// Hands out pieces of one scratch allocation, each 64-byte aligned. With no base it only counts.
struct Carver {
	float* base;
	int64_t used = 0;
	float* take(int64_t floats) {
		float* piece = base ? base + used : nullptr;
		used += round_up(floats, 16);
		return piece;
	}
};

}  // namespace dreamdist::cpu::DD_ISA
