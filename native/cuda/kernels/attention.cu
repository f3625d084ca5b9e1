// attention: softmax(scale · q kᵀ) v without ever writing the scores (flash attention), in f32 on CUDA cores.
//
// A block has 64 queries of one head in shared memory and walks the keys 32 at a time; a thread keeps 8 rows' running maximum and sum and
// their part of the result. The next keys are copied while the softmax and the product with the values run, and the next values while
// the next scores are computed. Causal blocks stop at their last query's key.
#include "attention_half.h"
#include "attention_tile.h"
#include "table.h"

namespace dreamdist::cuda {
namespace {

constexpr int kQueries = 64, kRowsEach = kQueries / kDown, kKeysEach = kKeys / kAcross;

template <int DP>
constexpr size_t shared_bytes() {
	return ((kQueries + 2 * kKeys) * (DP + 4) + kQueries * kScorePitch) * sizeof(float);
}

struct Pointers {
	const float *q, *k, *v;
	float *o, *lse;
	bool q_vectors, k_vectors, v_vectors;
};

template <int DP>
__global__ void __launch_bounds__(kAttentionThreads) attention_kernel(Pointers p, AttentionShape s) {
	GPU_DYNAMIC_SHARED(memory);
	float* queries = reinterpret_cast<float*>(memory);
	float *keys = queries + kQueries * (DP + 4), *values = keys + kKeys * (DP + 4), *scores = values + kKeys * (DP + 4);
	const int down = threadIdx.x / kAcross, across = threadIdx.x % kAcross;
	const int q0 = blockIdx.x * kQueries, b = blockIdx.y / s.H, h = blockIdx.y % s.H;
	const float* q = p.q + b * s.q_batch + h * s.D;
	const float* k = p.k + b * s.k_batch + h * s.D;
	const float* v = p.v + b * s.v_batch + h * s.D;
	const int last = q0 + kQueries < s.Lq ? q0 + kQueries : s.Lq;  // causal: keys before this
	const int length = s.causal && last < s.Lk ? last : s.Lk, steps = (length + kKeys - 1) / kKeys;

	issue_rows<kQueries, DP>(queries, q, s.q_pitch, q0, s.Lq, s.D, p.q_vectors);
	issue_rows<kKeys, DP>(keys, k, s.k_pitch, 0, length, s.D, p.k_vectors);
	gpu::copy_async_commit();
	issue_rows<kKeys, DP>(values, v, s.v_pitch, 0, length, s.D, p.v_vectors);
	gpu::copy_async_commit();

	float result[kRowsEach][DP / kAcross], highest[kRowsEach], total[kRowsEach];
	GPU_UNROLL
	for (int i = 0; i < kRowsEach; i++) {
		highest[i] = -INFINITY;
		total[i] = 0;
		GPU_UNROLL
		for (int j = 0; j < DP / kAcross; j++) result[i][j] = 0;
	}
	GPU_NO_UNROLL
	for (int step = 0; step < steps; step++) {
		const int key0 = step * kKeys;
		gpu::copy_async_wait<1>();
		if (!GPU_MUTANT(111)) __syncthreads();
		float score[kRowsEach][kKeysEach];
		multiply_rows<DP>(queries, keys, score);
		__syncthreads();  // the keys have been read
		issue_rows<kKeys, DP>(keys, k, s.k_pitch, key0 + kKeys, length, s.D, p.k_vectors);
		gpu::copy_async_commit();
		GPU_UNROLL
		for (int i = 0; i < kRowsEach; i++) {
			const int row = q0 + down + i * kDown;
			float best = highest[i];
			GPU_UNROLL
			for (int j = 0; j < kKeysEach; j++) {
				const int key = key0 + across + j * kAcross;
				const bool seen = key < s.Lk + (GPU_MUTANT(112) ? 1 : 0) && (!s.causal || key <= row + (GPU_MUTANT(113) ? 1 : 0));
				score[i][j] = seen ? score[i][j] * s.scale : -INFINITY;
				best = fmaxf(best, score[i][j]);
			}
			best = across_max(best);
			const float base = best == -INFINITY ? 0.0f : best, factor = expf(highest[i] - base);
			highest[i] = best;
			float sum = 0;
			GPU_UNROLL
			for (int j = 0; j < kKeysEach; j++) {
				const float weight = expf(score[i][j] - base);
				sum += weight;
				scores[(down + i * kDown) * kScorePitch + across + j * kAcross] = weight;
			}
			total[i] = total[i] * factor + sum;
			if (!GPU_MUTANT(114)) {
				GPU_UNROLL
				for (int j = 0; j < DP / kAcross; j++) result[i][j] *= factor;
			}
		}
		gpu::copy_async_wait<1>();
		__syncthreads();  // the values have landed, the scores are written
		accumulate_scores<DP>(scores, values, result);
		if (!GPU_MUTANT(115)) __syncthreads();
		issue_rows<kKeys, DP>(values, v, s.v_pitch, key0 + kKeys, length, s.D, p.v_vectors);
		gpu::copy_async_commit();
	}
	gpu::copy_async_wait<0>();
	GPU_UNROLL
	for (int i = 0; i < kRowsEach; i++) {
		const int row = q0 + down + i * kDown;
		const float sum = across_sum(total[i]), inverse = sum > 0 ? 1.0f / sum : 0.0f;
		if (row >= s.Lq) continue;
		GPU_UNROLL
		for (int j = 0; j < DP / kAcross; j++) {
			const int c = across + j * kAcross;
			if (c < s.D) p.o[b * s.o_batch + row * s.o_pitch + h * s.D + c] = result[i][j] * inverse;
		}
		if (p.lse && across == 0) p.lse[((int64_t)b * s.H + h) * s.Lq + row] = highest[i] + logf(sum);
	}
}

}  // namespace

void attention(const KernelArgs& args, Context& context) {
	const AttentionShape s = attention_shape(args);
	if ((int64_t)s.B * s.H * s.D * s.Lq * s.Lk == 0) return;
	if ((int64_t)s.B * s.H > 65535) refuse("attention", "at most 65535 heads in all pictures are allowed");
	const bool half = is_half_attention("attention", args, {0, 1, 2, 3});
	if (s.D > kFlashWidth) return wide_attention(args, context);
	if (half) return attention_half(args, context);
	const Pointers p = {args.ptr<const float>(0),
						args.ptr<const float>(1),
						args.ptr<const float>(2),
						args.ptr(3),
						args.ptr(4),
						vector_rows(args.ptr(0), s.q_pitch, s.q_batch, s.D),
						vector_rows(args.ptr(1), s.k_pitch, s.k_batch, s.D),
						vector_rows(args.ptr(2), s.v_pitch, s.v_batch, s.D)};
	const dim3 grid((unsigned)div_up(s.Lq, kQueries), (unsigned)(s.B * s.H));
	with_width(s.D, [&](auto width) {
		constexpr int DP = decltype(width)::value;
		gpu::launch<attention_kernel<DP>>(grid, kAttentionThreads, shared_bytes<DP>(), context.stream, p, s);
	});
}

int64_t attention_scratch(const KernelArgs& args, int) {
	const AttentionShape s = attention_shape(args);
	return s.D > kFlashWidth ? wide_attention_scratch(s, false) : 0;
}

}  // namespace dreamdist::cuda
