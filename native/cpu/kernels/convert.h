// Runs of elements between storage types and f32, contiguous or strided.
#pragma once
#include "../simd.h"
#include "dreamdist/types.h"

namespace dreamdist::cpu::DD_ISA {

// One storage type: its element, and one vector or element of it as f32.
struct F32 {
	using Element = float;
	static vf load(const Element* p) { return DD_ISA::load(p); }
	static void store(Element* p, vf v) { DD_ISA::store(p, v); }
	static float get(Element x) { return x; }
	static Element put(float x) { return x; }
};
struct F16 {
	using Element = uint16_t;
	static vf load(const Element* p) { return load_half(p); }
	static void store(Element* p, vf v) { store_half(p, v); }
	static float get(Element x) { return half_to_float(x); }
	static Element put(float x) { return float_to_half(x); }
};
struct BF16 {
	using Element = uint16_t;
	static vf load(const Element* p) { return load_bfloat(p); }
	static void store(Element* p, vf v) { store_bfloat(p, v); }
	static float get(Element x) { return bfloat_to_float(x); }
	static Element put(float x) { return float_to_bfloat(x); }
};
struct I32 {
	using Element = int32_t;
	static vf load(const Element* p) {
		vi v;
		std::memcpy(&v, p, sizeof v);
		return to_float(v);
	}
	static void store(Element* p, vf v) {
		const vi truncated = to_int(v);
		std::memcpy(p, &truncated, sizeof truncated);
	}
	static float get(Element x) { return (float)x; }
	static Element put(float x) { return to_int(set1(x))[0]; }
};

// Calls f with the storage type `type` names.
template <class F>
inline void with_storage(DType type, F&& f) {
	switch (type) {
		case DType::f32: return f(F32{});
		case DType::f16: return f(F16{});
		case DType::bf16: return f(BF16{});
		case DType::i32: return f(I32{});
	}
}

// y[i·yStride] = x[i·xStride] for i < n, through f32.
template <class X, class Y>
inline void convert_run(const typename X::Element* x, int64_t xStride, typename Y::Element* y, int64_t yStride, int64_t n) {
	int64_t i = 0;
	if (yStride == 1 && xStride == 1) {
		for (; i + kLanes <= n; i += kLanes) Y::store(y + i, X::load(x + i));
	} else if (yStride == 1 && xStride == 0 && n > 0) {
		const vf v = set1(X::get(*x));
		for (; i + kLanes <= n; i += kLanes) Y::store(y + i, v);
	}
	for (; i < n; i++) y[i * yStride] = Y::put(X::get(x[i * xStride]));
}

}  // namespace dreamdist::cpu::DD_ISA
