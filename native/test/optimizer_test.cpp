// adamw and sgd against float64, several steps in a row, and sgd's first step with undefined moments.
#include "strided_tensors.h"

namespace dreamdist::test {
namespace {

void expect_all(const std::vector<float>& got, const std::vector<double>& want, const char* what) {
	std::vector<double> magnitude(want.size());
	for (size_t i = 0; i < want.size(); i++) magnitude[i] = std::fabs(want[i]);
	EXPECT_CLOSE(got.data(), want, magnitude, 2e-6, what);
}
std::vector<double> widen(const std::vector<float>& v) { return {v.begin(), v.end()}; }

}  // namespace

TEST(optimizer_adamw) {
	for (int64_t n : {0, 1, 5, 16, 1000, 50003}) {
		auto p = t.normal(n), m = std::vector<float>(n, 0.0f), v = std::vector<float>(n, 0.0f);
		auto p64 = widen(p), m64 = widen(m), v64 = widen(v);
		for (int step = 1; step <= 3; step++) {
			auto g = t.normal(n, 10);
			std::vector<float> hyper{1e-3f, 0.9f, 0.999f, 1e-8f, 0.05f, 1 - std::pow(0.9f, (float)step), 1 - std::pow(0.999f, (float)step), 0.1f};
			const double lr = hyper[0], b1 = hyper[1], b2 = hyper[2];
			for (int64_t i = 0; i < n; i++) {
				const double gradient = (double)g[i] * hyper[7];
				m64[i] = b1 * m64[i] + (1 - b1) * gradient;
				v64[i] = b2 * v64[i] + (1 - b2) * gradient * gradient;
				p64[i] = p64[i] * (1 - lr * hyper[4]) - lr * (m64[i] / hyper[5]) / (std::sqrt(v64[i] / hyper[6]) + hyper[3]);
			}
			t.run("adamw", {operand(p), operand(m), operand(v), operand(g), operand(hyper)}, {n});
			expect_all(p, p64, "adamw p");
			expect_all(m, m64, "adamw m");
			expect_all(v, v64, "adamw v");
		}
	}
}

TEST(optimizer_sgd) {
	for (int64_t nesterov : {0, 1})
		for (int64_t n : {0, 1, 5, 16, 1000, 50003}) {
			auto p = t.normal(n), m = std::vector<float>(n, NAN);
			auto p64 = widen(p), m64 = std::vector<double>(n, 0.0);
			for (int step = 0; step < 3; step++) {
				auto g = t.normal(n, 4);
				std::vector<float> hyper{0.01f, 0.9f, 0.02f, 0.25f, step == 0 ? 1.0f : 0.0f, 0, 0, 0};
				for (int64_t i = 0; i < n; i++) {
					const double gradient = (double)g[i] * hyper[3] + hyper[2] * p64[i];
					m64[i] = step == 0 ? gradient : hyper[1] * m64[i] + gradient;
					p64[i] -= hyper[0] * (nesterov ? gradient + hyper[1] * m64[i] : m64[i]);
				}
				t.run("sgd", {operand(p), operand(m), operand(g), operand(hyper)}, {n, nesterov});
				expect_all(p, p64, "sgd p");
				expect_all(m, m64, "sgd m");
			}
		}
}

}  // namespace dreamdist::test
