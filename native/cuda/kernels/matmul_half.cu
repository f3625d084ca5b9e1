// matmul on tensor cores: both operands are f16, or both bf16, or both f32 and rounded to tf32 (matmul_tf32). Sums are f32, the result and
// the residual of any type.
//
// The four transpositions are four layouts in shared memory (tensor_tile.h); a packed weight is its rows as stored, padded to 16 bytes, and
// is read as W or Wᵀ. For geglu a tile's columns are eight values and their eight gates in turn: the source permutes columns, and nothing
// in memory is.
#include "matmul_half.h"

#include "hopper.h"
#include "table.h"
#include "tensor_epilogue.h"
#include "tensor_tile.h"

namespace dreamdist::cuda {
namespace {

// Where the columns of a tile (rows of A, columns of B) are in the matrix; −1 where there is none.
struct Lines {
	int first, count;
	bool pairs;
	__device__ __forceinline__ int of(int place) const {
		if (!pairs) return first + place < count ? first + place : -1;
		const int half = first / 2 + (place >> 4) * 8 + (place & 7);
		return half < count / 2 ? half + (place & 8 ? count / 2 : 0) : -1;
	}
	// How many of the `most` (at most eight) lines from `place` on are neighbours in the matrix and there.
	__device__ __forceinline__ int run(int place, int most) const {
		const int rest = pairs ? count / 2 - (first / 2 + (place >> 4) * 8 + (place & 7)) : count - first - place;
		return rest < 0 ? 0 : rest < most ? rest : most;
	}
};

template <class T, bool KContiguous>
struct MatrixSource {
	static constexpr bool kMayBeMisaligned = true;
	static constexpr bool kUnrolled = true;
	const T* data;
	int64_t pitch;
	Lines lines;
	bool vectors;
	__device__ __forceinline__ Chunk<T> chunk(int place, int k, int k_end) const {
		const int line = lines.of(place);
		if (line < 0 || k >= k_end) return {data, 0};
		if constexpr (KContiguous) return {data + line * pitch + k, k_end - k < kChunk<T> ? k_end - k : kChunk<T>};
		else return {data + k * pitch + line, lines.run(place, kChunk<T>)};
	}
	__device__ __forceinline__ const T* element(int place, int k, int k_end) const {
		const int line = lines.of(place);
		if (line < 0 || k >= k_end) return nullptr;
		return KContiguous ? data + line * pitch + k : data + k * pitch + line;
	}
};

template <class T, bool LeftK, bool RightK>
struct MatmulProblem : TensorProblem<T, LeftK, RightK> {
	const T *a, *b;
	int K;
	int64_t lda, ldb, a_stride, b_stride;
	bool a_vectors, b_vectors;
	TensorEpilogue epilogue;

	__device__ __forceinline__ int64_t depth(int) const { return K; }
	template <class Tile>
	__device__ __forceinline__ MatrixSource<T, LeftK> left(int batch_index, int m0) const {
		return {a + batch_index * a_stride, lda, {m0, this->M + (GPU_MUTANT(135) ? 1 : 0), false}, a_vectors};
	}
	template <class Tile>
	__device__ __forceinline__ MatrixSource<T, RightK> right(int batch_index, int n0) const {
		return {b + batch_index * b_stride, ldb, {n0, this->N, this->pairs}, b_vectors};
	}
	__device__ __forceinline__ void store(int batch_index, int m, int n, int count, float (&v)[8]) const { epilogue.store(batch_index, m, n, count, v); }
	__device__ __forceinline__ void store_pair(int batch_index, int m, int n, int count, float (&value)[8], float (&gate)[8]) const {
		epilogue.store_pair(batch_index, m, n, count, value, gate);
	}
};

hopper::MatmulSizes hopper_sizes(const KernelArgs& args) {
	const auto& i = args.ints;
	const bool packed = i[13] != 0, trans_b = i[5] != 0;
	return {i[0], i[1], i[2], i[3], i[6], packed ? div_up(trans_b ? i[3] : i[2], 8) * 8 : i[7], i[9], packed ? 0 : i[10], i[4] != 0, trans_b, i[12] == kGeglu};
}

template <class T, bool LeftK, bool RightK>
void run_matmul(const KernelArgs& args, Context& context) {
	const auto& i = args.ints;
	const int64_t batch = i[0], M = i[1], N = i[2], K = i[3];
	const bool packed = i[13] != 0;
	MatmulProblem<T, LeftK, RightK> p = {};
	p.a = args.ptr<const T>(0);
	p.b = args.ptr<const T>(1);
	p.batch = (int)batch;
	p.M = (int)M;
	p.N = (int)N;
	p.K = (int)K;
	p.lda = i[6];
	p.ldb = packed ? div_up(RightK ? K : N, kChunk<T>) * kChunk<T> : i[7];
	p.a_stride = i[9];
	p.b_stride = packed ? 0 : i[10];
	auto vectors = [](const void* data, int64_t pitch, int64_t stride) { return pitch % kChunk<T> == 0 && stride % kChunk<T> == 0 && aligned16(data); };
	p.pairs = i[12] == kGeglu;
	p.a_vectors = vectors(p.a, p.lda, p.a_stride);
	// Runs of gates begin half the columns in.
	p.b_vectors = vectors(p.b, p.ldb, p.b_stride) && (RightK || !p.pairs || N / 2 % kChunk<T> == 0);
	TensorEpilogue& e = p.epilogue;
	e.bias = args.ptr<const float>(2);
	e.residual = args.at(3);
	e.c = args.at(4);
	e.preact = args.at(5);
	e.N = N;
	e.ldc = i[8];
	e.ldr = i[14];
	e.c_stride = i[11];
	e.r_stride = i[15];
	e.preact_stride = M * N;
	e.activation = (int)i[12];
	e.alpha = (float)args.floats[0];
	e.choose_vectors(p.pairs ? N / 2 : N);
#ifdef DD_HAVE_HOPPER
	if constexpr (!kIsTf32<T>) {
		if (context.hopper && hopper::wanted("matmul") && hopper::matmul({args.at(0).dtype, p.a, p.b, hopper_sizes(args), e, args.choice, args.scratch}, context)) return;
	}
#endif
	launch_tensor_product<LeftK>(p, K, args.choice, context, args.scratch);
}

template <class T>
void run_typed(const KernelArgs& args, Context& context) {
	const bool trans_a = args.ints[4] != 0, trans_b = args.ints[5] != 0;
	if (trans_a) return trans_b ? run_matmul<T, false, true>(args, context) : run_matmul<T, false, false>(args, context);
	return trans_b ? run_matmul<T, true, true>(args, context) : run_matmul<T, true, false>(args, context);
}

}  // namespace

void matmul_half(const KernelArgs& args, Context& context) {
	if (args.at(0).dtype == DType::bf16) run_typed<gpu::bf16>(args, context);
	else run_typed<gpu::f16>(args, context);
}

void matmul_tf32(const KernelArgs& args, Context& context) {
	if (is_empty_product("matmul_tf32", args)) return;
	for (int operand = 0; operand < 2; operand++)
		if (args.at(operand).dtype != DType::f32) refuse("matmul_tf32", std::string("its operands are f32, not ") + name_of(args.at(operand).dtype));
	run_typed<float>(args, context);
}

int64_t matmul_tf32_scratch(const KernelArgs& args, int) {
	const auto& i = args.ints;
	return i[0] > 0 && i[1] > 0 && i[2] > 0 ? tensor_parts_bytes(i[1], i[2], i[3], i[0], i[4] == 0, args.choice) : 0;
}
void matmul_tf32_choices(const KernelArgs& args, std::vector<TileChoice>& choices) {
	const auto& i = args.ints;
	if (i[0] > 0 && i[1] > 0 && i[2] > 0) tensor_choices(i[1], i[2], i[3], i[0], i[4] == 0, choices);
}

int64_t matmul_half_scratch(const KernelArgs& args) {
	const auto& i = args.ints;
	const int64_t bytes = tensor_parts_bytes(i[1], i[2], i[3], i[0], i[4] == 0, args.choice);
	// Addresses are not known yet: room for either kernel.
	if (!hopper::wanted("matmul") || hopper::why_not(hopper_sizes(args), args.choice)) return bytes;
	return std::max(bytes, hopper::parts_bytes(i[1], i[2], i[3], i[0], args.choice));
}
void matmul_half_choices(const KernelArgs& args, std::vector<TileChoice>& choices) {
	const auto& i = args.ints;
	tensor_choices(i[1], i[2], i[3], i[0], i[4] == 0, choices);
	if (hopper::wanted("matmul") && !hopper::why_not(hopper_sizes(args))) hopper::choices(i[1], i[2], i[3], i[0], choices);
}

}  // namespace dreamdist::cuda
