// The register tile of attention: the shape of segment_tile.h's, with C's rows anywhere in memory.
//
// A tile is up to kTileRows rows of A (one pointer per row, k contiguous) times a panel of V vectors of columns of B, stored k-major:
// panel[k·V·kLanes + column]. A panel streams from L2 once per tile; the accumulators stay in registers over the whole reduction.
#pragma once
#include "segment_tile.h"

namespace dreamdist::cpu::DD_ISA {

constexpr int kTileVectors = kPanelVectors;
constexpr int kTileRows = kRowsOf[kPanelVectors];
constexpr int kTileCols = kPanelColumns;

// c[row·ldc + column] (+)= Σ_k a[row][k] · panel[k][column] for R rows and V·kLanes columns.
template <int R, int V>
void tile(int64_t k, const float* const* a, const float* panel, float* c, int64_t ldc, bool accumulate) {
	vf acc[R][V];
#pragma GCC unroll 12
	for (int r = 0; r < R; r++)
#pragma GCC unroll 4
		for (int v = 0; v < V; v++) acc[r][v] = accumulate ? load(c + r * ldc + v * kLanes) : zero();
	const float* rows[R];
#pragma GCC unroll 12
	for (int r = 0; r < R; r++) rows[r] = a[r];
	for (int64_t i = 0; i < k; i++, panel += V * kLanes) {
		vf b[V];
#pragma GCC unroll 4
		for (int v = 0; v < V; v++) b[v] = load(panel + v * kLanes);
#pragma GCC unroll 12
		for (int r = 0; r < R; r++) {
			const vf x = set1(rows[r][i]);
#pragma GCC unroll 4
			for (int v = 0; v < V; v++) acc[r][v] = fma(x, b[v], acc[r][v]);
		}
	}
#pragma GCC unroll 12
	for (int r = 0; r < R; r++)
#pragma GCC unroll 4
		for (int v = 0; v < V; v++) store(c + r * ldc + v * kLanes, acc[r][v]);
}

using TileFn = void (*)(int64_t, const float* const*, const float*, float*, int64_t, bool);

template <int V, int R = 1>
inline TileFn tile_of(int rows) {
	if constexpr (R == kTileRows) return tile<R, V>;
	else return rows == R ? tile<R, V> : tile_of<V, R + 1>(rows);
}
// The tile for 1 … kTileRows rows and a panel `width` columns wide (a multiple of kLanes).
template <int V = 1>
inline TileFn tile_for(int rows, int64_t width) {
	if constexpr (V == kTileVectors) return tile_of<V>(rows);
	else return width == V * kLanes ? tile_of<V>(rows) : tile_for<V + 1>(rows, width);
}

}  // namespace dreamdist::cpu::DD_ISA
