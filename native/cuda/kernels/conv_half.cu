// conv2d and its input gradient as implicit products on tensor cores: pictures and weights are of one 16-bit type, or f32 and rounded to tf32
// (conv2d_tf32, conv2d_input_grad_tf32). Sums are f32.
//
// Forward: a row is an output pixel, K walks (tap, channel). Input gradient: a row is an input pixel, K walks (tap, output channel), and
// the same packed weight is read with its rows contiguous. Positions that read different taps are products of their own (blockIdx.z): the
// residues of a stride backward, so that a stride of 2 costs a quarter; and the even and odd pixels of an enlarged picture, whose taps are
// summed when the weight is packed, so that 3x3 after enlarging costs 4/9.
#include <vector>

#include "conv_half.h"
#include "conv_source.h"
#include "hopper.h"
#include "table.h"
#include "tensor_epilogue.h"

namespace dreamdist::cuda {
namespace {

// Rows of a packed weight: one per output channel, K contiguous.
template <class T>
struct FilterRows {
	static constexpr bool kMayBeMisaligned = false;
	static constexpr bool kUnrolled = false;
	const T* data;
	int64_t pitch;
	TapWalk walk;
	int first, count;
	int offset = 0;  // of a stage's first element in a row, less its first k
	static constexpr bool vectors = true;
	__device__ __forceinline__ int offset_of(int k) const {
		const auto step = walk.of(k);
		return walk.weight(step) * walk.padded + step.channel;
	}
	__device__ __forceinline__ void enter(int k0) {
		if (walk.by_stage()) offset = offset_of(k0) - k0;
	}
	__device__ __forceinline__ Chunk<T> chunk(int line, int k, int k_end) const {
		if (first + line >= count || k >= k_end) return {data, 0};
		return {data + (first + line) * pitch + (walk.by_stage() ? offset + k : offset_of(k)), kChunk<T>};
	}
};

// The same weight with its input channels as columns: K walks (tap, output channel).
template <class T>
struct FilterColumns {
	static constexpr bool kMayBeMisaligned = true;
	static constexpr bool kUnrolled = false;
	const T* data;
	int64_t pitch;
	TapWalk walk;
	int padded, outputs;        // input channels rounded up to 8; output channels
	int channel, first, count;  // of the first column; this tile's first column and how many there are
	bool vectors;
	int tap = 0, output = 0;  // of a stage: where its tap is in a row; its first output channel less its first k
	__device__ __forceinline__ void enter(int k0) {
		if (!walk.by_stage()) return;
		const auto step = walk.of(k0);  // its channel is one of the output
		tap = walk.weight(step) * padded;
		output = step.channel - k0;
	}
	__device__ __forceinline__ const T* line(int k) const {
		if (walk.by_stage()) return of_tap(output + k, tap);
		const auto step = walk.of(k);
		return of_tap(step.channel, walk.weight(step) * padded);
	}
	__device__ __forceinline__ const T* of_tap(int o, int at) const { return o < outputs ? data + o * pitch + at + channel + first : nullptr; }
	__device__ __forceinline__ Chunk<T> chunk(int place, int k, int k_end) const {
		const int rest = count - first - place;
		const T* from = k < k_end && rest > 0 ? line(k) : nullptr;
		if (!from) return {data, 0};
		return {from + place, rest < kChunk<T> ? rest : kChunk<T>};
	}
	__device__ __forceinline__ const T* element(int place, int k, int k_end) const {
		const T* from = k < k_end && first + place < count ? line(k) : nullptr;
		return from ? from + place : nullptr;
	}
};

// What both directions have.
template <class T, bool RightK>
struct ConvProblem : TensorProblem<T, true, RightK> {
	Pictures<T> pictures;
	const T* weight;
	int64_t pitch;
	AxisPlan rows, columns;
	bool vectors;
	int padded;  // channels of K rounded up to 8

	__device__ __forceinline__ Positions positions(int which) const { return Positions(rows, columns, which); }
	__device__ __forceinline__ TapWalk walk() const { return {tap_room(), padded}; }
	__device__ __forceinline__ int64_t depth(int which) const { return (int64_t)rows.taps(which / columns.classes) * columns.taps(which % columns.classes) * padded; }
	int64_t largest_depth() const {
		int down = 0, across = 0;
		for (int i = 0; i < rows.classes; i++) down = std::max(down, rows.taps(i));
		for (int i = 0; i < columns.classes; i++) across = std::max(across, columns.taps(i));
		return (int64_t)down * across * padded;
	}
	template <class Tile>
	__device__ __forceinline__ PatchSource<T, Tile::BM, Tile::kThreads> left(int which, int m0) const {
		if (threadIdx.x == 0) {
			tap_room()[0] = rows.axis(which / columns.classes);
			tap_room()[1] = columns.axis(which % columns.classes);
		}
		const PatchSource<T, Tile::BM, Tile::kThreads> source(pictures, positions(which), walk(), m0, this->M, vectors);
		if (!GPU_MUTANT(143)) __syncthreads();  // the taps and the rows' places are there
		return source;
	}
};

template <class T>
struct ForwardProblem : ConvProblem<T, true> {
	TensorEpilogue epilogue;
	template <class Tile>
	__device__ __forceinline__ FilterRows<T> right(int, int n0) const {
		return {this->weight, this->pitch, this->walk(), n0, this->N};
	}
	__device__ __forceinline__ void store(int which, int m, int n, int count, float (&v)[8]) const {
		const Positions positions = this->positions(which);
		const auto place = positions.of(m, this->M);
		if (place.there) epilogue.store(0, positions.index(place), n, count, v);
	}
	__device__ __forceinline__ void store_pair(int, int, int, int, float (&)[8], float (&)[8]) const {}
};

template <class T>
struct InputGradProblem : ConvProblem<T, false> {
	InputGradients gradients;
	int channels_padded;
	template <class Tile>
	__device__ __forceinline__ FilterColumns<T> right(int, int n0) const {
		return {this->weight, this->pitch, this->walk(), channels_padded, this->pictures.C1, gradients.first_channel, n0, this->N, gradients.first_channel % kChunk<T> == 0};
	}
	__device__ __forceinline__ void store(int which, int m, int n, int count, float (&v)[8]) const {
		const Positions positions = this->positions(which);
		const auto place = positions.of(m, this->M);
		if (place.there) gradients.store(positions.index(place), n, count, v);
	}
	__device__ __forceinline__ void store_pair(int, int, int, int, float (&)[8], float (&)[8]) const {}
};

// OIHW → [O][tap][channels rounded up to 8]: of weights that are trained, at each run.
template <class T>
__global__ void __launch_bounds__(256) pack_chunks_kernel(const T* from, T* to, int O, int C, int taps, int padded) {
	const int64_t count = (int64_t)O * taps * padded;
	for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < count; i += (int64_t)gridDim.x * 256) {
		const int c = int(i % padded), tap = int(i / padded % taps);
		const int64_t o = i / padded / taps;
		to[i] = c < C ? from[(o * C + c) * taps + tap] : T{0};
	}
}

int64_t plain_bytes(const Geometry& g, int64_t element) { return g.packed == kPlain ? div_up((int64_t)g.O * g.taps() * round8(g.channels()) * element, 256) * 256 : 0; }

void check_layout(const char* kernel, const Geometry& g) {
	if (g.packed == kPackedRows) refuse(kernel, "tensor cores need a weight that is packed for them");
	if (g.packed == kPackedPhases && (g.scale() != 2 || g.strideH != 1 || g.strideW != 1)) refuse(kernel, "summed taps are for an enlarged picture and a stride of 1");
}

// The weight as the kernels read it; scratch moves past what that takes.
template <class T>
const T* packed_weight(const Geometry& g, const T* weight, void*& scratch, Context& context) {
	if (g.packed != kPlain) return weight;
	T* packed = static_cast<T*>(scratch);
	scratch = static_cast<uint8_t*>(scratch) + plain_bytes(g, sizeof(T));
	const int padded = round8(g.channels());
	gpu::launch<pack_chunks_kernel<T>>(grid_for((int64_t)g.O * g.taps() * padded, 256), 256, 0, context.stream, weight, packed, g.O, g.channels(), g.taps(), padded);
	return packed;
}

template <class Problem>
void set_axes(Problem& p, const Geometry& g, bool backward) {
	p.rows = axis_plan(g, true, backward);
	p.columns = axis_plan(g, false, backward);
	p.batch = p.rows.classes * p.columns.classes;
	const int64_t M = (int64_t)g.N * p.rows.positions() * p.columns.positions();
	if (M >= int64_t(1) << 31) throw Error("the picture is too large for one launch");
	p.M = (int)M;
}

template <class T>
void forward(const KernelArgs& args, Context& context) {
	Geometry g(args);
	check_layout("conv2d", g);
	void* scratch = args.scratch;
	ForwardProblem<T> p = {};
	p.weight = packed_weight(g, args.ptr<const T>(2), scratch, context);
	p.pictures = {args.ptr<const T>(0), args.ptr<const T>(1), g.C1, g.C2, 0, 0, 0};
	set_axes(p, g, false);
	p.pictures.height = p.rows.source;
	p.pictures.width = p.columns.source;
	p.pictures.shift = g.scale() == 2 && g.packed != kPackedPhases ? 1 : 0;
	p.N = g.O;
	p.padded = round8(g.channels());
	p.pitch = (int64_t)taps_held(g) * p.padded;
	p.vectors = g.C1 % kChunk<T> == 0 && g.C2 % kChunk<T> == 0 && aligned16(p.pictures.x1) && aligned16(p.pictures.x2);
	TensorEpilogue& e = p.epilogue;
	e.bias = args.ptr<const float>(3);
	e.channel = args.at(4);
	e.residual = args.at(5);
	e.c = args.at(6);
	e.preact = args.at(7);
	e.N = e.ldc = e.ldr = g.O;
	e.pixels = g.OH * g.OW;
	e.activation = g.activation;
	e.choose_vectors(g.O);
#ifdef DD_HAVE_HOPPER
	if constexpr (!kIsTf32<T>) {
		if (context.hopper && hopper::wanted("conv2d") &&
			hopper::conv2d("conv2d", {args.at(0).dtype, p.pictures.x1, p.pictures.x2, p.weight, hopper::conv_sizes(g, false, {0, g.O}), e, {}, args.choice, scratch}, context))
			return;
	}
#endif
	launch_tensor_product<true>(p, p.largest_depth(), args.choice, context, scratch);
}

template <class T>
void input_grad(const KernelArgs& args, Context& context) {
	Geometry g(args);
	check_layout("conv2d_input_grad", g);
	void* scratch = args.scratch;
	const Wanted columns = wanted(g, args.ptr(2) != nullptr, args.ptr(3) != nullptr);
	InputGradProblem<T> p = {};
	p.weight = packed_weight(g, args.ptr<const T>(1), scratch, context);
	p.pictures = {args.ptr<const T>(0), nullptr, g.O, 0, g.OH, g.OW, 0};
	set_axes(p, g, true);
	p.N = columns.count;
	p.padded = round8(g.O);
	p.channels_padded = round8(g.channels());
	p.pitch = (int64_t)taps_held(g) * p.channels_padded;
	p.vectors = g.O % kChunk<T> == 0 && aligned16(p.pictures.x1);
	InputGradients& to = p.gradients;
	to.dx1 = args.at(2);
	to.dx2 = args.at(3);
	to.C1 = g.C1;
	to.C2 = g.C2;
	to.first_channel = columns.first;
	to.vectors = g.C1 % 8 == 0 && g.C2 % 8 == 0 && aligned16(to.dx1.data) && aligned16(to.dx2.data);
#ifdef DD_HAVE_HOPPER
	if constexpr (!kIsTf32<T>) {
		if (context.hopper && hopper::wanted("conv2d_input_grad") &&
			hopper::conv2d("conv2d_input_grad", {args.at(0).dtype, p.pictures.x1, nullptr, p.weight, hopper::conv_sizes(g, true, columns), {}, to, args.choice, scratch}, context))
			return;
	}
#endif
	launch_tensor_product<true>(p, p.largest_depth(), args.choice, context, scratch);
}

// A problem whose M, batch and depths are those of `g`'s axes.
ForwardProblem<gpu::bf16> axes_of(const Geometry& g, bool backward) {
	ForwardProblem<gpu::bf16> p = {};
	set_axes(p, g, backward);
	p.padded = round8(backward ? g.O : g.channels());
	return p;
}
const char* family(bool backward) { return backward ? "conv2d_input_grad" : "conv2d"; }
template <bool Tf32>
int64_t product_bytes(const Geometry& g, bool backward, Wanted columns, TileChoice choice) {
	const auto p = axes_of(g, backward);
	const int64_t bytes = tensor_parts_bytes(p.M, columns.count, p.largest_depth(), p.batch, true, choice);
	if (Tf32 || !hopper::wanted(family(backward))) return bytes;
	// Addresses are not known yet: room for either kernel.
	const hopper::ConvSizes sizes = hopper::conv_sizes(g, backward, columns);
	return hopper::why_not(sizes, choice) ? bytes : std::max(bytes, hopper::conv_parts_bytes(sizes, choice));
}
template <bool Tf32>
void product_choices(const Geometry& g, bool backward, Wanted columns, std::vector<TileChoice>& choices) {
	if (g.packed == kPackedRows) return;
	const auto p = axes_of(g, backward);
	tensor_choices(p.M, columns.count, p.largest_depth(), p.batch, true, choices);
	if (Tf32 || !hopper::wanted(family(backward))) return;
	const hopper::ConvSizes sizes = hopper::conv_sizes(g, backward, columns);
	if (!hopper::why_not(sizes)) hopper::choices((int64_t)sizes.tiles().count() * hopper::kTileRows, sizes.N, sizes.depth(), sizes.batch(), choices);
}

template <bool Tf32>
int64_t forward_scratch(const KernelArgs& args) {
	const Geometry g(args);
	return g.packed == kPackedRows ? 0 : plain_bytes(g, Tf32 ? 4 : 2) + product_bytes<Tf32>(g, false, {0, g.O}, args.choice);
}
template <bool Tf32>
int64_t input_grad_scratch(const KernelArgs& args) {
	const Geometry g(args);
	if (g.packed == kPackedRows) return 0;
	// Which halves are wanted is not known here: room for any choice.
	int64_t bytes = 0;
	for (int half = 1; half <= 3; half++) {
		const Wanted columns = wanted(g, half & 1, half & 2);
		if (columns.count > 0) bytes = std::max(bytes, product_bytes<Tf32>(g, true, columns, args.choice));
	}
	return plain_bytes(g, Tf32 ? 4 : 2) + bytes;
}

}  // namespace

void conv2d_half(const KernelArgs& args, Context& context) {
	if (args.at(0).dtype == DType::bf16) forward<gpu::bf16>(args, context);
	else forward<gpu::f16>(args, context);
}
int64_t conv2d_half_scratch(const KernelArgs& args) { return forward_scratch<false>(args); }
void conv2d_half_choices(const KernelArgs& args, std::vector<TileChoice>& choices) {
	const Geometry g(args);
	product_choices<false>(g, false, {0, g.O}, choices);
}

void conv2d_input_grad_half(const KernelArgs& args, Context& context) {
	if (args.at(0).dtype == DType::bf16) input_grad<gpu::bf16>(args, context);
	else input_grad<gpu::f16>(args, context);
}
int64_t conv2d_input_grad_half_scratch(const KernelArgs& args) { return input_grad_scratch<false>(args); }
void conv2d_input_grad_half_choices(const KernelArgs& args, std::vector<TileChoice>& choices) {
	const Geometry g(args);
	product_choices<false>(g, true, wanted(g, bool(args.at(2)), bool(args.at(3))), choices);
}

void check_f32(const char* kernel, const KernelArgs& args, std::initializer_list<int> operands) {
	for (int operand : operands)
		if (args.at(operand) && args.at(operand).dtype != DType::f32) refuse(kernel, std::string("its operands are f32, not ") + name_of(args.at(operand).dtype));
}

void conv2d_tf32(const KernelArgs& args, Context& context) {
	const Geometry g(args);
	if (g.outputs() * g.O == 0) return;
	if (g.activation == kGeglu) refuse("conv2d_tf32", "geglu is an activation of matmul only");
	check_f32("conv2d_tf32", args, {0, 1, 2});
	forward<float>(args, context);
}
int64_t conv2d_tf32_scratch(const KernelArgs& args, int) {
	const Geometry g(args);
	return g.outputs() * g.O == 0 ? 0 : forward_scratch<true>(args);
}
void conv2d_tf32_choices(const KernelArgs& args, std::vector<TileChoice>& choices) {
	const Geometry g(args);
	if (g.outputs() * g.O > 0) product_choices<true>(g, false, {0, g.O}, choices);
}

void conv2d_input_grad_tf32(const KernelArgs& args, Context& context) {
	const Geometry g(args);
	if (g.inputs() == 0 || wanted(g, bool(args.at(2)), bool(args.at(3))).count == 0) return;
	check_f32("conv2d_input_grad_tf32", args, {0, 1});
	input_grad<float>(args, context);
}
int64_t conv2d_input_grad_tf32_scratch(const KernelArgs& args, int) { return Geometry(args).inputs() == 0 ? 0 : input_grad_scratch<true>(args); }
void conv2d_input_grad_tf32_choices(const KernelArgs& args, std::vector<TileChoice>& choices) {
	const Geometry g(args);
	const Wanted columns = wanted(g, bool(args.at(2)), bool(args.at(3)));
	if (g.inputs() > 0 && columns.count > 0) product_choices<true>(g, true, columns, choices);
}

int64_t conv2d_chunks_bytes(DType type, int64_t O, int64_t I, int64_t kh, int64_t kw, bool phases) {
	const int64_t taps = phases ? 4 * phase_sums((int)kh) * phase_sums((int)kw) : kh * kw;
	return O * taps * round8(I) * bytes_of(type);
}

template <class T>
static void pack_filters(const T* source, int64_t O, int64_t I, int64_t kh, int64_t kw, bool phases, T* packed, ThreadTeam& team) {
	const int64_t padded = round8(I), sums_h = phase_sums((int)kh), sums_w = phase_sums((int)kw), taps = phases ? 4 * sums_h * sums_w : kh * kw;
	team.parallel_for(O, 1, [&](int64_t begin, int64_t end, int) {
		std::vector<float> sum(I);
		for (int64_t o = begin; o < end; o++) {
			const T* from = source + o * I * kh * kw;
			T* to = packed + o * taps * padded;
			for (int64_t tap = 0; tap < taps; tap++, to += padded) {
				std::memset(static_cast<void*>(to), 0, padded * sizeof(T));
				if (!phases) {
					for (int64_t c = 0; c < I; c++) to[c] = from[c * kh * kw + tap];
					continue;
				}
				// Rows 2g − phase and the next one, of those that there are; summed before they are rounded.
				const int64_t phase_y = tap / (2 * sums_h * sums_w), phase_x = tap / (sums_h * sums_w) % 2, y = tap / sums_w % sums_h, x = tap % sums_w;
				std::fill(sum.begin(), sum.end(), 0.0f);
				for (int64_t r = std::max<int64_t>(2 * y - phase_y, 0); r < std::min(2 * y - phase_y + 2, kh); r++)
					for (int64_t s = std::max<int64_t>(2 * x - phase_x, 0); s < std::min(2 * x - phase_x + 2, kw); s++)
						for (int64_t c = 0; c < I; c++) sum[c] += gpu::to_float(from[(c * kh + r) * kw + s]);
				for (int64_t c = 0; c < I; c++) to[c] = gpu::from_float<T>(sum[c]);
			}
		}
	});
}
void conv2d_pack_chunks(const void* source, DType type, int64_t O, int64_t I, int64_t kh, int64_t kw, bool phases, void* packed, ThreadTeam& team) {
	if (type == DType::bf16) pack_filters(static_cast<const gpu::bf16*>(source), O, I, kh, kw, phases, static_cast<gpu::bf16*>(packed), team);
	else if (type == DType::f16) pack_filters(static_cast<const gpu::f16*>(source), O, I, kh, kw, phases, static_cast<gpu::f16*>(packed), team);
	else if (type == DType::f32) pack_filters(static_cast<const float*>(source), O, I, kh, kw, phases, static_cast<float*>(packed), team);
	else throw Error("weights for tensor cores are f32, f16 or bf16");
}

}  // namespace dreamdist::cuda
