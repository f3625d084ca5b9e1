// attention_grad: dq, dk and dv from q, k, v, o, do and the rows' log-sum-exp; the weights are computed again, never kept.
//
// Three kernels, none of which adds what another block may add, so that results repeat bit for bit. delta: Σ do · o per row. keys: a block
// has 32 keys and values and walks the queries for dk and dv. queries: a block has 32 queries and walks the keys for dq.
#include "attention_half.h"
#include "attention_tile.h"
#include "table.h"

namespace dreamdist::cuda {
namespace {

constexpr int kRows = 32, kRowsEach = kRows / kDown, kKeysEach = kKeys / kAcross;

template <int DP>
constexpr size_t shared_bytes() {
	return (4 * kRows * (DP + 4) + 2 * kRows * kScorePitch) * sizeof(float);
}

struct Pointers {
	const float *q, *k, *v, *lse, *grad, *delta;
	float *dq, *dk, *dv;
	bool q_vectors, k_vectors, v_vectors, grad_vectors;
};

__global__ void __launch_bounds__(kAttentionThreads) attention_delta_kernel(const float* o, const float* grad, float* delta, AttentionShape s) {
	const int lane = threadIdx.x & 31;
	const int64_t rows = (int64_t)s.B * s.H * s.Lq;
	for (int64_t i = (int64_t)blockIdx.x * (kAttentionThreads / 32) + (threadIdx.x >> 5); i < rows; i += (int64_t)gridDim.x * (kAttentionThreads / 32)) {
		const int64_t row = i % s.Lq, h = i / s.Lq % s.H, b = i / s.Lq / s.H;
		const float *left = o + b * s.o_batch + row * s.o_pitch + h * s.D, *right = grad + b * s.do_batch + row * s.do_pitch + h * s.D;
		float sum = 0;
		for (int c = lane; c < s.D; c += 32) sum += left[c] * right[c];
		sum = gpu::warp_sum(sum);
		if (lane == 0) delta[i] = sum;
	}
}

// A tile's weights P = exp(scale · q kᵀ − lse) and dS = P · (do vᵀ − delta) · scale, to shared memory as [query][key].
template <int DP>
__device__ __forceinline__ void score_tile(const Pointers& p, const AttentionShape& s, const float* queries, const float* keys, const float* grads, const float* values, int q0,
										  int key0, int64_t statistics, float* weights, float* gradients) {
	const int down = threadIdx.x / kAcross, across = threadIdx.x % kAcross;
	float score[kRowsEach][kKeysEach], product[kRowsEach][kKeysEach];
	multiply_rows<DP>(queries, keys, score);
	multiply_rows<DP>(grads, values, product);
	GPU_UNROLL
	for (int i = 0; i < kRowsEach; i++) {
		const int row = q0 + down + i * kDown;
		const bool there = row < s.Lq;
		const float lse = there ? p.lse[statistics + row] : 0.0f, delta = there ? p.delta[statistics + row] : 0.0f;
		GPU_UNROLL
		for (int j = 0; j < kKeysEach; j++) {
			const int key = key0 + across + j * kAcross;
			const bool seen = there && key < s.Lk && (!s.causal || key <= row);
			const float weight = seen ? expf(score[i][j] * s.scale - lse) : 0.0f;
			const int at = (down + i * kDown) * kScorePitch + across + j * kAcross;
			weights[at] = weight;
			gradients[at] = weight * (product[i][j] - delta) * s.scale;
		}
	}
}

// sum[i][j] += Σ_q scores[q][down + 8i] · rows[q][across + 16j]: a row of the transposed scores each.
template <int DP>
__device__ __forceinline__ void accumulate_transposed(const float* scores, const float* rows, float (&sum)[kRowsEach][DP / kAcross]) {
	const int down = threadIdx.x / kAcross, across = threadIdx.x % kAcross;
	GPU_NO_UNROLL
	for (int q = 0; q < kRows; q++) {
		float s[kRowsEach];
		GPU_UNROLL
		for (int i = 0; i < kRowsEach; i++) s[i] = scores[q * kScorePitch + down + i * kDown];
		GPU_UNROLL
		for (int j = 0; j < DP / kAcross; j++) {
			const float x = rows[q * (DP + 4) + across + j * kAcross];
			GPU_UNROLL
			for (int i = 0; i < kRowsEach; i++) sum[i][j] = gpu::multiply_add(s[i], x, sum[i][j]);
		}
	}
}

template <int DP>
__device__ __forceinline__ void store_rows(float* to, const float (&sum)[kRowsEach][DP / kAcross], int row0, int rows, int b, int h, const AttentionShape& s) {
	const int down = threadIdx.x / kAcross, across = threadIdx.x % kAcross;
	GPU_UNROLL
	for (int i = 0; i < kRowsEach; i++) {
		const int row = row0 + down + i * kDown;
		if (row >= rows) continue;
		GPU_UNROLL
		for (int j = 0; j < DP / kAcross; j++) {
			const int c = across + j * kAcross;
			if (c < s.D) to[(((int64_t)b * rows + row) * s.H + h) * s.D + c] = sum[i][j];
		}
	}
}

template <int DP>
__global__ void __launch_bounds__(kAttentionThreads) attention_keys_kernel(Pointers p, AttentionShape s) {
	GPU_DYNAMIC_SHARED(memory);
	constexpr int kTile = kRows * (DP + 4);
	float* keys = reinterpret_cast<float*>(memory);
	float *values = keys + kTile, *queries = values + kTile, *grads = queries + kTile, *weights = grads + kTile, *gradients = weights + kRows * kScorePitch;
	const int key0 = blockIdx.x * kKeys, b = blockIdx.y / s.H, h = blockIdx.y % s.H;
	issue_rows<kKeys, DP>(keys, p.k + b * s.k_batch + h * s.D, s.k_pitch, key0, s.Lk, s.D, p.k_vectors);
	issue_rows<kKeys, DP>(values, p.v + b * s.v_batch + h * s.D, s.v_pitch, key0, s.Lk, s.D, p.v_vectors);
	gpu::copy_async_commit();
	float dk[kRowsEach][DP / kAcross], dv[kRowsEach][DP / kAcross];
	GPU_UNROLL
	for (int i = 0; i < kRowsEach; i++) {
		GPU_UNROLL
		for (int j = 0; j < DP / kAcross; j++) dk[i][j] = dv[i][j] = 0;
	}
	// Queries before the first key see none of these.
	GPU_NO_UNROLL
	for (int q0 = s.causal ? key0 / kRows * kRows : 0; q0 < s.Lq; q0 += kRows) {
		issue_rows<kRows, DP>(queries, p.q + b * s.q_batch + h * s.D, s.q_pitch, q0, s.Lq, s.D, p.q_vectors);
		issue_rows<kRows, DP>(grads, p.grad + b * s.do_batch + h * s.D, s.do_pitch, q0, s.Lq, s.D, p.grad_vectors);
		gpu::copy_async_commit();
		gpu::copy_async_wait<0>();
		__syncthreads();
		score_tile<DP>(p, s, queries, keys, grads, values, q0, key0, ((int64_t)b * s.H + h) * s.Lq, weights, gradients);
		if (!GPU_MUTANT(121)) __syncthreads();
		accumulate_transposed<DP>(weights, grads, dv);
		accumulate_transposed<DP>(gradients, queries, dk);
		__syncthreads();
	}
	gpu::copy_async_wait<0>();
	if (p.dk) store_rows<DP>(p.dk, dk, key0, s.Lk, b, h, s);
	if (p.dv) store_rows<DP>(p.dv, dv, key0, s.Lk, b, h, s);
}

template <int DP>
__global__ void __launch_bounds__(kAttentionThreads) attention_queries_kernel(Pointers p, AttentionShape s) {
	GPU_DYNAMIC_SHARED(memory);
	constexpr int kTile = kRows * (DP + 4);
	float* queries = reinterpret_cast<float*>(memory);
	float *grads = queries + kTile, *keys = grads + kTile, *values = keys + kTile, *weights = values + kTile, *gradients = weights + kRows * kScorePitch;
	const int q0 = blockIdx.x * kRows, b = blockIdx.y / s.H, h = blockIdx.y % s.H;
	const int last = q0 + kRows < s.Lq ? q0 + kRows : s.Lq, length = s.causal && last < s.Lk ? last : s.Lk;
	issue_rows<kRows, DP>(queries, p.q + b * s.q_batch + h * s.D, s.q_pitch, q0, s.Lq, s.D, p.q_vectors);
	issue_rows<kRows, DP>(grads, p.grad + b * s.do_batch + h * s.D, s.do_pitch, q0, s.Lq, s.D, p.grad_vectors);
	gpu::copy_async_commit();
	float dq[kRowsEach][DP / kAcross];
	GPU_UNROLL
	for (int i = 0; i < kRowsEach; i++) {
		GPU_UNROLL
		for (int j = 0; j < DP / kAcross; j++) dq[i][j] = 0;
	}
	GPU_NO_UNROLL
	for (int key0 = 0; key0 < length; key0 += kKeys) {
		issue_rows<kKeys, DP>(keys, p.k + b * s.k_batch + h * s.D, s.k_pitch, key0, s.Lk, s.D, p.k_vectors);
		issue_rows<kKeys, DP>(values, p.v + b * s.v_batch + h * s.D, s.v_pitch, key0, s.Lk, s.D, p.v_vectors);
		gpu::copy_async_commit();
		gpu::copy_async_wait<0>();
		__syncthreads();
		score_tile<DP>(p, s, queries, keys, grads, values, q0, key0, ((int64_t)b * s.H + h) * s.Lq, weights, gradients);
		__syncthreads();
		accumulate_scores<DP>(gradients, keys, dq);
		if (!GPU_MUTANT(122)) __syncthreads();
	}
	gpu::copy_async_wait<0>();
	store_rows<DP>(p.dq, dq, q0, s.Lq, b, h, s);
}

}  // namespace

void attention_grad(const KernelArgs& args, Context& context) {
	const AttentionShape s = attention_shape(args);
	const int64_t heads = (int64_t)s.B * s.H;
	if (heads * s.D * s.Lq * s.Lk == 0) return;
	if (heads > 65535) refuse("attention_grad", "at most 65535 heads in all pictures are allowed");
	const bool half = is_half_attention("attention_grad", args, {0, 1, 2, 3, 5, 6, 7, 8});
	if (s.D > kFlashWidth) return wide_attention_grad(args, context);
	if (half) return attention_grad_half(args, context);
	float* delta = static_cast<float*>(args.scratch);
	gpu::launch<attention_delta_kernel>(grid_for(heads * s.Lq, kAttentionThreads / 32), kAttentionThreads, 0, context.stream, args.ptr<const float>(3), args.ptr<const float>(5),
										delta, s);
	const Pointers p = {args.ptr<const float>(0),
						args.ptr<const float>(1),
						args.ptr<const float>(2),
						args.ptr<const float>(4),
						args.ptr<const float>(5),
						delta,
						args.ptr(6),
						args.ptr(7),
						args.ptr(8),
						vector_rows(args.ptr(0), s.q_pitch, s.q_batch, s.D),
						vector_rows(args.ptr(1), s.k_pitch, s.k_batch, s.D),
						vector_rows(args.ptr(2), s.v_pitch, s.v_batch, s.D),
						vector_rows(args.ptr(5), s.do_pitch, s.do_batch, s.D)};
	with_width(s.D, [&](auto width) {
		constexpr int DP = decltype(width)::value;
		if (p.dk || p.dv)
			gpu::launch<attention_keys_kernel<DP>>(dim3((unsigned)div_up(s.Lk, kKeys), (unsigned)heads), kAttentionThreads, shared_bytes<DP>(), context.stream, p, s);
		if (p.dq)
			gpu::launch<attention_queries_kernel<DP>>(dim3((unsigned)div_up(s.Lq, kRows), (unsigned)heads), kAttentionThreads, shared_bytes<DP>(), context.stream, p, s);
	});
}

int64_t attention_grad_scratch(const KernelArgs& args, int) {
	const AttentionShape s = attention_shape(args);
	if (s.D > kFlashWidth) return wide_attention_scratch(s, true);
	// Of which type the operands are is not known here: room for either.
	return (int64_t)s.B * s.H * s.D * s.Lq * s.Lk == 0 ? 0 : attention_grad_half_scratch(s);
}

}  // namespace dreamdist::cuda
