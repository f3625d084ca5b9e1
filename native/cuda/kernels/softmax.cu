// Softmax and log-softmax over the last dimension, and their gradients: a block per row, which is read three times (from cache).
#include "common.h"
#include "table.h"

namespace dreamdist::cuda {
namespace {

constexpr int kThreads = 128;

__device__ __forceinline__ float block_max(float value, float* room) {
	value = gpu::warp_max(value);
	__syncthreads();
	if ((threadIdx.x & 31) == 0) room[threadIdx.x >> 5] = value;
	__syncthreads();
	float best = room[0];
	for (unsigned warp = 1; warp < blockDim.x >> 5; warp++) best = fmaxf(best, room[warp]);
	return best;
}

__global__ void __launch_bounds__(kThreads) softmax_kernel(const float* x, float* y, int64_t rows, int64_t width, bool logarithm) {
	GPU_SHARED(float, room, 32);
	for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
		const float* from = x + row * width;
		float* to = y + row * width;
		float best = -INFINITY;
		for (int64_t i = threadIdx.x; i < width; i += kThreads) best = fmaxf(best, from[i]);
		best = block_max(best, room);
		CarefulSum sum;
		for (int64_t i = threadIdx.x; i < width; i += kThreads) sum.add(expf(from[i] - best));
		const float total = block_sum(sum.total, room);
		if (logarithm) {
			const float log_total = logf(total);
			for (int64_t i = threadIdx.x; i < width; i += kThreads) to[i] = from[i] - best - log_total;
		} else {
			for (int64_t i = threadIdx.x; i < width; i += kThreads) to[i] = expf(from[i] - best) / total;
		}
	}
}

__global__ void __launch_bounds__(kThreads) softmax_grad_kernel(const float* y, const float* dy, float* dx, int64_t rows, int64_t width, bool logarithm) {
	GPU_SHARED(float, room, 32);
	for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
		const float *out = y + row * width, *gradient = dy + row * width;
		float* to = dx + row * width;
		CarefulSum sum;
		for (int64_t i = threadIdx.x; i < width; i += kThreads) sum.add(logarithm ? gradient[i] : gradient[i] * out[i]);
		const float total = block_sum(sum.total, room);
		for (int64_t i = threadIdx.x; i < width; i += kThreads) to[i] = logarithm ? gradient[i] - expf(out[i]) * total : out[i] * (gradient[i] - total);
	}
}

}  // namespace

void softmax(const KernelArgs& args, Context& context) {
	const int64_t rows = args.ints[0], width = args.ints[1];
	if (rows <= 0 || width <= 0) return;
	gpu::launch<softmax_kernel>(grid_for(rows, 1), kThreads, 0, context.stream, args.ptr<const float>(0), args.ptr(1), rows, width, args.ints[2] != 0);
}

void softmax_grad(const KernelArgs& args, Context& context) {
	const int64_t rows = args.ints[0], width = args.ints[1];
	if (rows <= 0 || width <= 0 || !args.ptr(2)) return;
	gpu::launch<softmax_grad_kernel>(grid_for(rows, 1), kThreads, 0, context.stream, args.ptr<const float>(0), args.ptr<const float>(1), args.ptr(2), rows, width,
									 args.ints[2] != 0);
}

}  // namespace dreamdist::cuda
