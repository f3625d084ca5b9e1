// Short exponentials for kernels whose cost is the exponential: 2^x to 1.5 ulp without the care for subnormal results and overflow that
// vexp takes, and the logistic function on top of it.
#pragma once
#include "../simd.h"

namespace dreamdist::cpu::DD_ISA {

constexpr float kLog2E = 1.44269504f;
constexpr double kLn2 = 0.6931471805599453;

// 2^x for x up to 127; 0 below -100 (so that no product downstream is subnormal, which costs a microcode assist each). NaN stays NaN.
inline vf exp2_flushed(vf x) {
	const vf magic = set1(12582912.0f);  // 1.5·2^23: adding it rounds to the nearest integer, left in the low bits
	const vf shifted = x + magic;
	const vf r = x - (shifted - magic);
	// Minimax in relative error over [-1/2, 1/2] with the constant term held at 1: 9.2e-8.
	vf p = set1(1.326472918e-03f);
	p = fma(p, r, set1(9.671513435e-03f));
	p = fma(p, r, set1(5.550733746e-02f));
	p = fma(p, r, set1(2.402224207e-01f));
	p = fma(p, r, set1(6.931469776e-01f));
	p = fma(p, r, set1(1.0f));
	typedef uint32_t vu __attribute__((vector_size(DD_LANES * 4)));  // wraps around where the result is not used
	const vu scaled = (vu)p + ((vu)shifted << 23);
	return (vf)((vi)scaled & ~(x < set1(-100.0f)));
}

// 1/x for normal, finite x > 0, to 1 ulp.
inline vf reciprocal_positive(vf x) {
#if defined(__AVX512F__)
	const vf estimate = (vf)_mm512_rcp14_ps((__m512)x);
	return fma(estimate, fma(-x, estimate, set1(1.0f)), estimate);
#else
	return set1(1.0f) / x;
#endif
}

// 1/(1 + e^-x), within 1e-7.
inline vf sigmoid_short(vf x) {
	const vf exponent = vmin(set1(115.0f), x * set1(-kLog2E));
	return reciprocal_positive(set1(1.0f) + exp2_flushed(exponent));
}

}  // namespace dreamdist::cpu::DD_ISA
