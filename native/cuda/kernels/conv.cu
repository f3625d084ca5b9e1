// conv2d, its input gradient and its weight gradient as implicit products over NHWC pictures, in f32 on CUDA cores.
//
// Forward: a row is an output pixel, K walks (tap, channel); the loader computes each element's address, so that padding, strides,
// nearest enlargement and inputs side by side are only addresses. Input gradient: a row is an input pixel and K walks (tap, output
// channel); of an enlarged picture, the four enlarged pixels too. Weight gradient: a row is an output channel, a column (tap, channel),
// and K walks the pixels. A packed weight is [O][tap][channel], rows padded to 16 bytes, for the first two alike.
#include <cstring>

#include "conv_geometry.h"
#include "conv_half.h"
#include "epilogue.h"
#include "table.h"
#include "tile_gemm.h"

namespace dreamdist::cuda {
namespace {

// Strides of a weight in elements: of output channels, taps and input channels.
struct WeightStrides {
	int64_t output, tap, channel;
};
int64_t padded_row(DType type, int64_t columns) {
	const int64_t multiple = 16 / bytes_of(type);
	return div_up(columns, multiple) * multiple;
}
WeightStrides weight_strides(const Geometry& g, DType type) {
	if (g.packed) return {padded_row(type, (int64_t)g.taps() * g.channels()), g.channels(), 1};
	return {(int64_t)g.channels() * g.taps(), 1, g.taps()};
}

// Where the pixels of a tile's rows are, in shared memory: picture, and the row and column that tap (0, 0) reads.
struct TilePixels {
	int *picture, *top, *left;
	__device__ TilePixels(int* room, int count) : picture(room), top(room + count), left(room + 2 * count) {}
	// `m` counts pixels of N pictures of height x width; rows past `count` get a place outside every picture.
	__device__ __forceinline__ void set(int r, int64_t m, int64_t count, int height, int width, int strideH, int strideW, int padTop, int padLeft) {
		const bool there = m < count;
		const int pixel = there ? (int)m : 0;
		left[r] = there ? pixel % width * strideW - padLeft : -(1 << 28);
		top[r] = pixel / width % height * strideH - padTop;
		picture[r] = pixel / width / height;
	}
};

// Rows of patches: element (row, k) is channel k % C of tap k / C.
template <int Count, int Threads>
struct PatchLoader {
	const float *x1, *x2;
	const Geometry& g;
	TilePixels pixels;
	bool vectors;
	__device__ __forceinline__ void issue(float* stage, int64_t k0, int64_t k_end) {
		const int width = vectors ? 4 : 1, per_row = kStep / width, C = g.channels();
		GPU_NO_UNROLL
		for (int i = threadIdx.x; i < Count * per_row; i += Threads) {
			const int r = i / per_row, k = i % per_row * width, at = (int)k0 + k, tap = at / C, c = at - tap * C;
			const int h = pixels.top[r] + tap / g.kw, w = pixels.left[r] + tap % g.kw;
			const bool valid = k0 + k < k_end && h >= 0 && w >= 0 && h < g.H * g.scale() + (GPU_MUTANT(104) ? 1 : 0) && w < g.W * g.scale();
			const float* from = x1;
			if (valid) {
				const int64_t pixel = ((int64_t)pixels.picture[r] * g.H + h / g.scale()) * g.W + w / g.scale();
				from = c < g.C1 ? x1 + pixel * g.C1 + c : x2 + pixel * g.C2 + (c - g.C1);
			}
			if (vectors) gpu::copy_async16(stage + r * kPitch + k, from, valid);
			else gpu::copy_async4(stage + r * kPitch + k, from, valid);
		}
	}
};

// A weight by strides: element (row, k) is at row · row_stride + k / inner · outer_stride + k % inner · inner_stride.
template <class T, int Count, int Threads>
struct WeightLoader {
	const T* data;
	int first, rows, inner, outers;
	int64_t row_stride, outer_stride, inner_stride;
	__device__ __forceinline__ void issue(float* stage, int64_t k0, int64_t k_end) {
		GPU_NO_UNROLL
		for (int i = threadIdx.x; i < Count * kStep; i += Threads) {
			const int r = i % Count, k = i / Count, at = (int)k0 + k, outer = at / inner;
			const bool valid = first + r < rows && k0 + k < k_end;
			issue_element(stage + r * kPitch + k, data + (valid ? (first + r) * row_stride + outer % outers * outer_stride + (at - outer * inner) * inner_stride : 0), valid);
		}
	}
};

template <class B>
struct ForwardProblem {
	const float *x1, *x2;
	const B* weight;
	WeightStrides strides;
	Geometry g;
	int batch, M, N;
	int64_t K;
	bool pairs, x_vectors, w_vectors;
	SplitK split;
	float* partial;
	Epilogue epilogue;

	template <class T>
	__device__ __forceinline__ int64_t column_of(int n0, int tile_column) const {
		return n0 + tile_column < N ? n0 + tile_column : -1;
	}
	template <class T>
	__device__ __forceinline__ void multiply(float* shared, int m0, int n0, int, int64_t k_begin, int64_t k_end, float (&total)[T::TM][T::TN]) const {
		GPU_SHARED(int, room, 3 * T::BM);
		TilePixels pixels(room, T::BM);
		for (int r = threadIdx.x; r < T::BM; r += T::kThreads) pixels.set(r, (int64_t)m0 + r, M, g.OH, g.OW, g.strideH, g.strideW, g.padTop, g.padLeft);
		if (!GPU_MUTANT(105)) __syncthreads();
		PatchLoader<T::BM, T::kThreads> left{x1, x2, g, pixels, x_vectors};
		if (strides.channel == 1) {
			auto right = matrix_loader<B, T::BN, T::kThreads>(weight, strides.output, false, w_vectors, [&](int r) { return this->column_of<T>(n0, r); });
			multiply_tile<T>(left, right, shared, k_begin, k_end, total);
		} else {
			WeightLoader<B, T::BN, T::kThreads> right{weight, n0, N, g.channels(), g.taps(), strides.output, strides.tap, strides.channel};
			multiply_tile<T>(left, right, shared, k_begin, k_end, total);
		}
	}
	__device__ __forceinline__ void store(int batch_index, int m, int64_t n, float sum) const { epilogue.store(batch_index, m, n, sum); }
	__device__ __forceinline__ void store_pair(int, int, int64_t, float, float) const {}
};

// Rows of gradients that reach an input pixel: element (row, k) is output channel k % O of the pixel that reads this one through tap
// k / O % taps, of the enlarged pixel k / O / taps.
template <int Count, int Threads>
struct GradientLoader {
	const float* dy;
	const Geometry& g;
	TilePixels pixels;
	bool vectors;
	__device__ __forceinline__ void issue(float* stage, int64_t k0, int64_t k_end) {
		const int width = vectors ? 4 : 1, per_row = kStep / width;
		GPU_NO_UNROLL
		for (int i = threadIdx.x; i < Count * per_row; i += Threads) {
			const int r = i / per_row, k = i % per_row * width, at = (int)k0 + k, reader = at / g.O, o = at - reader * g.O;
			const int tap = reader % g.taps(), phase = reader / g.taps();
			const int h = pixels.top[r] + phase / 2 - tap / g.kw, w = pixels.left[r] + phase % 2 - tap % g.kw, oh = h / g.strideH, ow = w / g.strideW;
			const bool valid = k0 + k < k_end && h >= 0 && w >= 0 && oh * g.strideH == h && ow * g.strideW == w && oh < g.OH && ow < g.OW;
			const float* from = valid ? dy + (((int64_t)pixels.picture[r] * g.OH + oh) * g.OW + ow) * g.O + o : dy;
			if (vectors) gpu::copy_async16(stage + r * kPitch + k, from, valid);
			else gpu::copy_async4(stage + r * kPitch + k, from, valid);
		}
	}
};

template <class B>
struct InputGradProblem {
	const float* dy;
	const B* weight;
	float *dx1, *dx2;
	WeightStrides strides;
	Geometry g;
	int batch, M, N;
	int64_t K;
	bool pairs, dy_vectors;
	int first_channel;  // columns are channels from here on: a half whose gradient nobody wants is not computed
	SplitK split;
	float* partial;

	template <class T>
	__device__ __forceinline__ int64_t column_of(int n0, int tile_column) const {
		return n0 + tile_column < N ? n0 + tile_column : -1;
	}
	template <class T>
	__device__ __forceinline__ void multiply(float* shared, int m0, int n0, int, int64_t k_begin, int64_t k_end, float (&total)[T::TM][T::TN]) const {
		GPU_SHARED(int, room, 3 * T::BM);
		TilePixels pixels(room, T::BM);
		for (int r = threadIdx.x; r < T::BM; r += T::kThreads) pixels.set(r, (int64_t)m0 + r, M, g.H, g.W, g.scale(), g.scale(), -g.padTop, -g.padLeft);
		__syncthreads();
		GradientLoader<T::BM, T::kThreads> left{dy, g, pixels, dy_vectors};
		WeightLoader<B, T::BN, T::kThreads> right{weight + first_channel * strides.channel, n0, N, g.O, g.taps(), strides.channel, strides.tap, strides.output};
		multiply_tile<T>(left, right, shared, k_begin, k_end, total);
	}
	__device__ __forceinline__ void store(int, int m, int64_t n, float sum) const {
		const int c = first_channel + (int)n;
		if (c < g.C1) dx1[(int64_t)m * g.C1 + c] = sum;
		else dx2[(int64_t)m * g.C2 + (c - g.C1)] = sum;
	}
	__device__ __forceinline__ void store_pair(int, int, int64_t, float, float) const {}
};

// Columns of patches: element (row = (tap, channel), k) is that of output pixel k.
template <int Count, int Threads>
struct PatchColumnLoader {
	const float *x1, *x2;
	const Geometry& g;
	int first, rows;
	__device__ __forceinline__ void issue(float* stage, int64_t k0, int64_t k_end) {
		const int C = g.channels();
		GPU_NO_UNROLL
		for (int i = threadIdx.x; i < Count * kStep; i += Threads) {
			const int r = i % Count, k = i / Count, at = first + r, tap = at / C, c = at - tap * C, pixel = (int)k0 + k;
			const int h = pixel / g.OW % g.OH * g.strideH - g.padTop + tap / g.kw, w = pixel % g.OW * g.strideW - g.padLeft + tap % g.kw;
			const bool valid = at < rows && k0 + k < k_end && h >= 0 && w >= 0 && h < g.H * g.scale() && w < g.W * g.scale();
			const float* from = x1;
			if (valid) {
				const int64_t input = ((int64_t)(pixel / g.OW / g.OH) * g.H + h / g.scale()) * g.W + w / g.scale();
				from = c < g.C1 ? x1 + input * g.C1 + c : x2 + input * g.C2 + (c - g.C1);
			}
			gpu::copy_async4(stage + r * kPitch + k, from, valid);
		}
	}
};

struct WeightGradProblem {
	const float *x1, *x2, *dy;
	float* dw;
	Geometry g;
	int batch, M, N;
	int64_t K;
	bool pairs;
	SplitK split;
	float* partial;

	template <class T>
	__device__ __forceinline__ int64_t column_of(int n0, int tile_column) const {
		return n0 + tile_column < N ? n0 + tile_column : -1;
	}
	template <class T>
	__device__ __forceinline__ void multiply(float* shared, int m0, int n0, int, int64_t k_begin, int64_t k_end, float (&total)[T::TM][T::TN]) const {
		auto left = matrix_loader<float, T::BM, T::kThreads>(dy, g.O, true, false, [&](int r) -> int64_t { return m0 + r < M ? m0 + r : -1; });
		PatchColumnLoader<T::BN, T::kThreads> right{x1, x2, g, n0, N};
		multiply_tile<T>(left, right, shared, k_begin, k_end, total);
	}
	__device__ __forceinline__ void store(int, int m, int64_t n, float sum) const {
		const int C = g.channels(), tap = (int)n / C, c = (int)n - tap * C;
		dw[((int64_t)m * C + c) * g.taps() + tap] = sum;
	}
	__device__ __forceinline__ void store_pair(int, int, int64_t, float, float) const {}
};

template <class Problem>
Problem problem_of(const Geometry& g, int64_t M, int64_t N, int64_t K) {
	Problem p = {};
	p.g = g;
	p.batch = 1;
	p.M = (int)M;
	p.N = (int)N;
	p.K = K;
	p.pairs = false;
	return p;
}

// Whether a picture is of a 16-bit type; then the other operand must be of the same.
bool is_half(const char* kernel, const Operand& picture, const Operand& other) {
	if (picture.dtype != DType::f16 && picture.dtype != DType::bf16) return false;
	if (other.dtype != picture.dtype) refuse(kernel, std::string("the picture is ") + name_of(picture.dtype) + ", so the other operand must be too (it is " + name_of(other.dtype) + ")");
	return true;
}

}  // namespace

void conv2d(const KernelArgs& args, Context& context) {
	const Geometry g(args);
	if (g.outputs() * g.O == 0) return;
	if (g.activation == kGeglu) refuse("conv2d", "geglu is an activation of matmul only");
	const Operand weight = args.at(2);
	if (is_half("conv2d", args.at(0), weight)) return conv2d_half(args, context);
	with_float_type("conv2d", weight.dtype, [&](auto element) {
		using B = decltype(element);
		auto p = problem_of<ForwardProblem<B>>(g, g.outputs(), g.O, (int64_t)g.taps() * g.channels());
		p.x1 = args.ptr<const float>(0);
		p.x2 = args.ptr<const float>(1);
		p.weight = weight.as<const B>();
		p.strides = weight_strides(g, weight.dtype);
		p.x_vectors = g.C1 % 4 == 0 && g.C2 % 4 == 0 && aligned16(p.x1) && aligned16(p.x2);
		p.w_vectors = g.packed && weight.dtype == DType::f32 && p.K % 4 == 0 && aligned16(p.weight);
		p.epilogue = {args.ptr<const float>(3), args.ptr<const float>(4), args.ptr<const float>(5), args.ptr(6), args.ptr(7), g.outputs(), g.O, g.O, g.O, 0, 0, g.OH * g.OW,
					  g.activation, 1.0f};
		launch_product(p, args, context);
	});
}
int64_t conv2d_scratch(const KernelArgs& args, int) {
	const Geometry g(args);
	if (g.outputs() * g.O == 0) return 0;
	// Of which type the operands are is not known here: room for either.
	return std::max(parts_bytes(g.outputs(), g.O, (int64_t)g.taps() * g.channels(), 1, args.choice), conv2d_half_scratch(args));
}

void conv2d_choices(const KernelArgs& args, std::vector<TileChoice>& choices) {
	const Geometry g(args);
	if (g.outputs() * g.O == 0) return;
	if (bytes_of(args.at(0).dtype) == 2) conv2d_half_choices(args, choices);
	else product_choices(g.outputs(), g.O, (int64_t)g.taps() * g.channels(), 1, choices);
}

void conv2d_input_grad(const KernelArgs& args, Context& context) {
	const Geometry g(args);
	const Wanted columns = wanted(g, args.ptr(2) != nullptr, args.ptr(3) != nullptr);
	if (g.inputs() == 0 || columns.count == 0) return;
	const Operand weight = args.at(1);
	if (is_half("conv2d_input_grad", args.at(0), weight)) return conv2d_input_grad_half(args, context);
	const int phases = g.scale() * g.scale();
	with_float_type("conv2d_input_grad", weight.dtype, [&](auto element) {
		using B = decltype(element);
		auto p = problem_of<InputGradProblem<B>>(g, g.inputs(), columns.count, (int64_t)phases * g.taps() * g.O);
		p.dy = args.ptr<const float>(0);
		p.weight = weight.as<const B>();
		p.dx1 = args.ptr(2);
		p.dx2 = args.ptr(3);
		p.first_channel = columns.first;
		p.strides = weight_strides(g, weight.dtype);
		p.dy_vectors = g.O % 4 == 0 && aligned16(p.dy);
		launch_product(p, args, context);
	});
}
int64_t conv2d_input_grad_scratch(const KernelArgs& args, int) {
	// Which halves are wanted is not known here: room for any choice.
	const Geometry g(args);
	const int64_t K = (int64_t)g.scale() * g.scale() * g.taps() * g.O;
	int64_t bytes = 0;
	if (g.inputs() == 0) return 0;
	for (int half = 1; half <= 3; half++) {
		const int count = wanted(g, half & 1, half & 2).count;
		if (count > 0) bytes = std::max(bytes, parts_bytes(g.inputs(), count, K, 1, args.choice));
	}
	return std::max(bytes, conv2d_input_grad_half_scratch(args));
}

void conv2d_input_grad_choices(const KernelArgs& args, std::vector<TileChoice>& choices) {
	const Geometry g(args);
	const Wanted columns = wanted(g, bool(args.at(2)), bool(args.at(3)));
	if (g.inputs() == 0 || columns.count == 0) return;
	if (bytes_of(args.at(0).dtype) == 2) conv2d_input_grad_half_choices(args, choices);
	else product_choices(g.inputs(), columns.count, (int64_t)g.scale() * g.scale() * g.taps() * g.O, 1, choices);
}

void conv2d_weight_grad(const KernelArgs& args, Context& context) {
	const Geometry g(args);
	const int64_t columns = (int64_t)g.taps() * g.channels();
	if (g.O == 0 || columns == 0) return;
	if (is_half("conv2d_weight_grad", args.at(2), args.at(0))) return conv2d_weight_grad_half(args, context);
	auto p = problem_of<WeightGradProblem>(g, g.O, columns, g.outputs());
	p.x1 = args.ptr<const float>(0);
	p.x2 = args.ptr<const float>(1);
	p.dy = args.ptr<const float>(2);
	p.dw = args.ptr(3);
	launch_product(p, args, context);
}
int64_t conv2d_weight_grad_scratch(const KernelArgs& args, int) {
	const Geometry g(args);
	const int64_t columns = (int64_t)g.taps() * g.channels();
	return g.O == 0 || columns == 0 ? 0 : std::max(parts_bytes(g.O, columns, g.outputs(), 1, args.choice), conv2d_weight_grad_half_scratch(args));
}

void conv2d_weight_grad_choices(const KernelArgs& args, std::vector<TileChoice>& choices) {
	const Geometry g(args);
	const int64_t columns = (int64_t)g.taps() * g.channels();
	if (g.O == 0 || columns == 0) return;
	if (bytes_of(args.at(2).dtype) == 2) conv2d_weight_grad_half_choices(args, choices);
	else product_choices(g.O, columns, g.outputs(), 1, choices);
}

// With a sixth integer, 1, the weight is packed for tensor cores.
static bool for_tensor_cores(std::span<const int64_t> ints) { return ints.size() > 5 && ints[5] == 1; }

int64_t conv2d_packed_bytes(DType type, std::span<const int64_t> ints) {
	if (for_tensor_cores(ints)) return conv2d_chunks_bytes(type, ints[0], ints[1], ints[2], ints[3], ints[4] == 2);
	return ints[0] * padded_row(type, ints[1] * ints[2] * ints[3]) * bytes_of(type);
}

// OIHW → [O][tap][I].
void conv2d_pack(const void* source, DType type, std::span<const int64_t> ints, void* packed, ThreadTeam& team) {
	if (for_tensor_cores(ints)) return conv2d_pack_chunks(source, type, ints[0], ints[1], ints[2], ints[3], ints[4] == 2, packed, team);
	const int64_t O = ints[0], I = ints[1], taps = ints[2] * ints[3], pitch = padded_row(type, I * taps);
	auto run = [&](auto element) {
		using T = decltype(element);
		team.parallel_for(O, 1, [&](int64_t begin, int64_t end, int) {
			for (int64_t o = begin; o < end; o++) {
				const T* from = static_cast<const T*>(source) + o * I * taps;
				T* to = static_cast<T*>(packed) + o * pitch;
				for (int64_t tap = 0; tap < taps; tap++)
					for (int64_t c = 0; c < I; c++) to[tap * I + c] = from[c * taps + tap];
				std::memset(to + I * taps, 0, (pitch - I * taps) * sizeof(T));
			}
		});
	};
	if (bytes_of(type) == 2) run(uint16_t{});
	else run(uint32_t{});
}

}  // namespace dreamdist::cuda
