// adamw and sgd: parameters and moments updated in place, in one pass over memory. The hyperparameters lie in device memory, so that a
// captured graph sees this run's.
#include "common.h"
#include "table.h"

namespace dreamdist::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) adamw_kernel(float* p, float* m, float* v, const float* g, const float* hyper, int64_t n) {
	const float lr = hyper[0], beta1 = hyper[1], beta2 = hyper[2], eps = hyper[3], decay = 1.0f - lr * hyper[4], scale = hyper[7];
	const float step = lr / hyper[5], correction = 1.0f / sqrtf(hyper[6]);
	for (int64_t i = (int64_t)blockIdx.x * kThreads + threadIdx.x; i < n; i += (int64_t)gridDim.x * kThreads) {
		const float gradient = g[i] * scale, mean = beta1 * m[i] + (1.0f - beta1) * gradient, square = beta2 * v[i] + (1.0f - beta2) * gradient * gradient;
		m[i] = mean;
		v[i] = square;
		p[i] = p[i] * decay - step * mean / (sqrtf(square) * correction + eps);
	}
}

__global__ void __launch_bounds__(kThreads) sgd_kernel(float* p, float* m, const float* g, const float* hyper, int64_t n, bool nesterov) {
	const float lr = hyper[0], momentum = hyper[1], decay = hyper[2], scale = hyper[3];
	const bool first = hyper[4] != 0;
	for (int64_t i = (int64_t)blockIdx.x * kThreads + threadIdx.x; i < n; i += (int64_t)gridDim.x * kThreads) {
		const float gradient = g[i] * scale + decay * p[i];
		// The first step does not read m: its memory may hold anything.
		const float mean = first ? gradient : momentum * m[i] + gradient;
		m[i] = mean;
		p[i] -= lr * (nesterov ? gradient + momentum * mean : mean);
	}
}

}  // namespace

void adamw(const KernelArgs& args, Context& context) {
	const int64_t n = args.ints[0];
	if (n <= 0) return;
	gpu::launch<adamw_kernel>(grid_for(n, kThreads), kThreads, 0, context.stream, args.ptr(0), args.ptr(1), args.ptr(2), args.ptr<const float>(3), args.ptr<const float>(4), n);
}

void sgd(const KernelArgs& args, Context& context) {
	const int64_t n = args.ints[0];
	if (n <= 0) return;
	gpu::launch<sgd_kernel>(grid_for(n, kThreads), kThreads, 0, context.stream, args.ptr(0), args.ptr(1), args.ptr<const float>(2), args.ptr<const float>(3), n, args.ints[1] != 0);
}

}  // namespace dreamdist::cuda
