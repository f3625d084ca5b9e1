// The f32 product of a tile on CUDA cores, for everything that is a matrix product: matmul, the convolution and its gradients.
//
// A block computes BM x BN of C = A · B over a range of K. Both operands lie in shared memory with K contiguous ([row][kStep] at a pitch
// of kStep + 4 floats: eight consecutive rows start in eight different groups of banks), in a ring of kStages stages that asynchronous
// copies fill ahead of use. A thread owns TM x TN results whose rows and columns are interleaved with its neighbours', so that a warp
// reads neighbouring rows of shared memory and writes neighbouring columns of C. Where an operand comes from is a loader's business:
//   void issue(float* stage, int64_t k0, int64_t k_end)   queues, or stores, rows [0, BM) or [0, BN) of columns [k0, k0 + kStep); 0 outside
// Sums start anew every kFlush steps, so that their error does not grow with K.
#pragma once
#include "common.h"

namespace dreamdist::cuda {

constexpr int kStep = 16, kPitch = kStep + 4, kStages = 3, kFlush = 16;

template <int BM_, int BN_, int TM_, int TN_>
struct Tile {
	static constexpr int BM = BM_, BN = BN_, TM = TM_, TN = TN_;
	static constexpr int kColumns = BN / TN, kRows = BM / TM, kThreads = kColumns * kRows;  // of threads
	static constexpr size_t kSharedBytes = size_t(kStages) * (BM + BN) * kPitch * sizeof(float);
	static_assert(kThreads % 32 == 0);
};
// The tiles, and why each is there.
//   large  128x128, 8x8 a thread: 64 multiplications for 16 numbers read from shared memory, which is what CUDA cores need to stay busy
//   small  64x64, 8x4 a thread: maps of 12x12 and 24x24, the text encoder's rows and time embeddings, of which large tiles are too few to
//          fill a card; half the accumulators, so that more blocks share a multiprocessor
using LargeTile = Tile<128, 128, 8, 8>;
using SmallTile = Tile<64, 64, 8, 4>;

template <class T, class A, class B>
__device__ __forceinline__ void multiply_tile(A& a, B& b, float* shared, int64_t k_begin, int64_t k_end, float (&total)[T::TM][T::TN]) {
	constexpr int kStageFloats = (T::BM + T::BN) * kPitch;
	const int column = threadIdx.x % T::kColumns, row = threadIdx.x / T::kColumns;
	const int steps = int((k_end - k_begin + kStep - 1) / kStep);
	auto issue = [&](int step) {
		if (step < steps) {
			float* stage = shared + step % kStages * kStageFloats;
			a.issue(stage, k_begin + (int64_t)step * kStep, k_end);
			b.issue(stage + T::BM * kPitch, k_begin + (int64_t)step * kStep, k_end);
		}
		gpu::copy_async_commit();  // an empty group keeps the count right
	};
	float sum[T::TM][T::TN];
	GPU_UNROLL
	for (int i = 0; i < T::TM; i++) {
		GPU_UNROLL
		for (int j = 0; j < T::TN; j++) sum[i][j] = total[i][j] = 0;
	}
	GPU_NO_UNROLL
	for (int step = 0; step < kStages - 1; step++) issue(step);
	GPU_NO_UNROLL
	for (int step = 0; step < steps; step++) {
		if (!GPU_MUTANT(101)) gpu::copy_async_wait<kStages - 2>();
		if (!GPU_MUTANT(102)) __syncthreads();
		issue(step + kStages - 1);
		const float* a_rows = shared + step % kStages * kStageFloats;
		const float* b_rows = a_rows + T::BM * kPitch;
		GPU_UNROLL
		for (int k = 0; k < kStep; k += 4) {
			float4 left[T::TM];
			GPU_UNROLL
			for (int i = 0; i < T::TM; i++) left[i] = gpu::load_float4(a_rows + (row + i * T::kRows) * kPitch + k);
			GPU_UNROLL
			for (int j = 0; j < T::TN; j++) {
				const float4 right = gpu::load_float4(b_rows + (column + j * T::kColumns) * kPitch + k);
				GPU_UNROLL
				for (int i = 0; i < T::TM; i++)
					sum[i][j] = gpu::multiply_add(left[i].w, right.w, gpu::multiply_add(left[i].z, right.z, gpu::multiply_add(left[i].y, right.y, gpu::multiply_add(left[i].x, right.x, sum[i][j]))));
			}
		}
		if (step % kFlush == kFlush - 1) {
			GPU_UNROLL
			for (int i = 0; i < T::TM; i++) {
				GPU_UNROLL
				for (int j = 0; j < T::TN; j++) {
					total[i][j] += sum[i][j];
					sum[i][j] = 0;
				}
			}
		}
	}
	gpu::copy_async_wait<0>();
	GPU_UNROLL
	for (int i = 0; i < T::TM; i++) {
		GPU_UNROLL
		for (int j = 0; j < T::TN; j++) total[i][j] += sum[i][j];
	}
}

// One element of an operand: f32 by an asynchronous copy of 4 bytes, 16-bit storage converted on the way. `from` may be read even where it
// is not valid only if it is not null.
template <class T>
__device__ __forceinline__ void issue_element(float* to, const T* from, bool valid) {
	if constexpr (std::is_same_v<T, float>) gpu::copy_async4(to, from, valid);
	else *to = valid ? gpu::to_float(*from) : 0.0f;
}

// An operand that is a matrix in memory: element (row, k) at row · pitch + k, or at k · pitch + row when `k_major`. `row_of` maps the
// tile's rows to the matrix's, -1 where there is none. `vectors`: f32, everything aligned, K contiguous and a multiple of 4.
template <class T, int Count, int Threads, class RowOf>
struct MatrixLoader {
	const T* data;
	int64_t pitch;
	bool k_major, vectors;
	RowOf row_of;
	__device__ __forceinline__ void issue(float* stage, int64_t k0, int64_t k_end) {
		if constexpr (std::is_same_v<T, float>) {
			if (vectors) {
				GPU_UNROLL
				for (int i = threadIdx.x; i < Count * (kStep / 4); i += Threads) {
					const int r = i / (kStep / 4), k = i % (kStep / 4) * 4;
					const int64_t row = row_of(r);
					const bool valid = row >= 0 && k0 + k < k_end;
					gpu::copy_async16(stage + r * kPitch + k, data + (valid ? row * pitch + k0 + k : 0), valid);
				}
				return;
			}
		}
		if (k_major) {
			GPU_NO_UNROLL
			for (int i = threadIdx.x; i < Count * kStep; i += Threads) {
				const int r = i % Count, k = i / Count;
				const int64_t row = row_of(r);
				const bool valid = row >= 0 && k0 + k < k_end;
				issue_element(stage + r * kPitch + k, data + (valid ? (k0 + k) * pitch + row : 0), valid);
			}
		} else {
			GPU_NO_UNROLL
			for (int i = threadIdx.x; i < Count * kStep; i += Threads) {
				const int r = i / kStep, k = i % kStep;
				const int64_t row = row_of(r);
				const bool valid = row >= 0 && k0 + k < k_end;
				issue_element(stage + r * kPitch + k, data + (valid ? row * pitch + k0 + k : 0), valid);
			}
		}
	}
};
template <class T, int Count, int Threads, class RowOf>
__device__ __forceinline__ MatrixLoader<T, Count, Threads, RowOf> matrix_loader(const T* data, int64_t pitch, bool k_major, bool vectors, RowOf row_of) {
	return {data, pitch, k_major, vectors, row_of};
}

// How K is cut so that small products fill a card: each part leaves its sums in scratch and a second kernel adds them in order.
struct SplitK {
	int parts;
	int64_t length;  // of each part, a multiple of kStep
};
inline SplitK cut_in(int64_t parts, int64_t K) {
	parts = std::max<int64_t>(parts, 1);
	const int64_t length = div_up(div_up(std::max<int64_t>(K, 1), parts), kStep) * kStep;
	return {(int)div_up(std::max<int64_t>(K, 1), length), length};
}
inline SplitK split_k(int64_t tiles, int64_t K) {
	constexpr int64_t kBlocks = 132, kLeast = 512;
	const int64_t wanted = tiles >= kBlocks ? 1 : kBlocks / std::max<int64_t>(tiles, 1);
	const int64_t parts = std::clamp<int64_t>(std::min(wanted, K / kLeast), 1, 64);
	return cut_in(parts, K);
}
// Tiles of a product: one block each, per part of K and per batch (blockIdx.z walks both).
//
// A Problem says what the product is: M, N, K, batch, split, partial, and on the device
//   multiply<T>(shared, m0, n0, batch, k_begin, k_end, total)   calls multiply_tile with its loaders
//   column_of<T>(n0, tile_column)                                the column of U that a tile's column is, or -1
//   store(batch, m, n, u)                                        writes one result
// and, where kPairs, that columns j and j + 1 of a thread are value and gate: store_pair(batch, m, half, value, gate).
template <class T, class Problem>
__global__ void __launch_bounds__(T::kThreads, 1) product_kernel(Problem p) {
	GPU_DYNAMIC_SHARED(memory);
	float* shared = reinterpret_cast<float*>(memory);
	const int m0 = blockIdx.x * T::BM, n0 = blockIdx.y * T::BN;
	const int column = threadIdx.x % T::kColumns, row = threadIdx.x / T::kColumns;
	for (int z = blockIdx.z; z < p.batch * p.split.parts; z += gridDim.z) {
		const int batch = z / p.split.parts, part = z % p.split.parts;
		const int64_t k_begin = part * p.split.length, k_end = k_begin + p.split.length < p.K ? k_begin + p.split.length : p.K;
		float total[T::TM][T::TN];
		p.template multiply<T>(shared, m0, n0, batch, k_begin, k_end, total);
		GPU_UNROLL
		for (int i = 0; i < T::TM; i++) {
			const int m = m0 + row + i * T::kRows;
			if (m >= p.M) continue;
			GPU_UNROLL
			for (int j = 0; j < T::TN; j++) {
				const int64_t n = p.template column_of<T>(n0, column + j * T::kColumns);
				if (n < 0) continue;
				if (p.split.parts > 1) p.partial[(((int64_t)part * p.batch + batch) * p.M + m) * p.N + n] = total[i][j];
				else if (!p.pairs) p.store(batch, m, n, total[i][j]);
				else if (j % 2 == 0) p.store_pair(batch, m, n, total[i][j], total[i][j + 1 < T::TN ? j + 1 : j]);
			}
		}
		__syncthreads();  // the next product fills the stages again
	}
}

// Adds the parts in order.
template <class Problem>
__global__ void __launch_bounds__(256) join_parts_kernel(Problem p) {
	const int64_t width = p.pairs ? p.N / 2 : p.N, count = (int64_t)p.batch * p.M * width, step = (int64_t)p.batch * p.M * p.N;
	for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < count; i += (int64_t)gridDim.x * 256) {
		const int64_t n = i % width, row = i / width;
		float first = 0, second = 0;
		for (int part = 0; part < p.split.parts; part++) {
			first += p.partial[part * step + row * p.N + n];
			if (p.pairs) second += p.partial[part * step + row * p.N + n + width];
		}
		const int batch = int(row / p.M), m = int(row % p.M);
		if (p.pairs) p.store_pair(batch, m, n, first, second);
		else p.store(batch, m, n, first);
	}
}

template <class T, class Problem>
void launch_tiles(const Problem& p, Context& context) {
	const dim3 grid((unsigned)div_up(p.M, T::BM), (unsigned)div_up(p.N, T::BN), (unsigned)std::min<int64_t>((int64_t)p.batch * p.split.parts, 65535));
	gpu::launch<product_kernel<T, Problem>>(grid, T::kThreads, T::kSharedBytes, context.stream, p);
}

struct ProductPlan {
	bool large;
	SplitK split;
};
inline ProductPlan product_plan(int64_t M, int64_t N, int64_t K, int64_t batch, TileChoice choice) {
	auto tiles = [&](int64_t side) { return div_up(M, side) * div_up(N, side) * batch; };
	if (choice.is(LargeTile::BM, LargeTile::BN) || choice.is(SmallTile::BM, SmallTile::BN)) return {choice.is(LargeTile::BM, LargeTile::BN), cut_in(choice.parts, K)};
	const bool large = tiles(128) >= 132;
	return {large, split_k(tiles(large ? 128 : 64), K)};
}
// Scratch of a product's parts.
inline int64_t parts_bytes(int64_t M, int64_t N, int64_t K, int64_t batch, TileChoice choice) {
	const SplitK split = product_plan(M, N, K, batch, choice).split;
	return split.parts > 1 ? split.parts * batch * M * N * (int64_t)sizeof(float) : 0;
}
// What is worth measuring: no parts of less than kLeast, and no more blocks than a card takes in eight rounds where the sum is cut.
inline void product_choices(int64_t M, int64_t N, int64_t K, int64_t batch, std::vector<TileChoice>& choices) {
	constexpr int64_t kLeast = 128, kMost = 8 * 132;
	for (int side : {LargeTile::BM, SmallTile::BM}) {
		const int64_t tiles = div_up(M, side) * div_up(N, side) * batch;
		for (int parts : {1, 2, 3, 4, 6, 8, 12, 16, 24, 32})
			if (parts == 1 || (K / parts >= kLeast && tiles * parts <= kMost)) choices.push_back({side, side, parts});
	}
}

template <class Problem>
void launch_product(Problem p, const KernelArgs& args, Context& context) {
	if (p.M >= int64_t(1) << 31 || p.N >= int64_t(1) << 31 || div_up(p.N, 64) > 65535) throw Error("the product is too large for one launch");
	const ProductPlan plan = product_plan(p.M, p.N, p.K, p.batch, args.choice);
	p.split = plan.split;
	p.partial = static_cast<float*>(args.scratch);
	if (plan.large) launch_tiles<LargeTile>(p, context);
	else launch_tiles<SmallTile>(p, context);
	if (p.split.parts > 1) gpu::launch<join_parts_kernel<Problem>>(grid_for((int64_t)p.batch * p.M * p.N, 256), 256, 0, context.stream, p);
}

}  // namespace dreamdist::cuda
