// The 16-bit storage types as bit holders, the same on both sides: neither cuda_bf16.h nor cuda_fp16.h is needed.
#pragma once
#include <cstdint>
#include <cstring>

#if !defined(__CUDACC__)
#include "emulated/language.h"
#endif

namespace dreamdist::gpu {

struct bf16 {
	uint16_t bits;
};
struct f16 {
	uint16_t bits;
};

__host__ __device__ __forceinline__ float float_of_bits(uint32_t bits) {
#ifdef __CUDA_ARCH__
	return __uint_as_float(bits);
#else
	float value;
	memcpy(&value, &bits, 4);
	return value;
#endif
}
__host__ __device__ __forceinline__ uint32_t bits_of_float(float value) {
#ifdef __CUDA_ARCH__
	return __float_as_uint(value);
#else
	uint32_t bits;
	memcpy(&bits, &value, 4);
	return bits;
#endif
}

// ---- Conversions in software, rounding to nearest even as the hardware's do; NaN becomes the canonical 0x7fff.

__host__ __device__ __forceinline__ uint16_t bf16_bits(float value) {
	const uint32_t bits = bits_of_float(value);
	if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
	return uint16_t((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
__host__ __device__ inline float f16_value(uint16_t half) {
	const uint32_t sign = uint32_t(half & 0x8000u) << 16, exponent = (half >> 10) & 31u, mantissa = half & 0x3ffu;
	if (exponent == 31) return float_of_bits(sign | 0x7f800000u | (mantissa << 13));
	if (exponent == 0) {
		const float magnitude = float(mantissa) * 5.9604644775390625e-08f;  // · 2^-24, exact
		return sign ? -magnitude : magnitude;
	}
	return float_of_bits(sign | ((exponent + 112) << 23) | (mantissa << 13));
}
__host__ __device__ inline uint16_t f16_bits(float value) {
	const uint32_t bits = bits_of_float(value), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
	if (magnitude > 0x7f800000u) return 0x7fff;
	if (magnitude >= 0x477ff000u) return uint16_t(sign | 0x7c00u);  // 65520 and above round to infinity
	if (magnitude < 0x38800000u) {
		// Subnormal: the adder rounds, since an ulp of 0.5 is 2^-24.
		const float rounded = float_of_bits(magnitude) + 0.5f;
		return uint16_t(sign | (bits_of_float(rounded) - 0x3f000000u));
	}
	return uint16_t(sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13));
}

__host__ __device__ __forceinline__ float to_float(float value) { return value; }
__host__ __device__ __forceinline__ float to_float(int32_t value) { return (float)value; }
__host__ __device__ __forceinline__ float to_float(bf16 value) { return float_of_bits(uint32_t(value.bits) << 16); }
__host__ __device__ __forceinline__ float to_float(f16 value) {
#ifdef __CUDA_ARCH__
	float result;
	asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
	return result;
#else
	return f16_value(value.bits);
#endif
}

template <class T>
__host__ __device__ __forceinline__ T from_float(float value);
template <>
__host__ __device__ __forceinline__ float from_float<float>(float value) {
	return value;
}
template <>
__host__ __device__ __forceinline__ bf16 from_float<bf16>(float value) {
#ifdef __CUDA_ARCH__
	bf16 result;
	asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
	return result;
#else
	return bf16{bf16_bits(value)};
#endif
}
template <>
__host__ __device__ __forceinline__ f16 from_float<f16>(float value) {
#ifdef __CUDA_ARCH__
	f16 result;
	asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
	return result;
#else
	return f16{f16_bits(value)};
#endif
}

// Two values in one register: `low` in bits 0–15, `high` in bits 16–31.
template <class T>
__device__ __forceinline__ uint32_t pack2(float low, float high);
template <>
__device__ __forceinline__ uint32_t pack2<bf16>(float low, float high) {
#ifdef __CUDA_ARCH__
	uint32_t result;
	asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
	return result;
#else
	return uint32_t(bf16_bits(low)) | uint32_t(bf16_bits(high)) << 16;
#endif
}
template <>
__device__ __forceinline__ uint32_t pack2<f16>(float low, float high) {
#ifdef __CUDA_ARCH__
	uint32_t result;
	asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
	return result;
#else
	return uint32_t(f16_bits(low)) | uint32_t(f16_bits(high)) << 16;
#endif
}

}  // namespace dreamdist::gpu
