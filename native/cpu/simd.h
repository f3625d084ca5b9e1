// One vector type per instruction set, on the compiler's vector extensions: the same source becomes AVX-512, AVX2, NEON or SSE2 code.
//
// Every file of native/cpu/kernels is compiled once per instruction set with DD_ISA naming the namespace. Include this header first.
#pragma once
#include <cstdint>
#include <cstring>
#include <utility>

#ifndef DD_ISA
#error "DD_ISA must name the instruction set this file is compiled for"
#endif

#if defined(__AVX512F__)
#include <immintrin.h>
#define DD_LANES 16
#elif defined(__AVX2__)
#include <immintrin.h>
#define DD_LANES 8
#else
#define DD_LANES 4
#if defined(__aarch64__)
#include <arm_neon.h>
#endif
#endif

namespace dreamdist::cpu::DD_ISA {

constexpr int kLanes = DD_LANES;
typedef float vf __attribute__((vector_size(DD_LANES * 4), may_alias));
typedef int32_t vi __attribute__((vector_size(DD_LANES * 4), may_alias));
typedef uint32_t vu __attribute__((vector_size(DD_LANES * 4), may_alias));  // arithmetic that may wrap around
typedef uint16_t vh __attribute__((vector_size(DD_LANES * 2), may_alias));  // 16-bit storage

inline vf load(const float* p) {
	vf v;
	std::memcpy(&v, p, sizeof v);
	return v;
}
inline void store(float* p, vf v) { std::memcpy(p, &v, sizeof v); }
inline vf set1(float x) {
#if defined(__AVX512F__)
	return (vf)_mm512_set1_ps(x);
#elif defined(__AVX2__)
	return (vf)_mm256_set1_ps(x);
#else
	return x - vf{};
#endif
}
inline vf zero() { return vf{}; }

// The first n (< kLanes) floats; the rest are zero.
inline vf load_n(const float* p, int64_t n) {
#if defined(__AVX512F__)
	return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
	vf v{};
	for (int64_t i = 0; i < n; i++) v[i] = p[i];
	return v;
#endif
}
inline void store_n(float* p, vf v, int64_t n) {
#if defined(__AVX512F__)
	_mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
	for (int64_t i = 0; i < n; i++) p[i] = v[i];
#endif
}

inline vf fma(vf a, vf b, vf c) {
#if defined(__AVX512F__)
	return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
	return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
	return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
	return a * b + c;
#endif
}
// Lane by lane; mask is what a comparison gives.
inline vf select(vi mask, vf yes, vf no) { return mask ? yes : no; }
inline vf vmax(vf a, vf b) {
#if defined(__AVX512F__)
	return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
	return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
	return select(a > b, a, b);
#endif
}
inline vf vmin(vf a, vf b) {
#if defined(__AVX512F__)
	return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
	return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
	return select(a < b, a, b);
#endif
}
inline vf vabs(vf a) { return (vf)((vi)a & (vi{} + 0x7fffffff)); }
inline vi to_int(vf a) { return __builtin_convertvector(a, vi); }
inline vf to_float(vi a) { return __builtin_convertvector(a, vf); }
// Lane i becomes lane i + S, around the end.
template <int S, int... L>
inline vf rotate(vf v, std::integer_sequence<int, L...>) {
	return __builtin_shufflevector(v, v, ((L + S) % kLanes)...);
}
template <int S = kLanes / 2>
inline float sum(vf v) {
	v += rotate<S>(v, std::make_integer_sequence<int, kLanes>{});
	if constexpr (S > 1) return sum<S / 2>(v);
	else return v[0];
}
template <int S = kLanes / 2>
inline float max_of(vf v) {
	v = vmax(v, rotate<S>(v, std::make_integer_sequence<int, kLanes>{}));
	if constexpr (S > 1) return max_of<S / 2>(v);
	else return v[0];
}

// e^x to about 1 ulp over the whole f32 range: 2^n · p(r), r in [-ln2/2, ln2/2]. Underflows to 0 below -103.97, overflows to inf above
// 88.72; NaN stays NaN. Masked scores and saturated activations are common: what vanishes is multiplied by zero, since a subnormal
// product would cost a microcode assist.
inline vf vexp(vf x) {
	const vf clamped = vmin(vmax(x, set1(-104.0f)), set1(89.0f));
	const vf magic = set1(12582912.0f);  // 1.5·2^23: adding it rounds to the nearest integer
	const vf n = (clamped * set1(1.44269504f) + magic) - magic;
	vf r = fma(n, set1(-0.693359375f), clamped);
	r = fma(n, set1(2.12194440e-4f), r);
	vf p = set1(1.9875691500e-4f);
	p = fma(p, r, set1(1.3981999507e-3f));
	p = fma(p, r, set1(8.3334519073e-3f));
	p = fma(p, r, set1(4.1665795894e-2f));
	p = fma(p, r, set1(1.6666665459e-1f));
	p = fma(p, r, set1(5.0000001201e-1f));
	p = fma(p, r * r, r + set1(1.0f));
	// 2^n in two factors, so that subnormal results and the last binade before overflow come out right.
	const vi ni = to_int(n);
	const vi half = ni >> 1;
	const vf a = (vf)((half + 127) << 23), b = select(x < set1(-103.98f), zero(), (vf)((ni - half + 127) << 23));
	const vf y = p * a * b;
	return select(x == x, y, x);
}

// f16 and bf16 storage <-> f32 registers, round to nearest even.
inline float half_to_float(uint16_t h) {
	const uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
	uint32_t bits;
	if (rest >= 0x7c00) bits = sign | 0x7f800000 | (uint32_t)(rest & 0x3ff) << 13;
	else if (rest >= 0x0400) bits = sign | ((rest << 13) + 0x38000000);
	else {
		const float magnitude = (float)rest * 5.9604644775390625e-8f;  // subnormal: rest · 2^-24
		std::memcpy(&bits, &magnitude, 4);
		bits |= sign;
	}
	float f;
	std::memcpy(&f, &bits, 4);
	return f;
}
inline uint16_t float_to_half(float f) {
	uint32_t bits;
	std::memcpy(&bits, &f, 4);
	const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
	bits &= 0x7fffffff;
	if (bits > 0x7f800000) return sign | 0x7e00;
	if (bits >= 0x477ff000) return sign | 0x7c00;  // 65520 and above round to infinity
	if (bits < 0x38800000) {                       // subnormal: let the f32 adder round at 2^-24
		float magnitude;
		std::memcpy(&magnitude, &bits, 4);
		magnitude += 0.5f;
		uint32_t rounded;
		std::memcpy(&rounded, &magnitude, 4);
		return sign | (uint16_t)(rounded - 0x3f000000);
	}
	bits += 0xfff + (bits >> 13 & 1);
	return sign | (uint16_t)((bits - 0x38000000) >> 13);
}
inline float bfloat_to_float(uint16_t h) {
	const uint32_t bits = (uint32_t)h << 16;
	float f;
	std::memcpy(&f, &bits, 4);
	return f;
}
inline uint16_t float_to_bfloat(float f) {
	uint32_t bits;
	std::memcpy(&bits, &f, 4);
	if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline vf load_half(const uint16_t* p) {
#if defined(__AVX512F__)
	return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
#elif defined(__F16C__)
	return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
#elif defined(__aarch64__)
	return (vf)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
#else
	vh h;
	std::memcpy(&h, p, sizeof h);
	const vu bits = __builtin_convertvector(h, vu), rest = bits & 0x7fff;
	// With f16's exponent in f32's place the value is 2^112 too small, subnormal or not; infinity and NaN keep a full exponent.
	const vu magnitude = (vu)((vf)(rest << 13) * set1(0x1p112f)) | ((vu)((vi)rest >= 0x7c00) & 0x7f800000);
	return (vf)(magnitude | (bits & 0x8000) << 16);
#endif
}
inline void store_half(uint16_t* p, vf v) {
#if defined(__AVX512F__)
	_mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
	_mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT));
#elif defined(__aarch64__)
	vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)v)));
#else
	// float_to_half, all cases side by side.
	const vu bits = (vu)v, rest = bits & 0x7fffffff;
	const vu normal = (rest + 0xfff + (rest >> 13 & 1) - 0x38000000) >> 13, subnormal = (vu)((vf)rest + set1(0.5f)) - 0x3f000000;
	const vi size = (vi)rest;
	vu h = size < 0x38800000 ? subnormal : normal;
	h = size >= 0x477ff000 ? vu{} + 0x7c00 : h;
	h = size > 0x7f800000 ? vu{} + 0x7e00 : h;
	const vh stored = __builtin_convertvector(h | (bits >> 16 & 0x8000), vh);
	std::memcpy(p, &stored, sizeof stored);
#endif
}
inline vf load_bfloat(const uint16_t* p) {
	vh h;
	std::memcpy(&h, p, sizeof h);
	return (vf)(__builtin_convertvector(h, vu) << 16);
}
inline void store_bfloat(uint16_t* p, vf v) {
	const vu bits = (vu)v;
	const vu rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40;
	const vh stored = __builtin_convertvector((vi)(bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded, vh);
	std::memcpy(p, &stored, sizeof stored);
}

}  // namespace dreamdist::cpu::DD_ISA
