// layer_norm and its gradient: a warp per row, which is read from cache after its first pass. Rows are of any float type, eight elements
// at a time where they begin at multiples of 16 bytes; arithmetic and statistics are f32.
//
// Statistics are of x minus the row's first element, so that they survive a mean much larger than the spread. dgamma and dbeta: each
// block sums the rows of its chunk, a thread a column, and a second kernel adds the chunks in order.
#include "table.h"
#include "typed.h"

namespace dreamdist::cuda {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32;
constexpr int64_t kChunkRows = 64;

// Calls f(column, v) for the pieces of a row that are this lane's: eight elements, or one (in v[0]) where rows are not aligned.
template <int Width, class F>
__device__ __forceinline__ void each_piece(int64_t width, F f) {
	for (int64_t i = (threadIdx.x & 31) * Width; i < width; i += 32 * Width) f(i);
}
template <int Width>
__device__ __forceinline__ void read(const Typed& x, int64_t at, float (&v)[Width]) {
	if constexpr (Width == 8) load8(x, at, v);
	else v[0] = x.load(at);
}
template <int Width>
__device__ __forceinline__ void write(const Typed& x, int64_t at, const float (&v)[Width]) {
	if constexpr (Width == 8) store8(x, at, v);
	else x.store(at, v[0]);
}
template <int Width>
__device__ __forceinline__ void read_vector(const float* x, int64_t at, float (&v)[Width], float otherwise) {
	GPU_UNROLL
	for (int e = 0; e < Width; e++) v[e] = x ? x[at + e] : otherwise;
}

template <int Width>
__global__ void __launch_bounds__(kThreads) layer_norm_kernel(Typed x, const float* gamma, const float* beta, Typed y, float* stats, int64_t rows, int64_t width, float eps) {
	const int lane = threadIdx.x & 31;
	for (int64_t row = (int64_t)blockIdx.x * kWarps + (threadIdx.x >> 5); row < rows; row += (int64_t)gridDim.x * kWarps) {
		const int64_t first = row * width;
		const float near = x.load(first);
		float v[Width], scale[Width], shift[Width], sum = 0, squares = 0;
		each_piece<Width>(width, [&](int64_t i) {
			read<Width>(x, first + i, v);
			GPU_UNROLL
			for (int e = 0; e < Width; e++) sum += v[e] - near;
		});
		const float rest = gpu::warp_sum(sum) / (float)width;  // mean − near
		each_piece<Width>(width, [&](int64_t i) {
			read<Width>(x, first + i, v);
			GPU_UNROLL
			for (int e = 0; e < Width; e++) {
				const float d = (v[e] - near) - rest;
				squares += d * d;
			}
		});
		const float inverse = 1.0f / sqrtf(gpu::warp_sum(squares) / (float)width + eps);
		each_piece<Width>(width, [&](int64_t i) {
			read<Width>(x, first + i, v);
			read_vector<Width>(gamma, i, scale, 1);
			read_vector<Width>(beta, i, shift, 0);
			GPU_UNROLL
			for (int e = 0; e < Width; e++) v[e] = ((v[e] - near) - rest) * inverse * scale[e] + shift[e];
			write<Width>(y, first + i, v);
		});
		if (stats && lane == 0) {
			stats[2 * row] = near + rest;
			stats[2 * row + 1] = inverse;
		}
	}
}

template <int Width>
__global__ void __launch_bounds__(kThreads, 1) layer_norm_grad_kernel(Typed x, const float* gamma, const float* stats, Typed dy, Typed dx, int64_t rows, int64_t width, float share) {
	for (int64_t row = (int64_t)blockIdx.x * kWarps + (threadIdx.x >> 5); row < rows; row += (int64_t)gridDim.x * kWarps) {
		const int64_t start = row * width;
		const float mean = stats[2 * row], inverse = stats[2 * row + 1];
		float v[Width], g[Width], scale[Width], first = 0, second = 0;
		auto terms = [&](int64_t i) {
			read<Width>(x, start + i, v);
			read<Width>(dy, start + i, g);
			read_vector<Width>(gamma, i, scale, 1);
			GPU_UNROLL
			for (int e = 0; e < Width; e++) {
				g[e] *= scale[e];
				v[e] = (v[e] - mean) * inverse;
			}
		};
		each_piece<Width>(width, [&](int64_t i) {
			terms(i);
			GPU_UNROLL
			for (int e = 0; e < Width; e++) {
				first += g[e];
				second += g[e] * v[e];
			}
		});
		first = gpu::warp_sum(first) * share;
		second = gpu::warp_sum(second) * share;
		each_piece<Width>(width, [&](int64_t i) {
			terms(i);
			GPU_UNROLL
			for (int e = 0; e < Width; e++) v[e] = inverse * (g[e] - first - v[e] * second);
			write<Width>(dx, start + i, v);
		});
	}
}

// partial [chunk][2][width]
__global__ void __launch_bounds__(kThreads) layer_norm_weight_grad_kernel(Typed x, const float* stats, Typed dy, float* partial, int64_t rows, int64_t width) {
	const int64_t column = (int64_t)blockIdx.x * kThreads + threadIdx.x;
	if (column >= width) return;
	for (int64_t chunk = blockIdx.y; chunk * kChunkRows < rows; chunk += gridDim.y) {
		const int64_t end = (chunk + 1) * kChunkRows < rows ? (chunk + 1) * kChunkRows : rows;
		CarefulSum scale, shift;
		for (int64_t row = chunk * kChunkRows; row < end; row++) {
			const float g = dy.load(row * width + column);
			scale.add(g * ((x.load(row * width + column) - stats[2 * row]) * stats[2 * row + 1]));
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
	const Typed x = args.at(0), y = args.at(3);
	auto launch = [&](auto piece) {
		gpu::launch<layer_norm_kernel<decltype(piece)::value>>(grid_for(rows, kWarps), kThreads, 0, context.stream, x, args.ptr<const float>(1), args.ptr<const float>(2), y, args.ptr(4),
															   rows, width, (float)args.floats[0]);
	};
	if (width % 8 == 0 && aligned16(x.data) && aligned16(y.data)) launch(std::integral_constant<int, 8>{});
	else launch(std::integral_constant<int, 1>{});
}

void layer_norm_grad(const KernelArgs& args, Context& context) {
	const int64_t rows = args.ints[0], width = args.ints[1], chunks = div_up(rows, kChunkRows);
	if (rows <= 0 || width <= 0) return;
	const float* stats = args.ptr<const float>(2);
	const Typed x = args.at(0), dy = args.at(3), dx = args.at(4);
	auto launch = [&](auto piece) {
		gpu::launch<layer_norm_grad_kernel<decltype(piece)::value>>(grid_for(rows, kWarps), kThreads, 0, context.stream, x, args.ptr<const float>(1), stats, dy, dx, rows, width,
																	1.0f / (float)width);
	};
	if (dx) {
		if (width % 8 == 0 && aligned16(x.data) && aligned16(dy.data) && aligned16(dx.data)) launch(std::integral_constant<int, 8>{});
		else launch(std::integral_constant<int, 1>{});
	}
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
