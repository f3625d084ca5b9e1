// Specimen: Small kernels that use one feature of the device each. GPU_MUTANT(n) plants fault n of mutants.h.
#pragma once
#include "../gpu.h"

namespace dreamdist::specimen {

__global__ void probe_warp(int* out) {                    // shuffles, ballots, syncwarp, atomics, partial warp
	GPU_SHARED(int, buf, 64);
	GPU_SHARED(int, count, 1);
	const int t = threadIdx.x, lane = t & 31;
	if (t == 0) count[0] = 0;
	if (!GPU_MUTANT(31)) __syncthreads();
	buf[t] = t * 3;
	if (GPU_MUTANT(27)) __shfl_sync(0xffffffffu, t, 0); else if (!GPU_MUTANT(21)) __syncwarp();
	int v = buf[(t & 32) + (31 - lane)];                    // another lane of the same warp
	if (!GPU_MUTANT(24)) __syncwarp();
	buf[t] = v + 1;
	unsigned odd = __ballot_sync(0xffffffffu, v & 1);
	int s = lane;
	for (int o = 16; o; o >>= 1) s += __shfl_down_sync(0xffffffffu, s, o);
	s = __shfl_sync(0xffffffffu, s, 0);
	int up = __shfl_up_sync(0xffffffffu, lane, 1, 8);
	if (lane < 8 || GPU_MUTANT(22)) v += __shfl_xor_sync(0xffu, lane, 3, 8);
	if (GPU_MUTANT(35) && lane >= 16) __syncwarp();          // half the lanes wait here, half at the barrier
	if (GPU_MUTANT(25)) count[0] += 1; else atomicAdd(&count[0], 1);
	__syncthreads();
	out[t * 6 + 0] = v; out[t * 6 + 1] = int(odd); out[t * 6 + 2] = s; out[t * 6 + 3] = up; out[t * 6 + 4] = count[0]; out[t * 6 + 5] = buf[t];
}
template <class T> __global__ void probe_mma(const T* a, const T* b, float* c) {   // C[16][8] = A[16][16] * B[16][8]; one warp
	const int g = threadIdx.x >> 2, t = (threadIdx.x & 3) * 2;
	auto two = [](T lo, T hi) { return uint32_t(lo.bits) | uint32_t(hi.bits) << 16; };
	uint32_t fa[4];
	for (int r = 0; r < 4; ++r) { const T* p = a + (g + (r & 1) * 8) * 16 + t + (r >> 1) * 8; fa[r] = two(p[0], p[1]); }
	float d[4] = {0, 0, 0, 0};
	gpu::mma_m16n8k16<T>(d, fa, two(b[t * 8 + g], b[(t + 1) * 8 + g]), two(b[(t + 8) * 8 + g], b[(t + 9) * 8 + g]));
	for (int r = 0; r < 4; ++r) c[(g + (r >> 1) * 8) * 8 + t + (r & 1)] = d[r];
}
__global__ void probe_mma_tf32(const float* a, const float* b, float* c) {   // C[16][8] = A[16][8] * B[8][8]; one warp
	const int g = threadIdx.x >> 2, t = threadIdx.x & 3;
	auto tf32 = [](float x) { return gpu::round_tf32(gpu::bits_of_float(x)); };
	uint32_t fa[4];
	for (int r = 0; r < 4; ++r) fa[r] = tf32(a[(g + (r & 1) * 8) * 8 + t + (r >> 1) * 4]);
	float d[4] = {0, 0, 0, 0};
	// Bits below tf32's are ignored, whatever they are.
	gpu::mma_m16n8k8(d, fa, tf32(b[t * 8 + g]) | 0x1fffu, tf32(b[(t + 4) * 8 + g]) | 0x1000u);
	for (int r = 0; r < 4; ++r) c[(g + (r >> 1) * 8) * 8 + t * 2 + (r & 1)] = d[r];
}
__global__ void probe_overflow(float* out, int n) {       // writes n floats of dynamic shared memory
	GPU_DYNAMIC_SHARED(smem);
	float* s = reinterpret_cast<float*>(smem);
	for (int i = threadIdx.x; i < n; i += blockDim.x) s[i] = float(i);
	__syncthreads();
	out[threadIdx.x] = s[threadIdx.x];
}
__global__ void probe_global(int* out, volatile int* flag) {   // blocks meet in global memory
	if (GPU_MUTANT(26)) out[0] += 1; else atomicAdd(&out[0], 1);
	if (GPU_MUTANT(30)) { if (threadIdx.x == 1) *flag = 1; while (*flag != 1) {} }   // legal on hardware, spins for ever here
}

}  // namespace dreamdist::specimen
