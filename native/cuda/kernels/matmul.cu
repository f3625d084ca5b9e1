// matmul: C = act(alpha · op(A) · op(B) + bias) + residual, per batch, in f32 on CUDA cores; B in its storage type.
//
// A packed weight is its rows as stored, each padded to a multiple of 16 bytes: W and Wᵀ are read from the same copy. For geglu a tile's
// even and odd columns are values and their gates, so that one thread holds both: the loader permutes rows, and nothing in memory is.
#include <cstring>

#include "epilogue.h"
#include "matmul_half.h"
#include "table.h"
#include "tile_gemm.h"

namespace dreamdist::cuda {
namespace {

template <class B>
struct MatmulProblem {
	const float* a;
	const B* b;
	int batch, M, N, K;
	int64_t lda, ldb, a_stride, b_stride;
	bool a_k_major, b_k_major, a_vectors, b_vectors, pairs;
	SplitK split;
	float* partial;
	Epilogue epilogue;

	template <class T>
	__device__ __forceinline__ int64_t column_of(int n0, int tile_column) const {
		if (!pairs) return n0 + tile_column < N ? n0 + tile_column : -1;
		const int j = tile_column / T::kColumns, half = n0 / 2 + tile_column % T::kColumns + j / 2 * T::kColumns;
		return half < N / 2 ? half + (j & 1) * (N / 2) : -1;
	}
	template <class T>
	__device__ __forceinline__ void multiply(float* shared, int m0, int n0, int batch_index, int64_t k_begin, int64_t k_end, float (&total)[T::TM][T::TN]) const {
		auto left = matrix_loader<float, T::BM, T::kThreads>(a + batch_index * a_stride, lda, a_k_major, a_vectors,
															 [&](int r) -> int64_t { return m0 + r < M + (GPU_MUTANT(103) ? 1 : 0) ? m0 + r : -1; });
		auto right = matrix_loader<B, T::BN, T::kThreads>(b + batch_index * b_stride, ldb, b_k_major, b_vectors, [&](int r) { return this->column_of<T>(n0, r); });
		multiply_tile<T>(left, right, shared, k_begin, k_end, total);
	}
	__device__ __forceinline__ void store(int batch_index, int m, int64_t n, float sum) const { epilogue.store(batch_index, m, n, sum); }
	__device__ __forceinline__ void store_pair(int batch_index, int m, int64_t half, float value, float gate) const { epilogue.store_pair(batch_index, m, half, value, gate); }
};

int64_t padded_row(DType type, int64_t columns) {
	const int64_t multiple = 16 / bytes_of(type);
	return div_up(columns, multiple) * multiple;
}

}  // namespace

bool is_empty_product(const char* kernel, const KernelArgs& args) {
	const auto& i = args.ints;
	if (i[0] <= 0 || i[1] <= 0 || i[2] <= 0) return true;
	if (i[12] == kGeglu && i[2] % 2) refuse(kernel, "geglu needs an even number of columns");
	return false;
}

void matmul(const KernelArgs& args, Context& context) {
	if (is_empty_product("matmul", args)) return;
	const auto& i = args.ints;
	const int64_t batch = i[0], M = i[1], N = i[2], K = i[3];
	const bool trans_a = i[4] != 0, trans_b = i[5] != 0, packed = i[13] != 0;
	const int activation = (int)i[12];
	const Operand weight = args.at(1);
	const DType left = args.at(0).dtype;
	if (left == DType::f16 || left == DType::bf16) {
		if (weight.dtype != left) refuse("matmul", std::string("a is ") + name_of(left) + ", so b must be too (it is " + name_of(weight.dtype) + ")");
		return matmul_half(args, context);
	}
	const float* a = args.ptr<const float>(0);
	with_float_type("matmul", weight.dtype, [&](auto element) {
		using B = decltype(element);
		MatmulProblem<B> p = {};
		p.a = a;
		p.b = weight.as<const B>();
		p.batch = (int)batch;
		p.M = (int)M;
		p.N = (int)N;
		p.K = (int)K;
		p.lda = i[6];
		p.ldb = packed ? padded_row(weight.dtype, trans_b ? K : N) : i[7];
		p.a_stride = i[9];
		p.b_stride = packed ? 0 : i[10];
		p.a_k_major = trans_a;
		p.b_k_major = !trans_b;
		auto vectors = [&](const void* data, int64_t pitch, int64_t stride) { return K % 4 == 0 && pitch % 4 == 0 && stride % 4 == 0 && aligned16(data); };
		p.a_vectors = !trans_a && vectors(p.a, p.lda, p.a_stride);
		p.b_vectors = trans_b && weight.dtype == DType::f32 && vectors(p.b, p.ldb, p.b_stride);
		p.pairs = activation == kGeglu;
		p.epilogue = {args.ptr<const float>(2), nullptr, args.ptr<const float>(3), args.ptr(4), args.ptr(5), M, N, i[8], i[14], i[11], i[15], 1, activation, (float)args.floats[0]};
		launch_product(p, args, context);
	});
}

int64_t matmul_scratch(const KernelArgs& args, int) {
	const auto& i = args.ints;
	// Of which type the operands are is not known here: room for either.
	return i[0] > 0 && i[1] > 0 && i[2] > 0 ? std::max(parts_bytes(i[1], i[2], i[3], i[0], args.choice), matmul_half_scratch(args)) : 0;
}

void matmul_choices(const KernelArgs& args, std::vector<TileChoice>& choices) {
	const auto& i = args.ints;
	if (i[0] <= 0 || i[1] <= 0 || i[2] <= 0) return;
	if (bytes_of(args.at(0).dtype) == 2) matmul_half_choices(args, choices);
	else product_choices(i[1], i[2], i[3], i[0], choices);
}

int64_t matmul_packed_bytes(DType type, std::span<const int64_t> ints) { return ints[0] * padded_row(type, ints[1]) * bytes_of(type); }

void matmul_pack(const void* source, DType type, std::span<const int64_t> ints, void* packed, ThreadTeam& team) {
	const int64_t rows = ints[0], bytes = ints[1] * bytes_of(type), pitch = padded_row(type, ints[1]) * bytes_of(type);
	team.parallel_for(rows, 16, [&](int64_t begin, int64_t end, int) {
		for (int64_t r = begin; r < end; r++) {
			uint8_t* to = static_cast<uint8_t*>(packed) + r * pitch;
			std::memcpy(to, static_cast<const uint8_t*>(source) + r * bytes, bytes);
			std::memset(to + bytes, 0, pitch - bytes);
		}
	});
}

}  // namespace dreamdist::cuda
