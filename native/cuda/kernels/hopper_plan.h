// Which calls the Hopper kernels take, how they cut them, and the boxes that TMA copies for them. From sizes alone, and without CUDA, so
// that scratch is planned before any operand is known and everything is tested without a card.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "dreamdist/kernels.h"
#include "hopper_layout.h"

namespace dreamdist::cuda::hopper {

// The tiles of 128 rows, 64 for each of two warpgroups, and why each is there.
//   kBy160  every width of the UNet (320, 640, 960, 1280 and its multiples) is a multiple of 160; five stages
//   kBy256  1024, 4096, 512: 85 products per element loaded, against 71; 128 accumulators a thread, four stages
enum TileKind { kBy160, kBy256, kTileKindCount };
struct TileColumns {
	int columns, stages;
};
inline constexpr TileColumns kTiles[kTileKindCount] = {{160, 5}, {256, 4}};

struct Plan {
	TileKind tile = kBy160;
	int parts = 1;
	int64_t length = kBlockDepth;  // of each part of K, a multiple of kBlockDepth
};

// Cycles of a card with 132 multiprocessors that does 2048 products a cycle in each and moves 2300 bytes a cycle: whole rounds of tiles,
// each with the time until its first stage is there and its results are stored, and for cut products what joining the parts costs.
inline Plan plan(int64_t M, int64_t N, int64_t K, int64_t batch, TileChoice choice) {
	constexpr double kMultiprocessors = 132, kProducts = 2048, kBytes = 2300, kLaunch = 4000, kStore = 12;
	auto up = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
	const int64_t depth = std::max<int64_t>(up(K, kBlockDepth), 1);
	Plan best;
	double least = INFINITY;
	for (int kind = 0; kind < kTileKindCount; kind++) {
		const int columns = kTiles[kind].columns;
		if (choice.is(kTileRows, columns)) {
			const int64_t steps = up(depth, std::max(choice.parts, 1));
			return {(TileKind)kind, (int)up(depth, steps), steps * kBlockDepth};
		}
		const double tiles = (double)up(M, kTileRows) * (double)up(N, columns) * (double)batch;
		for (int wanted : {1, 2, 3, 4, 6, 8, 12, 16}) {
			const int64_t steps = up(depth, wanted);
			const int parts = (int)up(depth, steps);
			if (parts > 1 && steps * kBlockDepth < 256) continue;
			const double rounds = std::ceil(tiles * parts / kMultiprocessors);
			double cycles = rounds * columns * (kTileRows * (double)steps * kBlockDepth / kProducts + kStore);
			if (parts > 1) cycles += kLaunch + (double)parts * (double)M * (double)N * (double)batch * 8 / kBytes;
			if (cycles < least) {
				least = cycles;
				best = {(TileKind)kind, parts, steps * kBlockDepth};
			}
		}
	}
	return best;
}
// Whether a measured choice is one of these tiles, or one of sm_80's.
inline bool is_tile(TileChoice choice) {
	for (const TileColumns& tile : kTiles)
		if (choice.is(kTileRows, tile.columns)) return true;
	return false;
}
inline int64_t parts_bytes(int64_t M, int64_t N, int64_t K, int64_t batch, TileChoice choice) {
	const Plan p = plan(M, N, K, batch, choice);
	return p.parts > 1 ? p.parts * batch * M * N * (int64_t)sizeof(float) : 0;
}
inline void choices(int64_t M, int64_t N, int64_t K, int64_t batch, std::vector<TileChoice>& found) {
	for (const TileColumns& tile : kTiles) {
		const int64_t tiles = (M + kTileRows - 1) / kTileRows * ((N + tile.columns - 1) / tile.columns) * batch;
		for (int parts : {1, 2, 3, 4, 6, 8, 12, 16})
			if (parts == 1 || (K / parts >= 256 && tiles * parts <= 8 * 132)) found.push_back({kTileRows, tile.columns, parts});
	}
}

// ---- matmul

struct MatmulSizes {
	int64_t batch = 1, M = 0, N = 0, K = 0, lda = 0, ldb = 0, a_stride = 0, b_stride = 0;  // elements
	bool trans_a = false, trans_b = false;
	bool pairs = false;  // columns are values, then as many gates
};

inline TensorBox left_box(const MatmulSizes& s) {
	const bool repeats = s.batch == 1 || s.a_stride == 0;
	TensorBox box;
	box.add((uint64_t)s.K, 2, kBlockDepth).add((uint64_t)s.M, uint64_t(s.lda) * 2, kTileRows);
	return box.add(repeats ? 1 : (uint64_t)s.batch, repeats ? uint64_t(s.lda) * 2 : uint64_t(s.a_stride) * 2, 1);
}
// B as [N][K] (trans_b): a tile's columns, for pairs eight values and their eight gates in turn. Five dimensions either way: K, a run of
// columns, value or gate, runs, batch.
inline TensorBox right_box_k(const MatmulSizes& s, int columns) {
	const bool repeats = s.batch == 1 || s.b_stride == 0;
	const uint64_t pitch = uint64_t(s.ldb) * 2;
	TensorBox box;
	box.add((uint64_t)s.K, 2, kBlockDepth);
	if (s.pairs) box.add(8, pitch, 8).add(2, uint64_t(s.N / 2) * pitch, 2).add((uint64_t)s.N / 16, 8 * pitch, uint32_t(columns / 16));
	else box.add((uint64_t)s.N, pitch, (uint32_t)columns).add(1, pitch, 1).add(1, pitch, 1);
	return box.add(repeats ? 1 : (uint64_t)s.batch, repeats ? pitch : uint64_t(s.b_stride) * 2, 1);
}
// B as [K][N]: boxes of neighbouring columns.
inline TensorBox right_box_rows(const MatmulSizes& s, int line_columns) {
	const bool repeats = s.batch == 1 || s.b_stride == 0;
	TensorBox box;
	box.swizzle = line_columns == 64 ? Swizzle::bytes128 : Swizzle::bytes64;
	box.add((uint64_t)s.N, 2, (uint32_t)line_columns).add((uint64_t)s.K, uint64_t(s.ldb) * 2, kBlockDepth);
	return box.add(repeats ? 1 : (uint64_t)s.batch, repeats ? uint64_t(s.ldb) * 2 : uint64_t(s.b_stride) * 2, 1);
}

// The boxes of a stage: `left(at, coordinates…)` and `right(at, …)` copy one to a byte of the operand's tile.
struct MatmulFetch {
	int a_batch = 0, b_batch = 0;  // 0 where an operand is repeated, else 1
	bool pairs = false;
	MatmulFetch() = default;
	explicit MatmulFetch(const MatmulSizes& s) : a_batch(s.batch > 1 && s.a_stride != 0), b_batch(s.batch > 1 && s.b_stride != 0), pairs(s.pairs) {}
	template <class RightTile, class Left, class Right>
	DD_ANYWHERE void fetch(int batch, int row_tile, int n0, int step, Left&& left, Right&& right) const {
		const int k = step * kBlockDepth;
		left(0, k, row_tile * kTileRows, batch * a_batch);
		if constexpr (RightTile::KContiguous) right(0, k, pairs ? 0 : n0, 0, pairs ? n0 / 16 : 0, batch * b_batch);
		else {
			for (int i = 0; i < RightTile::kBoxes; i++) right(i * RightTile::kBoxBytes, n0 + i * RightTile::kLineRows, k, batch * b_batch);
		}
	}
};

// Why the kernels of sm_80 compute a product; null: the Hopper kernel can. Addresses are looked at when they are known.
inline const char* why_not(const MatmulSizes& s, TileChoice choice = {}) {
	if (choice.rows != 0 && !is_tile(choice)) return "a tile of theirs was measured as the fastest";
	if (s.trans_a) return "a is transposed";
	if (s.M <= 64) return "at most 64 rows fill half of a tile";
	if (s.N < 64 || s.K < 64) return "fewer than 64 columns or of K";
	if (s.pairs && (!s.trans_b || s.N % 16 != 0)) return "values and gates are not in runs of eight rows of b";
	const int64_t most = int64_t(1) << 31;
	if (s.M >= most - 256 || s.N >= most - 256 || s.K >= most - 256 || s.batch >= most) return "an extent is above 2^31";
	for (const TensorBox& box : {left_box(s), s.trans_b ? right_box_k(s, 160) : right_box_rows(s, 32)})
		if (const char* why = box.problem(0)) return why;
	return nullptr;
}

}  // namespace dreamdist::cuda::hopper
