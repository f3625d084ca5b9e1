// Index spaces that several operands are walked over together: collapsed on the host, taken apart on the device.
#pragma once
#include "common.h"

namespace dreamdist::cuda {

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

inline int64_t product(const int64_t* shape, int rank) {
	int64_t count = 1;
	for (int d = 0; d < rank; d++) count *= shape[d];
	return count;
}

}  // namespace dreamdist::cuda
