#include "dreamdist/self_test.h"

#include <cmath>
#include <cstring>

namespace dreamdist {
namespace {

// A call on operands that are made up: f32 noise, i32 indices, or 16-bit weights; `outputs` are compared.
struct Sample {
	const char* kernel;
	struct Shape {
		int64_t count;
		bool output;
		DType type = DType::f32;
		int32_t below = 0;  // i32: values in [0, below)
	};
	std::vector<Shape> operands;  // count 0: absent
	std::vector<int64_t> ints;
	std::vector<double> floats;
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
	return {
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
}

// Noise in (0.1, 0.9) that any machine makes alike; positive, as variances and corrections are.
float noise(uint32_t& state) {
	state = state * 1664525u + 1013904223u;
	return 0.1f + 0.8f * (float)(state >> 8) * 0x1p-24f;
}

std::vector<uint8_t> contents(const Sample::Shape& shape, uint32_t& state) {
	std::vector<uint8_t> bytes(shape.count * bytes_of(shape.type));
	for (int64_t i = 0; i < shape.count; i++) {
		const float value = noise(state);
		if (shape.type == DType::i32) {
			const int32_t whole = (int32_t)(value * (float)shape.below);
			std::memcpy(&bytes[i * 4], &whole, 4);
		} else if (shape.type == DType::f32) std::memcpy(&bytes[i * 4], &value, 4);
		else {
			uint32_t bits;
			std::memcpy(&bits, &value, 4);
			const uint16_t half = (uint16_t)(bits >> 16);  // bf16
			std::memcpy(&bytes[i * 2], &half, 2);
		}
	}
	return bytes;
}

double value_at(const std::vector<uint8_t>& bytes, DType type, int64_t i) {
	uint32_t bits = 0;
	if (type == DType::bf16) {
		uint16_t half;
		std::memcpy(&half, &bytes[i * 2], 2);
		bits = (uint32_t)half << 16;
	} else std::memcpy(&bits, &bytes[i * 4], 4);
	float value;
	std::memcpy(&value, &bits, 4);
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

// Runs a sample; returns the contents of all operands afterwards.
std::vector<std::vector<uint8_t>> run(const Sample& sample, Backend& backend, ThreadTeam& team) {
	const KernelInfo* kernel = backend.table().find(sample.kernel);
	if (!kernel) throw Error("it is not there");
	std::vector<std::unique_ptr<Memory>> memory;
	std::vector<Operand> operands;
	std::vector<std::vector<uint8_t>> data;
	uint32_t state = 20231222;
	for (const auto& shape : sample.operands) {
		data.push_back(contents(shape, state));
		if (shape.count == 0) {
			operands.push_back({});
			continue;
		}
		memory.push_back(std::make_unique<Memory>(backend, (int64_t)data.back().size()));
		backend.write(memory.back()->data, data.back().data(), (int64_t)data.back().size());
		operands.push_back({memory.back()->data, shape.type});
	}
	KernelArgs args{operands, sample.ints, sample.floats, nullptr, backend.context()};
	const int64_t scratch_bytes = kernel->scratch_bytes ? kernel->scratch_bytes(args, team.size()) : 0;
	std::unique_ptr<Memory> scratch;
	if (scratch_bytes) {
		scratch = std::make_unique<Memory>(backend, scratch_bytes);
		args.scratch = scratch->data;
	}
	kernel->run(args, team);
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
			const double a = value_at(want[o], shape.type, i), b = value_at(got[o], shape.type, i);
			error += (a - b) * (a - b);
			size += a * a;
		}
		const double bound = shape.type == DType::f32 ? 1e-4 : 1e-2;
		if (!(std::sqrt(error) <= bound * std::sqrt(size)))
			return "operand " + std::to_string(o) + " is off by " + std::to_string(std::sqrt(error / size)) + " (relative; at most " + std::to_string(bound) + ")";
	}
	return "";
}

}  // namespace

void self_test(Backend& backend, Backend& reference, ThreadTeam& team) {
	for (const Sample& sample : samples()) {
		std::string problem;
		try {
			problem = difference(sample, run(sample, reference, team), run(sample, backend, team));
		} catch (const Error& error) {
			problem = error.what();
		}
		if (!problem.empty()) throw Error("its kernel " + std::string(sample.kernel) + " does not compute what the CPU computes: " + problem);
	}
}

}  // namespace dreamdist
