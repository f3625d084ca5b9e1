// group_norm (+ SiLU) and its gradient over NHWC pictures of any float type, one input or two side by side; arithmetic and statistics f32.
//
// Forward, three kernels. A block takes a chunk of a picture's rows and leaves, per channel, the sum and the sum of squares of x minus the
// chunk's first element of that channel; a warp per picture and group joins them in float64 around the group's own mean, and keeps that
// as its distance from the group's first element, so that neither a mean much larger than the spread nor an outlier costs digits; the
// third applies them, elementwise.
// Gradient: with z = x̂·γ + β and dz = dy·act′(z), a block leaves per chunk and channel Σ dz and Σ dz·x̂; joined, they are dβ and dγ, and
// with γ the two sums that a group's input gradient needs.
#include "activation.h"
#include "table.h"
#include "typed.h"

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
	Typed x1, x2;
	__device__ __forceinline__ float at(const Shape& s, int64_t pixel, int c) const { return c < s.C1 ? x1.load(pixel * s.C1 + c) : x2.load(pixel * s.C2 + (c - s.C1)); }
	// Channels [c, c + Width) of a pixel; they never straddle the two inputs.
	template <int Width>
	__device__ __forceinline__ void read(const Shape& s, int64_t pixel, int c, float (&v)[Width]) const {
		const Typed x = choose(c < s.C1, x1, x2);
		const int64_t at = c < s.C1 ? pixel * s.C1 + c : pixel * s.C2 + (c - s.C1);
		if constexpr (Width == 8) load8(x, at, v);
		else v[0] = x.load(at);
	}
	bool vectors(const Shape& s) const { return s.C1 % 8 == 0 && s.C2 % 8 == 0 && aligned16(x1.data) && aligned16(x2.data); }
};
template <int Width>
__device__ __forceinline__ void write_piece(const Typed& y, int64_t at, const float (&v)[Width]) {
	if constexpr (Width == 8) store8(y, at, v);
	else y.store(at, v[0]);
}

// A block takes a chunk of a picture's rows. Threads share out the channels, Width neighbours each, and where there are few, rows too: what
// a thread needs to know of its channels it reads once. Calls begin(c), then row(pixel) for its rows; `end` is called by all threads.
template <int Width, class Begin, class Row, class End>
__device__ __forceinline__ void walk_chunk(const Shape& s, Begin begin_channels, Row row, End end_channels) {
	const int pieces = s.channels() / Width, n = blockIdx.y, columns = pieces < kThreads ? pieces : kThreads, lines = kThreads / columns, line = threadIdx.x / columns;
	for (int chunk = blockIdx.x; chunk < s.chunks; chunk += gridDim.x) {
		const int64_t begin = (int64_t)chunk * kChunkRows, end = begin + kChunkRows < s.HW ? begin + kChunkRows : s.HW;
		for (int first = 0; first < pieces; first += columns) {
			const int piece = first + threadIdx.x % columns;
			const bool there = line < lines && piece < pieces;
			if (there) {
				begin_channels(piece * Width, n * s.HW + begin);
				for (int64_t at = begin + line; at < end; at += lines) row(piece * Width, n * s.HW + at);
			}
			end_channels(chunk, piece * Width, line, lines, columns, there);
		}
	}
}

// Two sums per channel, of a chunk's rows, to partial [N][chunks][C][2].
template <int Width>
struct ChannelSums {
	float first[Width], second[Width];
	__device__ __forceinline__ void clear() {
		GPU_UNROLL
		for (int e = 0; e < Width; e++) first[e] = second[e] = 0;
	}
	// Called by all threads. `room` is [Width][kThreads].
	__device__ __forceinline__ void store(const Shape& s, float* partial, float2* room, int chunk, int c, int line, int lines, int columns, bool there) {
		__syncthreads();
		GPU_UNROLL
		for (int e = 0; e < Width; e++) room[e * kThreads + threadIdx.x] = make_float2(first[e], second[e]);
		__syncthreads();
		if (!there || line > 0) return;
		float* to = partial + (((int64_t)blockIdx.y * s.chunks + chunk) * s.channels() + c) * 2;
		GPU_UNROLL
		for (int e = 0; e < Width; e++) {
			float2 sum = room[e * kThreads + threadIdx.x];
			for (int other = 1; other < lines; other++) {
				const float2 more = room[e * kThreads + other * columns + threadIdx.x];
				sum.x += more.x;
				sum.y += more.y;
			}
			to[2 * e] = sum.x;
			to[2 * e + 1] = sum.y;
		}
	}
};

template <int Width>
__global__ void __launch_bounds__(kThreads) group_sums_kernel(Inputs x, Shape s, float* partial) {
	GPU_SHARED(float2, room, Width * kThreads);
	ChannelSums<Width> sums;
	float near[Width], v[Width];
	sums.clear();
	walk_chunk<Width>(
		s,
		[&](int c, int64_t first) {
			sums.clear();
			x.read<Width>(s, first, c, near);
		},
		[&](int c, int64_t pixel) {
			x.read<Width>(s, pixel, c, v);
			GPU_UNROLL
			for (int e = 0; e < Width; e++) {
				const float d = v[e] - near[e];
				sums.first[e] += d;
				sums.second[e] += d * d;
			}
		},
		[&](int chunk, int c, int line, int lines, int columns, bool there) { sums.store(s, partial, room, chunk, c, line, lines, columns, there); });
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
	const double near = x.at(s, n * s.HW, c0), count = (double)s.HW * width;
	// Of one chunk and channel: rows, its mean minus `near`, and its sum of squares around its own mean.
	auto part = [&](int i, double& rows, double& mean, double& squares) {
		const int c = c0 + i % width;
		const int64_t chunk = i / width, begin = chunk * kChunkRows;
		const float* sums = partial + ((n * s.chunks + chunk) * C + c) * 2;
		rows = (double)(s.HW - begin < kChunkRows ? s.HW - begin : kChunkRows);
		mean = x.at(s, n * s.HW + begin, c) - near + sums[0] / rows;
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

template <int Width>
__global__ void __launch_bounds__(kThreads) group_apply_kernel(Inputs x, Shape s, const float* moments, const float* gamma, const float* beta, Typed y) {
	float v[Width], near[Width], center[Width], scale[Width], shift[Width];
	walk_chunk<Width>(
		s,
		[&](int c, int64_t) {
			GPU_UNROLL
			for (int e = 0; e < Width; e++) {
				const int group = (c + e) / s.width();
				const int64_t unit = (int64_t)blockIdx.y * s.groups + group;
				near[e] = x.at(s, blockIdx.y * s.HW, group * s.width());
				center[e] = moments[2 * unit];
				scale[e] = moments[2 * unit + 1] * (gamma ? gamma[c + e] : 1.0f);
				shift[e] = beta ? beta[c + e] : 0.0f;
			}
		},
		[&](int c, int64_t pixel) {
			x.read<Width>(s, pixel, c, v);
			GPU_UNROLL
			for (int e = 0; e < Width; e++) {
				const float z = ((v[e] - near[e]) - center[e]) * scale[e] + shift[e];
				v[e] = s.act ? silu(z) : z;
			}
			write_piece<Width>(y, pixel * s.channels() + c, v);
		},
		[](int, int, int, int, int, bool) {});
}

// What the gradient needs of a thread's channels.
template <int Width>
struct Gradient {
	const float *gamma, *beta, *stats;
	Typed dy;
	float mean[Width], inverse[Width], scale[Width], shift[Width];
	__device__ __forceinline__ void begin(const Shape& s, int c) {
		GPU_UNROLL
		for (int e = 0; e < Width; e++) {
			const int64_t unit = (int64_t)blockIdx.y * s.groups + (c + e) / s.width();
			mean[e] = stats[2 * unit];
			inverse[e] = stats[2 * unit + 1];
			scale[e] = gamma ? gamma[c + e] : 1.0f;
			shift[e] = beta ? beta[c + e] : 0.0f;
		}
	}
	// x becomes x̂; dz is the gradient before the activation.
	__device__ __forceinline__ void at(const Shape& s, const Inputs& x, int64_t pixel, int c, float (&normal)[Width], float (&dz)[Width]) const {
		x.read<Width>(s, pixel, c, normal);
		const int64_t at = pixel * s.channels() + c;
		if constexpr (Width == 8) load8(dy, at, dz);
		else dz[0] = dy.load(at);
		GPU_UNROLL
		for (int e = 0; e < Width; e++) {
			normal[e] = (normal[e] - mean[e]) * inverse[e];
			if (s.act) dz[e] *= silu_slope(normal[e] * scale[e] + shift[e]);
		}
	}
};

template <int Width>
__global__ void __launch_bounds__(kThreads) group_gradient_sums_kernel(Inputs x, Shape s, Gradient<Width> g, float* partial) {
	GPU_SHARED(float2, room, Width * kThreads);
	ChannelSums<Width> sums;
	float normal[Width], dz[Width];
	sums.clear();
	walk_chunk<Width>(
		s,
		[&](int c, int64_t) {
			sums.clear();
			g.begin(s, c);
		},
		[&](int c, int64_t pixel) {
			g.at(s, x, pixel, c, normal, dz);
			GPU_UNROLL
			for (int e = 0; e < Width; e++) {
				sums.first[e] += dz[e];
				sums.second[e] += dz[e] * normal[e];
			}
		},
		[&](int chunk, int c, int line, int lines, int columns, bool there) { sums.store(s, partial, room, chunk, c, line, lines, columns, there); });
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

template <int Width>
__global__ void __launch_bounds__(kThreads) group_input_grad_kernel(Inputs x, Shape s, Gradient<Width> g, const float* group, Typed dx1, Typed dx2) {
	float normal[Width], dz[Width], first[Width], second[Width];
	walk_chunk<Width>(
		s,
		[&](int c, int64_t) {
			g.begin(s, c);
			GPU_UNROLL
			for (int e = 0; e < Width; e++) {
				const int64_t unit = (int64_t)blockIdx.y * s.groups + (c + e) / s.width();
				first[e] = group[2 * unit];
				second[e] = group[2 * unit + 1];
			}
		},
		[&](int c, int64_t pixel) {
			const bool left = c < s.C1;
			const Typed to = choose(left, dx1, dx2);
			if (!to) return;
			g.at(s, x, pixel, c, normal, dz);
			GPU_UNROLL
			for (int e = 0; e < Width; e++) dz[e] = g.inverse[e] * (dz[e] * g.scale[e] - first[e] - normal[e] * second[e]);
			write_piece<Width>(to, left ? pixel * s.C1 + c : pixel * s.C2 + (c - s.C1), dz);
		},
		[](int, int, int, int, int, bool) {});
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
	const Inputs x = {args.at(0), args.at(1)};
	const Typed y = args.at(4);
	float* partial = static_cast<float*>(args.scratch);
	float* moments = partial + partial_floats(s);
	auto launch = [&](auto piece) {
		constexpr int Width = decltype(piece)::value;
		gpu::launch<group_sums_kernel<Width>>(chunk_grid(s), kThreads, 0, context.stream, x, s, partial);
		gpu::launch<group_statistics_kernel>(warps_grid(s), kThreads, 0, context.stream, x, s, static_cast<const float*>(partial), moments, args.ptr(5));
		gpu::launch<group_apply_kernel<Width>>(chunk_grid(s), kThreads, 0, context.stream, x, s, static_cast<const float*>(moments), args.ptr<const float>(2), args.ptr<const float>(3), y);
	};
	if (x.vectors(s) && aligned16(y.data)) launch(std::integral_constant<int, 8>{});
	else launch(std::integral_constant<int, 1>{});
}
int64_t group_norm_scratch(const KernelArgs& args, int) {
	const Shape s = shape_of(args);
	return empty(s) ? 0 : (partial_floats(s) + (int64_t)s.N * s.groups * 2) * (int64_t)sizeof(float);
}

void group_norm_grad(const KernelArgs& args, Context& context) {
	const Shape s = shape_of(args);
	if (empty(s)) return;
	if (s.N > 65535) refuse("group_norm_grad", "at most 65535 pictures are allowed");
	const Inputs x = {args.at(0), args.at(1)};
	const Typed dy = args.at(5), dx1 = args.at(6), dx2 = args.at(7);
	const float* gamma = args.ptr<const float>(2);
	float *partial = static_cast<float*>(args.scratch), *channel = partial + partial_floats(s), *group = channel + (int64_t)s.N * s.channels() * 2;
	auto launch = [&](auto piece) {
		constexpr int Width = decltype(piece)::value;
		Gradient<Width> g = {};
		g.gamma = gamma;
		g.beta = args.ptr<const float>(3);
		g.stats = args.ptr<const float>(4);
		g.dy = dy;
		gpu::launch<group_gradient_sums_kernel<Width>>(chunk_grid(s), kThreads, 0, context.stream, x, s, g, partial);
		gpu::launch<group_channel_kernel>((unsigned)div_up((int64_t)s.N * s.channels(), kThreads), kThreads, 0, context.stream, s, static_cast<const float*>(partial), channel);
		if (args.ptr(8) || args.ptr(9))
			gpu::launch<group_weight_grad_kernel>((unsigned)div_up(s.channels(), kThreads), kThreads, 0, context.stream, s, static_cast<const float*>(channel), args.ptr(8), args.ptr(9));
		if (!dx1 && !dx2) return;
		gpu::launch<group_means_kernel>(warps_grid(s), kThreads, 0, context.stream, s, static_cast<const float*>(channel), gamma, group);
		gpu::launch<group_input_grad_kernel<Width>>(chunk_grid(s), kThreads, 0, context.stream, x, s, g, static_cast<const float*>(group), dx1, dx2);
	};
	if (x.vectors(s) && aligned16(dy.data) && aligned16(dx1.data) && aligned16(dx2.data)) launch(std::integral_constant<int, 8>{});
	else launch(std::integral_constant<int, 1>{});
}
int64_t group_norm_grad_scratch(const KernelArgs& args, int) {
	const Shape s = shape_of(args);
	return empty(s) ? 0 : (partial_floats(s) + (int64_t)s.N * s.channels() * 2 + (int64_t)s.N * s.groups * 2) * (int64_t)sizeof(float);
}

}  // namespace dreamdist::cuda
