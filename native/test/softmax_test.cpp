// softmax and log-softmax, forward and backward, against plain float64 loops.
#include <algorithm>

#include "harness.h"

using namespace dreamdist;
using namespace dreamdist::test;

namespace {

struct Rows {
	int64_t rows, C;
	std::vector<double> probability, logarithm;
	Rows(const std::vector<float>& x, int64_t rows, int64_t C) : rows(rows), C(C), probability(x.size()), logarithm(x.size()) {
		for (int64_t r = 0; r < rows; r++) {
			double best = -INFINITY, sum = 0;
			for (int64_t c = 0; c < C; c++) best = std::max(best, (double)x[r * C + c]);
			for (int64_t c = 0; c < C; c++) sum += std::exp(x[r * C + c] - best);
			for (int64_t c = 0; c < C; c++) {
				logarithm[r * C + c] = x[r * C + c] - best - std::log(sum);
				probability[r * C + c] = std::exp(logarithm[r * C + c]);
			}
		}
	}
	std::string name() const { return std::to_string(rows) + " rows of " + std::to_string(C); }
};

void check(Context& t, int64_t rows, int64_t C, float spread) {
	std::vector<float> x = t.normal(rows * C, spread), dy = t.normal(rows * C);
	const Rows want(x, rows, C);
	for (bool logarithm : {false, true}) {
		const std::string name = (logarithm ? "log-softmax of " : "softmax of ") + want.name();
		auto run = [&](Context& context) {
			std::vector<float> y(x.size(), NAN);
			context.run("softmax", {operand(x), operand(y)}, {rows, C, logarithm});
			return y;
		};
		std::vector<float> y = run(t);
		const auto& reference = logarithm ? want.logarithm : want.probability;
		EXPECT_CLOSE(y.data(), reference, reference, 1e-5, name);

		std::vector<double> dx(x.size()), size(x.size());
		for (int64_t r = 0; r < rows; r++) {
			double total = 0, total_size = 0;
			for (int64_t i = r * C; i < (r + 1) * C; i++) {
				total += logarithm ? dy[i] : dy[i] * (double)y[i];
				total_size += std::abs(logarithm ? dy[i] : dy[i] * (double)y[i]);
			}
			for (int64_t i = r * C; i < (r + 1) * C; i++) {
				dx[i] = logarithm ? dy[i] - std::exp((double)y[i]) * total : y[i] * (dy[i] - total);
				size[i] = logarithm ? std::abs(dy[i]) + std::exp((double)y[i]) * total_size : y[i] * (std::abs(dy[i]) + total_size);
			}
		}
		auto run_grad = [&](Context& context) {
			std::vector<float> out(x.size(), NAN);
			context.run("softmax_grad", {operand(y), operand(dy), operand(out)}, {rows, C, logarithm});
			return out;
		};
		const std::vector<float> got = run_grad(t);
		EXPECT_CLOSE(got.data(), dx, size, 1e-5, "gradient of " + name);
		for (int threads : {1, 3}) {
			ThreadTeam team(threads);
			Context other{t.table, team, t.rng};
			CHECK(run(other) == y);
			CHECK(run_grad(other) == got);
		}
	}
}

}  // namespace

TEST(softmax_shapes) {
	for (int64_t C : {1, 2, 3, 15, 16, 17, 63, 64, 77, 1000, 4096, 9001})
		for (int64_t rows : {1, 5, 40}) check(t, rows, C, 3);
	for (int round = 0; round < 20; round++) check(t, t.integer(1, 300), t.integer(1, 40), 1);
}
TEST(softmax_extreme) {
	check(t, 20, 50, 1e4f);
	check(t, 20, 1, 1e4f);
	std::vector<float> x{-1e30f, 1e30f, 0, -INFINITY, 5, 5}, y(6);
	t.run("softmax", {operand(x), operand(y)}, {2, 3, 0});
	CHECK(y[0] == 0 && y[1] == 1 && y[2] == 0 && y[3] == 0 && y[4] == 0.5f && y[5] == 0.5f);
	t.run("softmax", {operand(x), operand(y)}, {2, 3, 1});
	CHECK(y[1] == 0 && std::isinf(y[3]) && std::abs(y[4] + std::log(2.0f)) < 1e-6);
	x[0] = NAN;
	t.run("softmax", {operand(x), operand(y)}, {2, 3, 0});
	CHECK(std::isnan(y[0]) && std::isnan(y[1]) && std::isnan(y[2]) && y[4] == 0.5f);
}
TEST(softmax_of_nothing) {
	std::vector<float> x(8, 7);
	for (std::vector<int64_t> ints : {std::vector<int64_t>{0, 4, 0}, {4, 0, 0}}) {
		t.run("softmax", {operand(x), operand(x)}, ints);
		t.run("softmax_grad", {operand(x), operand(x), operand(x)}, ints);
	}
	for (float value : x) CHECK(value == 7);
}
