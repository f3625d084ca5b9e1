// Loops over contiguous floats, a register at a time, with one body for whole registers and for the rest.
#pragma once
#include "../simd.h"

namespace dreamdist::cpu::DD_ISA {

struct WholeRegister {
	static vf load(const float* p) { return DD_ISA::load(p); }
	static void store(float* p, vf v) { DD_ISA::store(p, v); }
	static vf keep(vf v, float = 0) { return v; }
};
struct PartRegister {
	int64_t n;
	vf load(const float* p) const { return load_n(p, n); }
	void store(float* p, vf v) const { store_n(p, v, n); }
	// Replaces the lanes that hold no element.
	vf keep(vf v, float other = 0) const {
		vi lane;
		for (int i = 0; i < kLanes; i++) lane[i] = i;
		return select(lane < (int32_t)n, v, set1(other));
	}
};

// body(i, lanes) for i = 0, kLanes, 2·kLanes… below n; `lanes` loads, stores and masks what is there.
template <class Body>
inline void over(int64_t n, Body&& body) {
	int64_t i = 0;
	for (; i + kLanes <= n; i += kLanes) body(i, WholeRegister{});
	if (i < n) body(i, PartRegister{n - i});
}

// Long sums in float32 are cut into pieces of this many elements, added in double.
constexpr int64_t kSumPiece = 4096;

}  // namespace dreamdist::cpu::DD_ISA
