// group_norm (+ SiLU) and its gradient over NHWC pictures, one input or two side by side.
//
// Forward, three kernels. A block takes a chunk of a picture's rows and leaves, per channel, the sum and the sum of squares of x minus the
// chunk's first element of that channel; a warp per picture and group joins them in float64 around the group's own mean, and keeps that
// as its distance from the group's first element, so that neither a mean much larger than the spread nor an outlier costs digits; the
// third applies them, elementwise.
// Gradient: with z = x̂·γ + β and dz = dy·act′(z), a block leaves per chunk and channel Σ dz and Σ dz·x̂; joined, they are dβ and dγ, and
// with γ the two sums that a group's input gradient needs.
#include "activation.h"
#include "common.h"
#include "table.h"

namespace dreamdist::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kChunkRows = 64;

struct Shape {
	int N, C1, C2, groups, act;
	int64_t HW;
	float eps;
	int chunks;
	__host__ __device__ int channels() const { return C1 + C2; }
	__host__ __device__ int width() const { return (C1 + C2) / groups; }  // channels of a group
};

struct Inputs {
	const float *x1, *x2;
	__device__ __forceinline__ const float* at(const Shape& s, int64_t pixel, int c) const {
		return c < s.C1 ? x1 + pixel * s.C1 + c : x2 + pixel * s.C2 + (c - s.C1);
	}
};

// Sums of a chunk's rows per channel: threads share out channels, and where there are few, rows too.
// `term` gets the pixel, the chunk's first pixel and the channel.
template <class Term>
__device__ __forceinline__ void sum_chunk(const Shape& s, float* partial, float2* room, Term term) {
	const int C = s.channels(), n = blockIdx.y, columns = C < kThreads ? C : kThreads, lines = kThreads / columns, line = threadIdx.x / columns;
	for (int chunk = blockIdx.x; chunk < s.chunks; chunk += gridDim.x) {
		const int64_t begin = (int64_t)chunk * kChunkRows, end = begin + kChunkRows < s.HW ? begin + kChunkRows : s.HW;
		for (int first = 0; first < C; first += columns) {
			const int c = first + threadIdx.x % columns;
			float2 sum = make_float2(0, 0);
			if (line < lines && c < C)
				for (int64_t row = begin + line; row < end; row += lines) term(n * s.HW + row, n * s.HW + begin, c, sum);
			__syncthreads();
			room[threadIdx.x] = sum;
			__syncthreads();
			if (line == 0 && c < C) {
				for (int other = 1; other < lines; other++) {
					const float2 more = room[other * columns + threadIdx.x];
					sum.x += more.x;
					sum.y += more.y;
				}
				float* to = partial + (((int64_t)n * s.chunks + chunk) * C + c) * 2;
				to[0] = sum.x;
				to[1] = sum.y;
			}
		}
	}
}

__global__ void __launch_bounds__(kThreads) group_sums_kernel(Inputs x, Shape s, float* partial) {
	GPU_SHARED(float2, room, kThreads);
	sum_chunk(s, partial, room, [&](int64_t pixel, int64_t first, int c, float2& sum) {
		const float d = *x.at(s, pixel, c) - *x.at(s, first, c);
		sum.x += d;
		sum.y += d * d;
	});
}

// The sum of a warp's lanes in order; lane 0 gets it. `room` is 32 doubles of the warp's own.
__device__ __forceinline__ double ordered_sum(double value, double* room) {
	const int lane = threadIdx.x & 31;
	__syncwarp();
	room[lane] = value;
	__syncwarp();
	double total = 0;
	if (lane == 0)
		for (int i = 0; i < 32; i++) total += room[i];
	return total;
}

// A warp per picture and group: moments [N][groups][2] = mean minus the group's first element, 1/√(variance + eps).
__global__ void __launch_bounds__(kThreads) group_statistics_kernel(Inputs x, Shape s, const float* partial, float* moments, float* stats) {
	GPU_SHARED(double, rooms, kThreads);
	double* room = rooms + (threadIdx.x & ~31u);
	const int lane = threadIdx.x & 31, C = s.channels(), width = s.width();
	const int64_t unit = (int64_t)blockIdx.x * (kThreads / 32) + (threadIdx.x >> 5);
	if (unit >= (int64_t)s.N * s.groups) return;
	const int64_t n = unit / s.groups;
	const int c0 = int(unit % s.groups) * width;
	const double near = *x.at(s, n * s.HW, c0), count = (double)s.HW * width;
	// Of one chunk and channel: rows, its mean minus `near`, and its sum of squares around its own mean.
	auto part = [&](int i, double& rows, double& mean, double& squares) {
		const int c = c0 + i % width;
		const int64_t chunk = i / width, begin = chunk * kChunkRows;
		const float* sums = partial + ((n * s.chunks + chunk) * C + c) * 2;
		rows = (double)(s.HW - begin < kChunkRows ? s.HW - begin : kChunkRows);
		mean = *x.at(s, n * s.HW + begin, c) - near + sums[0] / rows;
		squares = sums[1] - sums[0] * (sums[0] / rows);
	};
	double rows, mean, squares, total = 0;
	for (int i = lane; i < width * s.chunks; i += 32) {
		part(i, rows, mean, squares);
		total += rows * mean;
	}
	total = ordered_sum(total, room) / count;
	__syncwarp();
	if (lane == 0) room[0] = total;
	__syncwarp();
	const double center = room[0];
	double spread = 0;
	for (int i = lane; i < width * s.chunks; i += 32) {
		part(i, rows, mean, squares);
		spread += (squares > 0 || squares != squares ? squares : 0) + rows * (mean - center) * (mean - center);
	}
	spread = ordered_sum(spread, room) / count;
	if (lane != 0) return;
	const float inverse = 1.0f / sqrtf((float)spread + s.eps);
	moments[2 * unit] = (float)center;
	moments[2 * unit + 1] = inverse;
	if (!stats) return;
	stats[2 * unit] = (float)(near + center);
	stats[2 * unit + 1] = inverse;
}

__global__ void __launch_bounds__(kThreads) group_apply_kernel(Inputs x, Shape s, const float* moments, const float* gamma, const float* beta, float* y) {
	const int C = s.channels(), width = s.width();
	const int64_t count = s.N * s.HW * C;
	for (int64_t i = (int64_t)blockIdx.x * kThreads + threadIdx.x; i < count; i += (int64_t)gridDim.x * kThreads) {
		const int c = int(i % C), group = c / width;
		const int64_t pixel = i / C, n = pixel / s.HW, unit = n * s.groups + group;
		const float near = *x.at(s, n * s.HW, group * width), normal = ((*x.at(s, pixel, c) - near) - moments[2 * unit]) * moments[2 * unit + 1];
		const float z = normal * (gamma ? gamma[c] : 1.0f) + (beta ? beta[c] : 0.0f);
		y[i] = s.act ? silu(z) : z;
	}
}

struct Gradient {
	const float *gamma, *beta, *stats, *dy;
	// dz and x̂ of one element.
	__device__ __forceinline__ float2 at(const Shape& s, const Inputs& x, int64_t pixel, int c) const {
		const int64_t unit = pixel / s.HW * s.groups + c / s.width();
		const float normal = (*x.at(s, pixel, c) - stats[2 * unit]) * stats[2 * unit + 1];
		float dz = dy[pixel * s.channels() + c];
		if (s.act) dz *= silu_slope(normal * (gamma ? gamma[c] : 1.0f) + (beta ? beta[c] : 0.0f));
		return make_float2(dz, normal);
	}
};

__global__ void __launch_bounds__(kThreads) group_gradient_sums_kernel(Inputs x, Shape s, Gradient g, float* partial) {
	GPU_SHARED(float2, room, kThreads);
	sum_chunk(s, partial, room, [&](int64_t pixel, int64_t, int c, float2& sum) {
		const float2 e = g.at(s, x, pixel, c);
		sum.x += e.x;
		sum.y += e.x * e.y;
	});
}

// A thread per channel of a picture: channel sums of all chunks, to channel [N][C][2].
__global__ void __launch_bounds__(kThreads) group_channel_kernel(Shape s, const float* partial, float* channel) {
	const int C = s.channels();
	const int64_t i = (int64_t)blockIdx.x * kThreads + threadIdx.x;
	if (i >= (int64_t)s.N * C) return;
	const int64_t n = i / C, c = i % C;
	CarefulSum first, second;
	for (int chunk = 0; chunk < s.chunks; chunk++) {
		const float* part = partial + ((n * s.chunks + chunk) * C + c) * 2;
		first.add(part[0]);
		second.add(part[1]);
	}
	channel[2 * i] = first.total;
	channel[2 * i + 1] = second.total;
}

// A thread per channel: over the pictures.
__global__ void __launch_bounds__(kThreads) group_weight_grad_kernel(Shape s, const float* channel, float* dgamma, float* dbeta) {
	const int c = blockIdx.x * kThreads + threadIdx.x, C = s.channels();
	if (c >= C) return;
	CarefulSum scale, shift;
	for (int64_t n = 0; n < s.N; n++) {
		shift.add(channel[(n * C + c) * 2]);
		scale.add(channel[(n * C + c) * 2 + 1]);
	}
	if (dgamma) dgamma[c] = scale.total;
	if (dbeta) dbeta[c] = shift.total;
}

// A warp per picture and group: the means of dz·γ and dz·γ·x̂, to group [N][groups][2].
__global__ void __launch_bounds__(kThreads) group_means_kernel(Shape s, const float* channel, const float* gamma, float* group) {
	const int lane = threadIdx.x & 31, width = s.width();
	const int64_t unit = (int64_t)blockIdx.x * (kThreads / 32) + (threadIdx.x >> 5);
	if (unit >= (int64_t)s.N * s.groups) return;
	const int64_t n = unit / s.groups, c0 = unit % s.groups * width;
	float first = 0, second = 0;
	for (int i = lane; i < width; i += 32) {
		const float scale = gamma ? gamma[c0 + i] : 1.0f;
		const float* sums = channel + (n * s.channels() + c0 + i) * 2;
		first += sums[0] * scale;
		second += sums[1] * scale;
	}
	first = gpu::warp_sum(first);
	second = gpu::warp_sum(second);
	if (lane == 0) {
		const float count = (float)s.HW * width;
		group[2 * unit] = first / count;
		group[2 * unit + 1] = second / count;
	}
}

__global__ void __launch_bounds__(kThreads) group_input_grad_kernel(Inputs x, Shape s, Gradient g, const float* group, float* dx1, float* dx2) {
	const int C = s.channels(), width = s.width();
	const int64_t count = s.N * s.HW * C;
	for (int64_t i = (int64_t)blockIdx.x * kThreads + threadIdx.x; i < count; i += (int64_t)gridDim.x * kThreads) {
		const int c = int(i % C);
		float* to = c < s.C1 ? dx1 : dx2;
		if (!to) continue;
		const int64_t pixel = i / C, unit = pixel / s.HW * s.groups + c / width;
		const float2 e = g.at(s, x, pixel, c);
		const float value = g.stats[2 * unit + 1] * (e.x * (g.gamma ? g.gamma[c] : 1.0f) - group[2 * unit] - e.y * group[2 * unit + 1]);
		if (c < s.C1) to[pixel * s.C1 + c] = value;
		else to[pixel * s.C2 + (c - s.C1)] = value;
	}
}

Shape shape_of(const KernelArgs& args) {
	const auto& i = args.ints;
	Shape s = {(int)i[0], (int)i[2], (int)i[3], (int)i[4], (int)i[5], i[1], args.floats.empty() ? 0.0f : (float)args.floats[0], 0};
	s.chunks = (int)div_up(s.HW, kChunkRows);
	return s;
}
bool empty(const Shape& s) { return s.N <= 0 || s.HW <= 0 || s.channels() <= 0 || s.groups <= 0; }
int64_t partial_floats(const Shape& s) { return (int64_t)s.N * s.chunks * s.channels() * 2; }
dim3 chunk_grid(const Shape& s) { return dim3((unsigned)std::min(s.chunks, 1 << 20), (unsigned)s.N); }
unsigned warps_grid(const Shape& s) { return (unsigned)div_up((int64_t)s.N * s.groups, kThreads / 32); }

}  // namespace

void group_norm(const KernelArgs& args, Context& context) {
	const Shape s = shape_of(args);
	if (empty(s)) return;
	if (s.N > 65535) refuse("group_norm", "at most 65535 pictures are allowed");
	const Inputs x = {args.ptr<const float>(0), args.ptr<const float>(1)};
	float* partial = static_cast<float*>(args.scratch);
	float* moments = partial + partial_floats(s);
	gpu::launch<group_sums_kernel>(chunk_grid(s), kThreads, 0, context.stream, x, s, partial);
	gpu::launch<group_statistics_kernel>(warps_grid(s), kThreads, 0, context.stream, x, s, static_cast<const float*>(partial), moments, args.ptr(5));
	gpu::launch<group_apply_kernel>(grid_for(s.N * s.HW * s.channels(), kThreads), kThreads, 0, context.stream, x, s, static_cast<const float*>(moments), args.ptr<const float>(2),
									args.ptr<const float>(3), args.ptr(4));
}
int64_t group_norm_scratch(const KernelArgs& args, int) {
	const Shape s = shape_of(args);
	return empty(s) ? 0 : (partial_floats(s) + (int64_t)s.N * s.groups * 2) * (int64_t)sizeof(float);
}

void group_norm_grad(const KernelArgs& args, Context& context) {
	const Shape s = shape_of(args);
	if (empty(s)) return;
	if (s.N > 65535) refuse("group_norm_grad", "at most 65535 pictures are allowed");
	const Inputs x = {args.ptr<const float>(0), args.ptr<const float>(1)};
	const Gradient g = {args.ptr<const float>(2), args.ptr<const float>(3), args.ptr<const float>(4), args.ptr<const float>(5)};
	float *partial = static_cast<float*>(args.scratch), *channel = partial + partial_floats(s), *group = channel + (int64_t)s.N * s.channels() * 2;
	gpu::launch<group_gradient_sums_kernel>(chunk_grid(s), kThreads, 0, context.stream, x, s, g, partial);
	gpu::launch<group_channel_kernel>((unsigned)div_up((int64_t)s.N * s.channels(), kThreads), kThreads, 0, context.stream, s, static_cast<const float*>(partial), channel);
	if (args.ptr(8) || args.ptr(9))
		gpu::launch<group_weight_grad_kernel>((unsigned)div_up(s.channels(), kThreads), kThreads, 0, context.stream, s, static_cast<const float*>(channel), args.ptr(8), args.ptr(9));
	if (!args.ptr(6) && !args.ptr(7)) return;
	gpu::launch<group_means_kernel>(warps_grid(s), kThreads, 0, context.stream, s, static_cast<const float*>(channel), g.gamma, group);
	gpu::launch<group_input_grad_kernel>(grid_for(s.N * s.HW * s.channels(), kThreads), kThreads, 0, context.stream, x, s, g, static_cast<const float*>(group), args.ptr(6),
										 args.ptr(7));
}
int64_t group_norm_grad_scratch(const KernelArgs& args, int) {
	const Shape s = shape_of(args);
	return empty(s) ? 0 : (partial_floats(s) + (int64_t)s.N * s.channels() * 2 + (int64_t)s.N * s.groups * 2) * (int64_t)sizeof(float);
}

}  // namespace dreamdist::cuda
