// matmul on tensor cores, in f16, bf16 and tf32 (operands stored in f32), against plain float64 loops, with every tile and layout.
#include <algorithm>

#include "half.h"

namespace dreamdist::test {
namespace {

struct Problem {
	int64_t batch = 1, M = 1, N = 1, K = 1;
	bool trans_a = false, trans_b = false, packed = false;
	int act = 0;
	DType type = DType::bf16, result = DType::bf16, residual_type = DType::bf16;
	bool bias = false, residual = false, preact = false, repeat_b = false;
	int64_t extra = 0, offset = 0;  // elements beyond each row; the operands' first element
	double alpha = 1;
	std::string text() const {
		return std::string(name_of(type)) + " to " + name_of(result) + " batch " + std::to_string(batch) + " M " + std::to_string(M) + " N " + std::to_string(N) + " K " + std::to_string(K) +
			   (trans_a ? " transA" : "") + (trans_b ? " transB" : "") + (packed ? " packed" : "") + " act " + std::to_string(act) + (bias ? " bias" : "") + (residual ? " residual" : "") +
			   (preact ? " preact" : "") + " extra " + std::to_string(extra) + " offset " + std::to_string(offset);
	}
};

void solve(Context& t, const Problem& p) {
	const int64_t a_rows = p.trans_a ? p.K : p.M, a_cols = p.trans_a ? p.M : p.K, lda = a_cols + p.extra;
	const int64_t b_rows = p.trans_b ? p.N : p.K, b_cols = p.trans_b ? p.K : p.N, ldb = p.packed ? b_cols : b_cols + p.extra;
	const int64_t c_cols = p.act == 3 ? p.N / 2 : p.N, ldc = c_cols + p.extra;
	const int64_t a_stride = a_rows * lda, b_stride = p.packed || p.repeat_b ? 0 : b_rows * ldb, c_stride = p.M * ldc;
	const Stored a(t, p.offset + p.batch * a_stride, p.type), b(t, p.offset + b_rows * ldb + b_stride * (p.batch - 1), p.type);
	const Stored residual(t, p.batch * c_stride, p.residual_type);
	std::vector<float> bias = t.normal(p.N);
	Output c(p.offset + p.batch * c_stride, p.result), preact(p.batch * p.M * p.N, p.result);
	auto shifted = [&](const Stored& x, int64_t by) { return Operand{(uint8_t*)x.data() + by * bytes_of(x.type), x.type}; };
	std::vector<uint8_t> packed;
	Operand weight = shifted(b, p.offset);
	if (p.packed) {
		packed = t.pack("matmul", weight.data, p.type, {b_rows, b_cols, p.act == 3});
		weight.data = packed.data();
	}
	t.run(tensor_kernel("matmul", p.type).c_str(),
		  {shifted(a, p.offset), weight, p.bias ? operand(bias) : none(), p.residual ? residual.operand() : none(), c.operand(p.offset), p.preact ? preact.operand() : none()},
		  {p.batch, p.M, p.N, p.K, p.trans_a, p.trans_b, lda, ldb, ldc, a_stride, b_stride, c_stride, p.act, p.packed ? (p.act == 3 ? 2 : 1) : 0, ldc, c_stride}, {p.alpha});

	std::vector<double> want, size, want_preact, size_preact;
	std::vector<float> got, got_preact;
	for (int64_t batch = 0; batch < p.batch; batch++)
		for (int64_t m = 0; m < p.M; m++) {
			std::vector<double> u(p.N), magnitude(p.N);
			for (int64_t n = 0; n < p.N; n++) {
				double sum = 0, absolute = 0;
				for (int64_t k = 0; k < p.K; k++) {
					const double x = read_as(p.type, a.values[p.offset + batch * a_stride + (p.trans_a ? k * lda + m : m * lda + k)]);
					const double y = read_as(p.type, b.values[p.offset + batch * b_stride + (p.trans_b ? n * ldb + k : k * ldb + n)]);
					sum += x * y;
					absolute += std::fabs(x * y);
				}
				u[n] = p.alpha * sum + (p.bias ? bias[n] : 0);
				magnitude[n] = std::fabs(p.alpha) * absolute + (p.bias ? std::fabs(bias[n]) : 0);
				want_preact.push_back(u[n]);
				size_preact.push_back(magnitude[n]);
				got_preact.push_back(preact.at((batch * p.M + m) * p.N + n));
			}
			for (int64_t n = 0; n < c_cols; n++) {
				const double r = p.residual ? residual.values[batch * c_stride + m * ldc + n] : 0;
				want.push_back((p.act == 3 ? u[n] * activation(1, u[n + c_cols]) : activation(p.act, u[n])) + r);
				size.push_back((p.act == 3 ? magnitude[n] * magnitude[n + c_cols] : magnitude[n]) + std::fabs(r));
				got.push_back(c.at(p.offset + batch * c_stride + m * ldc + n));
			}
			for (int64_t n = c_cols; n < ldc; n++)
				if (c.at(p.offset + batch * c_stride + m * ldc + n) != Output::kMark) fail(__FILE__, __LINE__, p.text() + ": wrote past a row");
		}
	EXPECT_ROUNDED(got, want, size, p.result, p.text());
	if (p.preact) EXPECT_ROUNDED(got_preact, want_preact, size_preact, p.result, p.text() + " (preact)");
}

Problem random_problem(Context& t, int64_t largest) {
	auto coin = [&] { return t.integer(0, 1) == 1; };
	auto size = [&] { return t.integer(0, 3) == 0 ? t.integer(1, 9) : t.integer(0, 2) == 0 ? 8 * t.integer(1, (largest + 7) / 8) : t.integer(1, largest); };
	const DType types[] = {DType::f32, DType::f16, DType::bf16};
	Problem p;
	p.M = size();
	p.N = size();
	p.K = size();
	p.batch = t.integer(0, 3) == 0 ? t.integer(2, 3) : 1;
	p.trans_a = t.integer(0, 2) == 0;
	p.trans_b = coin();
	p.packed = t.integer(0, 2) == 0;
	p.act = (int)t.integer(0, 5);
	if (p.act == 3) p.N = coin() ? (p.N + 15) / 16 * 16 : p.N + p.N % 2;
	p.type = types[t.integer(0, 2)];
	p.result = coin() ? p.type : DType::f32;
	p.residual_type = types[t.integer(0, 2)];
	p.bias = coin();
	p.residual = coin();
	p.preact = coin();
	p.repeat_b = coin();
	if (t.integer(0, 2) == 0) p.extra = coin() ? 8 : t.integer(1, 9);
	if (t.integer(0, 3) == 0) p.offset = coin() ? 8 : t.integer(1, 9);
	if (coin()) p.alpha = -0.37;
	return p;
}

}  // namespace

TEST(matmul_half_random) {
	EachPlan plans;
	for (int i = 0; i < 320; i++) {
		plans.choose(i);
		solve(t, random_problem(t, i % 8 == 0 ? 180 : 70));
	}
}

// One case per layout and tile at least whose sizes leave a tile, a part of K and a chunk unfinished.
TEST(matmul_half_layouts) {
	for (DType type : {DType::bf16, DType::f16, DType::f32})
		for (int tile = 0; tile < cuda::kTileKinds; tile++)
			for (int layout = 0; layout < 4; layout++) {
				cuda::forced_plan = {tile, layout % 2 + 1};
				solve(t, {.M = 133, .N = 168, .K = 88, .trans_a = layout >= 2, .trans_b = layout % 2 == 1, .packed = true, .type = type, .result = type, .bias = true});
			}
	cuda::forced_plan = {};
	for (DType type : {DType::bf16, DType::f32})
		for (int64_t size : {1, 76, 77, 78}) solve(t, {.M = size, .N = size, .K = size, .trans_b = true, .act = 1, .type = type, .result = DType::f32, .bias = true, .residual = true});
}

// Rounding moves an operand by at most 2⁻¹¹ of it, as tf32 has ten bits after the point: a product by 2⁻¹⁰, and f32 sums add little. It is
// not computed in f32: some result is further off than that could be.
TEST(matmul_tf32_is_off_by_its_rounding) {
	constexpr int64_t M = 37, N = 24, K = 520;
	const Stored a(t, M * K, DType::f32), b(t, N * K, DType::f32);
	Output c(M * N, DType::f32);
	t.run("matmul_tf32", {a.operand(), b.operand(), none(), none(), c.operand(), none()}, {1, M, N, K, 0, 1, K, K, N, 0, 0, 0, 0, 0, N, 0}, {1});
	double worst = 0;
	for (int64_t m = 0; m < M; m++)
		for (int64_t n = 0; n < N; n++) {
			double want = 0, size = 0;
			for (int64_t k = 0; k < K; k++) {
				const double product = (double)a.values[m * K + k] * b.values[n * K + k];
				want += product;
				size += std::fabs(product);
			}
			const double off = std::fabs(c.at(m * N + n) - want) / size;
			CHECK(off <= 0x1p-10 + 0x1p-20);
			worst = std::max(worst, off);
		}
	CHECK(worst > 1e-5);
}

TEST(matmul_tf32_refuses_other_types) {
	Output c(4, DType::f32);
	const Stored x(t, 4, DType::f32), half(t, 4, DType::bf16);
	std::string message;
	try {
		t.run("matmul_tf32", {x.operand(), half.operand(), none(), none(), c.operand(), none()}, {1, 2, 2, 2, 0, 0, 2, 2, 2, 0, 0, 0, 0, 0, 2, 0}, {1});
	} catch (const Error& error) {
		message = error.what();
	}
	CHECK(message == "matmul_tf32: its operands are f32, not bf16");
}

TEST(matmul_half_of_nothing) {
	Output c(4, DType::bf16);
	const Stored x(t, 4, DType::bf16);
	std::vector<float> bias{1, 2};
	t.run("matmul", {x.operand(), x.operand(), none(), none(), c.operand(), none()}, {1, 0, 2, 2, 0, 0, 2, 2, 2, 0, 0, 0, 0, 0, 2, 0}, {1});
	CHECK(c.at(0) == Output::kMark);
	t.run("matmul", {x.operand(), x.operand(), operand(bias), none(), c.operand(), none()}, {1, 2, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 2, 0}, {1});
	CHECK(c.at(0) == 1 && c.at(3) == 2);
}

TEST(matmul_half_faults_are_noticed) {
	const PlantedFault faults[] = {
		{131, "waits for one group of copies too few"},
		{132, "no barrier before a stage is used"},
		{133, "copies into the stage that is being read"},
		{134, "no barrier before the stages become rooms"},
		{135, "a row past the end is read"},
	};
	for (const PlantedFault& fault : faults)
		expect_noticed(fault, [&] {
			for (int tile : {0, 2}) {
				cuda::forced_plan = {tile, 1};
				solve(t, {.M = 70, .N = 72, .K = 136, .trans_b = true, .result = DType::f32});
			}
		});
	expect_noticed({136, "operands are cut off instead of rounded to tf32"}, [&] { solve(t, {.M = 33, .N = 16, .K = 72, .trans_b = true, .type = DType::f32, .result = DType::f32}); });
	cuda::forced_plan = {};
}

}  // namespace dreamdist::test
