// simd.h on every instruction set: 16-bit storage in both directions, bit for bit; partial registers; e^x over all of f32.
#include "isa/simd_probe.h"
#include "strided_tensors.h"

namespace dreamdist::test {
namespace {

std::vector<float> widen(const SimdProbe& probe, const char* what, const std::vector<uint16_t>& bits) {
	std::vector<float> y(bits.size());
	CHECK(probe.apply(what, bits.data(), y.data(), (int64_t)bits.size()));
	return y;
}
std::vector<uint16_t> narrow(const SimdProbe& probe, const char* what, const std::vector<float>& x) {
	std::vector<uint16_t> y(x.size());
	CHECK(probe.apply(what, x.data(), y.data(), (int64_t)x.size()));
	return y;
}
float from_bits(uint32_t bits) {
	float f;
	std::memcpy(&f, &bits, 4);
	return f;
}

}  // namespace

TEST(simd_every_16_bit_float_widens_exactly) {
	const SimdProbe probe = simd_probe(std::string(t.table.name));
	std::vector<uint16_t> all(65536);
	for (int i = 0; i < 65536; i++) all[i] = (uint16_t)i;
	for (const char* what : {"half_to_float", "load_half", "bfloat_to_float", "load_bfloat"}) {
		const bool half = std::strstr(what, "half");
		const auto y = widen(probe, what, all);
		for (int i = 0; i < 65536; i++) {
			const double value = half ? decode_half(all[i]) : decode_bfloat(all[i]);
			CHECK(std::isnan(value) ? std::isnan(y[i]) : y[i] == value && std::signbit(y[i]) == std::signbit(value));
		}
	}
}

// Every 16-bit value, both sides of and exactly at every midpoint between neighbours, and a sweep of all f32 bit patterns.
TEST(simd_narrowing_rounds_to_nearest_even) {
	const SimdProbe probe = simd_probe(std::string(t.table.name));
	for (bool half : {true, false}) {
		std::vector<float> x;
		for (int i = 0; i < 65536; i++) {
			const double a = half ? decode_half((uint16_t)i) : decode_bfloat((uint16_t)i), b = half ? decode_half((uint16_t)(i + 1)) : decode_bfloat((uint16_t)(i + 1));
			x.push_back((float)a);
			if (!std::isfinite(a) || !std::isfinite(b)) continue;
			const float middle = (float)((a + b) / 2);
			x.insert(x.end(), {middle, std::nextafterf(middle, HUGE_VALF), std::nextafterf(middle, -HUGE_VALF)});
		}
		for (uint64_t bits = 0; bits < 0x100000000ull; bits += t.quick ? 200017 : 20011) x.push_back(from_bits((uint32_t)bits));
		for (uint32_t bits : {0x477fefffu, 0x477ff000u, 0x33000000u, 0x33000001u, 0x7f7f7fffu, 0x7f7f8000u, 0x7f800001u, 0xffffffffu}) x.push_back(from_bits(bits));
		while (x.size() % 16) x.push_back(0);
		for (const char* what : {half ? "float_to_half" : "float_to_bfloat", half ? "store_half" : "store_bfloat"}) {
			const auto y = narrow(probe, what, x);
			for (size_t i = 0; i < x.size(); i++) {
				if (std::isnan(x[i])) CHECK(std::isnan(half ? decode_half(y[i]) : decode_bfloat(y[i])));
				else CHECK(y[i] == (half ? encode_half(x[i]) : encode_bfloat(x[i])));
			}
		}
	}
}

TEST(simd_partial_registers) {
	const SimdProbe probe = simd_probe(std::string(t.table.name));
	for (int64_t n = 0; n < probe.lanes; n++) {
		// Exactly n floats: an address sanitizer sees a read or a write beyond.
		std::vector<float> x(t.normal(n)), y(n + 1, -5.0f);
		probe.partial(x.data(), y.data(), n);
		for (int64_t i = 0; i < n; i++) CHECK(y[i] == x[i] + 1);
		CHECK(y[n] == -5.0f);
	}
	for (int trial = 0; trial < 100; trial++) {
		std::vector<float> x(probe.lanes);
		double total = 0;
		for (float& value : x) total += value = (float)t.integer(-1000, 1000);
		CHECK(probe.sum(x.data()) == total);
		CHECK(probe.max_of(x.data()) == *std::max_element(x.begin(), x.end()));
	}
}

// Within 2 ulp of float64 everywhere, subnormal results included; exact at 0, ±∞ and beyond the ends.
TEST(simd_exp_over_all_floats) {
	const SimdProbe probe = simd_probe(std::string(t.table.name));
	std::vector<float> x;
	for (uint64_t bits = 0; bits < 0x100000000ull; bits += t.quick ? 40009 : 4093) x.push_back(from_bits((uint32_t)bits));
	for (int i = -1000; i <= 1000; i++)
		for (float edge : {-103.97208f, -87.33655f, 88.72284f, 0.0f, -0.34657359f, 0.34657359f}) x.push_back(edge + (float)i * 1e-5f);
	x.insert(x.end(), {HUGE_VALF, -HUGE_VALF, -0.0f, 88.722839f, 88.722847f, -103.9721f, -104.1f, 1e30f, -1e30f});
	while (x.size() % 16) x.push_back(0);
	std::vector<float> y(x.size());
	CHECK(probe.apply("vexp", x.data(), y.data(), (int64_t)x.size()));
	for (size_t i = 0; i < x.size(); i++) {
		const double exact = std::exp((double)x[i]);
		const float nearest = (float)exact;
		if (std::isnan(x[i])) CHECK(std::isnan(y[i]));
		else if (std::isinf(nearest) || std::isinf(y[i])) CHECK(std::isinf(y[i]) && exact > 3.40282e38);
		else CHECK(std::fabs(y[i] - exact) <= 2 * (std::nextafterf(nearest, HUGE_VALF) - (double)nearest));
	}
}

}  // namespace dreamdist::test
