// Tensors with arbitrary strides and storage types, for tests of the kernels that take both.
#pragma once
#include <algorithm>
#include <cstring>

#include "harness.h"

namespace dreamdist::test {

// f32 <-> 16-bit storage, bit by bit from the formats' definitions (independent of simd.h).
inline double decode_float(uint32_t bits, int exponentBits, int mantissaBits) {
	const uint32_t mantissa = bits & ((1u << mantissaBits) - 1), exponent = bits >> mantissaBits & ((1u << exponentBits) - 1);
	const double sign = bits >> (mantissaBits + exponentBits) & 1 ? -1 : 1;
	const int bias = (1 << (exponentBits - 1)) - 1;
	if (exponent == (1u << exponentBits) - 1) return mantissa ? std::nan("") : sign * HUGE_VAL;
	if (exponent == 0) return sign * std::ldexp((double)mantissa, 1 - bias - mantissaBits);
	return sign * std::ldexp(1 + std::ldexp((double)mantissa, -mantissaBits), (int)exponent - bias);
}
inline double decode_half(uint16_t h) { return decode_float(h, 5, 10); }
inline double decode_bfloat(uint16_t h) { return decode_float(h, 8, 7); }

// The nearest 16-bit float, ties to even.
inline uint16_t encode_float(double x, int exponentBits, int mantissaBits) {
	const int bias = (1 << (exponentBits - 1)) - 1;
	const uint16_t sign = std::signbit(x) ? 0x8000 : 0, infinity = (uint16_t)(((1 << exponentBits) - 1) << mantissaBits);
	if (std::isnan(x)) return sign | infinity | (uint16_t)(1 << (mantissaBits - 1));
	double magnitude = std::fabs(x);
	if (magnitude == 0) return sign;
	if (std::isinf(magnitude)) return sign | infinity;
	int exponent;
	std::frexp(magnitude, &exponent);
	exponent = std::max(exponent - 1, 1 - bias);
	const double units = std::nearbyint(std::ldexp(magnitude, mantissaBits - exponent));  // 2^mantissaBits ≤ units ≤ 2^(mantissaBits + 1) if normal
	const double rounded = std::ldexp(units, exponent - mantissaBits);
	if (rounded >= std::ldexp(1.0, bias + 1)) return sign | infinity;
	// Normal numbers have the implicit bit, so that adding it carries into the exponent field.
	return sign | (uint16_t)((int)units + ((exponent + bias - 1) << mantissaBits));
}
inline uint16_t encode_half(double x) { return encode_float(x, 5, 10); }
inline uint16_t encode_bfloat(double x) { return encode_float(x, 8, 7); }

struct Tensor {
	DType dtype = DType::f32;
	std::vector<uint8_t> bytes;
	int64_t base = 0;  // of the first element, in elements
	std::vector<int64_t> strides;

	Tensor(DType dtype, int64_t count, std::vector<int64_t> strides) : dtype(dtype), bytes(count * bytes_of(dtype), 0xcd), strides(std::move(strides)) {}
	int64_t count() const { return (int64_t)bytes.size() / bytes_of(dtype); }
	Operand operand() { return {bytes.data() + base * bytes_of(dtype), dtype}; }
	// Where the elements of `shape` lie, in row-major order.
	std::vector<int64_t> offsets(const std::vector<int64_t>& shape) const;
	double get(int64_t at) const {
		const uint8_t* p = bytes.data() + at * bytes_of(dtype);
		uint16_t h;
		int32_t i;
		float f;
		switch (dtype) {
			case DType::f16: return std::memcpy(&h, p, 2), decode_half(h);
			case DType::bf16: return std::memcpy(&h, p, 2), decode_bfloat(h);
			case DType::i32: return std::memcpy(&i, p, 4), i;
			default: return std::memcpy(&f, p, 4), f;
		}
	}
	void set(int64_t at, double value) {
		uint8_t* p = bytes.data() + at * bytes_of(dtype);
		auto put = [&](auto stored) { std::memcpy(p, &stored, sizeof stored); };
		switch (dtype) {
			case DType::f16: return put(encode_half(value));
			case DType::bf16: return put(encode_bfloat(value));
			case DType::i32: return put((int32_t)value);
			case DType::f32: return put((float)value);
		}
	}
};

inline int64_t count_of(const std::vector<int64_t>& shape) {
	int64_t count = 1;
	for (int64_t size : shape) count *= size;
	return count;
}

// Strides of a tensor of `shape`: contiguous, with its dimensions permuted, padded between elements, or (if allowed) broadcast along
// some of them. `extent` receives the number of elements it needs.
inline std::vector<int64_t> random_strides(Context& t, const std::vector<int64_t>& shape, bool broadcast, int64_t& extent) {
	const int rank = (int)shape.size();
	std::vector<int> order(rank);
	for (int d = 0; d < rank; d++) order[d] = d;
	const int kind = (int)t.integer(0, 4);
	if (kind == 1 || kind == 3) std::shuffle(order.begin(), order.end(), t.rng);
	std::vector<int64_t> strides(rank);
	int64_t next = kind == 2 ? t.integer(2, 3) : 1;
	for (int i = rank - 1; i >= 0; i--) {
		const int d = order[i];
		if (broadcast && kind >= 3 && t.integer(0, 1)) {
			strides[d] = 0;
			continue;
		}
		strides[d] = next;
		next *= std::max<int64_t>(shape[d], 1);
		if (kind == 2 && t.integer(0, 2) == 0) next += t.integer(1, 5);
	}
	extent = 1;
	for (int d = 0; d < rank; d++) extent += std::max<int64_t>(shape[d] - 1, 0) * strides[d];
	return strides;
}

// The offset of every index of shape, in row-major order.
inline std::vector<int64_t> offsets_of(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
	std::vector<int64_t> offsets{0};
	for (size_t d = 0; d < shape.size(); d++) {
		std::vector<int64_t> next;
		next.reserve(offsets.size() * shape[d]);
		for (int64_t offset : offsets)
			for (int64_t i = 0; i < shape[d]; i++) next.push_back(offset + i * strides[d]);
		offsets = std::move(next);
	}
	return offsets;
}

inline std::vector<int64_t> Tensor::offsets(const std::vector<int64_t>& shape) const {
	auto offsets = offsets_of(shape, strides);
	for (int64_t& offset : offsets) offset += base;
	return offsets;
}

inline Tensor random_tensor(Context& t, DType dtype, const std::vector<int64_t>& shape, bool broadcast) {
	int64_t extent;
	auto strides = random_strides(t, shape, broadcast, extent);
	const int64_t base = t.integer(0, 3);
	Tensor tensor(dtype, base + extent + t.integer(0, 3), strides);
	tensor.base = base;
	std::normal_distribution<double> normal(0, 1);
	for (int64_t i = 0; i < tensor.count(); i++) tensor.set(i, dtype == DType::i32 ? (double)t.integer(-50, 50) : normal(t.rng));
	return tensor;
}

inline DType random_dtype(Context& t) { return t.integer(0, 1) ? DType::f32 : (DType)t.integer(0, 3); }

inline std::vector<int64_t> random_shape(Context& t, int maxRank, int64_t most) {
	std::vector<int64_t> shape(t.integer(0, maxRank), 1);
	int64_t room = most;
	for (auto& size : shape) {
		const int64_t kind = t.integer(0, 19);
		size = kind == 0 ? 0 : std::min(room, kind < 5 ? 1 : kind < 15 ? t.integer(2, 9) : t.integer(10, 700));
		room /= std::max<int64_t>(size, 1);
	}
	return shape;
}

}  // namespace dreamdist::test
