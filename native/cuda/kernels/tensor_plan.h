// How a product on tensor cores is cut: which tile, and into how many parts of K. Decided from the sizes alone, so that scratch can be
// planned before any operand is known.
#pragma once
#include "common.h"

namespace dreamdist::cuda {

constexpr int kLineBytes = 64;  // of a row in a stage of shared memory: two mma deep
constexpr int kDepth = 32;      // 16-bit elements of K in a stage, or f32 in two
// Products read f32 as tf32.
template <class T>
constexpr bool kIsTf32 = std::is_same_v<T, float>;

// Blocks of Down x Across warps; Blocks of them share a multiprocessor.
template <int BM_, int BN_, int Down_, int Across_, int Stages_, int Blocks_>
struct TensorTile {
	static constexpr int BM = BM_, BN = BN_, kDown = Down_, kAcross = Across_, kStages = Stages_, kBlocks = Blocks_;
	static constexpr int kWarps = kDown * kAcross, kThreads = 32 * kWarps;
	static constexpr int WM = BM / kDown, WN = BN / kAcross;       // of a warp
	static constexpr int kTilesM = WM / 16, kTilesN = WN / 8;      // mma results of a warp
	static constexpr int kRoomPitch = WN + 8;                      // floats of a row where a warp's results wait to be stored
	static constexpr int kRoomBytes = kWarps * 16 * kRoomPitch * 4;
	static_assert(WM % 16 == 0 && WN % 16 == 0);
};

// The tiles, and why each is there.
//   kLarge  128x128, 64x32 a warp: 64 accumulators, so that two blocks of 8 warps fit a multiprocessor's registers and one computes
//           while the other waits; 64 products per element loaded into shared memory.
//   kWide   64x160, 32x80 a warp: 320, 640, 960 and 1280 columns (every width of the UNet) are multiples of 160, and 320 is none of 128;
//           46 products per element. 80 accumulators and what a convolution's addresses take need more than 128 registers, so that
//           three blocks of 4 warps share a multiprocessor rather than two of 8.
//   kSmall  64x64, 32x32 a warp: maps of 12x12 and 24x24, the text encoder's rows, time embeddings; four blocks on a multiprocessor.
enum TensorTileKind { kLarge, kWide, kSmall, kTileKinds };
using LargeTensorTile = TensorTile<128, 128, 2, 4, 4, 2>;
using WideTensorTile = TensorTile<64, 160, 2, 2, 3, 3>;
using SmallTensorTile = TensorTile<64, 64, 2, 2, 4, 4>;

struct TileSize {
	int BM, BN;
	double slowness;  // time per product against kLarge: shared memory is read twice as often per product in the small tile
};
inline constexpr TileSize kTileSizes[kTileKinds] = {{128, 128, 1.0}, {64, 160, 1.1}, {64, 64, 1.5}};

struct TensorPlan {
	TensorTileKind tile = kSmall;
	int parts = 1;
	int64_t length = kDepth;  // of each part of K, a multiple of kDepth
};

// Set by tests and measurements to try one tile or number of parts; −1: chosen by the estimate below.
struct ForcedPlan {
	int tile = -1, parts = -1;
};
inline ForcedPlan forced_plan;

// The estimate counts cycles of a card with 132 multiprocessors that does 1024 products of 16 bits a cycle in each and moves 2300 bytes a cycle:
// whole rounds of blocks, each with the time its first copies take, and for cut products the traffic and launch of joining the parts.
inline TensorPlan tensor_plan(int64_t M, int64_t N, int64_t K, int64_t batch, bool allow_wide, TileChoice choice) {
	constexpr double kMultiprocessors = 132, kProducts = 1024, kBytes = 2300, kLaunch = 4000, kFill = 96;
	TensorPlan best;
	double least = INFINITY;
	const int64_t depth = std::max<int64_t>(div_up(K, kDepth), 1);
	for (int kind = 0; kind < kTileKinds; kind++) {
		if (!choice.is(kTileSizes[kind].BM, kTileSizes[kind].BN) || (kind == kWide && !allow_wide)) continue;
		const int64_t steps = div_up(depth, std::max(choice.parts, 1));
		return {(TensorTileKind)kind, (int)div_up(depth, steps), steps * kDepth};
	}
	for (int kind = 0; kind < kTileKinds; kind++) {
		if (forced_plan.tile >= 0 ? kind != (allow_wide || forced_plan.tile != kWide ? forced_plan.tile : kLarge) : kind == kWide && !allow_wide) continue;
		const TileSize& size = kTileSizes[kind];
		const double tiles = (double)div_up(M, size.BM) * (double)div_up(N, size.BN) * (double)batch;
		for (int wanted : {1, 2, 3, 4, 6, 8, 12, 16, 24, 32}) {
			if (forced_plan.parts > 0 && wanted != forced_plan.parts) continue;
			const int64_t steps = div_up(depth, wanted);
			const int parts = (int)div_up(depth, steps);
			if (parts > 1 && forced_plan.parts < 0 && steps * kDepth < 256) continue;
			const double rounds = std::ceil(tiles * parts / kMultiprocessors);
			double cycles = rounds * size.BM * size.BN * ((double)steps * kDepth + kFill) / kProducts * size.slowness;
			if (parts > 1) cycles += kLaunch + (double)parts * (double)M * (double)N * (double)batch * 8 / kBytes;
			if (cycles < least) {
				least = cycles;
				best = {(TensorTileKind)kind, parts, steps * kDepth};
			}
		}
	}
	return best;
}
inline int64_t tensor_parts_bytes(int64_t M, int64_t N, int64_t K, int64_t batch, bool allow_wide, TileChoice choice) {
	const TensorPlan plan = tensor_plan(M, N, K, batch, allow_wide, choice);
	return plan.parts > 1 ? plan.parts * batch * M * N * (int64_t)sizeof(float) : 0;
}

// What is worth measuring: as above no parts of less than 256 of K, and no more blocks than a card takes in eight rounds where K is cut.
inline void tensor_choices(int64_t M, int64_t N, int64_t K, int64_t batch, bool allow_wide, std::vector<TileChoice>& choices) {
	constexpr int64_t kLeast = 256, kMost = 8 * 132;
	for (int kind = 0; kind < kTileKinds; kind++) {
		if (kind == kWide && !allow_wide) continue;
		const TileSize& size = kTileSizes[kind];
		const int64_t tiles = div_up(M, size.BM) * div_up(N, size.BN) * batch;
		for (int parts : {1, 2, 3, 4, 6, 8, 12, 16, 24, 32})
			if (parts == 1 || (K / parts >= kLeast && tiles * parts <= kMost)) choices.push_back({size.BM, size.BN, parts});
	}
}

}  // namespace dreamdist::cuda
