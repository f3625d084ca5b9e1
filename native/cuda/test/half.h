// What the tests of tensor-core kernels share: stored outputs, the bound on them, and mutants.
#pragma once
#include "../../test/harness.h"
#include "../../test/reference.h"
#include "../emulated/emulator.h"
#include "../kernels/tensor_plan.h"
#include "../numbers.h"

namespace dreamdist::test {

inline float rounded_to(DType type, double value) {
	if (type == DType::f16) return gpu::f16_value(gpu::f16_bits((float)value));
	if (type == DType::bf16) return gpu::float_of_bits((uint32_t)gpu::bf16_bits((float)value) << 16);
	return (float)value;
}

// What a product on tensor cores reads an operand's element as: f32 is rounded to tf32, eleven significant bits.
inline double read_as(DType type, double value) {
	if (type != DType::f32) return value;
	int exponent;
	const double fraction = std::frexp(value, &exponent);
	return std::ldexp(std::round(std::ldexp(fraction, 11)), exponent - 11);
}
inline std::string tensor_kernel(const char* name, DType type) { return std::string(name) + (type == DType::f32 ? "_tf32" : ""); }

// An output in some storage type. What is never written keeps its mark.
struct Output {
	static constexpr float kMark = 12288.0f;  // exact in every type
	DType type;
	std::vector<uint8_t> bytes;
	Output(int64_t count, DType type) : type(type), bytes(count * bytes_of(type)) {
		for (int64_t i = 0; i < count; i++) set(i, kMark);
	}
	Operand operand(int64_t offset = 0) { return {bytes.empty() ? nullptr : bytes.data() + offset * bytes_of(type), type}; }
	void set(int64_t i, float value) {
		if (type == DType::f32) std::memcpy(&bytes[i * 4], &value, 4);
		else {
			const uint16_t bits = type == DType::f16 ? gpu::f16_bits(value) : gpu::bf16_bits(value);
			std::memcpy(&bytes[i * 2], &bits, 2);
		}
	}
	float at(int64_t i) const {
		uint16_t half = 0;
		float value = 0;
		if (type == DType::f32) std::memcpy(&value, &bytes[i * 4], 4);
		else {
			std::memcpy(&half, &bytes[i * 2], 2);
			value = type == DType::f16 ? gpu::f16_value(half) : gpu::float_of_bits((uint32_t)half << 16);
		}
		return value;
	}
};

// At most twice the error of rounding the exact result to the output's type (DESIGN's rule for low precision), and what f32 sums may be off
// besides. `inner`: the type that intermediate results (attention's weights) are rounded to; their error counts like the output's.
inline void expect_rounded(const std::vector<float>& got, const std::vector<double>& want, const std::vector<double>& magnitude, DType type, const std::string& what, const char* file, int line,
						   DType inner = DType::f32) {
	double error = 0, own = 0, norm = 0, size = 0;
	for (size_t i = 0; i < want.size(); i++) {
		if (!std::isfinite(got[i])) fail(file, line, what + ": element " + std::to_string(i) + " is " + std::to_string(got[i]) + ", expected " + std::to_string(want[i]));
		const double rounding = rounded_to(type, want[i]) - want[i];
		error += (got[i] - want[i]) * (got[i] - want[i]);
		own += rounding * rounding;
		norm += want[i] * want[i];
		size += magnitude[i] * magnitude[i];
	}
	const double unit = type == DType::bf16 ? 0x1p-8 : type == DType::f16 ? 0x1p-11 : 0, inside = inner == DType::bf16 ? 0x1p-8 : inner == DType::f16 ? 0x1p-11 : 0;
	// The errors of few results do not average out.
	const double few = want.size() < 16 ? 2 * unit * std::sqrt(norm) : 0;
	const double limit = std::max(2 * std::sqrt(own), few) + 1e-5 * std::sqrt(std::max(norm, size)) + inside * std::sqrt(want.size() < 16 ? size : norm);
	if (!(std::sqrt(error) <= limit)) fail(file, line, what + ": error " + std::to_string(std::sqrt(error)) + " exceeds " + std::to_string(limit));
}
#define EXPECT_ROUNDED(got, want, magnitude, type, what) ::dreamdist::test::expect_rounded(got, want, magnitude, type, what, __FILE__, __LINE__)

// Tries every tile, and cut and whole products, in turn.
struct EachPlan {
	~EachPlan() { cuda::forced_plan = {}; }
	void choose(int64_t i) {
		cuda::forced_plan.tile = int(i % (cuda::kTileKinds + 1)) - 1;
		cuda::forced_plan.parts = i / (cuda::kTileKinds + 1) % 3 == 2 ? 2 + int(i % 3) : -1;
	}
};

// A fault planted into a kernel, which the cases given must notice in one order of threads or the other.
struct PlantedFault {
	int number;
	const char* fault;
};
template <class Cases>
void expect_noticed(const PlantedFault& fault, Cases cases) {
	bool noticed = false;
	for (auto order : {emulated::Order::forward, emulated::Order::reverse}) {
		emulated::settings.order = order;
		emulated::mutant = fault.number;
		try {
			cases();
		} catch (...) {
			noticed = true;
		}
	}
	emulated::mutant = 0;
	emulated::settings.order = emulated::Order::forward;
	if (!noticed) fail(__FILE__, __LINE__, "mutant " + std::to_string(fault.number) + " (" + fault.fault + ") was not noticed");
}

}  // namespace dreamdist::test
