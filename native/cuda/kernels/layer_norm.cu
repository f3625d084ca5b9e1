// layer_norm and its gradient: a warp per row, which is read from cache after its first pass.
//
// Statistics are of x minus the row's first element, so that they survive a mean much larger than the spread. dgamma and dbeta: each
// block sums the rows of its chunk, a thread a column, and a second kernel adds the chunks in order.
#include "common.h"
#include "table.h"

namespace dreamdist::cuda {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32;
constexpr int64_t kChunkRows = 64;

__global__ void __launch_bounds__(kThreads) layer_norm_kernel(const float* x, const float* gamma, const float* beta, float* y, float* stats, int64_t rows, int64_t width, float eps) {
	const int lane = threadIdx.x & 31;
	for (int64_t row = (int64_t)blockIdx.x * kWarps + (threadIdx.x >> 5); row < rows; row += (int64_t)gridDim.x * kWarps) {
		const float* from = x + row * width;
		const float near = from[0];
		float sum = 0;
		for (int64_t i = lane; i < width; i += 32) sum += from[i] - near;
		const float rest = gpu::warp_sum(sum) / (float)width;  // mean − near
		float squares = 0;
		for (int64_t i = lane; i < width; i += 32) {
			const float d = (from[i] - near) - rest;
			squares += d * d;
		}
		const float inverse = 1.0f / sqrtf(gpu::warp_sum(squares) / (float)width + eps);
		for (int64_t i = lane; i < width; i += 32) {
			const float normal = ((from[i] - near) - rest) * inverse;
			y[row * width + i] = normal * (gamma ? gamma[i] : 1.0f) + (beta ? beta[i] : 0.0f);
		}
		if (stats && lane == 0) {
			stats[2 * row] = near + rest;
			stats[2 * row + 1] = inverse;
		}
	}
}

__global__ void __launch_bounds__(kThreads) layer_norm_grad_kernel(const float* x, const float* gamma, const float* stats, const float* dy, float* dx, int64_t rows, int64_t width) {
	const int lane = threadIdx.x & 31;
	for (int64_t row = (int64_t)blockIdx.x * kWarps + (threadIdx.x >> 5); row < rows; row += (int64_t)gridDim.x * kWarps) {
		const float *from = x + row * width, *gradient = dy + row * width;
		const float mean = stats[2 * row], inverse = stats[2 * row + 1];
		float first = 0, second = 0;
		for (int64_t i = lane; i < width; i += 32) {
			const float g = gradient[i] * (gamma ? gamma[i] : 1.0f);
			first += g;
			second += g * ((from[i] - mean) * inverse);
		}
		first = gpu::warp_sum(first) / (float)width;
		second = gpu::warp_sum(second) / (float)width;
		for (int64_t i = lane; i < width; i += 32) {
			const float g = gradient[i] * (gamma ? gamma[i] : 1.0f);
			dx[row * width + i] = inverse * (g - first - (from[i] - mean) * inverse * second);
		}
	}
}

// partial [chunk][2][width]
__global__ void __launch_bounds__(kThreads) layer_norm_weight_grad_kernel(const float* x, const float* stats, const float* dy, float* partial, int64_t rows, int64_t width) {
	const int64_t column = (int64_t)blockIdx.x * kThreads + threadIdx.x;
	if (column >= width) return;
	for (int64_t chunk = blockIdx.y; chunk * kChunkRows < rows; chunk += gridDim.y) {
		const int64_t end = (chunk + 1) * kChunkRows < rows ? (chunk + 1) * kChunkRows : rows;
		CarefulSum scale, shift;
		for (int64_t row = chunk * kChunkRows; row < end; row++) {
			const float g = dy[row * width + column];
			scale.add(g * ((x[row * width + column] - stats[2 * row]) * stats[2 * row + 1]));
			shift.add(g);
		}
		partial[(2 * chunk) * width + column] = scale.total;
		partial[(2 * chunk + 1) * width + column] = shift.total;
	}
}

__global__ void __launch_bounds__(kThreads) layer_norm_join_kernel(const float* partial, float* dgamma, float* dbeta, int64_t chunks, int64_t width) {
	for (int64_t column = (int64_t)blockIdx.x * kThreads + threadIdx.x; column < width; column += (int64_t)gridDim.x * kThreads) {
		CarefulSum scale, shift;
		for (int64_t chunk = 0; chunk < chunks; chunk++) {
			scale.add(partial[(2 * chunk) * width + column]);
			shift.add(partial[(2 * chunk + 1) * width + column]);
		}
		if (dgamma) dgamma[column] = scale.total;
		if (dbeta) dbeta[column] = shift.total;
	}
}

}  // namespace

void layer_norm(const KernelArgs& args, Context& context) {
	const int64_t rows = args.ints[0], width = args.ints[1];
	if (rows <= 0 || width <= 0) return;
	gpu::launch<layer_norm_kernel>(grid_for(rows, kWarps), kThreads, 0, context.stream, args.ptr<const float>(0), args.ptr<const float>(1), args.ptr<const float>(2), args.ptr(3),
								   args.ptr(4), rows, width, (float)args.floats[0]);
}

void layer_norm_grad(const KernelArgs& args, Context& context) {
	const int64_t rows = args.ints[0], width = args.ints[1], chunks = div_up(rows, kChunkRows);
	if (rows <= 0 || width <= 0) return;
	const float *x = args.ptr<const float>(0), *stats = args.ptr<const float>(2), *dy = args.ptr<const float>(3);
	if (args.ptr(4))
		gpu::launch<layer_norm_grad_kernel>(grid_for(rows, kWarps), kThreads, 0, context.stream, x, args.ptr<const float>(1), stats, dy, args.ptr(4), rows, width);
	if (!args.ptr(5) && !args.ptr(6)) return;
	float* partial = static_cast<float*>(args.scratch);
	const dim3 grid((unsigned)div_up(width, kThreads), (unsigned)std::min<int64_t>(chunks, 65535));
	gpu::launch<layer_norm_weight_grad_kernel>(grid, kThreads, 0, context.stream, x, stats, dy, partial, rows, width);
	gpu::launch<layer_norm_join_kernel>(grid_for(width, kThreads), kThreads, 0, context.stream, static_cast<const float*>(partial), args.ptr(5), args.ptr(6), chunks, width);
}

int64_t layer_norm_grad_scratch(const KernelArgs& args, int) {
	const int64_t rows = args.ints[0], width = args.ints[1];
	return rows <= 0 || width <= 0 ? 0 : div_up(rows, kChunkRows) * 2 * width * (int64_t)sizeof(float);
}

}  // namespace dreamdist::cuda
