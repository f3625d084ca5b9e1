// matmul in 16 bits on sm_90a (hopper_product.h). B is read as it lies: [N][K] with K contiguous, as a linear layer has it, or [K][N] with
// columns contiguous, as its input gradient reads the same weight. For geglu a box of five dimensions brings eight rows of values and their
// eight gates in turn, the order that the epilogue takes them in.
#include "hopper_product.h"

namespace dreamdist::cuda::hopper {
namespace {

template <class T, bool RightK>
struct MatmulProblem : TensorProblem<T, true, RightK> {
	TensorMap a, b;
	MatmulFetch boxes;
	int blocks;  // of K
	uint32_t fetched_bytes;
	TensorEpilogue epilogue;

	__device__ __forceinline__ int steps(int) const { return blocks; }
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
	__device__ __forceinline__ void prefetch() const {
		prefetch_map(a);
		prefetch_map(b);
	}
	template <class Right>
	__device__ __forceinline__ void fetch(unsigned char* left, unsigned char* right, uint64_t* arrived, int batch_index, int row_tile, int n0, int step) const {
		boxes.template fetch<Right>(
			batch_index, row_tile, n0, step, [&](int at, auto... place) { copy_box(left + at, a, arrived, place...); }, [&](int at, auto... place) { copy_box(right + at, b, arrived, place...); });
	}
#endif
	__device__ __forceinline__ void store(int batch_index, int m, int n, int count, float (&v)[8]) const { epilogue.store(batch_index, m, n, count, v); }
	__device__ __forceinline__ void store_pair(int batch_index, int m, int n, int count, float (&value)[8], float (&gate)[8]) const {
		epilogue.store_pair(batch_index, m, n, count, value, gate);
	}
};

template <TileKind Kind, class T, bool RightK>
void launch(MatmulProblem<T, RightK>& p, const MatmulCall& call, Context& context) {
	using B = Block<Kind, RightK>;
	p.b = make_map(RightK ? right_box_k(call.sizes, B::kColumns) : right_box_rows(call.sizes, B::Right::kLineRows), call.type, call.b);
	p.fetched_bytes = B::kStageBytes;
	launch_tiles<Kind>(p, context);
	launch_tensor_join(p, context);
}

template <class T, bool RightK>
void run(const MatmulCall& call, Context& context) {
	const MatmulSizes& s = call.sizes;
	const Plan cut = plan(s.M, s.N, s.K, s.batch, call.choice);
	MatmulProblem<T, RightK> p = {};
	p.batch = (int)s.batch;
	p.M = (int)s.M;
	p.N = (int)s.N;
	p.pairs = s.pairs;
	p.plan.parts = cut.parts;
	p.plan.length = cut.length;
	p.partial = static_cast<float*>(call.scratch);
	p.a = make_map(left_box(s), call.type, call.a);
	p.blocks = (int)div_up(s.K, kBlockDepth);
	p.boxes = MatmulFetch(s);
	p.epilogue = call.epilogue;
	if (cut.tile == kBy160) launch<kBy160>(p, call, context);
	else launch<kBy256>(p, call, context);
}

}  // namespace

bool matmul(const MatmulCall& call, Context& context) {
	const char* why = why_not(call.sizes, call.choice);
	if (!why && !(aligned16(call.a) && aligned16(call.b))) why = "an operand does not begin at a multiple of 16 bytes";
	if (!takes("matmul", why)) return false;
	if (call.type == DType::bf16) call.sizes.trans_b ? run<gpu::bf16, true>(call, context) : run<gpu::bf16, false>(call, context);
	else call.sizes.trans_b ? run<gpu::f16, true>(call, context) : run<gpu::f16, false>(call, context);
	return true;
}

}  // namespace dreamdist::cuda::hopper
