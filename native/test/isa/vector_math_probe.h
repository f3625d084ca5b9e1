#pragma once
#include <cstdint>

// y[i] = function(x[i]) with the vector code of one instruction set; false when there is no such function.
#define DD_PROBE(isa) \
	namespace dreamdist::cpu::isa { bool probe(const char* name, const float* x, float* y, int64_t n); }
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
