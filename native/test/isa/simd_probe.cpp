// Compiled once per instruction set like the kernels: single functions of simd.h and kernels/convert.h applied to arrays.
#include "simd_probe.h"

#include "../../cpu/kernels/convert.h"

namespace dreamdist::cpu::DD_ISA {

bool probe_simd(const char* what, const void* in, void* out, int64_t n) {
	auto is = [&](const char* other) { return !std::strcmp(what, other); };
	const auto* bits = static_cast<const uint16_t*>(in);
	const auto* x = static_cast<const float*>(in);
	auto* y = static_cast<float*>(out);
	auto* packed = static_cast<uint16_t*>(out);
	auto each = [&](int64_t step, auto&& body) {
		for (int64_t i = 0; i < n; i += step) body(i);
		return true;
	};
	if (is("half_to_float")) return each(1, [&](int64_t i) { y[i] = half_to_float(bits[i]); });
	if (is("bfloat_to_float")) return each(1, [&](int64_t i) { y[i] = bfloat_to_float(bits[i]); });
	if (is("float_to_half")) return each(1, [&](int64_t i) { packed[i] = float_to_half(x[i]); });
	if (is("float_to_bfloat")) return each(1, [&](int64_t i) { packed[i] = float_to_bfloat(x[i]); });
	if (is("load_half")) return each(kLanes, [&](int64_t i) { store(y + i, load_half(bits + i)); });
	if (is("load_bfloat")) return each(kLanes, [&](int64_t i) { store(y + i, load_bfloat(bits + i)); });
	if (is("store_half")) return each(kLanes, [&](int64_t i) { store_half(packed + i, load(x + i)); });
	if (is("store_bfloat")) return each(kLanes, [&](int64_t i) { store_bfloat(packed + i, load(x + i)); });
	if (is("vexp")) return each(kLanes, [&](int64_t i) { store(y + i, vexp(load(x + i))); });
	if (is("vabs")) return each(kLanes, [&](int64_t i) { store(y + i, vabs(load(x + i))); });
	return false;
}

void probe_partial(const float* x, float* y, int64_t n) { store_n(y, load_n(x, n) + set1(1.0f), n); }
float probe_sum(const float* x) { return sum(load(x)); }
float probe_max_of(const float* x) { return max_of(load(x)); }
int lanes() { return kLanes; }

}  // namespace dreamdist::cpu::DD_ISA
