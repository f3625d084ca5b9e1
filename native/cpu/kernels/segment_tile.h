// The register tile of matmul and convolution.
//
// A tile is R rows of A times V vectors of columns of B. A is read in place, through one pointer per row and segment of the reduction
// (a segment is a stretch of K contiguous in memory: a filter tap's channels, or all of a matrix row), so no im2col buffer exists. B is
// a panel stored k-major, panel[k][V·kLanes], which streams from L2 once per tile. The accumulators stay in registers over all
// segments. Six rows times four vectors need 10 loads for 24 multiply-adds, and six row pointers fit the general registers: measured
// 97% of the FMA peak with AVX-512, where the customary 14×2 tile spills its pointers (93%).
#pragma once
#include "../simd.h"

namespace dreamdist::cpu::DD_ISA {

// Rows of a full tile by its vectors of columns; rows · vectors accumulators, plus V of B and one broadcast, fill the register file.
#if DD_LANES == 16
constexpr int kPanelVectors = 4;
constexpr int kRowsOf[] = {0, 12, 12, 9, 6};
#elif DD_LANES == 8
constexpr int kPanelVectors = 2;
constexpr int kRowsOf[] = {0, 8, 6};
#elif defined(__aarch64__)
constexpr int kPanelVectors = 3;
constexpr int kRowsOf[] = {0, 12, 10, 8};
#else
constexpr int kPanelVectors = 2;
constexpr int kRowsOf[] = {0, 6, 4};
#endif
constexpr int kMaxRows = 12;
constexpr int kPanelColumns = kPanelVectors * kLanes;

// c[R][V·kLanes] (+)= Σ over segments s and k < lengths[s] of rows[s·stride + r][k] · panel[k], the panel running on through the segments.
// Meanwhile one cache line per k is brought to L2 from `ahead` on (null: from the end of each segment's last row): where rows are few,
// the next panel would otherwise come at the latency of memory (16 rows by 1280 × 1280: 110 GFLOP/s without, 140 with).
template <int R, int V>
void segment_tile(const int64_t* lengths, int64_t segments, const float* const* rows, int64_t stride, const float* panel, float* c, bool accumulate,
				  const char* ahead) {
	vf acc[R][V];
#pragma GCC unroll 12
	for (int r = 0; r < R; r++)
#pragma GCC unroll 4
		for (int v = 0; v < V; v++) acc[r][v] = accumulate ? load(c + (r * V + v) * kLanes) : zero();
	for (int64_t s = 0; s < segments; s++, rows += stride) {
		const float* a[R];
#pragma GCC unroll 12
		for (int r = 0; r < R; r++) a[r] = rows[r];
		const int64_t length = lengths[s];
		const char* next = ahead ? ahead : (const char*)(a[R - 1] + length);
		for (int64_t k = 0; k < length; k++, panel += V * kLanes, next += 64) {
			__builtin_prefetch(next, 0, 2);
			vf b[V];
#pragma GCC unroll 4
			for (int v = 0; v < V; v++) b[v] = load(panel + v * kLanes);
#pragma GCC unroll 12
			for (int r = 0; r < R; r++) {
				const vf x = set1(a[r][k]);
#pragma GCC unroll 4
				for (int v = 0; v < V; v++) acc[r][v] = fma(x, b[v], acc[r][v]);
			}
		}
		if (ahead) ahead = next;
	}
#pragma GCC unroll 12
	for (int r = 0; r < R; r++)
#pragma GCC unroll 4
		for (int v = 0; v < V; v++) store(c + (r * V + v) * kLanes, acc[r][v]);
}

using SegmentTile = void (*)(const int64_t*, int64_t, const float* const*, int64_t, const float*, float*, bool, const char*);

template <int V, int R = 1>
inline SegmentTile segment_tile_of(int rows) {
	if constexpr (R == kRowsOf[V]) return segment_tile<R, V>;
	else return rows == R ? segment_tile<R, V> : segment_tile_of<V, R + 1>(rows);
}
template <int V = 1>
inline SegmentTile segment_tile_for(int rows, int vectors) {
	if constexpr (V == kPanelVectors) return segment_tile_of<V>(rows);
	else return vectors == V ? segment_tile_of<V>(rows) : segment_tile_for<V + 1>(rows, vectors);
}

}  // namespace dreamdist::cpu::DD_ISA
