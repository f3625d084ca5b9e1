// Strided iteration: the dimensions that several operands are walked over together.
#pragma once
#include "../simd.h"
#include "errors.h"

namespace dreamdist::cpu::DD_ISA {

constexpr int kMaxRank = 8;

// Work below this many elements (times the instructions on each) stays on the calling thread: waking the team costs more.
constexpr int64_t kSerialWork = 16384;

// Drops dimensions of size 1 and merges neighbours that every operand walks as one. Returns the new rank (0: a single element).
inline int collapse(int rank, int64_t* shape, int64_t (*strides)[kMaxRank], int operands) {
	int kept = 0;
	for (int d = 0; d < rank; d++) {
		if (shape[d] == 1) continue;
		bool joins = kept > 0;
		for (int i = 0; joins && i < operands; i++) joins = strides[i][kept - 1] == strides[i][d] * shape[d];
		if (joins) {
			shape[kept - 1] *= shape[d];
			for (int i = 0; i < operands; i++) strides[i][kept - 1] = strides[i][d];
		} else {
			shape[kept] = shape[d];
			for (int i = 0; i < operands; i++) strides[i][kept] = strides[i][d];
			kept++;
		}
	}
	return kept;
}

// Orders dimensions by falling |stride| of operand 0, then of operand 1: only where the order of visits does not matter.
inline void sort_dimensions(int rank, int64_t* shape, int64_t (*strides)[kMaxRank], int operands) {
	auto before = [&](int a, int b) {
		for (int i = 0; i < operands; i++) {
			const int64_t x = __builtin_llabs(strides[i][a]), y = __builtin_llabs(strides[i][b]);
			if (x != y) return x > y;
		}
		return false;
	};
	for (int d = 1; d < rank; d++)
		for (int e = d; e > 0 && before(e, e - 1); e--) {
			const int64_t size = shape[e];
			shape[e] = shape[e - 1];
			shape[e - 1] = size;
			for (int i = 0; i < operands; i++) {
				const int64_t stride = strides[i][e];
				strides[i][e] = strides[i][e - 1];
				strides[i][e - 1] = stride;
			}
		}
}

inline int64_t product(const int64_t* shape, int rank) {
	int64_t count = 1;
	for (int d = 0; d < rank; d++) count *= shape[d];
	return count;
}

inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// A position in a row-major index space; `next` keeps the offsets of the operands up to date.
template <int Operands>
struct Odometer {
	int rank;
	const int64_t* shape;
	const int64_t (*strides)[kMaxRank];
	int64_t index[kMaxRank];
	int64_t offset[Operands];

	Odometer(int rank, const int64_t* shape, const int64_t (*strides)[kMaxRank], int64_t linear) : rank(rank), shape(shape), strides(strides) {
		for (int i = 0; i < Operands; i++) offset[i] = 0;
		for (int d = rank - 1; d >= 0; d--) {
			index[d] = d > 0 ? linear % shape[d] : linear;
			linear /= shape[d];
			for (int i = 0; i < Operands; i++) offset[i] += index[d] * strides[i][d];
		}
	}
	void next() {
		for (int d = rank - 1; d >= 0; d--) {
			for (int i = 0; i < Operands; i++) offset[i] += strides[i][d];
			if (++index[d] < shape[d]) return;
			for (int i = 0; i < Operands; i++) offset[i] -= shape[d] * strides[i][d];
			index[d] = 0;
		}
	}
};

}  // namespace dreamdist::cpu::DD_ISA
