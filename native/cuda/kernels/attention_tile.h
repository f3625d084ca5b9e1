// What the attention kernels share: where q, k, v lie, tiles of rows in shared memory, and products of tiles.
//
// 128 threads, 8 down and 16 across. A tile of rows is [rows][DP + 4] floats, DP being the head's width rounded up to 32 (zeros beyond
// the width): the pitch spreads consecutive rows over the banks. A tile of scores is [rows][kKeys + 4].
#pragma once
#include <initializer_list>

#include "common.h"

namespace dreamdist::cuda {

constexpr int kAttentionThreads = 128, kDown = 8, kAcross = 16, kKeys = 32, kScorePitch = kKeys + 4;
constexpr int kFlashWidth = 160;  // widest head that the flash kernels take; wider ones go by row blocks (attention_wide.cu)

struct AttentionShape {
	int B, H, Lq, Lk, D, causal;
	int64_t q_pitch, k_pitch, v_pitch, o_pitch, q_batch, k_batch, v_batch, o_batch, do_pitch, do_batch;
	float scale;
};
inline AttentionShape attention_shape(const KernelArgs& args) {
	const auto& i = args.ints;
	const bool grad = i.size() > 14;
	return {(int)i[0], (int)i[1], (int)i[2], (int)i[3], (int)i[4], (int)i[5], i[6], i[7], i[8], i[9], i[10], i[11], i[12], i[13], grad ? i[14] : 0, grad ? i[15] : 0,
			args.floats.empty() ? 0.0f : (float)args.floats[0]};
}

// Whether rows of `D` floats can be copied 16 bytes at a time.
inline bool vector_rows(const void* data, int64_t pitch, int64_t batch, int D) { return D % 4 == 0 && pitch % 4 == 0 && batch % 4 == 0 && aligned16(data); }

// Queues rows [row0, row0 + Rows) of a head; rows past `limit` and columns past `width` are zero.
template <int Rows, int DP>
__device__ __forceinline__ void issue_rows(float* tile, const float* head, int64_t pitch, int row0, int limit, int width, bool vectors) {
	if (vectors) {
		GPU_NO_UNROLL
		for (int i = threadIdx.x; i < Rows * (DP / 4); i += kAttentionThreads) {
			const int r = i / (DP / 4), c = i % (DP / 4) * 4;
			const bool valid = row0 + r < limit && c < width;
			gpu::copy_async16(tile + r * (DP + 4) + c, head + (valid ? (row0 + r) * pitch + c : 0), valid);
		}
	} else {
		GPU_NO_UNROLL
		for (int i = threadIdx.x; i < Rows * DP; i += kAttentionThreads) {
			const int r = i / DP, c = i % DP;
			const bool valid = row0 + r < limit && c < width;
			gpu::copy_async4(tile + r * (DP + 4) + c, head + (valid ? (row0 + r) * pitch + c : 0), valid);
		}
	}
}

// sum[i][j] = left row (down + 8i) · right row (across + 16j), over DP columns.
template <int DP, int I, int J>
__device__ __forceinline__ void multiply_rows(const float* left, const float* right, float (&sum)[I][J]) {
	const int down = threadIdx.x / kAcross, across = threadIdx.x % kAcross;
	GPU_UNROLL
	for (int i = 0; i < I; i++) {
		GPU_UNROLL
		for (int j = 0; j < J; j++) sum[i][j] = 0;
	}
	GPU_NO_UNROLL
	for (int c = 0; c < DP; c += 4) {
		float4 a[I];
		GPU_UNROLL
		for (int i = 0; i < I; i++) a[i] = gpu::load_float4(left + (down + i * kDown) * (DP + 4) + c);
		GPU_UNROLL
		for (int j = 0; j < J; j++) {
			const float4 b = gpu::load_float4(right + (across + j * kAcross) * (DP + 4) + c);
			GPU_UNROLL
			for (int i = 0; i < I; i++) sum[i][j] = gpu::multiply_add(a[i].w, b.w, gpu::multiply_add(a[i].z, b.z, gpu::multiply_add(a[i].y, b.y, gpu::multiply_add(a[i].x, b.x, sum[i][j]))));
		}
	}
}

// sum[i][j] += Σ_k scores[down + 8i][k] · rows[k][across + 16j], over kKeys rows.
template <int DP, int I>
__device__ __forceinline__ void accumulate_scores(const float* scores, const float* rows, float (&sum)[I][DP / kAcross]) {
	const int down = threadIdx.x / kAcross, across = threadIdx.x % kAcross;
	GPU_NO_UNROLL
	for (int k = 0; k < kKeys; k += 4) {
		float4 s[I];
		GPU_UNROLL
		for (int i = 0; i < I; i++) s[i] = gpu::load_float4(scores + (down + i * kDown) * kScorePitch + k);
		GPU_UNROLL
		for (int j = 0; j < DP / kAcross; j++) {
			const float* column = rows + k * (DP + 4) + across + j * kAcross;
			const float v0 = column[0], v1 = column[DP + 4], v2 = column[2 * (DP + 4)], v3 = column[3 * (DP + 4)];
			GPU_UNROLL
			for (int i = 0; i < I; i++) sum[i][j] = gpu::multiply_add(s[i].w, v3, gpu::multiply_add(s[i].z, v2, gpu::multiply_add(s[i].y, v1, gpu::multiply_add(s[i].x, v0, sum[i][j]))));
		}
	}
}

// Of the 16 threads that share rows.
__device__ __forceinline__ float across_sum(float value) {
	GPU_UNROLL
	for (int distance = kAcross / 2; distance; distance >>= 1) value += __shfl_xor_sync(gpu::kFullWarp, value, distance);
	return value;
}
__device__ __forceinline__ float across_max(float value) {
	GPU_UNROLL
	for (int distance = kAcross / 2; distance; distance >>= 1) value = fmaxf(value, __shfl_xor_sync(gpu::kFullWarp, value, distance));
	return value;
}

// Calls f with the rounded width as a constant.
template <class F>
void with_width(int D, F&& f) {
	if (D <= 32) return f(std::integral_constant<int, 32>{});
	if (D <= 64) return f(std::integral_constant<int, 64>{});
	if (D <= 96) return f(std::integral_constant<int, 96>{});
	if (D <= 128) return f(std::integral_constant<int, 128>{});
	return f(std::integral_constant<int, kFlashWidth>{});
}

// Whether the operands are of a 16-bit type; then all of those named are of the same.
inline bool is_half_attention(const char* kernel, const KernelArgs& args, std::initializer_list<int> operands) {
	const DType type = args.at(0).dtype;
	for (int i : operands)
		if (args.at(i) && args.at(i).dtype != type) refuse(kernel, std::string("operand ") + std::to_string(i) + " is " + name_of(args.at(i).dtype) + ", but q is " + name_of(type));
	return type == DType::f16 || type == DType::bf16;
}

// Heads wider than kFlashWidth.
void wide_attention(const KernelArgs&, Context&);
void wide_attention_grad(const KernelArgs&, Context&);
int64_t wide_attention_scratch(const AttentionShape&, bool grad);

}  // namespace dreamdist::cuda
