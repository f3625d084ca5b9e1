// Every function of vector_math.h and exp2.h against float64 on dense sweeps and special values.
#include <cstdio>
#include <cstring>
#include <limits>

#include "harness.h"
#include "isa/vector_math_probe.h"

namespace dreamdist::test {
namespace {

bool apply(const Context& t, const char* name, const std::vector<float>& x, std::vector<float>& y) {
	y.assign(x.size(), 0);
	const std::string isa = t.table.name;
#if DD_HAVE_GENERIC
	if (isa == "generic") return cpu::generic::probe(name, x.data(), y.data(), (int64_t)x.size());
#endif
#if DD_HAVE_AVX2
	if (isa == "avx2") return cpu::avx2::probe(name, x.data(), y.data(), (int64_t)x.size());
#endif
#if DD_HAVE_AVX512
	if (isa == "avx512") return cpu::avx512::probe(name, x.data(), y.data(), (int64_t)x.size());
#endif
#if DD_HAVE_NEON
	if (isa == "neon") return cpu::neon::probe(name, x.data(), y.data(), (int64_t)x.size());
#endif
	return false;
}

double cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }
double density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

struct Function {
	const char* name;
	double (*exact)(double);
	double low, high;  // the dense part of the sweep; exponentials of both signs are added within ±reach
	double reach;
};
const Function kFunctions[] = {
	{"exp", [](double x) { return std::exp(x); }, -105, 90, 200},
	{"log", [](double x) { return std::log(x); }, 0, 4, 3e38},
	{"exp2_flushed", [](double x) { return x < -100 ? 0 : std::exp2(x); }, -130, 20, 126},
	{"sigmoid_short", sigmoid, -100, 100, 3e38},
	{"tanh", [](double x) { return std::tanh(x); }, -10, 10, 3e38},
	{"sigmoid", sigmoid, -100, 100, 3e38},
	{"erf", [](double x) { return std::erf(x); }, -5, 5, 3e38},
	{"gelu", [](double x) { return x * cdf(x); }, -12, 12, 3e38},
	{"gelu_grad", [](double x) { return cdf(x) + x * density(x); }, -12, 12, 3e38},
	{"silu", [](double x) { return x * sigmoid(x); }, -100, 100, 3e38},
	{"silu_grad", [](double x) { return sigmoid(x) * (1 + x * sigmoid(-x)); }, -100, 100, 3e38},
	{"quick_gelu", [](double x) { return x * sigmoid(1.702 * x); }, -60, 60, 1e38},
	{"quick_gelu_grad", [](double x) { return sigmoid(1.702 * x) * (1 + 1.702 * x * sigmoid(-1.702 * x)); }, -60, 60, 1e38},
	{"relu", [](double x) { return x > 0 ? x : 0; }, -3, 3, 3e38},
	{"sqrt", [](double x) { return std::sqrt(x); }, 0, 4, 3e38},
	{"sin", [](double x) { return std::sin(x); }, -100, 100, 1e5},
	{"cos", [](double x) { return std::cos(x); }, -100, 100, 1e5},
};

double ulp(double exact) {
	const float f = std::fabs((float)exact);
	if (std::isinf(f)) return 0;
	return std::nextafter(f, std::numeric_limits<float>::infinity()) - (double)f;
}

}  // namespace

TEST(vector_math_sweep) {
	for (const Function& f : kFunctions) {
		std::vector<float> x, y;
		for (int i = 0; i <= t.scaled(400000); i++) x.push_back((float)(f.low + (f.high - f.low) * i / t.scaled(400000)));
		for (double m = 1e-45; m < f.reach; m *= 1.003) {
			x.push_back((float)m);
			x.push_back((float)-m);
		}
		std::uniform_real_distribution<float> wide((float)std::max(-f.reach, -1e30), (float)std::min(f.reach, 1e30));
		for (int i = 0; i < 20001; i++) x.push_back(wide(t.rng));
		CHECK(apply(t, f.name, x, y));
		for (size_t i = 0; i < x.size(); i++) {
			const double exact = f.exact(x[i]);
			const double error = std::fabs(y[i] - exact);
			const bool same = std::isnan(exact) ? std::isnan(y[i]) : (float)exact == y[i] || error <= std::max(4 * ulp(exact), 1e-7);
			if (!same) {
				char text[160];
				std::snprintf(text, sizeof text, "%s(%.9g) is %.9g, exactly %.9g (%.2f ulp)", f.name, x[i], y[i], exact, error / ulp(exact));
				fail(__FILE__, __LINE__, text);
			}
		}
	}
}

TEST(vector_math_special_values) {
	const float inf = std::numeric_limits<float>::infinity();
	std::vector<float> x{std::nanf(""), inf, -inf, 0.0f}, y;
	for (const Function& f : kFunctions) {
		CHECK(apply(t, f.name, x, y));
		CHECK(std::isnan(y[0]));
	}
	auto at_infinity = [&](const char* name, float plus, float minus) {
		CHECK(apply(t, name, x, y));
		CHECK(y[1] == plus && (std::isnan(minus) ? std::isnan(y[2]) : y[2] == minus));
	};
	at_infinity("exp", inf, 0);
	at_infinity("log", inf, std::nanf(""));
	at_infinity("tanh", 1, -1);
	at_infinity("sigmoid", 1, 0);
	at_infinity("erf", 1, -1);
	at_infinity("gelu_grad", 1, 0);
	at_infinity("silu_grad", 1, 0);
	at_infinity("quick_gelu_grad", 1, 0);
	at_infinity("relu", inf, 0);
	at_infinity("sqrt", inf, std::nanf(""));
	CHECK(apply(t, "log", x, y));
	CHECK(y[3] == -inf);
}

}  // namespace dreamdist::test
