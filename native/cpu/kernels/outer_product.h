// C[m][n] = Σ_k A[k][m] · B[k][n]: the product behind weight gradients, where both operands are stored reduction-major and the
// reduction (pixels, tokens) is much longer than the result is wide.
//
// A block of C stays in the member's scratch over the whole reduction. The reduction comes in chunks: A's chunk is copied once into
// tiles [k][rows], then every panel [k][columns] of B is copied and multiplied while it lies in L1. Each chunk is summed on its own
// before it is added, which keeps long sums accurate, and in an order that no partition changes.
#pragma once
#include "gemm.h"
#include "micro_kernel.h"

namespace dreamdist::cpu::DD_ISA {

constexpr int64_t kOuterChunk = 192;            // a panel (24 KB) and a tile of A fit L1 together
constexpr int64_t kOuterBlock = 128 << 10;      // floats of C held, about
constexpr int64_t kOuterMaxRows = 8 * kTileRows;

// c[R][V·kLanes] (+)= Σ_k a[k][r] · b[k][column].
template <int R, int V>
void outer_tile(int64_t depth, const float* a, const float* b, float* c, bool add) {
	vf acc[R][V];
#pragma GCC unroll 14
	for (int r = 0; r < R; r++)
#pragma GCC unroll 4
		for (int v = 0; v < V; v++) acc[r][v] = zero();
	for (int64_t k = 0; k < depth; k++, a += R, b += V * kLanes) {
		vf y[V];
#pragma GCC unroll 4
		for (int v = 0; v < V; v++) y[v] = load(b + v * kLanes);
#pragma GCC unroll 14
		for (int r = 0; r < R; r++) {
			const vf x = set1(a[r]);
#pragma GCC unroll 4
			for (int v = 0; v < V; v++) acc[r][v] = fma(x, y[v], acc[r][v]);
		}
	}
#pragma GCC unroll 14
	for (int r = 0; r < R; r++)
#pragma GCC unroll 4
		for (int v = 0; v < V; v++) {
			float* to = c + (r * V + v) * kLanes;
			store(to, add ? load(to) + acc[r][v] : acc[r][v]);
		}
}
using OuterTile = void (*)(int64_t, const float*, const float*, float*, bool);
template <int V = 1, int R = 1>
inline OuterTile outer_tile_for(int rows, int vectors) {
	if constexpr (V < kTileVectors)
		if (vectors != V) return outer_tile_for<V + 1, R>(rows, vectors);
	if constexpr (R == kTileRows) return outer_tile<R, V>;
	else return rows == R ? outer_tile<R, V> : outer_tile_for<V, R + 1>(rows, vectors);
}

// A block of C: rows [m0, m1) by columns [n0, n1), once for each group in [g0, g1) (a filter's taps).
struct OuterBlock {
	int64_t m0, m1, n0, n1, g0, g1;
	float* sums;  // [group][panel][tile][row][width]
	int64_t rows() const { return m1 - m0; }
	int64_t columns() const { return n1 - n0; }
	int64_t panels() const { return ceil_div(columns(), kTileCols); }
	int64_t tiles() const { return ceil_div(rows(), kTileRows); }
	int64_t tile_begin(int64_t t) const { return rows() * t / tiles(); }
	Panel panel(int64_t p) const {
		const int64_t count = min_of(kTileCols, columns() - p * kTileCols);
		return {(int)ceil_div(count, kLanes), 1, {{n0 + p * kTileCols, count, 0}, {}}};
	}
	int64_t padded() const { return (panels() - 1) * kTileCols + panel(panels() - 1).width(); }
	float* panel_sums(int64_t g, int64_t p) const { return sums + ((g - g0) * padded() + p * kTileCols) * rows(); }
	float* row(int64_t g, int64_t p, int64_t m) const { return panel_sums(g, p) + (m - m0) * panel(p).width(); }
};

struct OuterWorkspace {
	float *sums, *a, *b;
	OuterWorkspace(Carver& carver)
		: sums(carver.take<float>(kOuterBlock)),
		  a(carver.take<float>(kOuterChunk * kOuterMaxRows + kLanes)),
		  b(carver.take<float>(kOuterChunk * kTileCols)) {}
};

// a.pack(k, m, rows, to): A[k][m … m + rows) to `to`, which may be overwritten up to a vector further.  b.chunk(group, k0, k1) announces a chunk, then
// b.pack(k, run, to): B[k][run.column …] to `to`, zero-filled to whole vectors.  finish(block) takes the sums away.
template <class A, class B, class Finish>
void outer_product(int64_t depth, int64_t groups, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end, const A& a, B& b, const Finish& finish,
				   const OuterWorkspace& work) {
	if (m_begin >= m_end || n_begin >= n_end || groups <= 0) return;
	const int64_t group_step = min_of(groups, kOuterBlock / (kTileRows * kTileCols));
	const int64_t row_step = min_of(max_of(kOuterBlock / (group_step * kTileCols) / kTileRows, 1) * kTileRows, kOuterMaxRows);
	const int64_t row_blocks = ceil_div(m_end - m_begin, row_step), most_rows = ceil_div(m_end - m_begin, row_blocks);
	const int64_t column_step = max_of(kOuterBlock / (group_step * most_rows) / kTileCols, 1) * kTileCols;
	for (int64_t g0 = 0; g0 < groups; g0 += group_step)
		for (int64_t m = 0; m < row_blocks; m++)
			for (int64_t n0 = n_begin; n0 < n_end; n0 += column_step) {
				const OuterBlock block{m_begin + (m_end - m_begin) * m / row_blocks, m_begin + (m_end - m_begin) * (m + 1) / row_blocks, n0,
									   min_of(n0 + column_step, n_end), g0, min_of(g0 + group_step, groups), work.sums};
				const int64_t tiles = block.tiles();
				const int low = (int)(block.rows() / tiles);
				int64_t k0 = 0;
				do {
					const int64_t k1 = min_of(k0 + kOuterChunk, depth), count = k1 - k0;
					for (int64_t t = 0; t < tiles; t++) {
						const int64_t begin = block.tile_begin(t), rows = block.tile_begin(t + 1) - begin;
						for (int64_t k = 0; k < count; k++) a.pack(k0 + k, block.m0 + begin, rows, work.a + begin * count + k * rows);
					}
					for (int64_t g = block.g0; g < block.g1; g++) {
						b.chunk(g, k0, k1);
						for (int64_t p = 0; p < block.panels(); p++) {
							const Panel panel = block.panel(p);
							const int width = panel.width();
							for (int64_t k = 0; k < count; k++) b.pack(k0 + k, panel.run[0], work.b + k * width);
							const OuterTile tile_low = outer_tile_for(low, panel.vectors);
							const OuterTile tile_high = outer_tile_for(low + (block.rows() % tiles != 0), panel.vectors);
							for (int64_t t = 0; t < tiles; t++) {
								const int64_t begin = block.tile_begin(t), rows = block.tile_begin(t + 1) - begin;
								(rows == low ? tile_low : tile_high)(count, work.a + begin * count, work.b, block.panel_sums(g, p) + begin * width, k0 > 0);
							}
						}
					}
					k0 = k1;
				} while (k0 < depth);
				finish(block);
			}
}

// Copies n floats, then zeros up to the next whole vector.
inline void copy_row(float* to, const float* from, int64_t n) {
	for (; n >= kLanes; n -= kLanes, to += kLanes, from += kLanes) store(to, load(from));
	if (n > 0) store(to, load_n(from, n));
}

}  // namespace dreamdist::cpu::DD_ISA
