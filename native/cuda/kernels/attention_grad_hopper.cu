// The gradient of self-attention with heads 64 wide in 16 bits on sm_90a: two kernels, one per output side (hopper_attention_grad_plan.h), each
// with one thread that asks TMA for what is held and then, step by step, for what is walked, and two warpgroups with 64 rows each. Weights and
// gradients go from results to the next product's operand in registers; scores, products and sums are f32. Nothing is added by atomics, so
// results repeat bit for bit, as those of sm_80 do (attention_grad_half.cu).
//
// Predicted for 9216 queries and keys on an H200: 340 TFLOP/s, counting the five products of a gradient. Seven are computed, as scores and
// products are needed on both sides: of 989 TFLOP/s at most 706 are left, and 340 at the share of the rate that FlashAttention-3 reaches with
// its five (474 of 989). What holds it back besides: for 64 x 96 scores the tensor cores are busy for 768 (keys) and 576 (queries) cycles, shared
// memory for 642 and 432, the exponentials for 384 on either side. drain_grad_steps overlaps them in part; two warpgroups hide the rest of each
// other's as long as they are out of step, which nothing forces. A block's first and last step hide nothing, a third of it with 576 queries.
#include "attention_half.h"
#include "hopper_attention.h"
#include "hopper_map.h"

namespace dreamdist::cuda::hopper {
namespace {

constexpr int kThreads = 384, kMultiplierWarps = 8, kCopierRegisters = 24, kMultiplierRegisters = 240;  // 128 · 24 + 256 · 240 ≤ 65536

template <GradSide Side>
struct Block : GradPlaces<Side> {
	static constexpr int kRoomBytes = HeadTile<kHeadWidth>::bytes(16), kBarriers = Block::kRooms + kMultiplierWarps * kRoomBytes;
	static constexpr size_t kSharedBytes = kTileAlignment + kBarriers + (1 + 4 * kGradStages) * 8;
	static_assert(Block::kRooms % 16 == 0 && kBarriers % 8 == 0 && kSharedBytes <= 232448);
};

template <class T>
struct Problem {
	TensorMap held[2], walked[2];
	const float* statistics;
	T* to[2];  // dk and dv, or dq
	bool vectors[2];
	int64_t statistics_pitch;
	AttentionShape s;
};

// grad_statistics_bytes' rows: a warp has one.
template <class T>
__global__ void __launch_bounds__(128) attention_grad_statistics_kernel(const T* o, const T* grad, const float* lse, float* statistics, int64_t pitch, AttentionShape s) {
	const int lane = threadIdx.x & 31;
	const int64_t rows = (int64_t)s.B * s.H * pitch;
	for (int64_t i = (int64_t)blockIdx.x * 4 + (threadIdx.x >> 5); i < rows; i += (int64_t)gridDim.x * 4) {
		const int64_t row = i % pitch, head = i / pitch, h = head % s.H, b = head / s.H;
		float sum = 0;
		if (row < s.Lq) {
			const T *left = o + b * s.o_batch + row * s.o_pitch + h * kHeadWidth, *right = grad + b * s.do_batch + row * s.do_pitch + h * kHeadWidth;
			sum = gpu::to_float(left[lane]) * gpu::to_float(right[lane]) + gpu::to_float(left[lane + 32]) * gpu::to_float(right[lane + 32]);
			sum = gpu::warp_sum(sum);
		}
		if (lane == 0) {
			statistics[head * 2 * pitch + row] = row < s.Lq ? lse[head * s.Lq + row] * kLog2E : INFINITY;
			statistics[(head * 2 + 1) * pitch + row] = sum * s.scale;
		}
	}
}

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

struct Barriers {
	uint64_t *held_full, *first_full, *second_full, *first_empty, *second_empty;
	__device__ __forceinline__ explicit Barriers(unsigned char* at)
		: held_full(reinterpret_cast<uint64_t*>(at)), first_full(held_full + 1), second_full(first_full + kGradStages), first_empty(second_full + kGradStages),
		  second_empty(first_empty + kGradStages) {}
	__device__ __forceinline__ void create() const {
		barrier_create(held_full, 1);
		for (int s = 0; s < kGradStages; s++) {
			barrier_create(first_full + s, 1);
			barrier_create(second_full + s, 1);
			barrier_create(first_empty + s, kMultiplierWarps);
			barrier_create(second_empty + s, kMultiplierWarps);
		}
		barriers_created();
	}
};

// A thread of a warpgroup, as drain_grad_steps asks for it.
template <class T, GradSide Side>
struct Multiplier {
	using At = Block<Side>;
	static constexpr bool kKeys = Side == GradSide::keys;
	unsigned char* shared;
	Barriers barriers;
	int lane, row, columns_there;  // of a warpgroup the first row; of the first step's columns those that are there
	float scale, score_scale;
	float lse[2], delta[2];  // of a thread's two rows, where those are queries
	float score[At::kStep / 8][4], product[At::kStep / 8][4], sum[kHeadWidth / 8][4], weighted_sum[kHeadWidth / 8][4];
	uint32_t held[kHeadWidth / kWgmmaDepth][4], left[At::kStep / 16][4];

	__device__ __forceinline__ void clear() {
		GPU_UNROLL
		for (int j = 0; j < kHeadWidth / 8; j++) {
			sum[j][0] = sum[j][1] = sum[j][2] = sum[j][3] = 0;
			if constexpr (kKeys) weighted_sum[j][0] = weighted_sum[j][1] = weighted_sum[j][2] = weighted_sum[j][3] = 0;
		}
	}
	__device__ __forceinline__ void wait_first(int stage, uint32_t parity) const { barrier_wait(barriers.first_full + stage, parity); }
	__device__ __forceinline__ void wait_second(int stage, uint32_t parity) const { barrier_wait(barriers.second_full + stage, parity); }
	__device__ __forceinline__ void release(uint64_t* barrier) const {
		__syncwarp();  // of the statistics every lane has read its own
		if (lane == 0) barrier_arrive(barrier);
	}
	__device__ __forceinline__ void release_first(int stage) const { release(barriers.first_empty + stage); }
	__device__ __forceinline__ void release_second(int stage) const { release(barriers.second_empty + stage); }
	template <int Pending>
	__device__ __forceinline__ void settle() const {
		products_wait<Pending>();
	}

	__device__ __forceinline__ void hold() {
		GPU_UNROLL
		for (int k = 0; k < kHeadWidth / kWgmmaDepth; k++) gpu::ldmatrix_x4(held[k], shared + fragment_place<HeldTile>(row + (threadIdx.x >> 5) % 4 * 16, lane, k));
	}
	__device__ __forceinline__ void multiply_scores(int stage) {
		const uint32_t right = gpu::shared_address(shared) + At::first(stage);
		pin(score);
		pin(held);
		products_begin();
		multiply_registers<T, true, false>(score, held[0], At::WalkedTile::descriptor(right, 0, 0));
		GPU_UNROLL
		for (int k = 1; k < kHeadWidth / kWgmmaDepth; k++) multiply_registers<T, true, true>(score, held[k], At::WalkedTile::descriptor(right, 0, k));
		products_commit();
	}
	__device__ __forceinline__ void multiply_products(int stage) {
		const uint32_t base = gpu::shared_address(shared), left = base + At::kSecondHeld, right = base + At::second(stage);
		pin(product);
		products_begin();
		multiply<T, true, false>(product, HeldTile::descriptor(left, row, 0), At::WalkedTile::descriptor(right, 0, 0));
		GPU_UNROLL
		for (int k = 1; k < kHeadWidth / kWgmmaDepth; k++) multiply<T, true, true>(product, HeldTile::descriptor(left, row, k), At::WalkedTile::descriptor(right, 0, k));
		products_commit();
	}
	__device__ __forceinline__ void add(float (&result)[kHeadWidth / 8][4], uint32_t walked) {
		pin(result);
		pin(left);
		products_begin();
		GPU_UNROLL
		for (int k = 0; k < At::kStep / kWgmmaDepth; k++) multiply_registers<T, false, true>(result, left[k], At::WalkedColumns::descriptor(walked, 0, k));
		products_commit();
	}
	__device__ __forceinline__ void add_weights(int stage) { add(weighted_sum, gpu::shared_address(shared) + At::second(stage)); }
	__device__ __forceinline__ void add_gradients(int stage) { add(sum, gpu::shared_address(shared) + At::first(stage)); }

	// Of a thread's two columns of eight, where those are queries.
	__device__ __forceinline__ float2 statistic(int at, int j) const {
		return *reinterpret_cast<const float2*>(shared + at + accumulator_column(lane, j, 0) * 4);
	}
	template <class First>
	__device__ __forceinline__ void weigh(int stage, First) {
		pin(score);
		GPU_UNROLL
		for (int j = 0; j < At::kStep / 8; j++) {
			float2 columns = make_float2(0, 0);
			if constexpr (kKeys) columns = statistic(At::lse(stage), j);
			GPU_UNROLL
			for (int e = 0; e < 4; e++) {
				float x = score[j][e] * score_scale - (kKeys ? e % 2 ? columns.y : columns.x : lse[e / 2]);
				if (!kKeys && First::value && accumulator_column(lane, j, e) >= columns_there) x = -INFINITY;
				score[j][e] = gpu::fast_exp2(x);
			}
		}
	}
	__device__ __forceinline__ void differentiate(int stage) {
		pin(product);
		GPU_UNROLL
		for (int j = 0; j < At::kStep / 8; j++) {
			float2 columns = make_float2(0, 0);
			if constexpr (kKeys) columns = statistic(At::delta(stage), j);
			GPU_UNROLL
			for (int e = 0; e < 4; e++) product[j][e] = score[j][e] * (product[j][e] * scale - (kKeys ? e % 2 ? columns.y : columns.x : delta[e / 2]));
		}
	}
	__device__ __forceinline__ void take(float (&from)[At::kStep / 8][4]) {
		pin(left);
		pin(from);  // or they were packed while the registers they go to are still read
		GPU_UNROLL
		for (int k = 0; k < At::kStep / 16; k++) as_left<T>(left[k], from[2 * k], from[2 * k + 1]);
	}
	__device__ __forceinline__ void take_weights() { take(score); }
	__device__ __forceinline__ void take_gradients() { take(product); }
};

#endif

template <class T, GradSide Side>
__global__ void __launch_bounds__(kThreads, 1) hopper_attention_grad_kernel(const __grid_constant__ Problem<T> p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
	using At = Block<Side>;
	constexpr bool kKeys = Side == GradSide::keys;
	GPU_DYNAMIC_SHARED(raw);
	unsigned char* shared = raw + (-gpu::shared_address(raw) & (kTileAlignment - 1));
	const Barriers barriers(shared + At::kBarriers);
	const int row0 = blockIdx.x * kGradRows, b = blockIdx.y / p.s.H, h = blockIdx.y % p.s.H;
	const int rows = kKeys ? p.s.Lk : p.s.Lq, length = kKeys ? p.s.Lq : p.s.Lk, steps = (length + At::kStep - 1) / At::kStep;
	const float* statistics = p.statistics + blockIdx.y * 2 * p.statistics_pitch;
	if (threadIdx.x == 0) {
		barriers.create();
		GPU_UNROLL
		for (int i = 0; i < 2; i++) {
			prefetch_map(p.held[i]);
			prefetch_map(p.walked[i]);
		}
	}
	__syncthreads();
	const int warpgroup = __shfl_sync(gpu::kFullWarp, int(threadIdx.x >> 7), 0);
	if (warpgroup == 0) {
		give_registers<kCopierRegisters>();
		if (threadIdx.x != 0) return;
		barrier_expect(barriers.held_full, 2 * HeldTile::kBytes);
		copy_box(shared, p.held[0], barriers.held_full, 0, h, row0, b);
		copy_box(shared + At::kSecondHeld, p.held[1], barriers.held_full, 0, h, row0, b);
		auto fill = [&](const TensorMap& map, uint64_t* full, int at, const float* statistic, int statistic_at, int step) {
			const int from = walked_step(step, steps) * At::kStep;
			barrier_expect(full, At::WalkedTile::kBytes + At::kStatisticBytes);
			copy_box(shared + at, map, full, 0, h, from, b);
			if constexpr (kKeys) copy_bytes(shared + statistic_at, statistic + from, At::kStatisticBytes, full);
		};
		fill_steps(
			kGradStages, steps, [&](int stage, uint32_t parity) { barrier_wait(barriers.first_empty + stage, parity); },
			[&](int stage, int step) { fill(p.walked[0], barriers.first_full + stage, At::first(stage), statistics, At::lse(stage), step); },
			[&](int stage, uint32_t parity) { barrier_wait(barriers.second_empty + stage, parity); },
			[&](int stage, int step) { fill(p.walked[1], barriers.second_full + stage, At::second(stage), statistics + p.statistics_pitch, At::delta(stage), step); });
	} else {
		take_registers<kMultiplierRegisters>();
		const int warp = (threadIdx.x >> 5) - 4, lane = threadIdx.x & 31, first_row = row0 + warp * 16;
		Multiplier<T, Side> multiplier = {shared, barriers, lane, (warpgroup - 1) * 64, length - (steps - 1) * At::kStep, p.s.scale, p.s.scale * kLog2E};
		if constexpr (!kKeys) {
			GPU_UNROLL
			for (int half = 0; half < 2; half++) {
				multiplier.lse[half] = statistics[first_row + accumulator_row(lane, 2 * half)];
				multiplier.delta[half] = statistics[p.statistics_pitch + first_row + accumulator_row(lane, 2 * half)];
			}
		}
		multiplier.clear();
		barrier_wait(barriers.held_full, 0);
		multiplier.hold();
		drain_grad_steps<kKeys>(kGradStages, steps, multiplier);
		unsigned char* room = shared + At::kRooms + warp * At::kRoomBytes;
		const int64_t pitch = (int64_t)p.s.H * kHeadWidth, head = (int64_t)b * rows * pitch + h * kHeadWidth;
		pin(multiplier.sum);
		if (p.to[0]) store_head_rows<T, kHeadWidth>(p.to[0] + head, pitch, first_row, rows, kHeadWidth, p.vectors[0], multiplier.sum, room);
		if constexpr (kKeys) {
			pin(multiplier.weighted_sum);
			if (p.to[1]) store_head_rows<T, kHeadWidth>(p.to[1] + head, pitch, first_row, rows, kHeadWidth, p.vectors[1], multiplier.weighted_sum, room);
		}
	}
#endif
}

template <GradSide Side, class T>
void launch(const AttentionGradCall& call, void* first, void* second, Context& context) {
	if (!first && !second) return;
	constexpr bool kKeys = Side == GradSide::keys;
	constexpr GradSide kOther = kKeys ? GradSide::queries : GradSide::keys;
	const AttentionShape& s = call.shape;
	auto boxes = [&](GradSide of, int rows, TensorMap(&maps)[2]) {
		maps[0] = make_map(grad_first_box(s, of, rows), call.type, of == GradSide::keys ? call.k : call.q);
		maps[1] = make_map(grad_second_box(s, of, rows), call.type, of == GradSide::keys ? call.v : call.grad);
	};
	Problem<T> p = {};
	boxes(Side, kGradRows, p.held);
	boxes(kOther, Block<Side>::kStep, p.walked);
	p.statistics = static_cast<const float*>(call.scratch);
	p.statistics_pitch = grad_rows(s);
	p.s = s;
	for (int i = 0; i < 2; i++) {
		p.to[i] = static_cast<T*>(i ? second : first);
		p.vectors[i] = vector_halves(p.to[i], 0, 0, kHeadWidth);
	}
	const dim3 grid((unsigned)div_up(kKeys ? s.Lk : s.Lq, kGradRows), (unsigned)(s.B * s.H));
	gpu::launch<hopper_attention_grad_kernel<T, Side>>(grid, kThreads, Block<Side>::kSharedBytes, context.stream, p);
	context.hopper_launches++;
}

template <class T>
void run(const AttentionGradCall& call, Context& context) {
	const AttentionShape& s = call.shape;
	const int64_t pitch = grad_rows(s);
	float* statistics = static_cast<float*>(call.scratch);
	gpu::launch<attention_grad_statistics_kernel<T>>(grid_for((int64_t)s.B * s.H * pitch, 4), 128, 0, context.stream, static_cast<const T*>(call.o), static_cast<const T*>(call.grad), call.lse, statistics, pitch, s);
	launch<GradSide::keys, T>(call, call.dk, call.dv, context);
	launch<GradSide::queries, T>(call, call.dq, nullptr, context);
}

}  // namespace

bool attention_grad(const AttentionGradCall& call, Context& context) {
	const char* why = why_not_grad(call.shape);
	if (!why && !(aligned16(call.q) && aligned16(call.k) && aligned16(call.v) && aligned16(call.grad))) why = "an operand does not begin at a multiple of 16 bytes";
	if (!takes("attention_grad", why)) return false;
	if (call.type == DType::bf16) run<gpu::bf16>(call, context);
	else run<gpu::f16>(call, context);
	return true;
}

}  // namespace dreamdist::cuda::hopper
