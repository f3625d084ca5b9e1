// attention with q, k and v of one 16-bit type, on tensor cores: flash attention as in FlashAttention-2 (Dao 2023). Scores, the softmax and
// sums are f32; weights are rounded before their product with the values.
//
// A block has 64 or 128 queries of one head, a warp 16 or 32 of them with their fragments in registers, and walks the keys in two buffers:
// the next keys and values are copied while this step's are used. A step's weights go from the results of one product to the operand of
// the next without leaving their registers.
//
// The tiles, and why:
//   width to 64       32 queries a warp: keys and values, which every warp reads, are read from shared memory half as often per product
//   wider             16 queries a warp: 32 would not fit the registers
//   64 keys a step; 80 where there are no more, so that 77 words take one step, nothing is ever rescaled, and only 3 keys are padding
//   width from 128    32 keys a step, so that two buffers of keys and values leave room for two blocks
#include "attention_half.h"

#include "hopper_attention.h"

namespace dreamdist::cuda {
namespace {

constexpr int kThreads = 128;

template <class T>
struct Pointers {
	const T *q, *k, *v;
	T* o;
	float* lse;
	bool q_vectors, k_vectors, v_vectors, o_vectors;
};

template <class T, int DP, int Keys, int Tiles>
__global__ void __launch_bounds__(kThreads, 1) attention_half_kernel(Pointers<T> p, AttentionShape s) {
	GPU_DYNAMIC_SHARED(shared);
	using Tile = HeadTile<DP>;
	constexpr int kQueries = 64 * Tiles, kSteps = DP / 16;
	constexpr bool kOneStep = Keys == kFewKeys;
	unsigned char *queries = shared, *ring = queries + Tile::bytes(kQueries);
	const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, q0 = blockIdx.x * kQueries, b = blockIdx.y / s.H, h = blockIdx.y % s.H;
	const int last = q0 + kQueries < s.Lq ? q0 + kQueries : s.Lq, length = s.causal && last < s.Lk ? last : s.Lk, steps = kOneStep ? 1 : (length + Keys - 1) / Keys;
	const HeadRows<T> keys = {p.k + b * s.k_batch + h * s.D, s.k_pitch, length, s.D, p.k_vectors}, values = {p.v + b * s.v_batch + h * s.D, s.v_pitch, length, s.D, p.v_vectors};
	auto issue = [&](int step) {
		unsigned char* at = ring + (step & 1) * 2 * Tile::bytes(Keys);
		issue_head_rows<T, Keys, DP, kThreads>(at, keys, step * Keys);
		issue_head_rows<T, Keys, DP, kThreads>(at + Tile::bytes(Keys), values, step * Keys);
	};
	issue_head_rows<T, kQueries, DP, kThreads>(queries, {p.q + b * s.q_batch + h * s.D, s.q_pitch, s.Lq, s.D, p.q_vectors}, q0);
	issue(0);
	gpu::copy_async_commit();

	const int first_row = warp * 16 * Tiles;
	const float scale = s.scale * kLog2E;
	uint32_t query[Tiles][kSteps][4];
	float result[Tiles][DP / 8][4], highest[Tiles][2], total[Tiles][2];
	GPU_UNROLL
	for (int t = 0; t < Tiles; t++) {
		highest[t][0] = highest[t][1] = -INFINITY;
		total[t][0] = total[t][1] = 0;
		GPU_UNROLL
		for (int j = 0; j < DP / 8; j++) result[t][j][0] = result[t][j][1] = result[t][j][2] = result[t][j][3] = 0;
	}
	GPU_NO_UNROLL
	for (int step = 0; step < steps; step++) {
		if (!GPU_MUTANT(151)) gpu::copy_async_wait<0>();
		if (!GPU_MUTANT(152)) __syncthreads();
		if (step + 1 < steps) issue(step + 1);
		gpu::copy_async_commit();
		if (step == 0) {
			GPU_UNROLL
			for (int t = 0; t < Tiles; t++) {
				GPU_UNROLL
				for (int k = 0; k < kSteps; k++) Tile::left(query[t][k], queries, first_row + t * 16, k);
			}
		}
		const unsigned char *key_tile = ring + (step & 1) * 2 * Tile::bytes(Keys), *value_tile = key_tile + Tile::bytes(Keys);
		float score[Tiles][Keys / 8][4];
		GPU_UNROLL
		for (int t = 0; t < Tiles; t++) {
			GPU_UNROLL
			for (int j = 0; j < Keys / 8; j++) score[t][j][0] = score[t][j][1] = score[t][j][2] = score[t][j][3] = 0;
		}
		GPU_UNROLL
		for (int k = 0; k < kSteps; k++) {
			GPU_UNROLL
			for (int j = 0; j < Keys / 8; j += 2) {
				uint32_t fragment[4];
				Tile::right(fragment, key_tile, j * 8, k);
				GPU_UNROLL
				for (int t = 0; t < Tiles; t++) {
					gpu::mma_m16n8k16<T>(score[t][j], query[t][k], fragment[0], fragment[1]);
					gpu::mma_m16n8k16<T>(score[t][j + 1], query[t][k], fragment[2], fragment[3]);
				}
			}
		}
		const int key0 = step * Keys;
		GPU_UNROLL
		for (int t = 0; t < Tiles; t++) {
			const int top = q0 + first_row + t * 16, row = top + (lane >> 2);
			const bool masked = key0 + Keys > s.Lk || (s.causal && key0 + Keys - 1 > top);
			GPU_UNROLL
			for (int j = 0; j < Keys / 8; j++) {
				GPU_UNROLL
				for (int e = 0; e < 4; e++) {
					score[t][j][e] *= scale;
					if (!masked) continue;
					const int key = key0 + j * 8 + (lane & 3) * 2 + (e & 1);
					if (key >= s.Lk + (GPU_MUTANT(153) ? 1 : 0) || (s.causal && key > row + (e >> 1) * 8 + (GPU_MUTANT(154) ? 1 : 0))) score[t][j][e] = -INFINITY;
				}
			}
			GPU_UNROLL
			for (int half = 0; half < 2; half++) {  // a lane has two rows
				float best = highest[t][half];
				GPU_UNROLL
				for (int j = 0; j < Keys / 8; j++) best = fmaxf(best, fmaxf(score[t][j][2 * half], score[t][j][2 * half + 1]));
				best = quad_max(best);
				const float base = best == -INFINITY ? 0.0f : best, factor = gpu::fast_exp2(highest[t][half] - base);
				highest[t][half] = best;
				float sum = 0;
				GPU_UNROLL
				for (int j = 0; j < Keys / 8; j++) {
					GPU_UNROLL
					for (int e = 2 * half; e < 2 * half + 2; e++) {
						score[t][j][e] = gpu::fast_exp2(score[t][j][e] - base);
						sum += score[t][j][e];
					}
				}
				total[t][half] = total[t][half] * factor + sum;
				if (GPU_MUTANT(155)) continue;
				GPU_UNROLL
				for (int j = 0; j < DP / 8; j++) {
					result[t][j][2 * half] *= factor;
					result[t][j][2 * half + 1] *= factor;
				}
			}
		}
		GPU_UNROLL
		for (int k = 0; k < Keys / 16; k++) {
			uint32_t weight[Tiles][4];
			GPU_UNROLL
			for (int t = 0; t < Tiles; t++) as_left<T>(weight[t], score[t][2 * k], score[t][2 * k + 1]);
			GPU_UNROLL
			for (int j = 0; j < DP / 8; j += 2) {
				uint32_t fragment[4];
				Tile::right_transposed(fragment, value_tile, k * 16, j * 8);
				GPU_UNROLL
				for (int t = 0; t < Tiles; t++) {
					gpu::mma_m16n8k16<T>(result[t][j], weight[t], fragment[0], fragment[1]);
					gpu::mma_m16n8k16<T>(result[t][j + 1], weight[t], fragment[2], fragment[3]);
				}
			}
		}
	}
	gpu::copy_async_wait<0>();
	GPU_UNROLL
	for (int t = 0; t < Tiles; t++) {
		const int top = q0 + first_row + t * 16;
		GPU_UNROLL
		for (int half = 0; half < 2; half++) {
			const int row = top + (lane >> 2) + half * 8;
			const float sum = quad_sum(total[t][half]), inverse = sum > 0 || sum != sum ? 1.0f / sum : 0.0f;
			GPU_UNROLL
			for (int j = 0; j < DP / 8; j++) {
				result[t][j][2 * half] *= inverse;
				result[t][j][2 * half + 1] *= inverse;
			}
			if (p.lse && (lane & 3) == 0 && row < s.Lq) p.lse[((int64_t)b * s.H + h) * s.Lq + row] = (highest[t][half] + log2f(sum)) * kLn2;
		}
		store_head_rows<T, DP>(p.o + b * s.o_batch + h * s.D, s.o_pitch, top, s.Lq, s.D, p.o_vectors, result[t], queries + (first_row + t * 16) * Tile::kPitch);
	}
}

template <class T, int DP, int Keys>
void launch(const Pointers<T>& p, const AttentionShape& s, Context& context) {
	constexpr int kTiles = DP <= 64 ? 2 : 1;
	const dim3 grid((unsigned)div_up(s.Lq, 64 * kTiles), (unsigned)(s.B * s.H));
	gpu::launch<attention_half_kernel<T, DP, Keys, kTiles>>(grid, kThreads, size_t(HeadTile<DP>::bytes(64 * kTiles + (Keys == kFewKeys ? 2 : 4) * Keys)), context.stream, p, s);
}

template <class T>
void run_attention(const KernelArgs& args, const AttentionShape& s, Context& context) {
	const Pointers<T> p = {args.ptr<const T>(0),
						   args.ptr<const T>(1),
						   args.ptr<const T>(2),
						   args.ptr<T>(3),
						   args.ptr(4),
						   vector_halves(args.ptr(0), s.q_pitch, s.q_batch, s.D),
						   vector_halves(args.ptr(1), s.k_pitch, s.k_batch, s.D),
						   vector_halves(args.ptr(2), s.v_pitch, s.v_batch, s.D),
						   vector_halves(args.ptr(3), s.o_pitch, s.o_batch, s.D)};
	with_width(s.D, [&](auto width) {
		constexpr int DP = decltype(width)::value;
		if constexpr (DP > 96) launch<T, DP, 32>(p, s, context);
		else if (s.Lk <= kFewKeys) launch<T, DP, kFewKeys>(p, s, context);
		else launch<T, DP, 64>(p, s, context);
	});
}

}  // namespace

void attention_half(const KernelArgs& args, Context& context) {
	const AttentionShape s = attention_shape(args);
#ifdef DD_HAVE_HOPPER
	if (context.hopper && hopper::wanted("attention") && hopper::attention({args.at(0).dtype, args.ptr(0), args.ptr(1), args.ptr(2), args.ptr<void>(3), args.ptr(4), s}, context)) return;
#endif
	if (args.at(0).dtype == DType::bf16) run_attention<gpu::bf16>(args, s, context);
	else run_attention<gpu::f16>(args, s, context);
}

}  // namespace dreamdist::cuda
