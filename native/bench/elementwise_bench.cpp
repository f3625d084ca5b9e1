// Kernels bound by memory: pointwise, copy, reduce, random numbers, optimisers. A pointwise call on 16 elements shows the cost of a call.
#include "bench.h"

using namespace dreamdist::bench;
using dreamdist::DType;
using dreamdist::Operand;

namespace {

enum Op : int64_t { kAdd = 2, kMul = 4, kExp = 10, kTanh = 16, kSilu = 20, kGelu = 21, kSiluGrad = 24 };

// inputs and one output of `shape`; a stride list per operand; code of [op, dst, a, b]; the last register written is the output.
double pointwise(Bench& b, std::vector<Operand> operands, std::vector<int64_t> shape, const std::vector<std::vector<int64_t>>& strides, const std::vector<int64_t>& code) {
	std::vector<int64_t> ints{(int64_t)shape.size(), (int64_t)operands.size() - 1, 1, (int64_t)code.size() / 4};
	ints.insert(ints.end(), shape.begin(), shape.end());
	for (auto& list : strides) ints.insert(ints.end(), list.begin(), list.end());
	ints.insert(ints.end(), code.begin(), code.end());
	ints.push_back(code[code.size() - 3]);
	return b.fastest_call("pointwise", std::move(operands), std::move(ints));
}

}  // namespace

BENCH(pointwise) {
	const int64_t n = 10000000, rows = 4096, C = 320;
	Floats x = b.normal(n), y = b.normal(n), z(n);
	b.add_memory("add, 10M", 12.0 * n, pointwise(b, {operand(x), operand(y), operand(z)}, {n}, {{1}, {1}, {1}}, {kAdd, 2, 0, 1}));
	b.add_memory("add in place, 10M", 12.0 * n, pointwise(b, {operand(z), operand(y), operand(z)}, {n}, {{1}, {1}, {1}}, {kAdd, 2, 0, 1}));
	b.add_memory("(x + y)·silu(x), 10M", 12.0 * n,
				 pointwise(b, {operand(x), operand(y), operand(z)}, {n}, {{1}, {1}, {1}}, {kAdd, 2, 0, 1, kSilu, 3, 0, 0, kMul, 4, 2, 3}));
	b.add_memory("silu_grad, 10M", 12.0 * n, pointwise(b, {operand(x), operand(y), operand(z)}, {n}, {{1}, {1}, {1}}, {kSiluGrad, 2, 0, 1}));
	const int64_t m = rows * C;
	for (auto [name, op] : {std::pair<const char*, int64_t>{"exp", kExp}, {"tanh", kTanh}, {"gelu", kGelu}, {"silu", kSilu}})
		b.add_memory(std::string(name) + " 4096x320", 8.0 * m, pointwise(b, {operand(x), operand(z)}, {m}, {{1}, {1}}, {op, 1, 0, 0}));
	b.add_memory("add row 4096x320", 8.0 * m, pointwise(b, {operand(x), operand(y), operand(z)}, {rows, C}, {{C, 1}, {0, 1}, {C, 1}}, {kAdd, 2, 0, 1}));
	b.add_memory("mul column 4096x320", 8.0 * m, pointwise(b, {operand(x), operand(y), operand(z)}, {rows, C}, {{C, 1}, {1, 0}, {C, 1}}, {kMul, 2, 0, 1}));
	b.add_memory("add row 327680x4", 8.0 * m, pointwise(b, {operand(x), operand(y), operand(z)}, {m / 4, 4}, {{4, 1}, {0, 1}, {4, 1}}, {kAdd, 2, 0, 1}));
	b.add_memory("add transposed 4096x320", 12.0 * m, pointwise(b, {operand(x), operand(y), operand(z)}, {rows, C}, {{C, 1}, {1, rows}, {C, 1}}, {kAdd, 2, 0, 1}));
	b.add_memory("add, 16 elements", 12.0 * 16, pointwise(b, {operand(x), operand(y), operand(z)}, {16}, {{1}, {1}, {1}}, {kAdd, 2, 0, 1}));
}
BENCH(copy) {
	const int64_t n = 10000000;
	Floats x = b.normal(n), y(n);
	Aligned<uint8_t> half(n * 2);
	auto row = [&](const char* name, double bytes, Operand from, Operand to, std::vector<int64_t> ints) { b.add_memory(name, bytes, b.fastest_call("copy", {from, to}, std::move(ints))); };
	row("copy, 10M", 8.0 * n, operand(x), operand(y), {1, n, 1, 1});
	row("copy f32 to f16, 10M", 6.0 * n, operand(x), operand(half, DType::f16), {1, n, 1, 1});
	row("copy f16 to f32, 10M", 6.0 * n, operand(half, DType::f16), operand(y), {1, n, 1, 1});
	row("copy f32 to bf16, 10M", 6.0 * n, operand(x), operand(half, DType::bf16), {1, n, 1, 1});
	row("transpose 3000x3000", 8.0 * 9e6, operand(x), operand(y), {2, 3000, 3000, 1, 3000, 3000, 1});
	row("NHWC to NCHW 64x64x320 batch 4", 8.0 * 4 * 4096 * 320, operand(x), operand(y), {3, 4, 320, 4096, 320 * 4096, 1, 320, 320 * 4096, 4096, 1});
	row("heads 4096x5x64 to 5x4096x64", 8.0 * 4096 * 320, operand(x), operand(y), {3, 5, 4096, 64, 64, 320, 1, 4096 * 64, 64, 1});
	row("concat half 4096x(320 of 640)", 8.0 * 4096 * 320, operand(x), operand(y), {2, 4096, 320, 320, 1, 640, 1});
}
BENCH(reduce) {
	const int64_t n = 10000000;
	Floats x = b.normal(n), y(n);
	auto row = [&](const char* name, double elements, std::vector<int64_t> ints) { b.add_memory(name, 4 * elements, b.fastest_call("reduce", {operand(x), operand(y)}, std::move(ints), {1})); };
	row("sum, 10M", n, {0, 0, 1, n, 1});
	row("sum of squares, 10M", n, {2, 0, 1, n, 1});
	row("maximum, 10M", n, {1, 0, 1, n, 1});
	row("rows 4096x320", 4096 * 320, {0, 1, 1, 4096, 320, 320, 1});
	row("columns 4096x320", 4096 * 320, {0, 1, 1, 320, 1, 4096, 320});
	row("columns 1000000x10", n, {0, 1, 1, 10, 1, 1000000, 10});
	row("columns 10000x1000", n, {0, 1, 1, 1000, 1, 10000, 1000});
	row("rows 2500000x4", n, {0, 1, 1, 2500000, 4, 4, 1});
}
BENCH(random_and_optimizers) {
	const int64_t n = 4000000;
	Floats p = b.normal(n), m(n, 0.0f), v(n, 0.0f), g = b.normal(n), hyper{1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.1f, 0.001f, 1};
	Aligned<uint8_t> key(16, 7);
	b.add_memory("normals, 4M", 4.0 * n, b.fastest_call("random", {operand(key, DType::i32), operand(p)}, {1, n, 0}));
	b.add_memory("uniforms, 4M", 4.0 * n, b.fastest_call("random", {operand(key, DType::i32), operand(p)}, {1, n, 1}));
	b.add_memory("adamw, 4M", 28.0 * n, b.fastest_call("adamw", {operand(p), operand(m), operand(v), operand(g), operand(hyper)}, {n}));
	b.add_memory("sgd, 4M", 20.0 * n, b.fastest_call("sgd", {operand(p), operand(m), operand(g), operand(hyper)}, {n, 1}));
}
