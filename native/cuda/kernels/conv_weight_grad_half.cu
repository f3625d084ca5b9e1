// conv2d_weight_grad with pictures and gradients of one 16-bit type, or f32 rounded to tf32 (conv2d_weight_grad_tf32), as an implicit product
// on tensor cores: a row is an output channel, a column (tap, input channel rounded up to 8), and K walks the output pixels, cut into
// parts that are added in order. The result is f32.
#include "conv_half.h"
#include "conv_source.h"
#include "table.h"

namespace dreamdist::cuda {
namespace {

// Gradients [pixel][O]: O is contiguous.
template <class T>
struct GradientColumns {
	static constexpr bool kMayBeMisaligned = true;
	static constexpr bool kUnrolled = false;
	const T* data;
	int outputs, first;
	bool vectors;
	__device__ __forceinline__ Chunk<T> chunk(int place, int k, int k_end) const {
		const int rest = outputs - first - place;
		if (k >= k_end || rest <= 0) return {data, 0};
		return {data + (int64_t)k * outputs + first + place, rest < kChunk<T> ? rest : kChunk<T>};
	}
	__device__ __forceinline__ const T* element(int place, int k, int k_end) const {
		return k < k_end && first + place < outputs ? data + (int64_t)k * outputs + first + place : nullptr;
	}
};

// Patches [pixel][tap, channel]: the channels of a tap are contiguous.
template <class T>
struct PatchColumns {
	static constexpr bool kMayBeMisaligned = true;
	static constexpr bool kUnrolled = false;
	Pictures<T> pictures;
	Geometry g;
	int padded, first, columns;
	bool vectors;
	__device__ __forceinline__ const T* at(int place, int k, int k_end) const {
		const int column = first + place, tap = column / padded, c = column - tap * padded;
		const int j = k % g.OW, i = k / g.OW % g.OH;
		const int h = i * g.strideH - g.padTop + tap / g.kw, w = j * g.strideW - g.padLeft + tap % g.kw;
		const bool there = k < k_end && column < columns && c < pictures.channels() && h >= 0 && w >= 0 && h < pictures.height && w < pictures.width;
		return there ? pictures.at(k / g.OW / g.OH, h, w, c) : nullptr;
	}
	__device__ __forceinline__ Chunk<T> chunk(int place, int k, int k_end) const {
		const T* from = at(place, k, k_end);
		return from ? Chunk<T>{from, kChunk<T>} : Chunk<T>{pictures.x1, 0};
	}
	__device__ __forceinline__ const T* element(int place, int k, int k_end) const { return at(place, k, k_end); }
};

template <class T>
struct WeightGradProblem : TensorProblem<T, false, false> {
	Pictures<T> pictures;
	const T* dy;
	float* dw;
	Geometry g;
	int pixels, padded;
	bool x_vectors, dy_vectors;
	__device__ __forceinline__ int64_t depth(int) const { return pixels; }
	template <class Tile>
	__device__ __forceinline__ GradientColumns<T> left(int, int m0) const {
		return {dy, g.O, m0, dy_vectors};
	}
	template <class Tile>
	__device__ __forceinline__ PatchColumns<T> right(int, int n0) const {
		return {pictures, g, padded, n0, this->N, x_vectors};
	}
	// Eight columns are of one tap.
	__device__ __forceinline__ void store(int, int m, int n, int, float (&v)[8]) const {
		const int tap = n / padded, c = n - tap * padded, C = g.channels();
		GPU_UNROLL
		for (int e = 0; e < 8; e++)
			if (c + e < C) dw[((int64_t)m * C + c + e) * g.taps() + tap] = v[e];
	}
	__device__ __forceinline__ void store_pair(int, int, int, int, float (&)[8], float (&)[8]) const {}
};

template <class T>
void weight_grad(const KernelArgs& args, Context& context) {
	const Geometry g(args);
	if (g.outputs() >= (int64_t(1) << 31) - kDepth) throw Error("the picture is too large for one launch");
	WeightGradProblem<T> p = {};
	p.pictures = {args.ptr<const T>(0), args.ptr<const T>(1), g.C1, g.C2, g.H * g.scale(), g.W * g.scale(), g.scale() - 1};
	p.dy = args.ptr<const T>(2);
	p.dw = args.ptr(3);
	p.g = g;
	p.pixels = (int)g.outputs();
	p.padded = round8(g.channels());
	p.batch = 1;
	p.M = g.O;
	p.N = g.taps() * p.padded;
	p.x_vectors = g.C1 % kChunk<T> == 0 && g.C2 % kChunk<T> == 0 && aligned16(p.pictures.x1) && aligned16(p.pictures.x2);
	p.dy_vectors = g.O % kChunk<T> == 0 && aligned16(p.dy);
	launch_tensor_product<false>(p, p.pixels, args.choice, context, args.scratch);
}

}  // namespace

void conv2d_weight_grad_half(const KernelArgs& args, Context& context) {
	if (args.at(2).dtype == DType::bf16) weight_grad<gpu::bf16>(args, context);
	else weight_grad<gpu::f16>(args, context);
}
int64_t conv2d_weight_grad_half_scratch(const KernelArgs& args) {
	const Geometry g(args);
	return tensor_parts_bytes(g.O, (int64_t)g.taps() * round8(g.channels()), g.outputs(), 1, false, args.choice);
}
void conv2d_weight_grad_half_choices(const KernelArgs& args, std::vector<TileChoice>& choices) {
	const Geometry g(args);
	tensor_choices(g.O, (int64_t)g.taps() * round8(g.channels()), g.outputs(), 1, false, choices);
}

static bool is_empty(const Geometry& g) { return g.O == 0 || g.taps() * g.channels() == 0; }

void conv2d_weight_grad_tf32(const KernelArgs& args, Context& context) {
	if (is_empty(Geometry(args))) return;
	check_f32("conv2d_weight_grad_tf32", args, {0, 1, 2});
	weight_grad<float>(args, context);
}
int64_t conv2d_weight_grad_tf32_scratch(const KernelArgs& args, int) { return is_empty(Geometry(args)) ? 0 : conv2d_weight_grad_half_scratch(args); }
void conv2d_weight_grad_tf32_choices(const KernelArgs& args, std::vector<TileChoice>& choices) {
	if (!is_empty(Geometry(args))) conv2d_weight_grad_half_choices(args, choices);
}

}  // namespace dreamdist::cuda
