// copy: every pair of storage types, every kind of striding, and the shapes its fast paths are made for.
#include "strided_tensors.h"

namespace dreamdist::test {
namespace {

double converted(double value, DType to) {
	switch (to) {
		case DType::f16: return decode_half(encode_half(value));
		case DType::bf16: return decode_bfloat(encode_bfloat(value));
		case DType::i32: return std::trunc(value);
		default: return (float)value;
	}
}

void run_copy(Context& t, Tensor& x, Tensor& y, const std::vector<int64_t>& shape) {
	std::vector<int64_t> ints{(int64_t)shape.size()};
	ints.insert(ints.end(), shape.begin(), shape.end());
	ints.insert(ints.end(), x.strides.begin(), x.strides.end());
	ints.insert(ints.end(), y.strides.begin(), y.strides.end());
	t.run("copy", {x.operand(), y.operand()}, ints);
}

void check_copy(Context& t, DType from, DType to, const std::vector<int64_t>& shape, std::vector<int64_t> xStrides = {}, std::vector<int64_t> yStrides = {}) {
	Tensor x = random_tensor(t, from, shape, true), y = random_tensor(t, to, shape, false);
	auto refit = [&](Tensor& tensor, const std::vector<int64_t>& strides) {
		int64_t extent = 1;
		for (size_t d = 0; d < shape.size(); d++) extent += std::max<int64_t>(shape[d] - 1, 0) * strides[d];
		tensor = Tensor(tensor.dtype, extent, strides);
		for (int64_t i = 0; i < extent; i++) tensor.set(i, (double)t.integer(-99, 99));
	};
	if (!xStrides.empty()) refit(x, xStrides);
	if (!yStrides.empty()) refit(y, yStrides);
	Tensor want = y;
	const auto from_at = x.offsets(shape), to_at = y.offsets(shape);
	for (size_t i = 0; i < from_at.size(); i++) {
		if (from == to) std::memcpy(want.bytes.data() + to_at[i] * bytes_of(to), x.bytes.data() + from_at[i] * bytes_of(from), bytes_of(to));
		else want.set(to_at[i], converted(x.get(from_at[i]), to));
	}
	run_copy(t, x, y, shape);
	CHECK(y.bytes == want.bytes);  // also: nothing outside the destination is touched
}

}  // namespace

TEST(copy_random_layouts) {
	for (int i = 0; i < t.scaled(600); i++) check_copy(t, random_dtype(t), random_dtype(t), random_shape(t, 6, 20000));
}

TEST(copy_large) {
	for (int pair = 0; pair < 16; pair++) {
		const DType from = (DType)(pair / 4), to = (DType)(pair % 4);
		if (t.quick && from != DType::f32 && to != DType::f32) continue;
		check_copy(t, from, to, {70001});
		check_copy(t, from, to, {131, 517}, {1, 131}, {517, 1});                      // transpose
		check_copy(t, from, to, {3, 65, 7, 33}, {65 * 7 * 33, 33, 65 * 33, 1}, {65 * 7 * 33, 7 * 33, 33, 1});  // swap of middle dimensions
		check_copy(t, from, to, {5, 40, 3, 70}, {40 * 210, 1, 40 * 70, 40}, {40 * 210, 210, 70, 1});  // transpose inside a batch
		check_copy(t, from, to, {300, 200}, {0, 1}, {200, 1});                        // bias over rows
		check_copy(t, from, to, {300, 200}, {1, 0}, {200, 1});                        // scalar over columns
		check_copy(t, from, to, {100, 2, 100, 2, 3}, {300, 0, 3, 0, 1}, {1200, 600, 6, 3, 1});  // nearest 2x
		check_copy(t, from, to, {400, 100}, {100, 1}, {250, 1});                      // one half of a concatenation
	}
}

TEST(copy_keeps_integers_and_bits) {
	Tensor x(DType::i32, 1000, {1}), y(DType::i32, 1000, {1});
	for (auto& byte : x.bytes) byte = (uint8_t)t.rng();
	run_copy(t, x, y, {1000});
	CHECK(x.bytes == y.bytes);
	Tensor a(DType::f16, 65536, {1}), b(DType::f16, 65536, {1});
	for (int i = 0; i < 65536; i++) std::memcpy(a.bytes.data() + 2 * i, &i, 2);
	run_copy(t, a, b, {65536});
	CHECK(a.bytes == b.bytes);
}

// Every f16 and bf16 value becomes the f32 of the same value, and back.
TEST(copy_converts_every_16_bit_float) {
	for (DType type : {DType::f16, DType::bf16}) {
		Tensor stored(type, 65536, {1}), wide(DType::f32, 65536, {1}), back(type, 65536, {1});
		for (int i = 0; i < 65536; i++) std::memcpy(stored.bytes.data() + 2 * i, &i, 2);
		run_copy(t, stored, wide, {65536});
		run_copy(t, wide, back, {65536});
		for (int i = 0; i < 65536; i++) {
			const double value = stored.get(i);
			if (std::isnan(value)) {
				CHECK(std::isnan(wide.get(i)) && std::isnan(back.get(i)));
			} else {
				CHECK(wide.get(i) == value && std::signbit(wide.get(i)) == std::signbit(value));
				CHECK(!std::memcmp(stored.bytes.data() + 2 * i, back.bytes.data() + 2 * i, 2));
			}
		}
	}
}

// Rounding to 16 bits is to nearest, ties to even: around every representable value, and on random bits.
TEST(copy_rounds_to_16_bits) {
	for (DType type : {DType::f16, DType::bf16}) {
		std::vector<float> values;
		for (int i = 0; i < 65535; i++) {
			Tensor pair(type, 2, {1});
			const uint16_t two[2] = {(uint16_t)i, (uint16_t)(i + 1)};
			std::memcpy(pair.bytes.data(), two, 4);
			const double a = pair.get(0), b = pair.get(1);
			if (!std::isfinite(a) || !std::isfinite(b)) continue;
			const float middle = (float)((a + b) / 2);
			values.insert(values.end(), {middle, std::nextafterf(middle, HUGE_VALF), std::nextafterf(middle, -HUGE_VALF)});
		}
		for (int i = 0; i < t.scaled(100000); i++) {
			const uint32_t bits = t.rng();
			float f;
			std::memcpy(&f, &bits, 4);
			values.push_back(f);
		}
		for (float edge : {65519.99f, 65520.0f, 65504.0f, 3.39e38f, 3.4028235e38f, HUGE_VALF, -HUGE_VALF, 2.9802322e-8f, 2.98023224e-8f, 1e-45f}) values.push_back(edge);
		const int64_t n = (int64_t)values.size();
		Tensor wide(DType::f32, n, {1}), narrow(type, n, {1});
		std::memcpy(wide.bytes.data(), values.data(), n * 4);
		run_copy(t, wide, narrow, {n});
		for (int64_t i = 0; i < n; i++) {
			uint16_t got;
			std::memcpy(&got, narrow.bytes.data() + 2 * i, 2);
			const uint16_t want = type == DType::f16 ? encode_half(values[i]) : encode_bfloat(values[i]);
			CHECK(std::isnan(values[i]) ? std::isnan(narrow.get(i)) : got == want);
		}
	}
}

}  // namespace dreamdist::test
