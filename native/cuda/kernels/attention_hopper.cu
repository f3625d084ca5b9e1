// Self-attention with heads 64 wide in 16 bits on sm_90a, after FlashAttention-3 (Shah et al. 2024): one thread asks TMA for the queries and
// then keys and values step by step, two warpgroups have 64 queries each. While the tensor cores add a step's weighted values, the softmax of
// the next step's scores is computed; weights go from scores to the next product's operand in registers. Scores, softmax and sums are f32, and
// results leave as in the kernel of sm_80 (attention_half.h).
#include "attention_half.h"
#include "hopper_attention.h"
#include "hopper_map.h"

namespace dreamdist::cuda::hopper {
namespace {

constexpr int kThreads = 384, kMultiplierWarps = 8, kCopierRegisters = 24, kMultiplierRegisters = 240;  // 128 · 24 + 256 · 240 ≤ 65536
constexpr int kKeysAt = QueryTile::kBytes, kValuesAt = kKeysAt + kKeyStages * KeyTile::kBytes, kRoomsAt = kValuesAt + kKeyStages * ValueTile::kBytes;
constexpr int kBarriersAt = kRoomsAt + kMultiplierWarps * HeadTile<kHeadWidth>::bytes(16);
constexpr size_t kSharedBytes = kTileAlignment + kBarriersAt + (1 + 4 * kKeyStages) * 8;

template <class T>
struct Problem {
	TensorMap q, k, v;
	T* o;
	float* lse;
	AttentionShape s;
	bool o_vectors;
};

template <class T>
__global__ void __launch_bounds__(kThreads, 1) hopper_attention_kernel(const __grid_constant__ Problem<T> p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
	GPU_DYNAMIC_SHARED(raw);
	unsigned char* shared = raw + (-gpu::shared_address(raw) & (kTileAlignment - 1));
	uint64_t *queries_full = reinterpret_cast<uint64_t*>(shared + kBarriersAt), *keys_full = queries_full + 1, *values_full = keys_full + kKeyStages;
	uint64_t *keys_empty = values_full + kKeyStages, *values_empty = keys_empty + kKeyStages;
	const int q0 = blockIdx.x * kQueryRows, b = blockIdx.y / p.s.H, h = blockIdx.y % p.s.H, steps = (p.s.Lk + kKeyRows - 1) / kKeyRows;
	if (threadIdx.x == 0) {
		barrier_create(queries_full, 1);
		for (int s = 0; s < kKeyStages; s++) {
			barrier_create(keys_full + s, 1);
			barrier_create(values_full + s, 1);
			barrier_create(keys_empty + s, kMultiplierWarps);
			barrier_create(values_empty + s, kMultiplierWarps);
		}
		barriers_created();
		prefetch_map(p.q);
		prefetch_map(p.k);
		prefetch_map(p.v);
	}
	__syncthreads();
	const int warpgroup = __shfl_sync(gpu::kFullWarp, int(threadIdx.x >> 7), 0);
	if (warpgroup == 0) {
		give_registers<kCopierRegisters>();
		if (threadIdx.x != 0) return;
		barrier_expect(queries_full, QueryTile::kBytes);
		copy_box(shared, p.q, queries_full, 0, h, q0, b);
		fill_steps(
			kKeyStages, steps, [&](int stage, uint32_t parity) { barrier_wait(keys_empty + stage, parity); },
			[&](int stage, int step) {
				barrier_expect(keys_full + stage, KeyTile::kBytes);
				copy_box(shared + kKeysAt + stage * KeyTile::kBytes, p.k, keys_full + stage, 0, h, step * kKeyRows, b);
			},
			[&](int stage, uint32_t parity) { barrier_wait(values_empty + stage, parity); },
			[&](int stage, int step) {
				barrier_expect(values_full + stage, ValueTile::kBytes);
				copy_box(shared + kValuesAt + stage * ValueTile::kBytes, p.v, values_full + stage, 0, h, step * kKeyRows, b);
			});
	} else {
		take_registers<kMultiplierRegisters>();
		const int thread = threadIdx.x & 127, lane = threadIdx.x & 31, first_row = (warpgroup - 1) * 64 + (thread >> 5) * 16;
		const uint32_t base = gpu::shared_address(shared);
		const float scale = p.s.scale * kLog2E;
		float score[kKeyRows / 8][4], result[kHeadWidth / 8][4], highest[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0}, factor[2];
		uint32_t weight[kKeyRows / 16][4] = {};
		GPU_UNROLL
		for (int j = 0; j < kHeadWidth / 8; j++) result[j][0] = result[j][1] = result[j][2] = result[j][3] = 0;

		auto multiply_keys = [&](int stage) {
			const uint32_t keys = base + kKeysAt + stage * KeyTile::kBytes;
			pin(score);
			products_begin();
			multiply<T, true, false>(score, QueryTile::descriptor(base, (warpgroup - 1) * 64, 0), KeyTile::descriptor(keys, 0, 0));
			GPU_UNROLL
			for (int k = 1; k < kHeadWidth / kWgmmaDepth; k++)
				multiply<T, true, true>(score, QueryTile::descriptor(base, (warpgroup - 1) * 64, k), KeyTile::descriptor(keys, 0, k));
			products_commit();
		};
		auto multiply_values = [&](int stage) {
			const uint32_t values = base + kValuesAt + stage * ValueTile::kBytes;
			pin(result);
			pin(weight);
			products_begin();
			GPU_UNROLL
			for (int k = 0; k < kKeyRows / kWgmmaDepth; k++) multiply_registers<T, false, true>(result, weight[k], ValueTile::descriptor(values, 0, k));
			products_commit();
		};
		auto release = [&](uint64_t* barrier) {
			if (lane == 0) barrier_arrive(barrier);
		};
		// Scores become weights; `factor`: what earlier results count now.
		auto softmax = [&](int step) {
			pin(score);
			const bool masked = (step + 1) * kKeyRows > p.s.Lk;
			GPU_UNROLL
			for (int half = 0; half < 2; half++) {  // a lane has two rows
				float best = highest[half];
				GPU_UNROLL
				for (int j = 0; j < kKeyRows / 8; j++) {
					GPU_UNROLL
					for (int e = 2 * half; e < 2 * half + 2; e++) {
						score[j][e] *= scale;
						if (masked && step * kKeyRows + accumulator_column(lane, j, e) >= p.s.Lk) score[j][e] = -INFINITY;
						best = fmaxf(best, score[j][e]);
					}
				}
				best = quad_max(best);
				const float from = best == -INFINITY ? 0.0f : best;
				factor[half] = gpu::fast_exp2(highest[half] - from);
				highest[half] = best;
				float sum = 0;
				GPU_UNROLL
				for (int j = 0; j < kKeyRows / 8; j++) {
					GPU_UNROLL
					for (int e = 2 * half; e < 2 * half + 2; e++) {
						score[j][e] = gpu::fast_exp2(score[j][e] - from);
						sum += score[j][e];
					}
				}
				total[half] = total[half] * factor[half] + sum;
			}
		};
		auto take = [&](int step) {
			pin(result);
			pin(weight);
			if (step > 0) {
				GPU_UNROLL
				for (int j = 0; j < kHeadWidth / 8; j++) {
					GPU_UNROLL
					for (int e = 0; e < 4; e++) result[j][e] *= factor[e >> 1];
				}
			}
			GPU_UNROLL
			for (int k = 0; k < kKeyRows / 16; k++) as_left<T>(weight[k], score[2 * k], score[2 * k + 1]);
		};

		barrier_wait(queries_full, 0);
		drain_steps(
			kKeyStages, steps, [&](int stage, uint32_t parity) { barrier_wait(keys_full + stage, parity); }, [&](int stage, uint32_t parity) { barrier_wait(values_full + stage, parity); },
			multiply_keys, multiply_values, [&] { products_wait<1>(); }, [&] { products_wait<0>(); }, [&](int stage) { release(keys_empty + stage); },
			[&](int stage) { release(values_empty + stage); }, softmax, take);
		pin(result);
		GPU_UNROLL
		for (int half = 0; half < 2; half++) {
			const int row = q0 + first_row + (lane >> 2) + half * 8;
			const float sum = quad_sum(total[half]), inverse = sum > 0 || sum != sum ? 1.0f / sum : 0.0f;
			GPU_UNROLL
			for (int j = 0; j < kHeadWidth / 8; j++) {
				result[j][2 * half] *= inverse;
				result[j][2 * half + 1] *= inverse;
			}
			if (p.lse && (lane & 3) == 0 && row < p.s.Lq) p.lse[((int64_t)b * p.s.H + h) * p.s.Lq + row] = (highest[half] + log2f(sum)) * kLn2;
		}
		unsigned char* room = shared + kRoomsAt + ((warpgroup - 1) * 4 + (thread >> 5)) * HeadTile<kHeadWidth>::bytes(16);
		store_head_rows<T, kHeadWidth>(p.o + b * p.s.o_batch + h * p.s.D, p.s.o_pitch, q0 + first_row, p.s.Lq, p.s.D, p.o_vectors, result, room);
	}
#endif
}

template <class T>
void run(const AttentionCall& call, Context& context) {
	const AttentionShape& s = call.shape;
	Problem<T> p = {make_map(query_box(s), call.type, call.q), make_map(key_box(s), call.type, call.k), make_map(value_box(s), call.type, call.v), static_cast<T*>(call.o), call.lse, s, false};
	p.o_vectors = vector_halves(call.o, s.o_pitch, s.o_batch, s.D);
	const dim3 grid((unsigned)div_up(s.Lq, kQueryRows), (unsigned)(s.B * s.H));
	gpu::launch<hopper_attention_kernel<T>>(grid, kThreads, kSharedBytes, context.stream, p);
	context.hopper_launches++;
}

}  // namespace

bool attention(const AttentionCall& call, Context& context) {
	const char* why = why_not(call.shape);
	if (!why && !(aligned16(call.q) && aligned16(call.k) && aligned16(call.v))) why = "an operand does not begin at a multiple of 16 bytes";
	if (!takes("attention", why)) return false;
	if (call.type == DType::bf16) run<gpu::bf16>(call, context);
	else run<gpu::f16>(call, context);
	return true;
}

}  // namespace dreamdist::cuda::hopper
