#include "dreamdist/self_test.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <string_view>

namespace dreamdist {
namespace {

// A call on operands that are made up: f32 noise, i32 indices, or 16-bit weights; `outputs` are compared. Operands of a 16-bit type of
// activations are the same numbers in f32 to the reference, which has no kernels for them.
struct Sample {
	const char* kernel;
	struct Shape {
		int64_t count;
		bool output;
		DType type = DType::f32;
		int32_t below = 0;  // i32: values in [0, below)
		bool activation = false;
	};
	std::vector<Shape> operands;  // count 0: absent
	std::vector<int64_t> ints;
	std::vector<double> floats;
	// For the Hopper family, which must take it; with which tile and parts of K.
	bool hopper = false;
	TileChoice choice = {};
};

// One small call per kernel, none of whose sizes is nice, with what a network gives it.
std::vector<Sample> samples() {
	const Sample::Shape none{0, false};
	auto in = [](int64_t count) { return Sample::Shape{count, false}; };
	auto out = [](int64_t count) { return Sample::Shape{count, true}; };
	const std::vector<int64_t> conv{2, 7, 5, 6, 3, 11, 3, 3, 1, 1, 1, 1, 7, 5, 2, 0, 1};
	const std::vector<int64_t> pool{2, 7, 5, 6, 3, 3, 2, 2, 1, 1, 4, 3, 0};
	const std::vector<int64_t> heads{1, 2, 70, 77, 40, 0, 80, 80, 80, 80, 5600, 6160, 6160, 5600}, causal{1, 2, 77, 77, 64, 1, 128, 128, 128, 128, 9856, 9856, 9856, 9856};
	const std::vector<int64_t> heads_grad{1, 2, 70, 77, 40, 0, 80, 80, 80, 80, 5600, 6160, 6160, 5600, 80, 5600};
	std::vector<Sample> samples{
		{"pointwise", {in(77), in(77), out(77)}, {1, 2, 1, 2, 77, 1, 1, 1, 21, 2, 0, 0, 2, 3, 2, 1, 3}, {}},
		{"copy", {in(60), {60, true, DType::bf16}}, {2, 5, 12, 1, 5, 12, 1}, {}},
		{"reduce", {in(77 * 33), out(33)}, {0, 1, 1, 33, 1, 77, 33}, {0.5}},
		{"matmul", {in(77 * 40), in(70 * 40), in(70), in(77 * 35), out(77 * 35), none}, {1, 77, 70, 40, 0, 1, 40, 40, 35, 0, 0, 0, 3, 0, 35, 0}, {1}},
		{"matmul", {in(77 * 1200), {1200 * 9, false, DType::bf16}, none, none, out(77 * 9), none}, {1, 77, 9, 1200, 0, 0, 1200, 9, 9, 0, 0, 0, 0, 0, 9, 0}, {0.5}},
		{"conv2d", {in(2 * 35 * 6), in(2 * 35 * 3), in(11 * 9 * 9), in(11), in(22), in(2 * 35 * 11), out(2 * 35 * 11), none}, conv, {}},
		{"conv2d_input_grad", {in(2 * 35 * 11), in(11 * 9 * 9), out(2 * 35 * 6), out(2 * 35 * 3)}, conv, {}},
		{"conv2d_weight_grad", {in(2 * 35 * 6), in(2 * 35 * 3), in(2 * 35 * 11), out(11 * 9 * 9)}, conv, {}},
		{"attention", {in(5600), in(6160), in(6160), out(5600), out(140)}, heads, {0.15}},
		{"attention", {in(9856), in(9856), in(9856), out(9856), out(154)}, causal, {0.125}},
		{"attention_grad", {in(5600), in(6160), in(6160), in(5600), in(140), in(5600), out(5600), out(6160), out(6160)}, heads_grad, {0.15}},
		{"group_norm", {in(2 * 35 * 12), in(2 * 35 * 8), in(20), in(20), out(2 * 35 * 20), out(8)}, {2, 35, 12, 8, 2, 2}, {1e-5}},
		{"group_norm_grad", {in(2 * 35 * 12), in(2 * 35 * 8), in(20), in(20), in(8), in(2 * 35 * 20), out(2 * 35 * 12), out(2 * 35 * 8), out(20), out(20)}, {2, 35, 12, 8, 2, 2}, {1e-5}},
		{"layer_norm", {in(13 * 77), in(77), in(77), out(13 * 77), out(26)}, {13, 77}, {1e-5}},
		{"layer_norm_grad", {in(13 * 77), in(77), in(26), in(13 * 77), out(13 * 77), out(77), out(77)}, {13, 77}, {}},
		{"softmax", {in(13 * 77), out(13 * 77)}, {13, 77, 0}, {}},
		{"softmax_grad", {in(13 * 77), in(13 * 77), out(13 * 77)}, {13, 77, 0}, {}},
		{"gather", {in(9 * 33), {7, false, DType::i32, 9}, out(7 * 33)}, {7, 9, 33}, {}},
		{"scatter_add", {{7, false, DType::i32, 3}, in(7 * 33), out(9 * 33)}, {7, 9, 33}, {}},
		{"pool2d", {in(2 * 35 * 6), out(2 * 12 * 6)}, pool, {}},
		{"pool2d_grad", {in(2 * 35 * 6), in(2 * 12 * 6), out(2 * 35 * 6)}, pool, {}},
		{"random", {{8, false, DType::i32, 1 << 30}, out(2 * 77)}, {2, 77, 0}, {}},
		{"adamw", {out(77), out(77), out(77), in(77), in(8)}, {77}, {}},
		{"sgd", {out(77), out(77), in(77), in(8)}, {77, 1}, {}},
	};
	for (DType type : {DType::bf16, DType::f16}) {
		auto low = [type](int64_t count) { return Sample::Shape{count, false, type, 0, true}; };
		auto low_out = [type](int64_t count) { return Sample::Shape{count, true, type, 0, true}; };
		const std::vector<int64_t> strided{2, 7, 5, 8, 8, 16, 3, 3, 2, 2, 1, 1, 4, 3, 0, 0, 1}, enlarged{1, 4, 3, 8, 0, 8, 3, 3, 1, 1, 1, 1, 8, 6, 2, 0, 2};
		samples.insert(samples.end(), {
			{"matmul", {low(77 * 40), low(72 * 40), in(72), low(77 * 36), low_out(77 * 36), none}, {1, 77, 72, 40, 0, 1, 40, 40, 36, 0, 0, 0, 3, 0, 36, 0}, {1}},
			{"matmul", {low(130 * 1200), low(1200 * 9), none, none, low_out(130 * 9), none}, {1, 130, 9, 1200, 0, 0, 1200, 9, 9, 0, 0, 0, 0, 0, 9, 0}, {0.01}},
			{"conv2d", {low(2 * 35 * 6), low(2 * 35 * 3), low(11 * 9 * 9), in(11), low(22), low(2 * 35 * 11), low_out(2 * 35 * 11), none}, conv, {}},
			{"conv2d", {low(12 * 8), none, low(8 * 8 * 9), in(8), none, none, low_out(48 * 8), none}, enlarged, {}},
			{"conv2d_input_grad", {low(2 * 12 * 16), low(16 * 16 * 9), low_out(2 * 35 * 8), low_out(2 * 35 * 8)}, strided, {}},
			{"conv2d_weight_grad", {low(2 * 35 * 8), low(2 * 35 * 8), low(2 * 12 * 16), out(16 * 16 * 9)}, strided, {}},
			{"attention", {low(5600), low(6160), low(6160), low_out(5600), out(140)}, heads, {0.15}},
			{"attention", {low(9856), low(9856), low(9856), low_out(9856), out(154)}, causal, {0.125}},
			{"attention_grad", {low(5600), low(6160), low(6160), low(5600), in(140), low(5600), low_out(5600), low_out(6160), low_out(6160)}, heads_grad, {0.15}},
			{"group_norm", {low(2 * 35 * 16), low(2 * 35 * 8), in(24), in(24), low_out(2 * 35 * 24), out(8)}, {2, 35, 16, 8, 2, 2}, {1e-5}},
			{"group_norm_grad", {low(2 * 35 * 16), low(2 * 35 * 8), in(24), in(24), in(8), low(2 * 35 * 24), low_out(2 * 35 * 16), low_out(2 * 35 * 8), out(24), out(24)}, {2, 35, 16, 8, 2, 2}, {1e-5}},
			{"layer_norm", {low(13 * 80), in(80), in(80), low_out(13 * 80), out(26)}, {13, 80}, {1e-5}},
			{"layer_norm_grad", {low(13 * 80), in(80), in(26), low(13 * 80), low_out(13 * 80), out(80), out(80)}, {13, 80}, {}},
			{"softmax", {low(13 * 77), low_out(13 * 77)}, {13, 77, 0}, {}},
		});
	}
	// Products of f32 in tf32, whose reference is the same product in f32.
	const std::vector<int64_t> strided{2, 7, 5, 8, 4, 12, 3, 3, 2, 2, 1, 1, 4, 3, 0, 0, 1}, enlarged{1, 4, 3, 8, 0, 8, 3, 3, 1, 1, 1, 1, 8, 6, 2, 0, 2};
	samples.insert(samples.end(), {
		{"matmul_tf32", {in(77 * 40), in(72 * 40), in(72), in(77 * 36), out(77 * 36), none}, {1, 77, 72, 40, 0, 1, 40, 40, 36, 0, 0, 0, 3, 0, 36, 0}, {1}},
		{"matmul_tf32", {in(130 * 1200), in(1200 * 9), none, none, out(130 * 9), none}, {1, 130, 9, 1200, 0, 0, 1200, 9, 9, 0, 0, 0, 0, 0, 9, 0}, {0.01}},
		{"conv2d_tf32", {in(2 * 35 * 6), in(2 * 35 * 3), in(11 * 9 * 9), in(11), in(22), in(2 * 35 * 11), out(2 * 35 * 11), none}, conv, {}},
		{"conv2d_tf32", {in(12 * 8), none, in(8 * 8 * 9), in(8), none, none, out(48 * 8), none}, enlarged, {}},
		{"conv2d_input_grad_tf32", {in(2 * 12 * 12), in(12 * 12 * 9), out(2 * 35 * 8), out(2 * 35 * 4)}, strided, {}},
		{"conv2d_weight_grad_tf32", {in(2 * 35 * 8), in(2 * 35 * 4), in(2 * 12 * 12), out(12 * 12 * 9)}, strided, {}},
	});
	return samples;
}

constexpr std::string_view kTf32 = "_tf32";
bool is_tf32(std::string_view kernel) { return kernel.ends_with(kTf32); }

// The same for the Hopper family, whose tiles are 128 rows by 160 or 256 columns by 64 of K: sizes that are no multiples of them, both
// tiles, each way to read the right operand, parts of K.
std::vector<Sample> hopper_samples() {
	const Sample::Shape none{0, false};
	auto in = [](int64_t count) { return Sample::Shape{count, false}; };
	std::vector<Sample> samples;
	for (DType type : {DType::bf16, DType::f16}) {
		auto low = [type](int64_t count) { return Sample::Shape{count, false, type, 0, true}; };
		auto low_out = [type](int64_t count) { return Sample::Shape{count, true, type, 0, true}; };
		auto add = [&](const char* kernel, std::vector<Sample::Shape> operands, std::vector<int64_t> ints, std::vector<double> floats, TileChoice choice = {}) {
			samples.push_back({kernel, std::move(operands), std::move(ints), std::move(floats), true, choice});
		};
		// A linear layer with bias and residual; geglu in wide tiles; an input gradient, in both tiles; batches, and K in two parts.
		add("matmul", {low(200 * 136), low(328 * 136), in(328), low(200 * 328), low_out(200 * 328), none}, {1, 200, 328, 136, 0, 1, 136, 136, 328, 0, 0, 0, 0, 0, 328, 0}, {0.1});
		add("matmul", {low(133 * 72), low(544 * 72), in(544), none, low_out(133 * 272), none}, {1, 133, 544, 72, 0, 1, 72, 72, 272, 0, 0, 0, 3, 0, 272, 0}, {0.1}, {128, 256, 1});
		add("matmul", {low(133 * 328), low(328 * 200), none, none, low_out(133 * 200), none}, {1, 133, 200, 328, 0, 0, 328, 200, 200, 0, 0, 0, 0, 0, 200, 0}, {0.1}, {128, 160, 2});
		add("matmul", {low(2 * 70 * 72), low(2 * 72 * 264), none, none, low_out(2 * 70 * 264), none}, {2, 70, 264, 72, 0, 0, 72, 264, 264, 70 * 72, 72 * 264, 70 * 264, 0, 0, 264, 70 * 264}, {0.1},
			{128, 256, 1});
		// Two halves with everything that an epilogue adds; a stride; the gradient of both halves, and with a stride's residues.
		add("conv2d", {low(180 * 64), low(180 * 72), low(88 * 136 * 9), in(88), low(2 * 88), low(180 * 88), low_out(180 * 88), none}, {2, 9, 10, 64, 72, 88, 3, 3, 1, 1, 1, 1, 9, 10, 2, 0, 1}, {});
		add("conv2d", {low(18 * 18 * 64), none, low(72 * 64 * 9), none, none, none, low_out(81 * 72), none}, {1, 18, 18, 64, 0, 72, 3, 3, 2, 2, 1, 1, 9, 9, 0, 0, 1}, {}, {128, 256, 2});
		add("conv2d_input_grad", {low(180 * 120), low(120 * 136 * 9), low_out(180 * 64), low_out(180 * 72)}, {2, 9, 10, 64, 72, 120, 3, 3, 1, 1, 1, 1, 9, 10, 0, 0, 1}, {});
		// Two queries' tiles and three steps of keys, none of them full; then one step. With this scale few keys count for each query.
		add("attention", {low(2 * 150 * 128), low(2 * 300 * 128), low(2 * 300 * 128), low_out(2 * 150 * 128), {2 * 2 * 150, true}}, {2, 2, 150, 300, 64, 0, 128, 128, 128, 128, 150 * 128, 300 * 128, 300 * 128, 150 * 128}, {2});
		add("attention", {low(70 * 64), low(100 * 64), low(100 * 64), low_out(70 * 64), none}, {1, 1, 70, 100, 64, 0, 64, 64, 64, 64, 70 * 64, 100 * 64, 100 * 64, 70 * 64}, {2});
		// Several steps and blocks of queries and of keys, none of them full; then one step, and only one side.
		add("attention_grad",
			{low(2 * 250 * 128), low(2 * 300 * 128), low(2 * 300 * 128), low(2 * 250 * 128), in(2 * 2 * 250), low(2 * 250 * 128), low_out(2 * 250 * 128), low_out(2 * 300 * 128), low_out(2 * 300 * 128)},
			{2, 2, 250, 300, 64, 0, 128, 128, 128, 128, 250 * 128, 300 * 128, 300 * 128, 250 * 128, 128, 250 * 128}, {0.15});
		add("attention_grad", {low(70 * 64), low(100 * 64), low(100 * 64), low(70 * 64), in(70), low(70 * 64), low_out(70 * 64), none, none}, {1, 1, 70, 100, 64, 0, 64, 64, 64, 64, 70 * 64, 100 * 64, 100 * 64, 70 * 64, 64, 70 * 64},
			{0.15});
		add("conv2d_input_grad", {low(81 * 64), low(64 * 72 * 9), low_out(17 * 18 * 72), none}, {1, 17, 18, 72, 0, 64, 3, 3, 2, 2, 1, 1, 9, 9, 0, 0, 1}, {}, {128, 256, 2});
	}
	return samples;
}

// Noise in (0.1, 0.9) that any machine makes alike; positive, as variances and corrections are.
float noise(uint32_t& state) {
	state = state * 1664525u + 1013904223u;
	return 0.1f + 0.8f * (float)(state >> 8) * 0x1p-24f;
}

// Noise in a 16-bit type and back: cut off after the bits that the type has, so that the number is exact in both.
uint16_t half_bits(float value, DType type) {
	uint32_t bits;
	std::memcpy(&bits, &value, 4);
	return type == DType::bf16 ? (uint16_t)(bits >> 16) : (uint16_t)((bits >> 13) - (112u << 10));
}
float half_value(uint16_t half, DType type) {
	if (type == DType::bf16) {
		const uint32_t bits = (uint32_t)half << 16;
		float value;
		std::memcpy(&value, &bits, 4);
		return value;
	}
	const int exponent = half >> 10 & 31;
	const float size = exponent == 31 ? NAN : std::ldexp((float)((half & 1023) + (exponent ? 1024 : 0)), (exponent ? exponent : 1) - 25);
	return half & 0x8000 ? -size : size;
}

// `type`: what the operand is stored in, its own or, for a reference, f32.
std::vector<uint8_t> contents(const Sample::Shape& shape, DType type, uint32_t& state) {
	std::vector<uint8_t> bytes(shape.count * bytes_of(type));
	for (int64_t i = 0; i < shape.count; i++) {
		float value = noise(state);
		if (type == DType::i32) {
			const int32_t whole = (int32_t)(value * (float)shape.below);
			std::memcpy(&bytes[i * 4], &whole, 4);
			continue;
		}
		if (shape.type != DType::f32) value = half_value(half_bits(value, shape.type), shape.type);
		if (type == DType::f32) std::memcpy(&bytes[i * 4], &value, 4);
		else {
			const uint16_t half = half_bits(value, type);
			std::memcpy(&bytes[i * 2], &half, 2);
		}
	}
	return bytes;
}

double value_at(const std::vector<uint8_t>& bytes, DType type, int64_t i) {
	if (type != DType::f32) {
		uint16_t half;
		std::memcpy(&half, &bytes[i * 2], 2);
		return half_value(half, type);
	}
	float value;
	std::memcpy(&value, &bytes[i * 4], 4);
	return value;
}

// Memory on a backend that goes when this does.
struct Memory {
	Backend& backend;
	int64_t bytes;
	uint8_t* data;
	Memory(Backend& backend, int64_t bytes) : backend(backend), bytes(bytes), data(backend.allocate(bytes)) {}
	~Memory() { backend.release(data, bytes); }
	Memory(const Memory&) = delete;
};

// What an operand is stored in: to a reference activations are f32.
DType stored_type(const Sample::Shape& shape, bool reference) { return reference && shape.activation ? DType::f32 : shape.type; }

// Runs a sample; returns the contents of all operands afterwards.
std::vector<std::vector<uint8_t>> run(const Sample& sample, Backend& backend, ThreadTeam& team, bool reference) {
	std::string_view name = sample.kernel;
	if (reference && is_tf32(name)) name.remove_suffix(kTf32.size());
	const KernelInfo* kernel = backend.table().find(name);
	if (!kernel) throw Error("it is not there");
	std::vector<std::unique_ptr<Memory>> memory;
	std::vector<Operand> operands;
	std::vector<std::vector<uint8_t>> data;
	uint32_t state = 20231222;
	for (const auto& shape : sample.operands) {
		const DType type = stored_type(shape, reference);
		data.push_back(contents(shape, type, state));
		if (shape.count == 0) {
			operands.push_back({});
			continue;
		}
		memory.push_back(std::make_unique<Memory>(backend, (int64_t)data.back().size()));
		backend.write(memory.back()->data, data.back().data(), (int64_t)data.back().size());
		operands.push_back({memory.back()->data, type});
	}
	KernelArgs args{operands, sample.ints, sample.floats, nullptr, backend.context()};
	args.choice = sample.choice;
	const int64_t scratch_bytes = kernel->scratch_bytes ? kernel->scratch_bytes(args, team.size()) : 0;
	std::unique_ptr<Memory> scratch;
	if (scratch_bytes) {
		scratch = std::make_unique<Memory>(backend, scratch_bytes);
		args.scratch = scratch->data;
	}
	const int64_t launched = backend.hopper_launches();
	kernel->run(args, team);
	if (sample.hopper && !reference && backend.hopper_launches() == launched) throw Error("it leaves this call to the kernel of sm_80");
	backend.finish();
	for (size_t i = 0; i < data.size(); i++)
		if (sample.operands[i].output) backend.read(data[i].data(), operands[i].data, (int64_t)data[i].size());
	return data;
}

// What is wrong with a sample's results, or nothing.
std::string difference(const Sample& sample, const std::vector<std::vector<uint8_t>>& want, const std::vector<std::vector<uint8_t>>& got) {
	for (size_t o = 0; o < sample.operands.size(); o++) {
		const auto& shape = sample.operands[o];
		if (!shape.output) continue;
		double error = 0, size = 0;
		for (int64_t i = 0; i < shape.count; i++) {
			const double a = value_at(want[o], stored_type(shape, true), i), b = value_at(got[o], shape.type, i);
			error += (a - b) * (a - b);
			size += a * a;
		}
		const bool low = std::any_of(sample.operands.begin(), sample.operands.end(), [](const auto& operand) { return operand.activation; });
		// Operands are off by at most 2⁻¹¹ in tf32, and the errors of a sum average out; operands that are cut off would not.
		const double bound = is_tf32(sample.kernel) ? 3e-4 : shape.type == DType::bf16 ? 1e-2 : shape.type == DType::f16 ? 2e-3 : low ? 1e-3 : 1e-4;
		if (!(std::sqrt(error) <= bound * std::sqrt(size)))
			return "operand " + std::to_string(o) + " is off by " + std::to_string(std::sqrt(error / size)) + " (relative; at most " + std::to_string(bound) + ")";
	}
	return "";
}

}  // namespace

void self_test(Backend& backend, Backend& reference, ThreadTeam& team) {
	std::vector<Sample> all = samples();
	for (Sample& sample : hopper_samples())
		if (backend.uses_hopper(sample.kernel)) all.push_back(std::move(sample));
	for (const Sample& sample : all) {
		std::string problem;
		try {
			problem = difference(sample, run(sample, reference, team, true), run(sample, backend, team, false));
		} catch (const Error& error) {
			problem = error.what();
		}
		const auto low = std::find_if(sample.operands.begin(), sample.operands.end(), [](const auto& operand) { return operand.activation; });
		const std::string type = low == sample.operands.end() ? "" : std::string(" in ") + name_of(low->type);
		if (!problem.empty()) throw Error((sample.hopper ? "its Hopper kernel " : "its kernel ") + std::string(sample.kernel) + type + " does not compute what the CPU computes: " + problem);
	}
}

}  // namespace dreamdist
