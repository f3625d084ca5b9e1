// The product of a tile of matrices on tensor cores, for everything that is a matrix product: matmul, the convolution and its gradients.
// Elements are of a 16-bit type, or f32 (`float`) that is rounded to tf32 on its way from shared memory. Sums are f32.
//
// A block computes BM x BN of C = A · B over a range of K. Both operands lie in shared memory in a ring of stages that asynchronous copies
// of 16 bytes (chunks) fill ahead of use, each in the order in which its source is contiguous, so that no copy transposes:
//   K contiguous     [row][64 bytes], chunk c of row r at place c ^ (r / 2 mod 4): eight rows of one chunk, as ldmatrix reads them, lie in
//                    eight different groups of banks. Four f32 are to it eight 16-bit elements: a lane gets the one that tf32's mma wants
//   rows contiguous  [k][rows + 8]: of 16 bits, eight neighbouring k start in different groups of banks, and ldmatrix transposes; of f32,
//                    four k by eight rows, as a warp reads them one by one, lie in 32 different banks
// Where an operand comes from is its source's business:
//   bool vectors                          whether chunks are aligned to 16 bytes in memory
//   Chunk<T> chunk(place, k, k_end)       a chunk; `place` is the tile's row, or the first of a chunk of rows
//   const T* element(place, k, k_end)     one element, null for zero: where kMayBeMisaligned, what is goes through registers
//   void enter(k0)                        if it is there: before the chunks of the stage that begins at k0 are asked for
// Results go through shared memory once more, a warp's sixteen rows at a time, so that a lane has eight neighbouring columns and
// everything the epilogue reads and writes moves in 16 bytes.
#pragma once
#include <type_traits>

#include "tensor_plan.h"
#include "typed.h"

namespace dreamdist::cuda {

// Elements of T in a chunk, and of K in a stage.
template <class T>
constexpr int kChunk = 16 / sizeof(T);
template <class T>
constexpr int kStageDepth = kLineBytes / sizeof(T);

template <class T>
struct Chunk {
	const T* from;
	int count;  // of kChunk elements; the others are 0
};

template <class T, int Rows, bool KContiguous>
struct TileLayout {
	static constexpr int kPitch = KContiguous ? kLineBytes : (Rows + 8) * (int)sizeof(T);
	static constexpr int kBytes = KContiguous ? Rows * kPitch : kStageDepth<T> * kPitch;
	static constexpr int kChunks = Rows * kLineBytes / 16;
	__device__ static __forceinline__ int place(int line, int chunk) { return line * kPitch + ((KContiguous ? chunk ^ (line >> 1 & 3) : chunk) << 4); }
};

// Queues the tile of an operand for K from k0 on.
template <class T, int Rows, bool KContiguous, int Threads, class Source>
__device__ __forceinline__ void issue_tile(unsigned char* tile, Source& source, int k0, int k_end) {
	using Layout = TileLayout<T, Rows, KContiguous>;
	constexpr int kPerLine = KContiguous ? kLineBytes / 16 : Rows / kChunk<T>, kEach = (Layout::kChunks + Threads - 1) / Threads;
	if constexpr (requires { source.enter(k0); }) source.enter(k0);
	if (source.vectors) {
		auto copy = [&](int i) {
			const int id = threadIdx.x + i * Threads, line = id / kPerLine, chunk = id % kPerLine;
			if (Layout::kChunks % Threads != 0 && id >= Layout::kChunks) return;
			const Chunk<T> from = KContiguous ? source.chunk(line, k0 + chunk * kChunk<T>, k_end) : source.chunk(chunk * kChunk<T>, k0 + line, k_end);
			gpu::copy_async16_part(tile + Layout::place(line, chunk), from.from, from.count * (int)sizeof(T));
		};
		if constexpr (Source::kUnrolled) {
			GPU_UNROLL
			for (int i = 0; i < kEach; i++) copy(i);
		} else {
			GPU_NO_UNROLL
			for (int i = 0; i < kEach; i++) copy(i);
		}
		return;
	}
	if constexpr (Source::kMayBeMisaligned) {
		GPU_NO_UNROLL
		for (int id = threadIdx.x; id < Layout::kChunks; id += Threads) {
			const int line = id / kPerLine, chunk = id % kPerLine;
			uint32_t words[4] = {0, 0, 0, 0};
			GPU_UNROLL
			for (int e = 0; e < kChunk<T>; e++) {
				const T* from = KContiguous ? source.element(line, k0 + chunk * kChunk<T> + e, k_end) : source.element(chunk * kChunk<T> + e, k0 + line, k_end);
				if (!from) continue;
				if constexpr (kIsTf32<T>) words[e] = gpu::bits_of_float(*from);
				else words[e / 2] |= (uint32_t)from->bits << (e % 2 * 16);
			}
			gpu::store128(tile + Layout::place(line, chunk), make_uint4(words[0], words[1], words[2], words[3]));
		}
	}
}

// Four elements of f32 of a lane: at `k` and k + 4, each in lines `row` and row + 8.
template <class Layout>
__device__ __forceinline__ void load_elements(uint32_t (&e)[4], const unsigned char* tile, int row, int k) {
	const uint32_t* at = reinterpret_cast<const uint32_t*>(tile + k * Layout::kPitch) + row;
	e[0] = at[0];
	e[1] = at[8];
	e[2] = at[Layout::kPitch];  // four lines of kPitch / 4 elements
	e[3] = at[Layout::kPitch + 8];
}
template <class T>
__device__ __forceinline__ void round_fragment([[maybe_unused]] uint32_t (&fragment)[4]) {
	if constexpr (kIsTf32<T>) {
		GPU_UNROLL
		for (int e = 0; e < 4; e++) fragment[e] = GPU_MUTANT(136) ? fragment[e] : gpu::round_tf32(fragment[e]);
	}
}

// Rows [row, row + 16) of A for two chunks of K from chunk `chunk` on: the depth of one mma.
template <class T, int Rows, bool KContiguous>
__device__ __forceinline__ void load_left(uint32_t (&fragment)[4], const unsigned char* tile, int row, int chunk) {
	using Layout = TileLayout<T, Rows, KContiguous>;
	const int lane = threadIdx.x & 31;
	if constexpr (KContiguous) gpu::ldmatrix_x4(fragment, tile + Layout::place(row + (lane & 15), chunk + (lane >> 4)));
	else if constexpr (kIsTf32<T>) load_elements<Layout>(fragment, tile, row + (lane >> 2), chunk * 4 + (lane & 3));
	else gpu::ldmatrix_x4_trans(fragment, tile + Layout::place(chunk * 8 + (lane & 7) + ((lane >> 4) << 3), row / 8 + (lane >> 3 & 1)));
	round_fragment<T>(fragment);
}
// Columns [column, column + 16) of B likewise: fragment 0, 1 are the first eight, 2, 3 the others.
template <class T, int Rows, bool KContiguous>
__device__ __forceinline__ void load_right(uint32_t (&fragment)[4], const unsigned char* tile, int column, int chunk) {
	using Layout = TileLayout<T, Rows, KContiguous>;
	const int lane = threadIdx.x & 31;
	if constexpr (KContiguous) gpu::ldmatrix_x4(fragment, tile + Layout::place(column + (lane & 7) + ((lane >> 4) << 3), chunk + (lane >> 3 & 1)));
	else if constexpr (kIsTf32<T>) {
		uint32_t e[4];
		load_elements<Layout>(e, tile, column + (lane >> 2), chunk * 4 + (lane & 3));
		fragment[0] = e[0], fragment[1] = e[2], fragment[2] = e[1], fragment[3] = e[3];
	} else gpu::ldmatrix_x4_trans(fragment, tile + Layout::place(chunk * 8 + (lane & 7) + ((lane >> 3 & 1) << 3), column / 8 + (lane >> 4)));
	round_fragment<T>(fragment);
}
template <class T>
__device__ __forceinline__ void multiply_fragments(float (&sum)[4], const uint32_t (&left)[4], uint32_t right0, uint32_t right1) {
	if constexpr (kIsTf32<T>) gpu::mma_m16n8k8(sum, left, right0, right1);
	else gpu::mma_m16n8k16<T>(sum, left, right0, right1);
}

template <class Tile, class T, bool LeftK, bool RightK>
struct Ring {
	static constexpr int kLeftBytes = TileLayout<T, Tile::BM, LeftK>::kBytes, kStageBytes = kLeftBytes + TileLayout<T, Tile::BN, RightK>::kBytes;
	static constexpr int kBytes = Tile::kStages * kStageBytes;
	static constexpr size_t kSharedBytes = kBytes > Tile::kRoomBytes ? kBytes : Tile::kRoomBytes;
};

// Mutants 131–134 are this loop's; 136: operands cut off instead of rounded to tf32.
template <class Tile, class T, bool LeftK, bool RightK, class A, class B>
__device__ __forceinline__ void multiply_tensor_tile(A& a, B& b, unsigned char* shared, int k_begin, int k_end, float (&sum)[Tile::kTilesM][Tile::kTilesN][4]) {
	using Stages = Ring<Tile, T, LeftK, RightK>;
	constexpr int kStages = Tile::kStages, kDeep = kStageDepth<T>;
	const int warp = threadIdx.x >> 5, row = warp / Tile::kAcross * Tile::WM, column = warp % Tile::kAcross * Tile::WN;
	const int steps = k_begin < k_end ? (k_end - k_begin + kDeep - 1) / kDeep : 0;
	auto issue = [&](int step, int stage) {
		if (step < steps) {
			unsigned char* at = shared + stage * Stages::kStageBytes;
			issue_tile<T, Tile::BM, LeftK, Tile::kThreads>(at, a, k_begin + step * kDeep, k_end);
			issue_tile<T, Tile::BN, RightK, Tile::kThreads>(at + Stages::kLeftBytes, b, k_begin + step * kDeep, k_end);
		}
		gpu::copy_async_commit();  // an empty group keeps the count right
	};
	GPU_UNROLL
	for (int i = 0; i < Tile::kTilesM; i++) {
		GPU_UNROLL
		for (int j = 0; j < Tile::kTilesN; j++) {
			GPU_UNROLL
			for (int e = 0; e < 4; e++) sum[i][j][e] = 0;
		}
	}
	GPU_NO_UNROLL
	for (int step = 0; step < kStages - 1; step++) issue(step, step);
	int stage = 0;
	GPU_NO_UNROLL
	for (int step = 0; step < steps; step++) {
		if (GPU_MUTANT(131)) gpu::copy_async_wait<kStages - 1>();
		else gpu::copy_async_wait<kStages - 2>();
		if (!GPU_MUTANT(132)) __syncthreads();
		issue(step + kStages - 1, GPU_MUTANT(133) ? stage : (stage == 0 ? kStages - 1 : stage - 1));
		const unsigned char *left = shared + stage * Stages::kStageBytes, *right = left + Stages::kLeftBytes;
		GPU_UNROLL
		for (int chunk = 0; chunk < kLineBytes / 16; chunk += 2) {
			uint32_t fragments[Tile::kTilesM][4];
			GPU_UNROLL
			for (int i = 0; i < Tile::kTilesM; i++) load_left<T, Tile::BM, LeftK>(fragments[i], left, row + i * 16, chunk);
			GPU_UNROLL
			for (int j = 0; j < Tile::kTilesN; j += 2) {
				uint32_t pair[4];
				load_right<T, Tile::BN, RightK>(pair, right, column + j * 8, chunk);
				GPU_UNROLL
				for (int i = 0; i < Tile::kTilesM; i++) {
					multiply_fragments<T>(sum[i][j], fragments[i], pair[0], pair[1]);
					multiply_fragments<T>(sum[i][j + 1], fragments[i], pair[2], pair[3]);
				}
			}
		}
		stage = stage == kStages - 1 ? 0 : stage + 1;
	}
	gpu::copy_async_wait<0>();
}

// Sixteen rows of `Columns` sums of a warp on their way out, from its room in shared memory: those of a part to the partial results, others
// through the problem's epilogue. `column0` counts the tile's columns, where `pairs` values and gates.
template <int Columns, class Problem>
__device__ __forceinline__ void deliver_rows(const Problem& p, const float* room, int batch, int part, int row0, int column0) {
	const int lane = threadIdx.x & 31, width = p.pairs ? 16 : 8, per_row = Columns / width;
	GPU_NO_UNROLL
	for (int unit = lane; unit < 16 * per_row; unit += 32) {
		const int r = unit / per_row, c = unit % per_row * width, m = row0 + r;
		const int n = p.pairs ? (column0 + c) / 2 : column0 + c, rest = (p.pairs ? p.N / 2 : p.N) - n, count = rest < 8 ? rest : 8;
		if (m >= p.M || count <= 0) continue;
		const float* from = room + r * (Columns + 8) + c;
		float v[8], gate[8];
		load8_f32(from, v);
		if (p.pairs) load8_f32(from + 8, gate);
		if (p.plan.parts > 1) {
			const Typed partial = p.parts();
			const int64_t at = (((int64_t)part * p.batch + batch) * p.M + m) * p.N + n;
			const bool whole = count == 8 && p.N % 8 == 0;
			if (whole) store8(partial, at, v);
			else store_some(partial, at, count, v);
			if (p.pairs) store_some(partial, at + p.N / 2, count, gate);
		} else if (p.pairs) p.store_pair(batch, m, n, count, v, gate);
		else p.store(batch, m, n, count, v);
	}
}

// Tiles of a product: one block each, per part of K and per batch (blockIdx.z walks both).
//
// A Problem says what the product is: Element, kLeftK, kRightK, M, N, batch, plan, partial, pairs, and on the device
//   depth(batch)                          K
//   left<Tile>(batch, m0), right<…>(batch, n0)   the operands' sources
//   store(batch, m, n, count, v)          what becomes of columns [n, n + count) of row m
//   store_pair(batch, m, n, count, value, gate)   where `pairs`: a tile's columns are eight values and their eight gates in turn, and n counts pairs
template <class Tile, class Problem>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks) tensor_product_kernel(Problem p) {
	GPU_DYNAMIC_SHARED(shared);
	using T = typename Problem::Element;
	const int m0 = blockIdx.x * Tile::BM, n0 = blockIdx.y * Tile::BN, warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
	const int row0 = m0 + warp / Tile::kAcross * Tile::WM, column0 = n0 + warp % Tile::kAcross * Tile::WN;
	float* room = reinterpret_cast<float*>(shared) + warp * 16 * Tile::kRoomPitch;
	for (int z = blockIdx.z; z < p.batch * p.plan.parts; z += gridDim.z) {
		const int batch = z / p.plan.parts, part = z % p.plan.parts;
		const int depth = (int)p.depth(batch), k_begin = int(part * p.plan.length), k_end = k_begin + p.plan.length < depth ? int(k_begin + p.plan.length) : depth;
		float sum[Tile::kTilesM][Tile::kTilesN][4];
		{
			auto left = p.template left<Tile>(batch, m0);
			auto right = p.template right<Tile>(batch, n0);
			multiply_tensor_tile<Tile, T, Problem::kLeftK, Problem::kRightK>(left, right, shared, k_begin, k_end, sum);
		}
		if (!GPU_MUTANT(134)) __syncthreads();  // the stages become the warps' rooms
		GPU_UNROLL
		for (int i = 0; i < Tile::kTilesM; i++) {
			GPU_UNROLL
			for (int j = 0; j < Tile::kTilesN; j++) {
				float* to = room + (lane >> 2) * Tile::kRoomPitch + j * 8 + (lane & 3) * 2;
				*reinterpret_cast<float2*>(to) = make_float2(sum[i][j][0], sum[i][j][1]);
				*reinterpret_cast<float2*>(to + 8 * Tile::kRoomPitch) = make_float2(sum[i][j][2], sum[i][j][3]);
			}
			__syncwarp();
			deliver_rows<Tile::WN>(p, room, batch, part, row0 + i * 16, column0);
			__syncwarp();
		}
		__syncthreads();  // the next product fills the stages again
	}
}

// Adds the parts in order.
template <class Problem>
__global__ void __launch_bounds__(256, 1) tensor_join_kernel(Problem p) {
	const int width = p.pairs ? p.N / 2 : p.N, per_row = (width + 7) / 8;
	const int64_t units = (int64_t)p.batch * p.M * per_row, step = (int64_t)p.batch * p.M * p.N;
	const Typed partial = p.parts();
	for (int64_t unit = (int64_t)blockIdx.x * 256 + threadIdx.x; unit < units; unit += (int64_t)gridDim.x * 256) {
		const int64_t row = unit / per_row;
		const int n = int(unit % per_row) * 8, count = width - n < 8 ? width - n : 8;
		const bool whole = count == 8 && p.N % 8 == 0;
		float first[8], second[8], more[8];
		GPU_UNROLL
		for (int e = 0; e < 8; e++) first[e] = second[e] = 0;
		for (int part = 0; part < p.plan.parts; part++) {
			const int64_t at = part * step + row * p.N + n;
			if (whole) load8(partial, at, more);
			else load_some(partial, at, count, more);
			GPU_UNROLL
			for (int e = 0; e < 8; e++) first[e] += more[e];
			if (!p.pairs) continue;
			load_some(partial, at + width, count, more);
			GPU_UNROLL
			for (int e = 0; e < 8; e++) second[e] += more[e];
		}
		const int batch = int(row / p.M), m = int(row % p.M);
		if (p.pairs) p.store_pair(batch, m, n, count, first, second);
		else p.store(batch, m, n, count, first);
	}
}

template <class Tile, class Problem>
void launch_tensor_tiles(const Problem& p, Context& context) {
	const int64_t across = div_up(p.N, Tile::BN);
	if (across > 65535) throw Error("the product is too large for one launch");
	const dim3 grid((unsigned)div_up(p.M, Tile::BM), (unsigned)across, (unsigned)std::min<int64_t>((int64_t)p.batch * p.plan.parts, 65535));
	gpu::launch<tensor_product_kernel<Tile, Problem>>(grid, Tile::kThreads, Ring<Tile, typename Problem::Element, Problem::kLeftK, Problem::kRightK>::kSharedBytes, context.stream, p);
}

template <class Problem>
void launch_tensor_join(const Problem& p, Context& context) {
	if (p.plan.parts > 1) gpu::launch<tensor_join_kernel<Problem>>(grid_for((int64_t)p.batch * p.M * div_up(p.N, 8), 256), 256, 0, context.stream, p);
}

// `K` is the largest depth of all batches; `scratch` what is left of the call's.
template <bool Wide, class Problem>
void launch_tensor_product(Problem p, int64_t K, TileChoice choice, Context& context, void* scratch) {
	if (K >= (int64_t(1) << 31) - kDepth) throw Error("the product is too deep for one launch");
	p.plan = tensor_plan(p.M, p.N, K, p.batch, Wide, choice);
	p.partial = static_cast<float*>(scratch);
	switch (p.plan.tile) {
		case kLarge: launch_tensor_tiles<LargeTensorTile>(p, context); break;
		case kWide:
			if constexpr (Wide) launch_tensor_tiles<WideTensorTile>(p, context);
			break;
		default: launch_tensor_tiles<SmallTensorTile>(p, context);
	}
	launch_tensor_join(p, context);
}

// What every problem has.
template <class T, bool LeftK, bool RightK>
struct TensorProblem {
	using Element = T;
	static constexpr bool kLeftK = LeftK, kRightK = RightK;
	int batch = 1, M = 0, N = 0;
	bool pairs = false;
	TensorPlan plan;
	float* partial = nullptr;
	__device__ __forceinline__ Typed parts() const {
		Typed typed;
		typed.data = partial;
		return typed;
	}
};

}  // namespace dreamdist::cuda
