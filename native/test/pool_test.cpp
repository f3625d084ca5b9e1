// pool2d and pool2d_grad against the definition in float64.
#include "strided_tensors.h"

namespace dreamdist::test {
namespace {

struct PoolCase {
	int64_t N, H, W, C, kh, kw, strideH, strideW, padTop, padLeft, OH, OW, mode;
	std::vector<int64_t> ints() const { return {N, H, W, C, kh, kw, strideH, strideW, padTop, padLeft, OH, OW, mode}; }
};

PoolCase random_case(Context& t) {
	PoolCase p;
	p.N = t.integer(1, 3), p.H = t.integer(1, 12), p.W = t.integer(1, 12), p.C = t.integer(0, 2) ? t.integer(1, 70) : t.integer(1, 4);
	p.kh = t.integer(1, 4), p.kw = t.integer(1, 4), p.strideH = t.integer(1, 3), p.strideW = t.integer(1, 3);
	p.padTop = t.integer(0, p.kh - 1), p.padLeft = t.integer(0, p.kw - 1);
	p.OH = (p.H + p.padTop + t.integer(0, p.kh - 1) - 1) / p.strideH + 1, p.OW = (p.W + p.padLeft - 1) / p.strideW + 1;
	p.mode = t.integer(0, 2);
	return p;
}

// Forward and gradient together; `repeats` makes equal maxima, where the first must win.
void check_pool(Context& t, const PoolCase& p, bool repeats) {
	auto x = t.normal(p.N * p.H * p.W * p.C), dy = t.normal(p.N * p.OH * p.OW * p.C);
	if (repeats)
		for (float& value : x) value = std::round(value);
	std::vector<double> y(dy.size()), yMagnitude(dy.size()), dx(x.size(), 0), dxMagnitude(x.size(), 0);
	for (int64_t n = 0; n < p.N; n++)
		for (int64_t oh = 0; oh < p.OH; oh++)
			for (int64_t ow = 0; ow < p.OW; ow++)
				for (int64_t c = 0; c < p.C; c++) {
					const int64_t out = ((n * p.OH + oh) * p.OW + ow) * p.C + c;
					std::vector<int64_t> inside;
					for (int64_t r = 0; r < p.kh; r++)
						for (int64_t s = 0; s < p.kw; s++) {
							const int64_t h = oh * p.strideH - p.padTop + r, w = ow * p.strideW - p.padLeft + s;
							if (h >= 0 && h < p.H && w >= 0 && w < p.W) inside.push_back(((n * p.H + h) * p.W + w) * p.C + c);
						}
					if (p.mode == 0) {
						y[out] = -HUGE_VAL;
						int64_t best = -1;
						for (int64_t at : inside)
							if (best < 0 || x[at] > x[best]) best = at;
						if (best < 0) continue;
						y[out] = yMagnitude[out] = x[best];
						dx[best] += dy[out];
						dxMagnitude[best] += std::fabs(dy[out]);
						continue;
					}
					const double count = p.mode == 1 ? (double)(p.kh * p.kw) : std::max<double>(1, (double)inside.size());
					for (int64_t at : inside) {
						y[out] += x[at] / count;
						yMagnitude[out] += std::fabs(x[at]) / count;
						dx[at] += dy[out] / count;
						dxMagnitude[at] += std::fabs(dy[out]) / count;
					}
				}
	std::vector<float> got(dy.size(), NAN), gradient(x.size(), NAN), again(x.size(), NAN);
	t.run("pool2d", {operand(x), operand(got)}, p.ints());
	EXPECT_CLOSE(got.data(), y, yMagnitude, 1e-6, "pool2d");
	t.run("pool2d_grad", {operand(x), operand(dy), operand(gradient)}, p.ints());
	EXPECT_CLOSE(gradient.data(), dx, dxMagnitude, 1e-6, "pool2d_grad");
	t.run("pool2d_grad", {operand(x), operand(dy), operand(again)}, p.ints());
	CHECK(!std::memcmp(gradient.data(), again.data(), again.size() * 4));
}

}  // namespace

TEST(pool_random) {
	for (int i = 0; i < t.scaled(300); i++) check_pool(t, random_case(t), i % 2);
}

TEST(pool_shapes_of_networks) {
	for (int64_t mode = 0; mode < 3; mode++) {
		check_pool(t, {2, 32, 32, 64, 3, 3, 2, 2, 1, 1, 16, 16, mode}, true);
		check_pool(t, {3, 7, 7, 200, 7, 7, 1, 1, 0, 0, 1, 1, mode}, false);
		check_pool(t, {1, 35, 35, 48, 3, 3, 1, 1, 1, 1, 35, 35, mode}, false);
		check_pool(t, {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, mode}, false);
	}
}

// A global mean of equal positive values, where a single f32 sum would drift.
TEST(pool_global_mean_keeps_its_accuracy) {
	std::vector<float> x(256 * 256 * 3, 0.1f), y(3);
	t.run("pool2d", {operand(x), operand(y)}, {1, 256, 256, 3, 256, 256, 1, 1, 0, 0, 1, 1, 1});
	for (float value : y) CHECK(std::fabs(value - 0.1f) < 1e-6f);
}

TEST(pool_passes_nan) {
	std::vector<float> x{1, NAN, 3, 4, 5, 6, 7, 8}, y(4), dy{1, 2, 4, 8}, dx(8);
	const std::vector<int64_t> ints{1, 2, 4, 1, 2, 2, 1, 1, 0, 0, 1, 3, 0};
	t.run("pool2d", {operand(x), operand(y)}, ints);
	CHECK(std::isnan(y[0]) && std::isnan(y[1]) && y[2] == 8);
	t.run("pool2d_grad", {operand(x), operand(dy), operand(dx)}, ints);
	CHECK(dx[1] == 3 && dx[7] == 4 && dx[0] == 0);
}

}  // namespace dreamdist::test
