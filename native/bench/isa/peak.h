#pragma once
#include <cstdint>

// `rounds` rounds of multiply-adds on one thread, all in registers; how many operations a round is. The result depends on all of them.
#define DD_PEAK(isa)                                       \
	namespace dreamdist::cpu::isa {                        \
	double fma_loop(int64_t rounds, double* flops_a_round); \
	}
#if DD_HAVE_GENERIC
DD_PEAK(generic)
#endif
#if DD_HAVE_AVX2
DD_PEAK(avx2)
#endif
#if DD_HAVE_AVX512
DD_PEAK(avx512)
#endif
#if DD_HAVE_NEON
DD_PEAK(neon)
#endif
#undef DD_PEAK
