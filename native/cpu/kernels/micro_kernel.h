// The register tile every dense kernel is built on.
//
// A tile is up to kTileRows rows of A (read in place through one pointer per row, so an im2col buffer is never needed) times a panel of
// kTileCols columns of B, stored k-major: panel[k·kTileCols + column]. A panel streams from L2 once per tile of rows; the accumulators
// stay in registers over the whole reduction.
#pragma once
#include "../simd.h"

namespace dreamdist::cpu::DD_ISA {

// 32 registers (AVX-512): 14 × 2 accumulators + 2 of B + broadcasts from memory. 16 registers: 6 × 2. NEON has 32 registers of 4 lanes.
#if DD_LANES == 16
constexpr int kTileRows = 14;
constexpr int kTileVectors = 2;
#elif DD_LANES == 8
constexpr int kTileRows = 6;
constexpr int kTileVectors = 2;
#elif defined(__aarch64__)
constexpr int kTileRows = 8;
constexpr int kTileVectors = 3;
#else
constexpr int kTileRows = 4;
constexpr int kTileVectors = 2;
#endif
constexpr int kTileCols = kTileVectors * kLanes;

// c[row][column] (+)= Σ_k a[row][k·1] · panel[k][column] for `Rows` rows. `a` holds one pointer per row.
template <int Rows>
inline void tile(int64_t k, const float* const* a, const float* panel, float* c, int64_t ldc, bool accumulate) {
	vf acc[Rows][kTileVectors];
#pragma GCC unroll 16
	for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
		for (int v = 0; v < kTileVectors; v++) acc[r][v] = accumulate ? load(c + r * ldc + v * kLanes) : zero();
	const float* rows[Rows];
#pragma GCC unroll 16
	for (int r = 0; r < Rows; r++) rows[r] = a[r];
	for (int64_t i = 0; i < k; i++) {
		vf b[kTileVectors];
#pragma GCC unroll 4
		for (int v = 0; v < kTileVectors; v++) b[v] = load(panel + i * kTileCols + v * kLanes);
#pragma GCC unroll 16
		for (int r = 0; r < Rows; r++) {
			const vf x = set1(rows[r][i]);
#pragma GCC unroll 4
			for (int v = 0; v < kTileVectors; v++) acc[r][v] = fma(x, b[v], acc[r][v]);
		}
	}
#pragma GCC unroll 16
	for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
		for (int v = 0; v < kTileVectors; v++) store(c + r * ldc + v * kLanes, acc[r][v]);
}

using TileFn = void (*)(int64_t, const float* const*, const float*, float*, int64_t, bool);

template <int Rows = 1>
inline TileFn tile_for(int rows) {
	if constexpr (Rows == kTileRows) return tile<Rows>;
	else return rows == Rows ? tile<Rows> : tile_for<Rows + 1>(rows);
}

}  // namespace dreamdist::cpu::DD_ISA
