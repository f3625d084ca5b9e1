// Square blocks of 4- and 2-byte elements transposed in 128-bit registers, which every instruction set here has.
#pragma once
#include "../simd.h"

namespace dreamdist::cpu::DD_ISA {

#if defined(__clang__)
#define DD_SHUFFLE(type, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define DD_SHUFFLE(type, a, b, ...) __builtin_shuffle(a, b, type{__VA_ARGS__})
#endif

typedef uint32_t Words4 __attribute__((vector_size(16), may_alias));
typedef uint16_t Halves8 __attribute__((vector_size(16), may_alias));

inline void transpose_registers(Words4 (&r)[4]) {
	const Words4 a = DD_SHUFFLE(Words4, r[0], r[1], 0, 4, 1, 5), b = DD_SHUFFLE(Words4, r[0], r[1], 2, 6, 3, 7);
	const Words4 c = DD_SHUFFLE(Words4, r[2], r[3], 0, 4, 1, 5), d = DD_SHUFFLE(Words4, r[2], r[3], 2, 6, 3, 7);
	r[0] = DD_SHUFFLE(Words4, a, c, 0, 1, 4, 5);
	r[1] = DD_SHUFFLE(Words4, a, c, 2, 3, 6, 7);
	r[2] = DD_SHUFFLE(Words4, b, d, 0, 1, 4, 5);
	r[3] = DD_SHUFFLE(Words4, b, d, 2, 3, 6, 7);
}
inline void transpose_registers(Halves8 (&r)[8]) {
	// Pairs of rows interleaved, then 4 x 4 transposes of the pairs.
	Words4 low[4], high[4];
	for (int i = 0; i < 4; i++) {
		low[i] = (Words4)DD_SHUFFLE(Halves8, r[2 * i], r[2 * i + 1], 0, 8, 1, 9, 2, 10, 3, 11);
		high[i] = (Words4)DD_SHUFFLE(Halves8, r[2 * i], r[2 * i + 1], 4, 12, 5, 13, 6, 14, 7, 15);
	}
	transpose_registers(low);
	transpose_registers(high);
	for (int i = 0; i < 4; i++) {
		r[i] = (Halves8)low[i];
		r[i + 4] = (Halves8)high[i];
	}
}
#undef DD_SHUFFLE

template <class E>
struct TransposeRegister;
template <>
struct TransposeRegister<uint32_t> {
	using Type = Words4;
};
template <>
struct TransposeRegister<uint16_t> {
	using Type = Halves8;
};

// to[i·toPitch + j] = from[j·fromPitch + i] for i, j < size, a multiple of 16/sizeof(E).
template <class E>
inline void transpose_block(const E* from, int64_t fromPitch, E* to, int64_t toPitch, int size) {
	using V = typename TransposeRegister<E>::Type;
	constexpr int kSide = 16 / sizeof(E);
	for (int i = 0; i < size; i += kSide)
		for (int j = 0; j < size; j += kSide) {
			V r[kSide];
			for (int k = 0; k < kSide; k++) std::memcpy(&r[k], from + (j + k) * fromPitch + i, 16);
			transpose_registers(r);
			for (int k = 0; k < kSide; k++) std::memcpy(to + (i + k) * toPitch + j, &r[k], 16);
		}
}

}  // namespace dreamdist::cpu::DD_ISA
