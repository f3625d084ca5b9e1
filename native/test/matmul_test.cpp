// matmul and its packer against plain float64 loops.
#include <algorithm>
#include <cstring>

#include "harness.h"
#include "reference.h"

namespace dreamdist::test {
namespace {

enum Source { kPlain, kPacked, kPackedInterleaved };

struct Problem {
	int64_t batch = 1, M = 1, N = 1, K = 1;
	bool trans_a = false, trans_b = false;
	int act = 0;
	Source source = kPlain;
	DType weight = DType::f32;
	bool bias = false, residual = false, preact = false;
	int64_t extra_a = 0, extra_b = 0, extra_c = 0, extra_r = 0;  // pitch beyond the row
	bool repeat_a = false, repeat_b = false, repeat_r = false;   // batch stride 0
	int64_t gap = 0;                                             // between batches
	double alpha = 1;
	std::string text() const {
		return "batch " + std::to_string(batch) + " M " + std::to_string(M) + " N " + std::to_string(N) + " K " + std::to_string(K) +
			   (trans_a ? " transA" : "") + (trans_b ? " transB" : "") + " act " + std::to_string(act) + " source " + std::to_string(source) + " " +
			   name_of(weight) + (bias ? " bias" : "") + (residual ? " residual" : "") + (preact ? " preact" : "");
	}
};

std::vector<float> solve(Context& t, const Problem& p, bool verify = true) {
	const int64_t a_rows = p.trans_a ? p.K : p.M, a_cols = p.trans_a ? p.M : p.K, lda = a_cols + p.extra_a;
	const int64_t b_rows = p.trans_b ? p.N : p.K, b_cols = p.trans_b ? p.K : p.N, ldb = b_cols + (p.source == kPlain ? p.extra_b : 0);
	const int64_t c_cols = p.act == 3 ? p.N / 2 : p.N, ldc = c_cols + p.extra_c, ldr = c_cols + p.extra_r;
	const int64_t a_stride = p.repeat_a ? 0 : a_rows * lda + p.gap, b_stride = p.repeat_b || p.source != kPlain ? 0 : b_rows * ldb + p.gap;
	const int64_t c_stride = p.M * ldc + p.gap, r_stride = p.repeat_r ? 0 : p.M * ldr + p.gap;
	std::vector<float> a = t.normal(a_rows * lda + a_stride * (p.batch - 1)), bias = t.normal(p.N), residual = t.normal(p.M * ldr + r_stride * (p.batch - 1));
	const Stored b(t, b_rows * ldb + b_stride * (p.batch - 1), p.weight);
	std::vector<float> c(p.M * ldc + c_stride * (p.batch - 1), 12345.0f), preact(p.batch * p.M * p.N, 777.0f);
	std::vector<uint8_t> packed;
	Operand weight = b.operand();
	if (p.source != kPlain) {
		packed = t.pack("matmul", b.data(), p.weight, {b_rows, b_cols, p.source == kPackedInterleaved});
		weight.data = packed.data();
	}
	t.run("matmul",
		  {operand(a), weight, p.bias ? operand(bias) : none(), p.residual ? operand(residual) : none(), operand(c), p.preact ? operand(preact) : none()},
		  {p.batch, p.M, p.N, p.K, p.trans_a, p.trans_b, lda, ldb, ldc, a_stride, b_stride, c_stride, p.act, p.source, ldr, r_stride}, {p.alpha});
	if (!verify) return c;

	std::vector<double> want, size, want_preact, size_preact;
	std::vector<float> got;
	for (int64_t batch = 0; batch < p.batch; batch++)
		for (int64_t m = 0; m < p.M; m++) {
			std::vector<double> u(p.N), magnitude(p.N);
			for (int64_t n = 0; n < p.N; n++) {
				double sum = 0, absolute = 0;
				for (int64_t k = 0; k < p.K; k++) {
					const double x = a[batch * a_stride + (p.trans_a ? k * lda + m : m * lda + k)];
					const double y = b.values[batch * b_stride + (p.trans_b ? n * ldb + k : k * ldb + n)];
					sum += x * y;
					absolute += std::fabs(x * y);
				}
				u[n] = p.alpha * sum + (p.bias ? bias[n] : 0);
				magnitude[n] = std::fabs(p.alpha) * absolute + (p.bias ? std::fabs(bias[n]) : 0);
			}
			want_preact.insert(want_preact.end(), u.begin(), u.end());
			size_preact.insert(size_preact.end(), magnitude.begin(), magnitude.end());
			for (int64_t n = 0; n < c_cols; n++) {
				const double r = p.residual ? residual[batch * r_stride + m * ldr + n] : 0;
				want.push_back((p.act == 3 ? u[n] * activation(1, u[n + c_cols]) : activation(p.act, u[n])) + r);
				size.push_back((p.act == 3 ? magnitude[n] * magnitude[n + c_cols] : magnitude[n]) + std::fabs(r));
				got.push_back(c[batch * c_stride + m * ldc + n]);
			}
			for (int64_t n = c_cols; n < ldc && (m + 1 < p.M || batch + 1 < p.batch); n++)
				if (c[batch * c_stride + m * ldc + n] != 12345.0f) fail(__FILE__, __LINE__, p.text() + ": wrote past a row");
		}
	EXPECT_CLOSE(got.data(), want, size, 1e-5, p.text());
	if (p.preact) EXPECT_CLOSE(preact.data(), want_preact, size_preact, 1e-5, p.text() + " (preact)");
	return c;
}

const DType kTypes[] = {DType::f32, DType::f16, DType::bf16};

Problem random_problem(Context& t, int64_t largest) {
	auto coin = [&] { return t.integer(0, 1) == 1; };
	auto size = [&] { return std::max<int64_t>(1, t.integer(0, 3) == 0 ? t.integer(1, 4) : t.integer(1, largest)); };
	Problem p;
	p.M = size();
	p.N = size();
	p.K = size();
	p.batch = t.integer(0, 2) == 0 ? t.integer(2, 4) : 1;
	p.trans_a = t.integer(0, 3) == 0;
	p.trans_b = coin();
	p.act = (int)t.integer(0, 5);
	p.source = (Source)t.integer(0, 2);
	p.weight = kTypes[t.integer(0, 2)];
	if (p.act == 3) p.N += p.N % 2;
	if (p.source == kPackedInterleaved) (p.trans_b ? p.N : p.K) += (p.trans_b ? p.N : p.K) % 2;
	p.bias = coin();
	p.residual = coin();
	p.preact = coin();
	if (coin()) p.extra_a = t.integer(1, 9), p.extra_b = t.integer(1, 9), p.extra_c = t.integer(1, 9), p.extra_r = t.integer(1, 9), p.gap = t.integer(0, 5);
	p.repeat_a = t.integer(0, 4) == 0;
	p.repeat_b = coin();
	p.repeat_r = t.integer(0, 4) == 0;
	if (coin()) p.alpha = -0.37;
	return p;
}

}  // namespace

TEST(matmul_random_small) {
	for (int i = 0; i < t.scaled(700); i++) solve(t, random_problem(t, 40));
}
TEST(matmul_random_medium) {
	for (int i = 0; i < t.scaled(40); i++) solve(t, random_problem(t, 200));
}

TEST(matmul_deep_reductions) {
	for (int64_t k : {2047, 2048, 2049, 4100, 6001})
		for (Source source : {kPlain, kPacked})
			for (bool trans_b : {false, true}) {
				Problem p{.M = 7, .N = 70, .K = k, .trans_b = trans_b, .act = 2, .source = source, .bias = true, .residual = true, .preact = true};
				solve(t, p);
				p.trans_a = true;
				p.weight = DType::bf16;
				solve(t, p);
			}
	solve(t, {.M = 300, .N = 40, .K = 2500, .trans_b = true, .source = kPacked, .weight = DType::f16});
	solve(t, {.M = 40, .N = 33, .K = 9000, .trans_a = true});
}

TEST(matmul_many_rows) {
	solve(t, {.M = 4099, .N = 66, .K = 33, .trans_b = true, .act = 1, .source = kPacked, .bias = true});
	solve(t, {.M = 2500, .N = 130, .K = 65, .trans_b = true, .act = 3, .source = kPackedInterleaved, .bias = true, .preact = true});
	solve(t, {.M = 1100, .N = 65, .K = 130, .source = kPackedInterleaved, .weight = DType::bf16});
	solve(t, {.M = 1100, .N = 65, .K = 130, .weight = DType::f16});
}

TEST(matmul_text_tower_rows) {
	for (int64_t m : {1, 2, 16, 64, 77})
		for (DType type : kTypes) {
			solve(t, {.M = m, .N = 192, .K = 256, .trans_b = true, .act = 1, .source = kPacked, .weight = type, .bias = true, .residual = true});
			solve(t, {.M = m, .N = 256, .K = 192, .source = kPacked, .weight = type});
		}
}

TEST(matmul_few_rows_by_a_transposed_weight) {
	for (int64_t m : {1, 15, 16, 17, 63, 65, 128, 129, 255, 256, 257})
		for (Source source : {kPacked, kPackedInterleaved})
			solve(t, {.M = m, .N = 37, .K = 150, .act = 2, .source = source, .weight = kTypes[m % 3], .bias = true, .residual = true, .preact = true});
	// More columns than are summed at a time, a reduction longer than is transposed at a time.
	for (DType type : kTypes) {
		solve(t, {.M = 17, .N = 1100, .K = 70, .source = kPacked, .weight = type, .extra_c = 3});
		solve(t, {.M = 33, .N = 20, .K = 4500, .source = kPackedInterleaved, .weight = type});
		solve(t, {.batch = 2, .M = 200, .N = 20, .K = 1300, .source = kPacked, .weight = type, .gap = 3, .alpha = 0.5});
	}
}

TEST(matmul_gradient_of_a_linear_weight) {
	solve(t, {.M = 130, .N = 97, .K = 1500, .trans_a = true});
	solve(t, {.batch = 3, .M = 33, .N = 40, .K = 391, .trans_a = true, .act = 2, .weight = DType::bf16, .bias = true, .residual = true, .preact = true});
	solve(t, {.M = 300, .N = 1300, .K = 40, .trans_a = true});
	// All of one sign: long sums must not drift.
	const int64_t K = 200000;
	std::vector<float> a(K * 2), b(K * 3), c(6);
	for (float& x : a) x = (float)t.integer(1, 1000) / 1000;
	for (float& x : b) x = (float)t.integer(1, 1000) / 1000;
	t.run("matmul", {operand(a), operand(b), none(), none(), operand(c), none()}, {1, 2, 3, K, 1, 0, 2, 3, 3, 0, 0, 0, 0, 0, 0, 0}, {1});
	std::vector<double> want(6);
	for (int64_t k = 0; k < K; k++)
		for (int m = 0; m < 2; m++)
			for (int n = 0; n < 3; n++) want[m * 3 + n] += (double)a[k * 2 + m] * b[k * 3 + n];
	EXPECT_CLOSE(c.data(), want, want, 1e-6, "a long sum of one sign");
}

TEST(matmul_one_by_one_and_empty) {
	solve(t, {});
	solve(t, {.trans_a = true, .trans_b = true, .act = 1, .source = kPacked, .bias = true});
	solve(t, {.N = 2, .trans_b = true, .act = 3, .source = kPackedInterleaved, .weight = DType::bf16});
	solve(t, {.M = 500});
	solve(t, {.N = 500});
	solve(t, {.K = 500});
	std::vector<float> x(4, 1), y(4, 5);
	t.run("matmul", {operand(x), operand(x), none(), none(), operand(y), none()}, {1, 0, 2, 2, 0, 0, 2, 2, 2, 0, 0, 0, 0, 0, 2, 0}, {1});
	t.run("matmul", {operand(x), operand(x), none(), none(), operand(y), none()}, {0, 2, 2, 2, 0, 0, 2, 2, 2, 0, 0, 0, 0, 0, 2, 0}, {1});
	CHECK(y[0] == 5 && y[3] == 5);
	// An empty reduction leaves what the epilogue adds.
	t.run("matmul", {operand(x), operand(x), operand(x), none(), operand(y), none()}, {1, 2, 2, 0, 0, 0, 2, 2, 2, 0, 0, 0, 0, 0, 2, 0}, {1});
	CHECK(y[0] == 1 && y[3] == 1);
}

TEST(matmul_repeats_bit_for_bit_and_ignores_the_partition) {
	for (int i = 0; i < t.scaled(30); i++) {
		const std::mt19937 start = t.rng;
		const Problem p = random_problem(t, i < t.scaled(30) * 5 / 6 ? 90 : 400);
		auto once = [&](ThreadTeam& team) {
			Context context{t.table, team, start};
			return solve(context, p, false);
		};
		const std::vector<float> first = once(t.team), again = once(t.team);
		CHECK(std::memcmp(first.data(), again.data(), first.size() * 4) == 0);
		for (int threads : {1, 2, 3, 7}) {
			ThreadTeam team(threads);
			CHECK(once(team) == first);
		}
	}
}

}  // namespace dreamdist::test
