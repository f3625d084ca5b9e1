// The product of a tile of 16-bit matrices on Hopper's tensor cores: persistent and warp-specialised. Of a block's three warpgroups the
// first copies (one thread of it asks TMA for a stage's boxes, ahead of use, and gives its registers away), the other two multiply 64 rows
// each by wgmma from the same stages. A stage's barriers: `full` counts the bytes that have arrived, `empty` the warps that are done with it.
// Copies for the next tile go on while results are stored.
//
// Epilogues, partial sums and the joining of parts are those of tensor_tile.h. A Problem has what is said there, and here
//   steps(batch)                                                   blocks of 64 of K
//   fetch(left, right, arrived, batch, row tile, n0, step)         asks for a stage's boxes
//   fetched_bytes                                                  how much that is
#pragma once
#include "hopper.h"
#include "hopper_map.h"
#include "tensor_tile.h"

namespace dreamdist::cuda::hopper {

constexpr int kThreads = 384, kMultipliers = 2, kMultiplierWarps = 4 * kMultipliers;
constexpr int kCopierRegisters = 40, kMultiplierRegisters = 232;  // 128 · 40 + 256 · 232 ≤ 65536
constexpr int kSlab = 32;                                          // columns of results that wait in shared memory at a time
constexpr int kRoomFloats = 16 * (kSlab + 8);                      // of a warp

template <TileKind Kind, bool RightK>
struct Block {
	static constexpr int kColumns = kTiles[Kind].columns, kStages = kTiles[Kind].stages;
	using Left = OperandTile<kTileRows, true>;
	using Right = OperandTile<kColumns, RightK>;
	static constexpr int kStageBytes = Left::kBytes + Right::kBytes, kRooms = kStages * kStageBytes, kBarriers = kRooms + kMultiplierWarps * kRoomFloats * 4;
	static constexpr size_t kSharedBytes = kTileAlignment + kBarriers + 2 * kStages * 8;
	static_assert(kStages >= 2);  // a stage is given back when the next one is there
	static_assert(Left::kBytes % kTileAlignment == 0 && Right::kBytes % kTileAlignment == 0 && kColumns % kSlab == 0 && kSharedBytes <= 232448);
};

template <TileKind Kind, class Problem>
__global__ void __launch_bounds__(kThreads, 1) hopper_product_kernel(const __grid_constant__ Problem p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
	using B = Block<Kind, Problem::kRightK>;
	using T = typename Problem::Element;
	constexpr int kColumns = B::kColumns, kStages = B::kStages;
	GPU_DYNAMIC_SHARED(raw);
	unsigned char* shared = raw + (-gpu::shared_address(raw) & (kTileAlignment - 1));
	uint64_t *full = reinterpret_cast<uint64_t*>(shared + B::kBarriers), *empty = full + kStages;
	if (threadIdx.x == 0) {
		for (int s = 0; s < kStages; s++) {
			barrier_create(full + s, 1);
			barrier_create(empty + s, kMultiplierWarps);
		}
		barriers_created();
		p.prefetch();
	}
	__syncthreads();

	const TileWalk walk = {(p.M + kTileRows - 1) / kTileRows, (p.N + kColumns - 1) / kColumns, (int64_t)p.batch * p.plan.parts};
	const int64_t tiles = walk.count();
	const int part_steps = int(p.plan.length / kBlockDepth);
	RingPlace place;
	const int warpgroup = __shfl_sync(gpu::kFullWarp, int(threadIdx.x >> 7), 0);  // the same for a warp, and the compiler knows
	if (warpgroup == 0) {
		give_registers<kCopierRegisters>();
		if (threadIdx.x != 0) return;
		for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
			const auto tile = walk.at(t);
			const int batch = int(tile.layer / p.plan.parts), first = int(tile.layer % p.plan.parts) * part_steps, rest = p.steps(batch) - first;
			fill_ring(
				place, kStages, rest < part_steps ? rest : part_steps, [&](int stage, uint32_t parity) { barrier_wait(empty + stage, parity); },
				[&](int stage, int step) {
					unsigned char* at = shared + stage * B::kStageBytes;
					barrier_expect(full + stage, p.fetched_bytes);
					p.template fetch<typename B::Right>(at, at + B::Left::kBytes, full + stage, batch, tile.row, tile.column * kColumns, first + step);
				});
		}
	} else {
		take_registers<kMultiplierRegisters>();
		const int thread = threadIdx.x & 127, lane = threadIdx.x & 31, multiplier = warpgroup - 1, row = multiplier * 64;
		float* room = reinterpret_cast<float*>(shared + B::kRooms) + (multiplier * 4 + (thread >> 5)) * kRoomFloats;
		const uint32_t base = gpu::shared_address(shared);
		for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
			const auto tile = walk.at(t);
			const int batch = int(tile.layer / p.plan.parts), part = int(tile.layer % p.plan.parts), rest = p.steps(batch) - part * part_steps;
			float sum[kColumns / 8][4];
			GPU_UNROLL
			for (int j = 0; j < kColumns / 8; j++) sum[j][0] = sum[j][1] = sum[j][2] = sum[j][3] = 0;
			drain_ring(
				place, kStages, rest < part_steps ? rest : part_steps, [&](int stage, uint32_t parity) { barrier_wait(full + stage, parity); },
				[&](int stage) {
					const uint32_t left = base + stage * B::kStageBytes, right = left + B::Left::kBytes;
					pin(sum);
					products_begin();
					GPU_UNROLL
					for (int k = 0; k < kBlockDepth / kWgmmaDepth; k++)
						multiply<T, Problem::kRightK, true>(sum, B::Left::descriptor(left, row, k), B::Right::descriptor(right, 0, k));
					products_commit();
					pin(sum);
				},
				[&] { products_wait<1>(); }, [&] { products_wait<0>(); },
				[&](int stage) {
					if (lane == 0) barrier_arrive(empty + stage);
				});
			pin(sum);
			const int row0 = tile.row * kTileRows + row + (thread >> 5) * 16;
			GPU_NO_UNROLL
			for (int slab = 0; slab < kColumns / kSlab; slab++) {
				GPU_UNROLL
				for (int s = 0; s < kColumns / kSlab; s++) {  // registers have no index
					if (s != slab) continue;
					GPU_UNROLL
					for (int j = 0; j < kSlab / 8; j++) {
						GPU_UNROLL
						for (int e = 0; e < 4; e += 2) {
							float* to = room + accumulator_row(lane, e) * (kSlab + 8) + accumulator_column(lane, j, e);
							*reinterpret_cast<float2*>(to) = make_float2(sum[s * (kSlab / 8) + j][e], sum[s * (kSlab / 8) + j][e + 1]);
						}
					}
				}
				__syncwarp();
				deliver_rows<kSlab>(p, room, batch, part, row0, tile.column * kColumns + slab * kSlab);
				__syncwarp();
			}
		}
	}
#endif
}

template <TileKind Kind, class Problem>
void launch_tiles(const Problem& p, Context& context) {
	using B = Block<Kind, Problem::kRightK>;
	const int64_t tiles = TileWalk{(p.M + kTileRows - 1) / kTileRows, (p.N + B::kColumns - 1) / B::kColumns, (int64_t)p.batch * p.plan.parts}.count();
	gpu::launch<hopper_product_kernel<Kind, Problem>>((unsigned)std::min<int64_t>(tiles, context.multiprocessors), kThreads, B::kSharedBytes, context.stream, p);
	context.hopper_launches++;
}

}  // namespace dreamdist::cuda::hopper
