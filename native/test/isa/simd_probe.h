#pragma once
#include <cstdint>

// out[i] = what(in[i]) with simd.h or kernels/convert.h as one instruction set compiles them. `what` names a function of theirs; n is a
// multiple of 16. False when there is no such function.
#define DD_PROBE(isa)                                                                                     \
	namespace dreamdist::cpu::isa {                                                                       \
	bool probe_simd(const char* what, const void* in, void* out, int64_t n);                              \
	/* Partial registers: y[0, n) = x[0, n) + 1, and the sum and maximum of a register; n < lanes(). */   \
	void probe_partial(const float* x, float* y, int64_t n);                                              \
	float probe_sum(const float* x);                                                                      \
	float probe_max_of(const float* x);                                                                   \
	int lanes();                                                                                          \
	}
#if DD_HAVE_GENERIC
DD_PROBE(generic)
#endif
#if DD_HAVE_AVX2
DD_PROBE(avx2)
#endif
#if DD_HAVE_AVX512
DD_PROBE(avx512)
#endif
#if DD_HAVE_NEON
DD_PROBE(neon)
#endif
#undef DD_PROBE

namespace dreamdist::test {

struct SimdProbe {
	bool (*apply)(const char* what, const void* in, void* out, int64_t n);
	void (*partial)(const float* x, float* y, int64_t n);
	float (*sum)(const float* x);
	float (*max_of)(const float* x);
	int lanes;
};
#define DD_PROBE(isa) \
	if (name == #isa) return {cpu::isa::probe_simd, cpu::isa::probe_partial, cpu::isa::probe_sum, cpu::isa::probe_max_of, cpu::isa::lanes()};
template <class String>
SimdProbe simd_probe(const String& name) {
#if DD_HAVE_GENERIC
	DD_PROBE(generic)
#endif
#if DD_HAVE_AVX2
	DD_PROBE(avx2)
#endif
#if DD_HAVE_AVX512
	DD_PROBE(avx512)
#endif
#if DD_HAVE_NEON
	DD_PROBE(neon)
#endif
	return {};
}
#undef DD_PROBE

}  // namespace dreamdist::test
