// pointwise: each instruction, random layouts and storage types, random programs, in-place outputs, NaN.
#include "strided_tensors.h"

namespace dreamdist::test {
namespace {

enum Op {
	kMov, kImm, kAdd, kSub, kMul, kDiv, kMax, kMin, kNeg, kAbs, kExp, kLog, kSqrt, kRsqrt, kReciprocal, kSigmoid, kTanh, kErf, kSin, kCos,
	kSilu, kGelu, kQuickGelu, kRelu, kSiluGrad, kGeluGrad, kQuickGeluGrad, kReluGrad, kGt, kGe, kEq, kSelect, kSquare, kSign, kPow, kFloor, kFma,
	kOps
};

struct Instruction {
	int64_t op, dst, a, b;
};

struct Call {
	std::vector<int64_t> shape;
	std::vector<Tensor> inputs, outputs;
	std::vector<Instruction> code;
	std::vector<int64_t> outRegister;
	std::vector<double> immediates;

	void run(Context& t) {
		std::vector<int64_t> ints{(int64_t)shape.size(), (int64_t)inputs.size(), (int64_t)outputs.size(), (int64_t)code.size()};
		ints.insert(ints.end(), shape.begin(), shape.end());
		std::vector<Operand> operands;
		for (auto* list : {&inputs, &outputs})
			for (auto& tensor : *list) {
				ints.insert(ints.end(), tensor.strides.begin(), tensor.strides.end());
				operands.push_back(tensor.operand());
			}
		for (auto& i : code) ints.insert(ints.end(), {i.op, i.dst, i.a, i.b});
		ints.insert(ints.end(), outRegister.begin(), outRegister.end());
		t.run("pointwise", operands, ints, immediates);
	}
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double cdf(double x) { return 0.5 * std::erfc(-x * M_SQRT1_2); }

double evaluate(int64_t op, double old, double a, double b) {
	switch (op) {
		case kMov: return a;
		case kAdd: return a + b;
		case kSub: return a - b;
		case kMul: return a * b;
		case kDiv: return a / b;
		case kMax: return std::isnan(a) ? a : std::isnan(b) ? b : std::max(a, b);
		case kMin: return std::isnan(a) ? a : std::isnan(b) ? b : std::min(a, b);
		case kNeg: return -a;
		case kAbs: return std::fabs(a);
		case kExp: return std::exp(a);
		case kLog: return std::log(a);
		case kSqrt: return std::sqrt(a);
		case kRsqrt: return 1 / std::sqrt(a);
		case kReciprocal: return 1 / a;
		case kSigmoid: return sigmoid(a);
		case kTanh: return std::tanh(a);
		case kErf: return std::erf(a);
		case kSin: return std::sin(a);
		case kCos: return std::cos(a);
		case kSilu: return a * sigmoid(a);
		case kGelu: return a * cdf(a);
		case kQuickGelu: return a * sigmoid(1.702 * a);
		case kRelu: return std::isnan(a) ? a : std::max(a, 0.0);
		case kSiluGrad: return a * (sigmoid(b) + b * sigmoid(b) * sigmoid(-b));
		case kGeluGrad: return a * (cdf(b) + b * std::exp(-b * b / 2) / std::sqrt(2 * M_PI));
		case kQuickGeluGrad: return a * (sigmoid(1.702 * b) + 1.702 * b * sigmoid(1.702 * b) * sigmoid(-1.702 * b));
		case kReluGrad: return b > 0 ? a : 0;
		case kGt: return a > b;
		case kGe: return a >= b;
		case kEq: return a == b;
		case kSelect: return old != 0 ? a : b;
		case kSquare: return a * a;
		case kSign: return a > 0 ? 1 : a < 0 ? -1 : a;
		case kPow: return std::pow(a, b);
		case kFloor: return std::floor(a);
		case kFma: return old + a * b;
	}
	return std::nan("");
}

// Runs the call and its float64 reference; every element of every output agrees to `relative` of its size (or `absolute`).
void check_call(Context& t, Call& call, double relative, double absolute) {
	std::vector<Tensor> want = call.outputs;
	std::vector<std::vector<int64_t>> from, to;
	for (auto& input : call.inputs) from.push_back(input.offsets(call.shape));
	for (auto& output : want) to.push_back(output.offsets(call.shape));
	for (int64_t element = 0; element < count_of(call.shape); element++) {
		double registers[32] = {};
		for (size_t i = 0; i < call.inputs.size(); i++) registers[i] = call.inputs[i].get(from[i][element]);
		for (auto& i : call.code)
			registers[i.dst] = i.op == kImm ? (double)(float)call.immediates[i.a] : evaluate(i.op, registers[i.dst], registers[i.a], registers[i.b]);
		for (size_t j = 0; j < want.size(); j++) want[j].set(to[j][element], registers[call.outRegister[j]]);
	}
	call.run(t);
	for (size_t j = 0; j < want.size(); j++) {
		const double ulp = want[j].dtype == DType::f16 ? 1e-3 : want[j].dtype == DType::bf16 ? 8e-3 : 0;  // one rounding may go the other way
		const double step = want[j].dtype == DType::i32 ? 1 : 0;
		for (int64_t i = 0; i < want[j].count(); i++) {
			const double got = call.outputs[j].get(i), expected = want[j].get(i);
			const bool same = std::isnan(expected) ? std::isnan(got) : got == expected || std::fabs(got - expected) <= std::max(absolute + step, (relative + ulp) * std::fabs(expected));
			if (!same) fail(__FILE__, __LINE__, "output " + std::to_string(j) + " element " + std::to_string(i) + " is " + std::to_string(got) + ", expected " + std::to_string(expected));
		}
	}
}

Tensor contiguous(Context& t, int64_t n) {
	Tensor tensor(DType::f32, n, {1});
	std::normal_distribution<double> normal(0, 2);
	for (int64_t i = 0; i < n; i++) tensor.set(i, normal(t.rng));
	return tensor;
}

}  // namespace

// Each instruction alone: ordinary values, special ones, and every pair of special ones.
TEST(pointwise_each_instruction) {
	const double special[] = {0, -0.0, 1, -1, 0.5, -2, 3, 1e-40, -1e-40, 1e-30, 1e30, 3e38, -3e38, 88, -88, 20, -20, HUGE_VAL, -HUGE_VAL, std::nan("")};
	const int64_t specials = std::size(special), n = 3000 + specials * specials;
	for (int op = 0; op < kOps; op++) {
		if (op == kImm) continue;
		Call call;
		call.shape = {n};
		for (int i = 0; i < 3; i++) call.inputs.push_back(contiguous(t, n));
		for (int64_t i = 0; i < specials * specials; i++) {
			call.inputs[0].set(i, special[i / specials]);
			call.inputs[1].set(i, special[i % specials]);
		}
		for (int64_t i = 0; i < n; i++) {
			const double a = call.inputs[0].get(i), b = call.inputs[1].get(i);
			if ((op == kSin || op == kCos) && !(std::fabs(a) <= 1e5)) call.inputs[0].set(i, (double)t.integer(-100000, 100000));
			// Where the true value is a limit that IEEE arithmetic calls invalid (∞·0).
			if ((op == kSilu || op == kGelu || op == kQuickGelu) && std::fabs(a) > 1e30) call.inputs[0].set(i, 17);
			if (op >= kSiluGrad && op <= kQuickGeluGrad && (std::fabs(b) > 1e30 || std::fabs(a) > 1e30)) {
				call.inputs[0].set(i, 1.5);
				call.inputs[1].set(i, -9);
			}
			call.inputs[2].set(i, (double)(i % 3 == 0 ? 0 : i % 7) - 3 * (i % 2));
		}
		call.outputs.push_back(contiguous(t, n));
		call.code = {{op, 2, 0, 1}};
		call.outRegister = {2};
		// A gradient is dy times a function within 1e-7; the fma, dst + a·b, is rounded once or twice.
		const bool product = op >= kSiluGrad && op <= kQuickGeluGrad;
		const double absolute = product ? 2e-6 : op == kFma ? 2e-5 : 1.5e-7;
		try {
			check_call(t, call, 5e-7, absolute);
		} catch (...) {
			std::printf("instruction %d: ", op);
			throw;
		}
	}
}

TEST(pointwise_pow_is_exact_where_it_should_be) {
	Call call;
	call.shape = {8};
	call.inputs = {contiguous(t, 8), contiguous(t, 8)};
	const double a[] = {-2, -2, 0, 2, 9, 0.1f, 1e10f, -8}, b[] = {3, 0.5, 0, -1, 0.5, 30, 3.7f, 2};
	for (int i = 0; i < 8; i++) {
		call.inputs[0].set(i, a[i]);
		call.inputs[1].set(i, b[i]);
	}
	call.outputs = {contiguous(t, 8)};
	call.code = {{kPow, 2, 0, 1}};
	call.outRegister = {2};
	check_call(t, call, 1.2e-7, 1e-37);
}

// The machinery: layouts, storage types, block cuts, with arithmetic that is exact enough to compare tightly.
TEST(pointwise_random_layouts) {
	for (int trial = 0; trial < t.scaled(600); trial++) {
		Call call;
		call.shape = random_shape(t, 6, 20000);
		const int inputs = (int)t.integer(1, 5), outputs = (int)t.integer(1, 3);
		for (int i = 0; i < inputs; i++) call.inputs.push_back(random_tensor(t, random_dtype(t), call.shape, true));
		for (int j = 0; j < outputs; j++) call.outputs.push_back(random_tensor(t, random_dtype(t), call.shape, false));
		call.immediates = {0.5, -1.25};
		const int registers = (int)t.integer(inputs + 1, 31);
		for (int r = inputs; r < registers; r++)
			call.code.push_back(t.integer(0, 5) == 0 ? Instruction{kImm, r, t.integer(0, 1), 0} : Instruction{kMov, r, t.integer(0, r - 1), 0});
		const int length = (int)t.integer(0, 12);
		for (int k = 0; k < length; k++) {
			const int64_t ops[] = {kMov, kAdd, kSub, kMax, kMin, kNeg, kAbs, kRelu};
			call.code.push_back({ops[t.integer(0, 7)], t.integer(0, registers - 1), t.integer(0, registers - 1), t.integer(0, registers - 1)});
		}
		for (int j = 0; j < outputs; j++) call.outRegister.push_back(t.integer(0, registers - 1));
		check_call(t, call, 2e-6, 5e-4);
	}
}

TEST(pointwise_random_programs) {
	for (int trial = 0; trial < t.scaled(200); trial++) {
		Call call;
		const bool flat = t.integer(0, 1);
		call.shape = flat ? std::vector<int64_t>{t.integer(1, 30000)} : random_shape(t, 4, 10000);
		const int inputs = (int)t.integer(1, 4);
		for (int i = 0; i < inputs; i++) call.inputs.push_back(random_tensor(t, DType::f32, call.shape, true));
		for (int j = 0; j < 2; j++) call.outputs.push_back(random_tensor(t, DType::f32, call.shape, false));
		int registers = inputs;
		call.immediates = {0.75, 2};
		for (int k = 0; k < 20; k++) {
			auto any = [&] { return t.integer(0, registers - 1); };
			auto input = [&] { return t.integer(0, inputs - 1); };
			const int64_t dst = registers;
			switch (t.integer(0, 6)) {
				case 0: call.code.push_back({kTanh, dst, any(), 0}); break;
				case 1: call.code.push_back({kSigmoid, dst, any(), 0}); break;
				case 2: call.code.push_back({kMul, dst, input(), any()}), call.code.push_back({kTanh, dst, dst, 0}); break;
				case 3: call.code.push_back({kImm, dst, t.integer(0, 1), 0}), call.code.push_back({kFma, dst, input(), input()}), call.code.push_back({kSin, dst, dst, 0}); break;
				case 4: call.code.push_back({kGt, dst, input(), input()}), call.code.push_back({kSelect, dst, any(), any()}); break;
				case 5: call.code.push_back({kGelu, dst, input(), 0}); break;
				case 6: call.code.push_back({kSiluGrad, dst, input(), any()}); break;
			}
			registers++;
		}
		call.outRegister = {registers - 1, t.integer(0, registers - 1)};
		check_call(t, call, 1e-4, 1e-4);
	}
}

// An output on top of an input: with later readers of the input, with several outputs, and an exchange.
TEST(pointwise_in_place) {
	for (int64_t n : {1, 7, 100, 5000, 40001}) {
		for (int variant = 0; variant < 5; variant++) {
			std::vector<float> a = t.normal(n), b = t.normal(n), c(n);
			const std::vector<float> a0 = a, b0 = b;
			const std::vector<int64_t> head{1, 2, 2, 2, n, 1, 1, 1, 1};
			auto run = [&](std::vector<Operand> outputs, std::vector<int64_t> code) {
				std::vector<int64_t> ints{1, 2, (int64_t)outputs.size(), (int64_t)(code.size() - outputs.size()) / 4, n};
				ints.insert(ints.end(), 2 + outputs.size(), 1);
				ints.insert(ints.end(), code.begin(), code.end());
				std::vector<Operand> operands{operand(a), operand(b)};
				operands.insert(operands.end(), outputs.begin(), outputs.end());
				t.run("pointwise", operands, ints);
			};
			auto each = [&](auto&& ok) {
				for (int64_t i = 0; i < n; i++) CHECK(ok(i));
			};
			switch (variant) {
				case 0:  // a += b
					run({operand(a)}, {kAdd, 2, 0, 1, 2});
					each([&](int64_t i) { return a[i] == a0[i] + b0[i]; });
					break;
				case 1:  // a = a + b, then c = b − old a: a is read after its replacement was computed
					run({operand(a), operand(c)}, {kAdd, 2, 0, 1, kSub, 3, 1, 0, 2, 3});
					each([&](int64_t i) { return a[i] == a0[i] + b0[i] && c[i] == b0[i] - a0[i]; });
					break;
				case 2:  // exchange
					run({operand(a), operand(b)}, {1, 0});
					each([&](int64_t i) { return a[i] == b0[i] && b[i] == a0[i]; });
					break;
				case 3:  // a = −b, and the old a handed on
					run({operand(a), operand(c)}, {kNeg, 3, 1, 0, 3, 0});
					each([&](int64_t i) { return a[i] == -b0[i] && c[i] == a0[i]; });
					break;
				case 4:  // registers of inputs overwritten
					run({operand(a), operand(b)}, {kAdd, 0, 0, 1, kSub, 1, 0, 1, 0, 1});
					each([&](int64_t i) { return a[i] == a0[i] + b0[i] && b[i] == a[i] - b0[i]; });
					break;
			}
		}
	}
}

// Outputs so large that they are written around the caches: cheap and costly last instructions, several outputs, an odd start and size.
TEST(pointwise_beyond_the_caches) {
	const int64_t n = (32 << 18) + 1003;
	std::vector<float> x(n + 3), y(n), sum(n + 5), tanh(n), copy(n);
	for (int64_t i = 0; i < n; i++) {
		x[i + 3] = (float)(i % 1000) / 500 - 1;
		y[i] = (float)(i % 77);
	}
	auto at = [](std::vector<float>& v, int64_t first) { return Operand{v.data() + first, DType::f32}; };
	t.run("pointwise", {at(x, 3), at(y, 0), at(sum, 5), at(tanh, 0), at(copy, 0)},
		  {1, 2, 3, 3, n, 1, 1, 1, 1, 1, kTanh, 3, 0, 0, kAdd, 2, 0, 1, kNeg, 4, 2, 0, 4, 3, 2});
	for (int64_t i = 0; i < n; i++) {
		CHECK(copy[i] == x[i + 3] + y[i]);
		CHECK(sum[i + 5] == -copy[i]);
		CHECK(std::fabs(tanh[i] - std::tanh((double)x[i + 3])) < 2e-7);
	}
	t.run("pointwise", {at(x, 3), at(y, 0), at(sum, 5)}, {1, 2, 1, 1, n, 1, 1, 1, kMul, 2, 0, 1, 2});
	for (int64_t i = 0; i < n; i++) CHECK(sum[i + 5] == x[i + 3] * y[i]);
	t.run("copy", {at(sum, 5), at(copy, 0)}, {1, n, 1, 1});
	CHECK(!std::memcmp(sum.data() + 5, copy.data(), n * 4));
}

TEST(pointwise_scalar_and_empty) {
	Call call;
	call.inputs = {contiguous(t, 1)};
	call.inputs[0].strides = {};
	call.outputs = {contiguous(t, 1)};
	call.outputs[0].strides = {};
	call.code = {{kSquare, 1, 0, 0}};
	call.outRegister = {1};
	check_call(t, call, 1e-7, 0);
	Call empty;
	empty.shape = {4, 0};
	empty.inputs = {contiguous(t, 1)};
	empty.outputs = {contiguous(t, 1)};
	for (auto* list : {&empty.inputs, &empty.outputs}) (*list)[0].strides = {1, 1};
	empty.outRegister = {0};
	check_call(t, empty, 0, 0);
}

TEST(pointwise_rejects_what_it_cannot_run) {
	std::vector<float> x{1}, y{1};
	auto rejected = [&](std::vector<int64_t> ints) {
		try {
			t.run("pointwise", {operand(x), operand(y)}, ints);
		} catch (const Error&) {
			return true;
		}
		return false;
	};
	CHECK(!rejected({0, 1, 1, 1, kNeg, 1, 0, 0, 1}));
	CHECK(rejected({0, 1, 1, 1, kNeg, 32, 0, 0, 1}));
	CHECK(rejected({0, 1, 1, 1, kOps, 1, 0, 0, 1}));
	CHECK(rejected({0, 1, 1, 1, kNeg, 1, -1, 0, 1}));
	CHECK(rejected({0, 1, 1, 0, 40}));
	CHECK(rejected({0, 2, 1, 0, 0}));
}

}  // namespace dreamdist::test
