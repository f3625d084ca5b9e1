// The instructions of pointwise: what each reads, and one loop over a block for each.
#pragma once
#include "../vector_math.h"
#include "lanes.h"
#include "stream.h"

namespace dreamdist::cpu::DD_ISA {

enum PointwiseOp : int64_t {
	kMov, kImm, kAdd, kSub, kMul, kDiv, kMaxOp, kMinOp, kNeg, kAbs, kExp, kLog, kSqrt, kRsqrt, kReciprocal, kSigmoid, kTanh, kErf, kSin, kCos,
	kSilu, kGelu, kQuickGelu, kRelu, kSiluGrad, kGeluGrad, kQuickGeluGrad, kReluGrad, kGt, kGe, kEq, kSelect, kSquare, kSign, kPow, kFloor, kFma,
	kOpCount
};
inline bool reads_a(int64_t op) { return op != kImm; }
inline bool reads_b(int64_t op) {
	return (op >= kAdd && op <= kMinOp) || (op >= kSiluGrad && op <= kSelect) || op == kPow || op == kFma;
}
inline bool reads_dst(int64_t op) { return op == kSelect || op == kFma; }

struct Instruction {
	int64_t op, dst, a, b;
};

// Where an instruction writes: a register, or an output, around the caches if that is one nobody reads soon.
struct Target {
	float* data;
	bool streams;
};

// dst[i] = f(a[i], …)
template <class F, class... Sources>
inline void apply(Target dst, int64_t n, F f, const Sources*... from) {
	over(n, [&](int64_t i, auto lanes) { lanes.store(dst.data + i, f(lanes.load(from + i)...)); });
}
// The same for instructions so cheap that the way to memory is their cost.
template <class F, class... Sources>
inline void apply_cheap(Target dst, int64_t n, F f, const Sources*... from) {
	if (!dst.streams) return apply(dst, n, f, from...);
	int64_t i = unaligned_head(dst.data, n);
	over(i, [&](int64_t e, auto lanes) { lanes.store(dst.data + e, f(lanes.load(from + e)...)); });
	for (; i + kLanes <= n; i += kLanes) stream(dst.data + i, f(load(from + i)...));
	over(n - i, [&](int64_t e, auto lanes) { lanes.store(dst.data + i + e, f(lanes.load(from + i + e)...)); });
}
inline bool is_cheap(int64_t op) {
	switch (op) {
		case kMov: case kAdd: case kSub: case kMul: case kDiv: case kMaxOp: case kMinOp: case kNeg: case kAbs: case kRelu: case kReluGrad: case kSelect:
		case kSquare: case kFma:
			return true;
		default:
			return false;
	}
}

inline vf truth(vi mask) { return select(mask, set1(1.0f), zero()); }
inline vf sign_of(vf x) { return select(x > zero(), set1(1.0f), select(x < zero(), set1(-1.0f), x)); }
inline vf vsin(vf x) {
	vf sine, cosine;
	vsincos(x, sine, cosine);
	return sine;
}
inline vf vcos(vf x) {
	vf sine, cosine;
	vsincos(x, sine, cosine);
	return cosine;
}
inline vf vpow(vf x, vf y) {
	// Rare in models, full of special cases: the C library's is exact to an ulp.
	vf result;
	for (int i = 0; i < kLanes; i++) result[i] = __builtin_powf(x[i], y[i]);
	return result;
}
inline vf vfloor(vf x) {
	// Beyond 2^23 every f32 is an integer already.
	const vf truncated = to_float(to_int(x));
	const vf down = truncated - truth(truncated > x);
	return select(vabs(x) < set1(8388608.0f), vcopysign(down, x), x);
}

// dst = op(a, b); `old` is what dst held before, for the instructions that read it. `streams` only where is_cheap(op).
inline void execute(int64_t op, Target dst, const float* old, const float* a, const float* b, int64_t n) {
	switch (op) {
		case kMov: return apply_cheap(dst, n, [](vf x) { return x; }, a);
		case kAdd: return apply_cheap(dst, n, [](vf x, vf y) { return x + y; }, a, b);
		case kSub: return apply_cheap(dst, n, [](vf x, vf y) { return x - y; }, a, b);
		case kMul: return apply_cheap(dst, n, [](vf x, vf y) { return x * y; }, a, b);
		case kDiv: return apply_cheap(dst, n, [](vf x, vf y) { return x / y; }, a, b);
		case kMaxOp: return apply_cheap(dst, n, [](vf x, vf y) { return select((x > y) | (x != x), x, y); }, a, b);
		case kMinOp: return apply_cheap(dst, n, [](vf x, vf y) { return select((x < y) | (x != x), x, y); }, a, b);
		case kNeg: return apply_cheap(dst, n, [](vf x) { return -x; }, a);
		case kAbs: return apply_cheap(dst, n, [](vf x) { return vabs(x); }, a);
		case kExp: return apply(dst, n, [](vf x) { return vexp(x); }, a);
		case kLog: return apply(dst, n, [](vf x) { return vlog(x); }, a);
		case kSqrt: return apply(dst, n, [](vf x) { return vsqrt(x); }, a);
		case kRsqrt: return apply(dst, n, [](vf x) { return set1(1.0f) / vsqrt(x); }, a);
		case kReciprocal: return apply(dst, n, [](vf x) { return set1(1.0f) / x; }, a);
		case kSigmoid: return apply(dst, n, [](vf x) { return vsigmoid(x); }, a);
		case kTanh: return apply(dst, n, [](vf x) { return vtanh(x); }, a);
		case kErf: return apply(dst, n, [](vf x) { return verf(x); }, a);
		case kSin: return apply(dst, n, [](vf x) { return vsin(x); }, a);
		case kCos: return apply(dst, n, [](vf x) { return vcos(x); }, a);
		case kSilu: return apply(dst, n, [](vf x) { return vsilu(x); }, a);
		case kGelu: return apply(dst, n, [](vf x) { return vgelu(x); }, a);
		case kQuickGelu: return apply(dst, n, [](vf x) { return vquick_gelu(x); }, a);
		case kRelu: return apply_cheap(dst, n, [](vf x) { return vrelu(x); }, a);
		case kSiluGrad: return apply(dst, n, [](vf dy, vf x) { return dy * vsilu_grad(x); }, a, b);
		case kGeluGrad: return apply(dst, n, [](vf dy, vf x) { return dy * vgelu_grad(x); }, a, b);
		case kQuickGeluGrad: return apply(dst, n, [](vf dy, vf x) { return dy * vquick_gelu_grad(x); }, a, b);
		case kReluGrad: return apply_cheap(dst, n, [](vf dy, vf x) { return select(x > zero(), dy, zero()); }, a, b);
		case kGt: return apply(dst, n, [](vf x, vf y) { return truth(x > y); }, a, b);
		case kGe: return apply(dst, n, [](vf x, vf y) { return truth(x >= y); }, a, b);
		case kEq: return apply(dst, n, [](vf x, vf y) { return truth(x == y); }, a, b);
		case kSelect: return apply_cheap(dst, n, [](vf c, vf x, vf y) { return select(c != zero(), x, y); }, old, a, b);
		case kSquare: return apply_cheap(dst, n, [](vf x) { return x * x; }, a);
		case kSign: return apply(dst, n, [](vf x) { return sign_of(x); }, a);
		case kPow: return apply(dst, n, [](vf x, vf y) { return vpow(x, y); }, a, b);
		case kFloor: return apply(dst, n, [](vf x) { return vfloor(x); }, a);
		case kFma: return apply_cheap(dst, n, [](vf c, vf x, vf y) { return fma(x, y, c); }, old, a, b);
	}
}

}  // namespace dreamdist::cpu::DD_ISA
