// Attention with heads too wide for the flash kernels (the autoencoder's one head of 512), by blocks of query rows: scores as a product,
// softmax, and a product with the values. Scratch holds one block's scores (and their gradients), never all of them. Operands of a 16-bit
// type take their products to the tensor cores; scores are f32, and weights are rounded before their product.
#include "attention_tile.h"
#include "table.h"
#include "typed.h"

namespace dreamdist::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kScoreBytes = 64 << 20;  // of one block of rows, all heads of a picture

// Rows of a block, such that its scores stay within kScoreBytes.
int64_t rows_of(const AttentionShape& s) {
	const int64_t row = (int64_t)s.H * std::max(s.Lk, 1) * (int64_t)sizeof(float);
	return std::clamp<int64_t>(kScoreBytes / row, 1, std::max(s.Lq, 1));
}

// One of the products below: op(A) · op(B) per head.
struct Product {
	int64_t M, N, K;
	bool trans_a, trans_b;
	Operand a;
	int64_t lda, a_stride;
	Operand b;
	int64_t ldb, b_stride;
	Operand c;
	int64_t ldc, c_stride;
	bool add;
	float alpha;
};
// An operand from element `offset` on.
Operand from(const KernelArgs& args, int index, int64_t offset) {
	const Operand x = args.at(index);
	return {x.as<uint8_t>() + offset * bytes_of(x.dtype), x.dtype};
}
void multiply(const AttentionShape& s, const Product& p, void* scratch, Context& context) {
	const Operand operands[] = {p.a, p.b, {}, p.add ? p.c : Operand{}, p.c, {}};
	const int64_t ints[] = {s.H, p.M, p.N, p.K, p.trans_a, p.trans_b, p.lda, p.ldb, p.ldc, p.a_stride, p.b_stride, p.c_stride, 0, 0, p.ldc, p.c_stride};
	const double floats[] = {p.alpha};
	matmul({operands, ints, floats, scratch}, context);
}
int64_t product_bytes(const AttentionShape& s, int64_t M, int64_t N, int64_t K) {
	const int64_t ints[] = {s.H, M, N, K};
	return matmul_scratch({{}, ints, {}}, 1);
}

// Rows of scores [H][rows][Lk] become weights (the same memory, or another's in its type); lse [H][Lq] of this picture may be null. One
// block per row.
__global__ void __launch_bounds__(kThreads) wide_softmax_kernel(const float* scores, Typed weights, float* lse, int heads, int rows, int row0, AttentionShape s) {
	GPU_SHARED(float, room, 32);
	for (int64_t unit = blockIdx.x; unit < (int64_t)heads * rows; unit += gridDim.x) {
		const int head = int(unit / rows), row = row0 + int(unit % rows), length = s.causal && row + 1 < s.Lk ? row + 1 : s.Lk;
		const float* x = scores + unit * s.Lk;
		float best = -INFINITY;
		for (int i = threadIdx.x; i < length; i += kThreads) best = fmaxf(best, x[i]);
		best = gpu::warp_max(best);
		__syncthreads();
		if ((threadIdx.x & 31) == 0) room[threadIdx.x >> 5] = best;
		__syncthreads();
		for (int warp = 0; warp < kThreads / 32; warp++) best = fmaxf(best, room[warp]);
		float sum = 0;
		for (int i = threadIdx.x; i < length; i += kThreads) sum += expf(x[i] - best);
		sum = block_sum(sum, room);
		for (int i = threadIdx.x; i < s.Lk; i += kThreads) weights.store(unit * s.Lk + i, i < length ? expf(x[i] - best) / sum : 0.0f);
		if (lse && threadIdx.x == 0) lse[(int64_t)head * s.Lq + row] = best + logf(sum);
	}
}

// scores → weights exp(score − lse), in place; gradients (do · vᵀ) → weight · (gradient − delta) · scale, in place.
__global__ void __launch_bounds__(kThreads) wide_gradient_kernel(float* scores, float* gradients, const float* lse, const float* o, const float* grad, int heads, int rows, int row0,
																AttentionShape s) {
	GPU_SHARED(float, room, 32);
	for (int64_t unit = blockIdx.x; unit < (int64_t)heads * rows; unit += gridDim.x) {
		const int head = int(unit / rows), row = row0 + int(unit % rows), length = s.causal && row + 1 < s.Lk ? row + 1 : s.Lk;
		const float *left = o + row * s.o_pitch + head * s.D, *right = grad + row * s.do_pitch + head * s.D;
		float delta = 0;
		for (int c = threadIdx.x; c < s.D; c += kThreads) delta += left[c] * right[c];
		delta = block_sum(delta, room);
		const float log_sum = lse[(int64_t)head * s.Lq + row];
		for (int i = threadIdx.x; i < s.Lk; i += kThreads) {
			float &weight = scores[unit * s.Lk + i], &gradient = gradients[unit * s.Lk + i];
			weight = i < length ? expf(weight - log_sum) : 0.0f;
			gradient = i < length ? weight * (gradient - delta) * s.scale : 0.0f;
		}
	}
}

}  // namespace

void wide_attention(const KernelArgs& args, Context& context) {
	const AttentionShape s = attention_shape(args);
	const int64_t rows = rows_of(s);
	const DType type = args.at(0).dtype;
	float* scores = static_cast<float*>(args.scratch);
	const Operand weights = {type == DType::f32 ? scores : scores + s.H * rows * s.Lk, type};
	void* rest = scores + 2 * s.H * rows * s.Lk;
	for (int64_t b = 0; b < s.B; b++)
		for (int64_t row0 = 0; row0 < s.Lq; row0 += rows) {
			const int64_t count = std::min(rows, s.Lq - row0);
			multiply(s, {count, s.Lk, s.D, false, true, from(args, 0, b * s.q_batch + row0 * s.q_pitch), s.q_pitch, s.D, from(args, 1, b * s.k_batch), s.k_pitch, s.D, {scores}, s.Lk,
						 count * s.Lk, false, s.scale},
					 rest, context);
			gpu::launch<wide_softmax_kernel>(grid_for(s.H * count, 1), kThreads, 0, context.stream, static_cast<const float*>(scores), Typed(weights), args.ptr(4) ? args.ptr(4) + b * s.H * s.Lq : nullptr, s.H, (int)count,
											 (int)row0, s);
			multiply(s, {count, s.D, s.Lk, false, false, weights, s.Lk, count * s.Lk, from(args, 2, b * s.v_batch), s.v_pitch, s.D, from(args, 3, b * s.o_batch + row0 * s.o_pitch),
						 s.o_pitch, s.D, false, 1},
					 rest, context);
		}
}

void wide_attention_grad(const KernelArgs& args, Context& context) {
	const AttentionShape s = attention_shape(args);
	if (args.at(0).dtype != DType::f32) refuse("attention_grad", "heads wider than 160 are of f32");
	const int64_t rows = rows_of(s), width = (int64_t)s.H * s.D;
	auto at = [](const float* data) { return Operand{const_cast<float*>(data)}; };
	float* scores = static_cast<float*>(args.scratch);
	float* gradients = scores + s.H * rows * s.Lk;
	void* rest = gradients + s.H * rows * s.Lk;
	float *dq = args.ptr(6), *dk = args.ptr(7), *dv = args.ptr(8);
	for (int64_t b = 0; b < s.B; b++)
		for (int64_t row0 = 0; row0 < s.Lq; row0 += rows) {
			const int64_t count = std::min(rows, s.Lq - row0), block = count * s.Lk;
			const float *q = args.ptr<const float>(0) + b * s.q_batch + row0 * s.q_pitch, *k = args.ptr<const float>(1) + b * s.k_batch;
			const float *v = args.ptr<const float>(2) + b * s.v_batch, *grad = args.ptr<const float>(5) + b * s.do_batch;
			multiply(s, {count, s.Lk, s.D, false, true, at(q), s.q_pitch, s.D, at(k), s.k_pitch, s.D, {scores}, s.Lk, block, false, s.scale}, rest, context);
			multiply(s, {count, s.Lk, s.D, false, true, at(grad + row0 * s.do_pitch), s.do_pitch, s.D, at(v), s.v_pitch, s.D, {gradients}, s.Lk, block, false, 1}, rest, context);
			gpu::launch<wide_gradient_kernel>(grid_for(s.H * count, 1), kThreads, 0, context.stream, scores, gradients, args.ptr<const float>(4) + b * s.H * s.Lq,
											  args.ptr<const float>(3) + b * s.o_batch, grad, s.H, (int)count, (int)row0, s);
			if (dq)
				multiply(s, {count, s.D, s.Lk, false, false, {gradients}, s.Lk, block, at(k), s.k_pitch, s.D, {dq + (b * s.Lq + row0) * width}, width, s.D, false, 1}, rest, context);
			// Over the queries: the blocks of rows one after another.
			if (dk)
				multiply(s, {s.Lk, s.D, count, true, false, {gradients}, s.Lk, block, at(q), s.q_pitch, s.D, {dk + b * s.Lk * width}, width, s.D, row0 > 0, 1}, rest, context);
			if (dv)
				multiply(s, {s.Lk, s.D, count, true, false, {scores}, s.Lk, block, at(grad + row0 * s.do_pitch), s.do_pitch, s.D, {dv + b * s.Lk * width}, width, s.D, row0 > 0, 1}, rest,
						 context);
		}
}

int64_t wide_attention_scratch(const AttentionShape& s, bool grad) {
	if ((int64_t)s.B * s.H * s.Lq * s.Lk == 0) return 0;
	const int64_t rows = rows_of(s);
	int64_t products = 0;
	// The last block of rows may be shorter, and cut more finely.
	for (int64_t count : {rows, s.Lq % rows ? s.Lq % rows : rows}) {
		products = std::max({products, product_bytes(s, count, s.Lk, s.D), product_bytes(s, count, s.D, s.Lk)});
		if (grad) products = std::max(products, product_bytes(s, s.Lk, s.D, count));
	}
	// Forward: scores, and their weights in the operands' type.
	return 2 * s.H * rows * s.Lk * (int64_t)sizeof(float) + products;
}

}  // namespace dreamdist::cuda
