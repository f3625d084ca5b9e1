// group_norm and layer_norm, forward and backward, against plain float64 loops.
#include <algorithm>

#include "harness.h"

using namespace dreamdist;
using namespace dreamdist::test;

namespace {

double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }
double act(double z, bool silu) { return silu ? z * sigmoid(z) : z; }
double act_grad(double z, bool silu) { return silu ? sigmoid(z) * (1 + z * (1 - sigmoid(z))) : 1; }

struct Group {
	int64_t N, HW, C1, C2, groups;
	bool silu = true, affine = true;
	float mean = 0, spread = 1;
};

struct GroupNorm {
	Group g;
	int64_t C, per;
	const double eps = 1e-5;
	std::vector<float> x1, x2, gamma, beta, dy;

	GroupNorm(Context& t, const Group& given) : g(given), C(g.C1 + g.C2), per(C / g.groups) {
		x1 = t.normal(g.N * g.HW * g.C1, g.spread);
		x2 = t.normal(g.N * g.HW * g.C2, g.spread);
		for (auto* x : {&x1, &x2})
			for (float& value : *x) value += g.mean;
		if (g.affine) {
			gamma = t.normal(C);
			beta = t.normal(C);
		}
		dy = t.normal(g.N * g.HW * C);
	}
	double x(int64_t n, int64_t r, int64_t c) const {
		return c < g.C1 ? x1[(n * g.HW + r) * g.C1 + c] : x2[(n * g.HW + r) * g.C2 + c - g.C1];
	}
	double weight(int64_t c) const { return g.affine ? gamma[c] : 1; }
	double shift(int64_t c) const { return g.affine ? beta[c] : 0; }
	std::vector<int64_t> ints() const { return {g.N, g.HW, g.C1, g.C2, g.groups, g.silu ? 2 : 0}; }
	template <class Body>
	void each_group(Body body) const {
		for (int64_t n = 0; n < g.N; n++)
			for (int64_t k = 0; k < g.groups; k++) body(n, k);
	}
	template <class Body>
	void each_element(int64_t k, Body body) const {
		for (int64_t r = 0; r < g.HW; r++)
			for (int64_t c = k * per; c < (k + 1) * per; c++) body(r, c);
	}
	std::string name() const {
		return std::to_string(g.N) + "x" + std::to_string(g.HW) + " pixels, " + std::to_string(g.C1) + "+" + std::to_string(g.C2) + " channels, " +
			   std::to_string(g.groups) + " groups" + (g.silu ? ", silu" : "") + (g.affine ? "" : ", plain");
	}
};

void check_group_norm(Context& t, const Group& given) {
	GroupNorm a(t, given);
	const Group& g = a.g;
	std::vector<double> want(a.dy.size()), size(want.size()), stats(g.N * g.groups * 2);
	a.each_group([&](int64_t n, int64_t k) {
		double mean = 0, variance = 0;
		const double count = g.HW * a.per;
		a.each_element(k, [&](int64_t r, int64_t c) { mean += a.x(n, r, c) / count; });
		a.each_element(k, [&](int64_t r, int64_t c) { variance += (a.x(n, r, c) - mean) * (a.x(n, r, c) - mean) / count; });
		const double inverse = 1 / std::sqrt(variance + a.eps);
		stats[(n * g.groups + k) * 2] = mean;
		stats[(n * g.groups + k) * 2 + 1] = inverse;
		a.each_element(k, [&](int64_t r, int64_t c) {
			want[(n * g.HW + r) * a.C + c] = size[(n * g.HW + r) * a.C + c] = act((a.x(n, r, c) - mean) * inverse * a.weight(c) + a.shift(c), g.silu);
		});
	});
	auto run = [&](Context& context, std::vector<float>* saved) {
		std::vector<float> y(want.size(), NAN);
		context.run("group_norm", {operand(a.x1), operand(a.x2), operand(a.gamma), operand(a.beta), operand(y), saved ? operand(*saved) : none()}, a.ints(), {a.eps});
		return y;
	};
	std::vector<float> saved(stats.size(), NAN);
	const std::vector<float> y = run(t, &saved);
	EXPECT_CLOSE(y.data(), want, size, 1e-5, "y of " + a.name());
	EXPECT_CLOSE(saved.data(), stats, stats, 1e-5, "stats of " + a.name());
	for (int threads : {1, 3}) {
		ThreadTeam team(threads);
		Context other{t.table, team, t.rng};
		CHECK(run(other, nullptr) == y);
	}
}

struct Gradients {
	std::vector<float> dx1, dx2, dgamma, dbeta;
	bool operator==(const Gradients&) const = default;
};

Gradients group_norm_grad(Context& t, GroupNorm& a, std::vector<float>& stats, int wanted) {
	Gradients out;
	if (wanted & 1) out.dx1.assign(a.x1.size(), NAN);
	if (wanted & 2) out.dx2.assign(a.x2.size(), NAN);
	if (wanted & 4) out.dgamma.assign(a.C, NAN);
	if (wanted & 8) out.dbeta.assign(a.C, NAN);
	t.run("group_norm_grad",
		  {operand(a.x1), operand(a.x2), operand(a.gamma), operand(a.beta), operand(stats), operand(a.dy), operand(out.dx1), operand(out.dx2), operand(out.dgamma),
		   operand(out.dbeta)},
		  a.ints(), {a.eps});
	return out;
}

// From the saved statistics as they are: what the kernel is a function of.
void check_group_norm_grad(Context& t, const Group& given) {
	GroupNorm a(t, given);
	const Group& g = a.g;
	std::vector<float> stats(g.N * g.groups * 2), y(a.dy.size());
	t.run("group_norm", {operand(a.x1), operand(a.x2), operand(a.gamma), operand(a.beta), operand(y), operand(stats)}, a.ints(), {a.eps});
	std::vector<double> dx1(a.x1.size()), dx2(a.x2.size()), dgamma(a.C), dbeta(a.C), size1(a.x1.size()), size2(a.x2.size()), dgamma_size(a.C), dbeta_size(a.C);
	a.each_group([&](int64_t n, int64_t k) {
		const double mean = stats[(n * g.groups + k) * 2], inverse = stats[(n * g.groups + k) * 2 + 1], count = g.HW * a.per;
		auto xhat = [&](int64_t r, int64_t c) { return (a.x(n, r, c) - mean) * inverse; };
		auto grad = [&](int64_t r, int64_t c) { return a.dy[(n * g.HW + r) * a.C + c] * act_grad(xhat(r, c) * a.weight(c) + a.shift(c), g.silu); };
		double first = 0, second = 0, first_size = 0, second_size = 0;
		a.each_element(k, [&](int64_t r, int64_t c) {
			const double p = grad(r, c), q = xhat(r, c);
			dbeta[c] += p;
			dgamma[c] += p * q;
			dbeta_size[c] += std::abs(p);
			dgamma_size[c] += std::abs(p * q);
			first += a.weight(c) * p / count;
			second += a.weight(c) * p * q / count;
			first_size += std::abs(a.weight(c) * p) / count;
			second_size += std::abs(a.weight(c) * p * q) / count;
		});
		a.each_element(k, [&](int64_t r, int64_t c) {
			const int64_t at = c < g.C1 ? (n * g.HW + r) * g.C1 + c : (n * g.HW + r) * g.C2 + c - g.C1;
			(c < g.C1 ? dx1 : dx2)[at] = inverse * (a.weight(c) * grad(r, c) - first - xhat(r, c) * second);
			(c < g.C1 ? size1 : size2)[at] = inverse * (std::abs(a.weight(c) * grad(r, c)) + first_size + std::abs(xhat(r, c)) * second_size);
		});
	});
	const Gradients all = group_norm_grad(t, a, stats, 15);
	EXPECT_CLOSE(all.dx1.data(), dx1, size1, 1e-5, "dx1 of " + a.name());
	EXPECT_CLOSE(all.dx2.data(), dx2, size2, 1e-5, "dx2 of " + a.name());
	EXPECT_CLOSE(all.dgamma.data(), dgamma, dgamma_size, 1e-5, "dgamma of " + a.name());
	EXPECT_CLOSE(all.dbeta.data(), dbeta, dbeta_size, 1e-5, "dbeta of " + a.name());
	for (int threads : {1, 2, 3}) {
		ThreadTeam team(threads);
		Context other{t.table, team, t.rng};
		const int wanted = threads == 1 ? 15 : (int)t.integer(1, 14);
		const Gradients some = group_norm_grad(other, a, stats, wanted);
		CHECK(!(wanted & 1) || some.dx1 == all.dx1);
		CHECK(!(wanted & 2) || some.dx2 == all.dx2);
		CHECK(!(wanted & 4) || some.dgamma == all.dgamma);
		CHECK(!(wanted & 8) || some.dbeta == all.dbeta);
	}
}

const std::vector<Group> kGroups = {
	{1, 1, 1, 0, 1},     {2, 1, 4, 0, 4},     {1, 5, 3, 0, 1, false}, {1, 64, 32, 0, 32},  {2, 63, 32, 0, 8},   {1, 65, 20, 10, 6},
	{3, 100, 7, 5, 3},   {1, 33, 0, 12, 4},   {1, 4096, 8, 8, 4},     {2, 49, 320, 0, 32}, {1, 40, 640, 320, 32}, {1, 130, 65, 63, 2, true, false},
	{1, 2048, 5, 0, 5, false, false},
};

Group any_group(Context& t) {
	const int64_t groups = t.integer(1, 8), C = groups * t.integer(1, 24), C2 = t.integer(0, 1) ? t.integer(0, C) : 0;
	return {t.integer(1, 3), t.integer(1, 200), C - C2, C2, groups, t.integer(0, 1) == 1, t.integer(0, 3) > 0};
}

struct LayerNorm {
	int64_t rows, C;
	const double eps = 1e-5;
	std::vector<float> x, gamma, beta, dy;
	LayerNorm(Context& t, int64_t rows, int64_t C, bool affine, float mean = 0, float spread = 1) : rows(rows), C(C) {
		x = t.normal(rows * C, spread);
		for (float& value : x) value += mean;
		if (affine) {
			gamma = t.normal(C);
			beta = t.normal(C);
		}
		dy = t.normal(rows * C);
	}
	double weight(int64_t c) const { return gamma.empty() ? 1 : gamma[c]; }
	std::string name() const { return std::to_string(rows) + " rows of " + std::to_string(C); }
};

void check_layer_norm(Context& t, LayerNorm a) {
	std::vector<double> want(a.x.size()), stats(a.rows * 2);
	for (int64_t r = 0; r < a.rows; r++) {
		double mean = 0, variance = 0;
		for (int64_t c = 0; c < a.C; c++) mean += a.x[r * a.C + c] / (double)a.C;
		for (int64_t c = 0; c < a.C; c++) variance += (a.x[r * a.C + c] - mean) * (a.x[r * a.C + c] - mean) / a.C;
		stats[2 * r] = mean;
		stats[2 * r + 1] = 1 / std::sqrt(variance + a.eps);
		for (int64_t c = 0; c < a.C; c++) want[r * a.C + c] = (a.x[r * a.C + c] - mean) * stats[2 * r + 1] * a.weight(c) + (a.beta.empty() ? 0 : a.beta[c]);
	}
	auto run = [&](Context& context, std::vector<float>* saved) {
		std::vector<float> y(want.size(), NAN);
		context.run("layer_norm", {operand(a.x), operand(a.gamma), operand(a.beta), operand(y), saved ? operand(*saved) : none()}, {a.rows, a.C}, {a.eps});
		return y;
	};
	std::vector<float> saved(stats.size(), NAN);
	const std::vector<float> y = run(t, &saved);
	EXPECT_CLOSE(y.data(), want, want, 1e-5, "y of " + a.name());
	EXPECT_CLOSE(saved.data(), stats, stats, 1e-5, "stats of " + a.name());
	for (int threads : {1, 3}) {
		ThreadTeam team(threads);
		Context other{t.table, team, t.rng};
		CHECK(run(other, nullptr) == y);
	}
}

void check_layer_norm_grad(Context& t, LayerNorm a) {
	std::vector<float> stats(a.rows * 2), y(a.x.size());
	t.run("layer_norm", {operand(a.x), operand(a.gamma), operand(a.beta), operand(y), operand(stats)}, {a.rows, a.C}, {a.eps});
	std::vector<double> dx(a.x.size()), dgamma(a.C), dbeta(a.C), size(dx.size()), dgamma_size(a.C), dbeta_size(a.C);
	for (int64_t r = 0; r < a.rows; r++) {
		const double mean = stats[2 * r], inverse = stats[2 * r + 1];
		double first = 0, second = 0, first_size = 0, second_size = 0;
		for (int64_t c = 0; c < a.C; c++) {
			const double g = a.dy[r * a.C + c], xhat = (a.x[r * a.C + c] - mean) * inverse;
			dbeta[c] += g;
			dgamma[c] += g * xhat;
			dbeta_size[c] += std::abs(g);
			dgamma_size[c] += std::abs(g * xhat);
			first += g * a.weight(c) / a.C;
			second += g * a.weight(c) * xhat / a.C;
			first_size += std::abs(g * a.weight(c)) / a.C;
			second_size += std::abs(g * a.weight(c) * xhat) / a.C;
		}
		for (int64_t c = 0; c < a.C; c++) {
			const double g = a.dy[r * a.C + c], xhat = (a.x[r * a.C + c] - mean) * inverse;
			dx[r * a.C + c] = inverse * (g * a.weight(c) - first - xhat * second);
			size[r * a.C + c] = inverse * (std::abs(g * a.weight(c)) + first_size + std::abs(xhat) * second_size);
		}
	}
	auto run = [&](Context& context, int wanted) {
		Gradients out;
		if (wanted & 1) out.dx1.assign(a.x.size(), NAN);
		if (wanted & 4) out.dgamma.assign(a.C, NAN);
		if (wanted & 8) out.dbeta.assign(a.C, NAN);
		context.run("layer_norm_grad", {operand(a.x), operand(a.gamma), operand(stats), operand(a.dy), operand(out.dx1), operand(out.dgamma), operand(out.dbeta)},
					{a.rows, a.C});
		return out;
	};
	const Gradients all = run(t, 13);
	EXPECT_CLOSE(all.dx1.data(), dx, size, 1e-5, "dx of " + a.name());
	EXPECT_CLOSE(all.dgamma.data(), dgamma, dgamma_size, 1e-5, "dgamma of " + a.name());
	EXPECT_CLOSE(all.dbeta.data(), dbeta, dbeta_size, 1e-5, "dbeta of " + a.name());
	for (int threads : {1, 2, 3}) {
		ThreadTeam team(threads);
		Context other{t.table, team, t.rng};
		CHECK(run(other, 13) == all);
		CHECK(run(other, 1).dx1 == all.dx1);
		CHECK(run(other, 4).dgamma == all.dgamma);
		CHECK(run(other, 8).dbeta == all.dbeta);
	}
}

}  // namespace

TEST(norm_group) {
	for (const Group& g : kGroups) check_group_norm(t, g);
	for (int round = 0; round < 30; round++) check_group_norm(t, any_group(t));
}
TEST(norm_group_grad) {
	for (const Group& g : kGroups) check_group_norm_grad(t, g);
	for (int round = 0; round < 30; round++) check_group_norm_grad(t, any_group(t));
}
TEST(norm_group_mean_beyond_spread) {
	for (float mean : {100.0f, 1e4f, -1e5f}) {
		check_group_norm(t, {2, 500, 20, 12, 8, false, true, mean, 1});
		check_group_norm(t, {1, 4096, 32, 0, 4, true, true, mean, 0.5f});
		check_group_norm_grad(t, {1, 500, 20, 12, 8, true, true, mean, 1});
	}
}
TEST(norm_group_first_pixels_apart) {
	// Differences are taken from a first element: one that lies far from all others must not cost the others' digits.
	GroupNorm a(t, {1, 4096, 4, 0, 1, false, false});
	for (float& x : a.x1) x *= 1e-3f;
	for (int c = 0; c < 4; c++) a.x1[c] += 50;
	std::vector<float> y(a.x1.size()), stats(2);
	t.run("group_norm", {operand(a.x1), none(), none(), none(), operand(y), operand(stats)}, a.ints(), {1e-12});
	double mean = 0, variance = 0;
	for (float x : a.x1) mean += x / (double)a.x1.size();
	for (float x : a.x1) variance += (x - mean) * (x - mean) / (double)a.x1.size();
	CHECK(std::abs(stats[0] - mean) < 1e-6 * std::sqrt(variance));
	CHECK(std::abs(stats[1] * std::sqrt(variance) - 1) < 4e-6);
}
TEST(norm_layer) {
	for (int64_t C : {1, 2, 3, 15, 16, 17, 31, 64, 320, 1023, 1280, 5000})
		for (int64_t rows : {1, 7, 130}) check_layer_norm(t, LayerNorm(t, rows, C, rows != 7));
	for (int round = 0; round < 20; round++) check_layer_norm(t, LayerNorm(t, t.integer(1, 60), t.integer(1, 300), t.integer(0, 1)));
	for (float mean : {100.0f, -1e4f, 1e5f}) check_layer_norm(t, LayerNorm(t, 9, 320, true, mean));
}
TEST(norm_layer_grad) {
	for (int64_t C : {1, 2, 3, 15, 16, 17, 31, 64, 320, 1023, 1280, 5000})
		for (int64_t rows : {1, 7, 130}) check_layer_norm_grad(t, LayerNorm(t, rows, C, rows != 7));
	for (int round = 0; round < 20; round++) check_layer_norm_grad(t, LayerNorm(t, t.integer(1, 60), t.integer(1, 300), t.integer(0, 1)));
	check_layer_norm_grad(t, LayerNorm(t, 3000, 20, true));
}
TEST(norm_of_nothing) {
	std::vector<float> x(64, 7);
	for (int dimension = 0; dimension < 3; dimension++) {
		std::vector<int64_t> ints{1, 2, 4, 0, 2, 2};
		ints[dimension] = 0;
		t.run("group_norm", std::vector<Operand>(6, operand(x)), ints, {1e-5});
		t.run("group_norm_grad", std::vector<Operand>(10, operand(x)), ints, {1e-5});
	}
	for (std::vector<int64_t> ints : {std::vector<int64_t>{0, 4}, {4, 0}}) {
		t.run("layer_norm", std::vector<Operand>(5, operand(x)), ints, {1e-5});
		t.run("layer_norm_grad", std::vector<Operand>(7, operand(x)), ints);
	}
	for (float value : x) CHECK(value == 7);
}
