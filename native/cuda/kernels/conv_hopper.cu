// conv2d and its input gradient in 16 bits on sm_90a, as implicit products (hopper_product.h). A row of the left operand is a position, its K
// one tap's 64 channels: a box of the picture, copied by TMA with zeros outside (hopper_conv_plan.h has the boxes, and why they are boxes).
// The weight is the packed one of the sm_80 kernels, read with K contiguous forward and with input channels contiguous backward.
#include "hopper_product.h"

namespace dreamdist::cuda::hopper {
namespace {

template <class T, bool Backward>
struct ConvProblem : TensorProblem<T, true, !Backward> {
	TensorMap first, second, weight;
	ConvFetch boxes;
	uint32_t fetched_bytes;
	bool two_halves;

	__device__ __forceinline__ int steps(int which) const { return boxes.steps(which); }
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
	__device__ __forceinline__ void prefetch() const {
		prefetch_map(first);
		if (two_halves) prefetch_map(second);
		prefetch_map(weight);
	}
	template <class Right>
	__device__ __forceinline__ void fetch(unsigned char* left, unsigned char* right, uint64_t* arrived, int which, int row_tile, int n0, int step) const {
		boxes.template fetch<Right>(
			which, row_tile, n0, step, [&](int at, auto... place) { copy_box(left + at, first, arrived, place...); },
			[&](int at, auto... place) { copy_box(left + at, second, arrived, place...); }, [&](int at, auto... place) { copy_box(right + at, weight, arrived, place...); });
	}
#endif
	__device__ __forceinline__ void store_pair(int, int, int, int, float (&)[8], float (&)[8]) const {}
};

template <class T>
struct ForwardProblem : ConvProblem<T, false> {
	TensorEpilogue epilogue;
	__device__ __forceinline__ void store(int which, int m, int n, int count, float (&v)[8]) const {
		const int64_t position = this->boxes.position(which, m);
		if (position >= 0) epilogue.store(0, position, n, count, v);
	}
};

template <class T>
struct InputGradProblem : ConvProblem<T, true> {
	InputGradients gradients;
	__device__ __forceinline__ void store(int which, int m, int n, int count, float (&v)[8]) const {
		const int64_t position = this->boxes.position(which, m);
		if (position >= 0) gradients.store(position, n, count, v);
	}
};

template <TileKind Kind, class Problem>
void launch(Problem& p, const ConvCall& call, Context& context) {
	using B = Block<Kind, Problem::kRightK>;
	p.weight = make_map(weight_box(call.sizes, B::kColumns, B::Right::kLineRows), call.type, call.weight);
	p.fetched_bytes = picture_box(call.sizes, call.sizes.C1).bytes() + B::Right::kBytes;
	launch_tiles<Kind>(p, context);
	launch_tensor_join(p, context);
}

template <class Problem>
void run(Problem& p, const ConvCall& call, Context& context) {
	const ConvSizes& s = call.sizes;
	const Plan cut = conv_plan(s, call.choice);
	p.boxes = ConvFetch(s);
	p.batch = s.batch();
	p.M = p.boxes.tiles.count() * kTileRows;
	p.N = s.N;
	p.plan.parts = cut.parts;
	p.plan.length = cut.length;
	p.partial = static_cast<float*>(call.scratch);
	p.two_halves = s.C2 > 0;
	p.first = make_map(picture_box(s, s.C1), call.type, call.x1);
	p.second = s.C2 > 0 ? make_map(picture_box(s, s.C2), call.type, call.x2) : p.first;
	if (cut.tile == kBy160) launch<kBy160>(p, call, context);
	else launch<kBy256>(p, call, context);
}

template <class T>
void run_typed(const ConvCall& call, Context& context) {
	if (call.sizes.backward) {
		InputGradProblem<T> p = {};
		p.gradients = call.gradients;
		run(p, call, context);
	} else {
		ForwardProblem<T> p = {};
		p.epilogue = call.epilogue;
		run(p, call, context);
	}
}

}  // namespace

bool conv2d(const char* kernel, const ConvCall& call, Context& context) {
	const char* why = why_not(call.sizes, call.choice);
	if (!why && !(aligned16(call.x1) && aligned16(call.x2) && aligned16(call.weight))) why = "an operand does not begin at a multiple of 16 bytes";
	if (!takes(kernel, why)) return false;
	if (call.type == DType::bf16) run_typed<gpu::bf16>(call, context);
	else run_typed<gpu::f16>(call, context);
	return true;
}

}  // namespace dreamdist::cuda::hopper
