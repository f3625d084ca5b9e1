// The one header a kernel includes. nvcc: thin names over CUDA and PTX. Any other C++ compiler: the emulated device.
//
// What a kernel's source keeps to, so that it compiles both ways:
//   GPU_DYNAMIC_SHARED(p)        the launch's dynamic shared memory, `unsigned char* p`, aligned to 16 bytes
//   GPU_SHARED(T, name, count)   a static shared array (never a bare __shared__)
//   gpu::launch<kernel<…>>(grid, block, shared_bytes, stream, arguments…)
//   GPU_MUTANT(n)                false; true in the emulated test that plants fault n
#pragma once
#include <cstddef>
#include <cstdint>

#include "numbers.h"

#if defined(__CUDACC__)
#include "gpu_cuda.h"
#else
#include "emulated/gpu_emulated.h"
#endif

namespace dreamdist::gpu {

constexpr unsigned kFullWarp = 0xffffffffu;

// a · b + c, in one rounding where that is one instruction.
__device__ __forceinline__ float multiply_add(float a, float b, float c) {
#ifdef __CUDA_ARCH__
	return fmaf(a, b, c);
#else
	return a * b + c;
#endif
}

__device__ __forceinline__ float fast_exp2(float x) {
#ifdef __CUDA_ARCH__
	float result;
	asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
	return result;
#else
	return exp2f(x);
#endif
}

__device__ __forceinline__ float fast_silu(float x) {
#ifdef __CUDA_ARCH__
	return __fdividef(x, 1.0f + __expf(-x));
#else
	return x / (1.0f + expf(-x));
#endif
}

// The bits of an f32 whose upper 19 are the nearest tf32 number (10 bits after the point; ties away from 0), as mma reads it: what
// cvt.rna.tf32.f32 gives, which takes a third instruction to clear the bits that mma ignores. Half a unit in the last place that stays is
// the sign and exponent alone, 2⁻¹¹ times; infinities and NaN stay what they are.
__device__ __forceinline__ uint32_t round_tf32(uint32_t f32_bits) {
	return bits_of_float(multiply_add(float_of_bits(f32_bits & 0xff800000u), 0x1p-11f, float_of_bits(f32_bits)));
}

__device__ __forceinline__ uint4 load128(const void* p) {
	check_alignment(p, 16, "load128");
	return *static_cast<const uint4*>(p);
}
__device__ __forceinline__ void store128(void* p, uint4 value) {
	check_alignment(p, 16, "store128");
	*static_cast<uint4*>(p) = value;
}
__device__ __forceinline__ float4 load_float4(const float* p) {
	check_alignment(p, 16, "load_float4");
	return *reinterpret_cast<const float4*>(p);
}
__device__ __forceinline__ void store32(void* p, uint32_t value) {
	check_alignment(p, 4, "store32");
	*static_cast<uint32_t*>(p) = value;
}

// Sum, maximum over the warp's 32 lanes; every lane gets it.
__device__ __forceinline__ float warp_sum(float value) {
	GPU_UNROLL
	for (int offset = 16; offset; offset >>= 1) value += __shfl_xor_sync(kFullWarp, value, offset);
	return value;
}
__device__ __forceinline__ float warp_max(float value) {
	GPU_UNROLL
	for (int offset = 16; offset; offset >>= 1) value = fmaxf(value, __shfl_xor_sync(kFullWarp, value, offset));
	return value;
}

}  // namespace dreamdist::gpu
