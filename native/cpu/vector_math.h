// Transcendental functions on one vector register: the activations of dense epilogues, the pointwise op codes, softmax.
//
// Each is accurate to 4 ulp or 1e-7 absolute, whichever is larger, over all of f32 (sin and cos: |x| ≤ 1e5), and maps NaN to NaN.
// Coefficients are minimax fits made for these intervals (Lawson iteration in float64 on Chebyshev nodes).
#pragma once
#include "simd.h"

namespace dreamdist::cpu::DD_ISA {

inline vf vcopysign(vf magnitude, vf sign) { return (vf)(((vi)magnitude & 0x7fffffff) | ((vi)sign & (vi{} + INT32_MIN))); }

inline vf vsqrt(vf x) {
	float lanes[kLanes];
	std::memcpy(lanes, &x, sizeof x);
	for (int i = 0; i < kLanes; i++) lanes[i] = __builtin_sqrtf(lanes[i]);
	return load(lanes);
}

// log(2^e · (1 + f)) for 1 + f in [√½, √2): f − f²/2 + f³·P(f) + e·ln 2.
inline vf log_reduced(vf f, vi e) {
	vf p = set1(0x1.14579ap-4f);
	p = fma(p, f, set1(-0x1.de3c12p-4f));
	p = fma(p, f, set1(0x1.e6f06ep-4f));
	p = fma(p, f, set1(-0x1.fc2208p-4f));
	p = fma(p, f, set1(0x1.23374cp-3f));
	p = fma(p, f, set1(-0x1.555c4ep-3f));
	p = fma(p, f, set1(0x1.99a4b6p-3f));
	p = fma(p, f, set1(-0x1.000006p-2f));
	p = fma(p, f, set1(0x1.555548p-2f));
	const vf n = to_float(e), square = f * f;
	vf y = fma(p * f, square, n * set1(-2.12194440e-4f));  // ln 2 = 0.693359375 − 2.1219444e-4; the first product is exact
	y = fma(square, set1(-0.5f), y);
	return (f + y) + n * set1(0.693359375f);
}

// Natural logarithm: 0 gives -inf, a negative number NaN.
inline vf vlog(vf x) {
	const vi subnormal = x < set1(1.17549435e-38f);
	const vf scaled = select(subnormal, x * set1(8388608.0f), x);
	const vi bits = (vi)((vu)scaled - 0x3f3504f3);  // relative to √½; wraps around for numbers that have no logarithm
	vf y = log_reduced((vf)((bits & 0x7fffff) + 0x3f3504f3) - set1(1.0f), (bits >> 23) - (subnormal & 23));
	const vf infinite = set1(__builtin_inff());
	y = select(x == infinite, infinite, y);
	y = select(x == zero(), -infinite, y);
	return select(x >= zero(), y, set1(__builtin_nanf("")));
}

inline vf vtanh(vf x) {
	const vf t = vabs(x), square = x * x;
	vf p = set1(0x1.16b09ap-9f);
	p = fma(p, square, set1(-0x1.0b5f64p-7f));
	p = fma(p, square, set1(0x1.636deap-6f));
	p = fma(p, square, set1(-0x1.b9ebf6p-5f));
	p = fma(p, square, set1(0x1.11105ap-3f));
	p = fma(p, square, set1(-0x1.555554p-2f));
	const vf near = fma(p * square, x, x);
	const vf far = set1(1.0f) - set1(2.0f) / (vexp(t + t) + set1(1.0f));
	return select(t < set1(0.625f), near, vcopysign(far, x));
}

inline vf vsigmoid(vf x) { return set1(1.0f) / (set1(1.0f) + vexp(-x)); }

// The normal distribution function Φ(x), given e = exp(−x²/2). Near zero ½ + x·P(x²); beyond √2 the tail e·u·P(u), u = 1/(1 + 0.35|x|).
inline vf normal_cdf(vf x, vf e) {
	const vf t = vabs(x), square = x * x;
	vf p = set1(0x1.d1dd9cp-22f);
	p = fma(p, square, set1(-0x1.28f5e6p-17f));
	p = fma(p, square, set1(0x1.e0dd4p-14f));
	p = fma(p, square, set1(-0x1.371b98p-10f));
	p = fma(p, square, set1(0x1.46cebap-7f));
	p = fma(p, square, set1(-0x1.105832p-4f));
	p = fma(p, square, set1(0x1.988454p-2f));
	const vf near = fma(p, x, set1(0.5f));
	const vf u = set1(1.0f) / fma(t, set1(0.35f), set1(1.0f));
	vf q = set1(0x1.8284acp-5f);
	q = fma(q, u, set1(-0x1.e92d3ap-4f));
	q = fma(q, u, set1(0x1.b43a62p-5f));
	q = fma(q, u, set1(0x1.b0e9ep-6f));
	q = fma(q, u, set1(0x1.75e5a6p-4f));
	q = fma(q, u, set1(0x1.f4d774p-4f));
	q = fma(q, u, set1(0x1.1df7ep-3f));
	q = fma(q, u, set1(0x1.1df686p-3f));
	q *= u * e;
	const vf far = select(x > zero(), set1(1.0f) - q, q);
	return select(t < set1(1.41421356f), near, far);
}

// erf(x): x·P(x²) below 1, 1 − 2Φ(−√2·x) beyond.
inline vf verf(vf x) {
	const vf t = vabs(x), square = x * x;
	vf p = set1(0x1.496ab2p-14f);
	p = fma(p, square, set1(-0x1.a3f734p-11f));
	p = fma(p, square, set1(0x1.5405bap-8f));
	p = fma(p, square, set1(-0x1.b7f90ep-6f));
	p = fma(p, square, set1(0x1.ce2cf8p-4f));
	p = fma(p, square, set1(-0x1.81273ep-2f));
	p = fma(p, square, set1(0x1.20dd74p+0f));
	const vf tail = normal_cdf(t * set1(-1.41421356f), vexp(-square));
	const vf far = fma(tail, set1(-2.0f), set1(1.0f));
	return select(t < set1(1.0f), p * x, vcopysign(far, x));
}

inline vf vgelu(vf x) { return x * normal_cdf(x, vexp(set1(-0.5f) * x * x)); }

// Φ(x) + x·φ(x)
inline vf vgelu_grad(vf x) {
	const vf e = vexp(set1(-0.5f) * x * x);
	return fma(vmin(vmax(x, set1(-64.0f)), set1(64.0f)) * set1(0.398942280f), e, normal_cdf(x, e));  // e is 0 beyond: keeps ∞·0 out
}

inline vf vsilu(vf x) { return x * vsigmoid(x); }

// d/dx of x·σ(x): σ(x)·(1 + x·σ(−x)). Both sigmoids come from one exponential, neither by subtraction from 1.
inline vf vsilu_grad(vf x) {
	const vf bounded = vmin(vmax(x, set1(-128.0f)), set1(128.0f));  // 0 and 1 beyond: keeps ∞·0 out
	const vf e = vexp(-vabs(bounded));
	const vf major = set1(1.0f) / (set1(1.0f) + e), minor = e * major;
	const vi positive = bounded > zero();
	return select(x == x, select(positive, major, minor) * fma(bounded, select(positive, minor, major), set1(1.0f)), x);
}

inline vf vquick_gelu(vf x) { return x * vsigmoid(set1(1.702f) * x); }
inline vf vquick_gelu_grad(vf x) { return vsilu_grad(set1(1.702f) * x); }

inline vf vrelu(vf x) { return select(x <= zero(), zero(), x); }  // NaN passes

// The sine and cosine of r + quadrant·π/2, |r| ≤ π/4.
inline void sincos_reduced(vf r, vi quadrant, vf& sine, vf& cosine) {
	const vf square = r * r;
	vf p = set1(0x1.6cc2d2p-19f);
	p = fma(p, square, set1(-0x1.a00f4p-13f));
	p = fma(p, square, set1(0x1.111108p-7f));
	p = fma(p, square, set1(-0x1.555556p-3f));
	const vf s = fma(p * square, r, r);
	vf q = set1(-0x1.241fcap-22f);
	q = fma(q, square, set1(0x1.a010ecp-16f));
	q = fma(q, square, set1(-0x1.6c16b8p-10f));
	q = fma(q, square, set1(0x1.555556p-5f));
	const vf c = fma(q * square, square, fma(square, set1(-0.5f), set1(1.0f)));
	const vi swap = (quadrant & 1) != 0;
	sine = (vf)((vi)select(swap, c, s) ^ ((quadrant & 2) << 30));
	cosine = (vf)((vi)select(swap, s, c) ^ (((quadrant + 1) & 2) << 30));
}

// Both at once. The quadrant is taken off in float64, so that |x| up to 1e5 loses nothing.
inline void vsincos(vf x, vf& sine, vf& cosine) {
	typedef double vd __attribute__((vector_size(DD_LANES * 8)));
	const vf magic = set1(12582912.0f);
	const vf n = (x * set1(0.636619772f) + magic) - magic;
	const vd reduced = __builtin_convertvector(x, vd) - __builtin_convertvector(n, vd) * 1.5707963267948966;
	sincos_reduced(__builtin_convertvector(reduced, vf), to_int(n), sine, cosine);
}

}  // namespace dreamdist::cpu::DD_ISA
