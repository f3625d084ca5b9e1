// Softmax and log-softmax over the last dimension, and their gradients, of any float type: a block per row, which is read three times (from cache).
#include "table.h"
#include "typed.h"

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

__global__ void __launch_bounds__(kThreads) softmax_kernel(Typed x, Typed y, int64_t rows, int64_t width, bool logarithm) {
	GPU_SHARED(float, room, 32);
	for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
		const int64_t first = row * width, end = first + width;
		float best = -INFINITY;
		for (int64_t i = first + threadIdx.x; i < end; i += kThreads) best = fmaxf(best, x.load(i));
		best = block_max(best, room);
		CarefulSum sum;
		for (int64_t i = first + threadIdx.x; i < end; i += kThreads) sum.add(expf(x.load(i) - best));
		const float total = block_sum(sum.total, room);
		if (logarithm) {
			const float log_total = logf(total);
			for (int64_t i = first + threadIdx.x; i < end; i += kThreads) y.store(i, x.load(i) - best - log_total);
		} else {
			for (int64_t i = first + threadIdx.x; i < end; i += kThreads) y.store(i, expf(x.load(i) - best) / total);
		}
	}
}

__global__ void __launch_bounds__(kThreads) softmax_grad_kernel(Typed y, Typed dy, Typed dx, int64_t rows, int64_t width, bool logarithm) {
	GPU_SHARED(float, room, 32);
	for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
		const int64_t first = row * width, end = first + width;
		CarefulSum sum;
		for (int64_t i = first + threadIdx.x; i < end; i += kThreads) sum.add(logarithm ? dy.load(i) : dy.load(i) * y.load(i));
		const float total = block_sum(sum.total, room);
		for (int64_t i = first + threadIdx.x; i < end; i += kThreads) {
			const float out = y.load(i), gradient = dy.load(i);
			dx.store(i, logarithm ? gradient - expf(out) * total : out * (gradient - total));
		}
	}
}

}  // namespace

void softmax(const KernelArgs& args, Context& context) {
	const int64_t rows = args.ints[0], width = args.ints[1];
	if (rows <= 0 || width <= 0) return;
	gpu::launch<softmax_kernel>(grid_for(rows, 1), kThreads, 0, context.stream, Typed(args.at(0)), Typed(args.at(1)), rows, width, args.ints[2] != 0);
}

void softmax_grad(const KernelArgs& args, Context& context) {
	const int64_t rows = args.ints[0], width = args.ints[1];
	if (rows <= 0 || width <= 0 || !args.ptr(2)) return;
	gpu::launch<softmax_grad_kernel>(grid_for(rows, 1), kThreads, 0, context.stream, Typed(args.at(0)), Typed(args.at(1)), Typed(args.at(2)), rows, width,
									 args.ints[2] != 0);
}

}  // namespace dreamdist::cuda
