// What the 16-bit attention kernels share: where operands lie, tiles of rows in shared memory, and their fragments.
//
// Four (or five) warps; a tile of rows is [rows][DP + 8], DP being the head's width rounded up to 32 (zeros beyond the width): eight
// neighbouring rows start in eight different groups of banks, so that ldmatrix reads them at once, as they are or transposed.
#pragma once
#include "attention_tile.h"
#include "typed.h"

namespace dreamdist::cuda {

void attention_half(const KernelArgs&, Context&);
void attention_grad_half(const KernelArgs&, Context&);
int64_t attention_grad_half_scratch(const AttentionShape&);

constexpr int kFewKeys = 80;  // as many keys as one step takes where there are no more: 77 words
constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

template <int DP>
struct HeadTile {
	static constexpr int kPitch = DP * 2 + 16;  // bytes
	__host__ __device__ static constexpr int bytes(int rows) { return rows * kPitch; }
	// Rows [row, row + 16) and columns [16 · step, 16 · step + 16) as the left operand of mma.
	__device__ static __forceinline__ void left(uint32_t (&fragment)[4], const unsigned char* tile, int row, int step) {
		const int lane = threadIdx.x & 31;
		gpu::ldmatrix_x4(fragment, tile + (row + (lane & 15)) * kPitch + (2 * step + (lane >> 4)) * 16);
	}
	// The same elements as sixteen columns of the right operand, K along the row.
	__device__ static __forceinline__ void right(uint32_t (&fragment)[4], const unsigned char* tile, int row, int step) {
		const int lane = threadIdx.x & 31;
		gpu::ldmatrix_x4(fragment, tile + (row + (lane & 7) + ((lane >> 4) << 3)) * kPitch + (2 * step + (lane >> 3 & 1)) * 16);
	}
	// Rows [row, row + 16) as K of the right operand, whose sixteen columns are those from `column` on.
	__device__ static __forceinline__ void right_transposed(uint32_t (&fragment)[4], const unsigned char* tile, int row, int column) {
		const int lane = threadIdx.x & 31;
		gpu::ldmatrix_x4_trans(fragment, tile + (row + (lane & 7) + ((lane >> 3 & 1) << 3)) * kPitch + (column / 8 + (lane >> 4)) * 16);
	}
};

template <class T>
struct HeadRows {
	const T* data;  // of this head
	int64_t pitch;
	int limit, width;
	bool vectors;
};

// Whether rows of a head can be copied 16 bytes at a time.
inline bool vector_halves(const void* data, int64_t pitch, int64_t batch, int D) { return D % 8 == 0 && pitch % 8 == 0 && batch % 8 == 0 && aligned16(data); }

// Queues rows [row0, row0 + Rows); rows past the limit and columns past the width are zero.
template <class T, int Rows, int DP, int Threads>
__device__ __forceinline__ void issue_head_rows(unsigned char* tile, const HeadRows<T>& head, int row0) {
	constexpr int kPerRow = DP / 8;
	GPU_NO_UNROLL
	for (int id = threadIdx.x; id < Rows * kPerRow; id += Threads) {
		const int r = id / kPerRow, c = id % kPerRow * 8, rest = row0 + r < head.limit ? head.width - c : 0, count = rest < 0 ? 0 : rest < 8 ? rest : 8;
		unsigned char* to = tile + r * HeadTile<DP>::kPitch + c * 2;
		const T* from = head.data + (count > 0 ? (row0 + r) * head.pitch + c : 0);
		if (head.vectors) gpu::copy_async16_part(to, from, count * 2);
		else {
			uint32_t words[4] = {0, 0, 0, 0};
			GPU_UNROLL
			for (int e = 0; e < 8; e++)
				if (e < count) words[e / 2] |= (uint32_t)from[e].bits << (e % 2 * 16);
			gpu::store128(to, make_uint4(words[0], words[1], words[2], words[3]));
		}
	}
}

// Sixteen rows of results of a warp to memory, through sixteen rows of shared memory that are the warp's own.
template <class T, int DP>
__device__ __forceinline__ void store_head_rows(T* to, int64_t pitch, int row0, int rows, int width, bool vectors, const float (&sum)[DP / 8][4], unsigned char* room) {
	const int lane = threadIdx.x & 31;
	__syncwarp();
	GPU_UNROLL
	for (int j = 0; j < DP / 8; j++) {
		unsigned char* at = room + (lane >> 2) * HeadTile<DP>::kPitch + (j * 8 + (lane & 3) * 2) * 2;
		gpu::store32(at, gpu::pack2<T>(sum[j][0], sum[j][1]));
		gpu::store32(at + 8 * HeadTile<DP>::kPitch, gpu::pack2<T>(sum[j][2], sum[j][3]));
	}
	__syncwarp();
	GPU_NO_UNROLL
	for (int id = lane; id < 16 * (DP / 8); id += 32) {
		const int r = id / (DP / 8), c = id % (DP / 8) * 8;
		if (row0 + r >= rows || c >= width) continue;
		const uint4 raw = gpu::load128(room + r * HeadTile<DP>::kPitch + c * 2);
		T* at = to + (row0 + r) * pitch + c;
		if (vectors) gpu::store128(at, raw);
		else {
			const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
			GPU_UNROLL
			for (int e = 0; e < 8; e++)
				if (c + e < width) at[e].bits = uint16_t(words[e / 2] >> (e % 2 * 16));
		}
	}
	__syncwarp();
}

// Results of mma for sixteen rows and sixteen columns, rounded, as the left operand of the next product.
template <class T>
__device__ __forceinline__ void as_left(uint32_t (&fragment)[4], const float (&first)[4], const float (&second)[4]) {
	fragment[0] = gpu::pack2<T>(first[0], first[1]);
	fragment[1] = gpu::pack2<T>(first[2], first[3]);
	fragment[2] = gpu::pack2<T>(second[0], second[1]);
	fragment[3] = gpu::pack2<T>(second[2], second[3]);
}

__device__ __forceinline__ float quad_max(float value) {
	value = fmaxf(value, __shfl_xor_sync(gpu::kFullWarp, value, 1));
	return fmaxf(value, __shfl_xor_sync(gpu::kFullWarp, value, 2));
}
__device__ __forceinline__ float quad_sum(float value) {
	value += __shfl_xor_sync(gpu::kFullWarp, value, 1);
	return value + __shfl_xor_sync(gpu::kFullWarp, value, 2);
}

}  // namespace dreamdist::cuda
