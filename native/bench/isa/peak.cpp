// Compiled once per instruction set like the kernels: independent multiply-adds in registers, the most arithmetic a thread can do.
#include "peak.h"

#include "../../cpu/simd.h"

namespace dreamdist::cpu::DD_ISA {

double fma_loop(int64_t rounds, double* flops_a_round) {
	constexpr int kChains = 12;  // more than latency × units needs, fewer than there are registers
	vf chain[kChains];
#pragma GCC unroll 12
	for (int i = 0; i < kChains; i++) chain[i] = set1(1.0f + (float)i);
	const vf factor = set1(0.999f), term = set1(1e-3f);
	for (int64_t r = 0; r < rounds; r++)
#pragma GCC unroll 12
		for (int i = 0; i < kChains; i++) chain[i] = fma(chain[i], factor, term);
	vf total = zero();
#pragma GCC unroll 12
	for (int i = 0; i < kChains; i++) total += chain[i];
	*flops_a_round = 2.0 * kChains * kLanes;
	return sum(total);
}

}  // namespace dreamdist::cpu::DD_ISA
