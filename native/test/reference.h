// What the float64 references of the dense kernels share.
#pragma once
#include <cstring>

#include "harness.h"

namespace dreamdist::test {

inline double activation(int act, double x) {
	switch (act) {
		case 1: return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
		case 2: return x / (1 + std::exp(-x));
		case 4: return x / (1 + std::exp(-1.702 * x));
		case 5: return x > 0 ? x : 0;
		default: return x;
	}
}

// Random values in a storage type: `values` are exactly what the stored elements mean.
struct Stored {
	DType type;
	std::vector<float> values;
	std::vector<uint16_t> halves;
	Stored(Context& t, int64_t count, DType type, float scale = 1) : type(type), values(t.normal(count, scale)) {
		if (type == DType::f32) return;
		halves.reserve(count);  // so that what lies past the end is past the memory
		for (float& value : values) {
			uint32_t bits;
			std::memcpy(&bits, &value, 4);
			if (type == DType::bf16) {
				bits &= 0xffff0000;
				halves.push_back((uint16_t)(bits >> 16));
			} else {
				// Truncated to 11 significant bits within f16's normal range; smaller values become 0.
				const uint32_t exponent = bits >> 23 & 255;
				bits = exponent < 113 ? 0 : bits & 0xffffe000;
				halves.push_back((uint16_t)(bits == 0 ? 0 : (bits >> 16 & 0x8000) | (exponent - 112) << 10 | (bits >> 13 & 0x3ff)));
			}
			std::memcpy(&value, &bits, 4);
		}
	}
	const void* data() const { return type == DType::f32 ? (const void*)values.data() : halves.data(); }
	Operand operand() const { return {const_cast<void*>(data()), type}; }
};

}  // namespace dreamdist::test
