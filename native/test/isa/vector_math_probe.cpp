// Compiled once per instruction set like the kernels: applies one function of vector_math.h to an array.
#include "vector_math_probe.h"

#include "../../cpu/kernels/exp2.h"
#include "../../cpu/vector_math.h"

namespace dreamdist::cpu::DD_ISA {

bool probe(const char* name, const float* x, float* y, int64_t n) {
	vf (*function)(vf) = nullptr;
	auto is = [&](const char* other) { return !std::strcmp(name, other); };
	if (is("exp")) function = [](vf v) { return vexp(v); };
	else if (is("exp2_flushed")) function = [](vf v) { return exp2_flushed(v); };
	else if (is("sigmoid_short")) function = [](vf v) { return sigmoid_short(v); };
	else if (is("log")) function = [](vf v) { return vlog(v); };
	else if (is("tanh")) function = [](vf v) { return vtanh(v); };
	else if (is("sigmoid")) function = [](vf v) { return vsigmoid(v); };
	else if (is("erf")) function = [](vf v) { return verf(v); };
	else if (is("gelu")) function = [](vf v) { return vgelu(v); };
	else if (is("gelu_grad")) function = [](vf v) { return vgelu_grad(v); };
	else if (is("silu")) function = [](vf v) { return vsilu(v); };
	else if (is("silu_grad")) function = [](vf v) { return vsilu_grad(v); };
	else if (is("quick_gelu")) function = [](vf v) { return vquick_gelu(v); };
	else if (is("quick_gelu_grad")) function = [](vf v) { return vquick_gelu_grad(v); };
	else if (is("relu")) function = [](vf v) { return vrelu(v); };
	else if (is("sqrt")) function = [](vf v) { return vsqrt(v); };
	else if (is("sin")) function = [](vf v) { vf s, c; vsincos(v, s, c); return s; };
	else if (is("cos")) function = [](vf v) { vf s, c; vsincos(v, s, c); return c; };
	if (!function) return false;
	for (int64_t i = 0; i < n; i += kLanes) {
		const int64_t rest = n - i < kLanes ? n - i : kLanes;
		if (rest == kLanes) store(y + i, function(load(x + i)));
		else store_n(y + i, function(load_n(x + i, rest)), rest);
	}
	return true;
}

}  // namespace dreamdist::cpu::DD_ISA
