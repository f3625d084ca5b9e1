// conv2d, its gradients and its packer against plain float64 loops.
#include <algorithm>

#include "harness.h"
#include "reference.h"

namespace dreamdist::test {
namespace {

struct Problem {
	int64_t N = 1, H = 1, W = 1, C1 = 1, C2 = 0, O = 1, kh = 1, kw = 1, sh = 1, sw = 1, pt = 0, pl = 0, OH = 1, OW = 1;
	int act = 0;
	bool packed = false;
	int64_t upsample = 1;
	DType weight = DType::f32;
	bool bias = false, channel = false, residual = false, preact = false;

	int64_t channels() const { return C1 + C2; }
	int64_t height() const { return H * (upsample == 2 ? 2 : 1); }
	int64_t width() const { return W * (upsample == 2 ? 2 : 1); }
	std::vector<int64_t> ints() const { return {N, H, W, C1, C2, O, kh, kw, sh, sw, pt, pl, OH, OW, act, packed, upsample}; }
	std::string text() const {
		std::string text = std::string(name_of(weight)) + (packed ? " packed" : "") + (bias ? " bias" : "") + (channel ? " channel" : "") +
						   (residual ? " residual" : "") + (preact ? " preact" : "") + ":";
		for (int64_t value : ints()) text.append(" ").append(std::to_string(value));
		return text;
	}
	// Same padding rule as the networks': output extents that the padding on all sides gives.
	Problem& same(int64_t bottom, int64_t right) {
		OH = (height() + pt + bottom - kh) / sh + 1;
		OW = (width() + pl + right - kw) / sw + 1;
		return *this;
	}
};

// Calls visit(output pixel, filter tap, input pixel) for every product that is not with padding.
template <class Visit>
void for_each_product(const Problem& p, Visit visit) {
	const int64_t scale = p.upsample == 2 ? 2 : 1;
	for (int64_t n = 0; n < p.N; n++)
		for (int64_t i = 0; i < p.OH; i++)
			for (int64_t j = 0; j < p.OW; j++)
				for (int64_t r = 0; r < p.kh; r++)
					for (int64_t s = 0; s < p.kw; s++) {
						const int64_t y = i * p.sh - p.pt + r, x = j * p.sw - p.pl + s;
						if (y < 0 || y >= p.height() || x < 0 || x >= p.width()) continue;
						visit((n * p.OH + i) * p.OW + j, r * p.kw + s, (n * p.H + y / scale) * p.W + x / scale);
					}
}

Stored weights(Context& t, const Problem& p) { return Stored(t, p.O * p.channels() * p.kh * p.kw, p.weight); }

Operand packed_operand(Context& t, const Problem& p, const Stored& w, std::vector<uint8_t>& bytes) {
	Operand operand = w.operand();
	if (p.packed) {
		bytes = t.pack("conv2d", w.data(), p.weight, {p.O, p.channels(), p.kh, p.kw, p.upsample});
		operand.data = bytes.data();
	}
	return operand;
}

std::vector<float> forward(Context& t, const Problem& p, bool verify = true) {
	const int64_t pixels = p.N * p.OH * p.OW, C = p.channels(), taps = p.kh * p.kw;
	std::vector<float> x1 = t.normal(p.N * p.H * p.W * p.C1), x2 = t.normal(p.N * p.H * p.W * p.C2), bias = t.normal(p.O), channel = t.normal(p.N * p.O),
					   residual = t.normal(pixels * p.O), y(pixels * p.O), preact(pixels * p.O);
	const Stored w = weights(t, p);
	std::vector<uint8_t> bytes;
	const Operand weight = packed_operand(t, p, w, bytes);
	t.run("conv2d",
		  {operand(x1), operand(x2), weight, p.bias ? operand(bias) : none(), p.channel ? operand(channel) : none(), p.residual ? operand(residual) : none(),
		   operand(y), p.preact ? operand(preact) : none()},
		  p.ints());
	if (!verify) return y;

	std::vector<double> u(pixels * p.O), size(u.size()), want(u.size()), want_size(u.size());
	for_each_product(p, [&](int64_t out, int64_t tap, int64_t in) {
		for (int64_t o = 0; o < p.O; o++)
			for (int64_t c = 0; c < C; c++) {
				const double x = c < p.C1 ? x1[in * p.C1 + c] : x2[in * p.C2 + c - p.C1];
				const double product = x * w.values[(o * C + c) * taps + tap];
				u[out * p.O + o] += product;
				size[out * p.O + o] += std::fabs(product);
			}
	});
	for (int64_t i = 0; i < pixels * p.O; i++) {
		const double b = (p.bias ? bias[i % p.O] : 0) + (p.channel ? channel[i / p.O / (p.OH * p.OW) * p.O + i % p.O] : 0);
		u[i] += b;
		size[i] += std::fabs(b);
		want[i] = activation(p.act, u[i]) + (p.residual ? residual[i] : 0);
		want_size[i] = size[i] + (p.residual ? std::fabs(residual[i]) : 0);
	}
	EXPECT_CLOSE(y.data(), want, want_size, 1e-5, p.text());
	if (p.preact) EXPECT_CLOSE(preact.data(), u, size, 1e-5, p.text() + " (preact)");
	return y;
}

std::vector<float> input_grad(Context& t, const Problem& p, bool first = true, bool second = true, bool verify = true) {
	const int64_t pixels = p.N * p.OH * p.OW, inputs = p.N * p.H * p.W, C = p.channels(), taps = p.kh * p.kw;
	std::vector<float> dy = t.normal(pixels * p.O), dx1(inputs * p.C1), dx2(inputs * p.C2);
	const Stored w = weights(t, p);
	std::vector<uint8_t> bytes;
	const Operand weight = packed_operand(t, p, w, bytes);
	t.run("conv2d_input_grad", {operand(dy), weight, first ? operand(dx1) : none(), second ? operand(dx2) : none()}, p.ints());
	if (!verify) return dx1;

	std::vector<double> want1(dx1.size()), size1(dx1.size()), want2(dx2.size()), size2(dx2.size());
	for_each_product(p, [&](int64_t out, int64_t tap, int64_t in) {
		for (int64_t c = 0; c < C; c++)
			for (int64_t o = 0; o < p.O; o++) {
				const double product = (double)dy[out * p.O + o] * w.values[(o * C + c) * taps + tap];
				(c < p.C1 ? want1[in * p.C1 + c] : want2[in * p.C2 + c - p.C1]) += product;
				(c < p.C1 ? size1[in * p.C1 + c] : size2[in * p.C2 + c - p.C1]) += std::fabs(product);
			}
	});
	if (first) EXPECT_CLOSE(dx1.data(), want1, size1, 1e-5, p.text() + " (dx1)");
	if (second && p.C2) EXPECT_CLOSE(dx2.data(), want2, size2, 1e-5, p.text() + " (dx2)");
	return dx1;
}

std::vector<float> weight_grad(Context& t, const Problem& p, bool verify = true) {
	const int64_t pixels = p.N * p.OH * p.OW, inputs = p.N * p.H * p.W, C = p.channels(), taps = p.kh * p.kw;
	std::vector<float> x1 = t.normal(inputs * p.C1), x2 = t.normal(inputs * p.C2), dy = t.normal(pixels * p.O), dw(p.O * C * taps);
	t.run("conv2d_weight_grad", {operand(x1), operand(x2), operand(dy), operand(dw)}, p.ints());
	if (!verify) return dw;
	std::vector<double> want(dw.size()), size(dw.size());
	for_each_product(p, [&](int64_t out, int64_t tap, int64_t in) {
		for (int64_t o = 0; o < p.O; o++)
			for (int64_t c = 0; c < C; c++) {
				const double product = (double)dy[out * p.O + o] * (c < p.C1 ? x1[in * p.C1 + c] : x2[in * p.C2 + c - p.C1]);
				want[(o * C + c) * taps + tap] += product;
				size[(o * C + c) * taps + tap] += std::fabs(product);
			}
	});
	EXPECT_CLOSE(dw.data(), want, size, 1e-5, p.text() + " (dw)");
	return dw;
}

const DType kTypes[] = {DType::f32, DType::f16, DType::bf16};

Problem random_problem(Context& t, int64_t extent, int64_t channels) {
	auto coin = [&] { return t.integer(0, 1) == 1; };
	Problem p;
	p.N = t.integer(1, 3);
	p.H = t.integer(1, extent);
	p.W = t.integer(1, extent);
	p.C1 = t.integer(1, channels);
	p.C2 = coin() ? t.integer(1, channels) : 0;
	p.O = t.integer(1, 2 * channels);
	p.kh = coin() ? 3 : t.integer(1, 5);
	p.kw = coin() ? p.kh : t.integer(1, 5);
	p.sh = coin() ? 1 : t.integer(1, 4);
	p.sw = coin() ? p.sh : t.integer(1, 4);
	p.pt = coin() ? p.kh / 2 : t.integer(0, p.kh + 2);
	p.pl = coin() ? p.kw / 2 : t.integer(0, p.kw + 2);
	p.upsample = t.integer(0, 2) == 0 ? 2 : t.integer(0, 1);
	p.OH = t.integer(1, p.height() / p.sh + 2);
	p.OW = t.integer(1, p.width() / p.sw + 2);
	p.act = (int)t.integer(0, 5);
	if (p.act == 3) p.act = 0;
	p.packed = coin();
	p.weight = kTypes[t.integer(0, 2)];
	p.bias = coin();
	p.channel = coin();
	p.residual = coin();
	p.preact = coin();
	return p;
}

}  // namespace

TEST(conv2d_random) {
	for (int i = 0; i < t.scaled(300); i++) forward(t, random_problem(t, 9, 9));
	for (int i = 0; i < t.scaled(60); i++) forward(t, random_problem(t, 7, 70));
}

TEST(conv2d_input_grad_random) {
	for (int i = 0; i < t.scaled(300); i++) {
		const bool first = t.integer(0, 5) > 0;
		input_grad(t, random_problem(t, 9, 9), first, !first || t.integer(0, 3) > 0);
	}
	for (int i = 0; i < t.scaled(60); i++) input_grad(t, random_problem(t, 7, 70));
}

TEST(conv2d_weight_grad_random) {
	for (int i = 0; i < t.scaled(300); i++) weight_grad(t, random_problem(t, 9, 9));
	for (int i = 0; i < t.scaled(60); i++) weight_grad(t, random_problem(t, 7, 70));
}

TEST(conv2d_shapes_of_the_networks) {
	for (DType type : kTypes)
		for (bool packed : {false, true}) {
			if (t.quick && !packed && type != DType::f32) continue;
			auto both = [&](Problem p, int64_t bottom, int64_t right) {
				p.packed = packed;
				p.weight = type;
				p.bias = true;
				p.same(bottom, right);
				forward(t, p);
				input_grad(t, p);
				if (!packed && type == DType::f32) weight_grad(t, p);
			};
			both({.N = 2, .H = 16, .W = 16, .C1 = 32, .O = 64, .kh = 3, .kw = 3, .pt = 1, .pl = 1}, 1, 1);
			both({.H = 8, .W = 8, .C1 = 48, .C2 = 32, .O = 40, .kh = 3, .kw = 3, .pt = 1, .pl = 1}, 1, 1);
			both({.N = 2, .H = 12, .W = 12, .C1 = 33, .O = 31, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .pt = 1, .pl = 1}, 1, 1);
			both({.H = 12, .W = 12, .C1 = 16, .O = 32, .kh = 3, .kw = 3, .sh = 2, .sw = 2}, 1, 1);  // the autoencoder pads bottom and right only
			both({.N = 2, .H = 6, .W = 5, .C1 = 40, .O = 70, .kh = 3, .kw = 3, .pt = 1, .pl = 1, .upsample = 2}, 1, 1);
			both({.H = 9, .W = 9, .C1 = 20, .C2 = 30, .O = 64}, 0, 0);
			both({.H = 28, .W = 28, .C1 = 3, .O = 64, .kh = 14, .kw = 14, .sh = 14, .sw = 14}, 0, 0);
		}
}

TEST(conv2d_deep_and_large) {
	Problem wide{.H = 4, .W = 4, .C1 = 2050, .C2 = 100, .O = 70, .kh = 3, .kw = 3, .pt = 1, .pl = 1, .packed = true, .bias = true};
	forward(t, wide.same(1, 1));
	Problem narrow{.H = 4, .W = 4, .C1 = 70, .O = 2100, .kh = 3, .kw = 3, .pt = 1, .pl = 1, .packed = true};
	input_grad(t, narrow.same(1, 1));
	Problem few{.N = 3, .H = 3, .W = 3, .C1 = 1040, .C2 = 30, .O = 40, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .pt = 1, .pl = 1, .packed = true};
	for (DType type : kTypes) {
		few.weight = type;
		input_grad(t, few.same(1, 1));
	}
	Problem large{.H = 50, .W = 51, .C1 = 24, .O = 20, .kh = 3, .kw = 3, .pt = 1, .pl = 1, .act = 2, .residual = true};
	forward(t, large.same(1, 1));
	input_grad(t, large);
	weight_grad(t, large);
	Problem blocks{.H = 5, .W = 5, .C1 = 150, .C2 = 33, .O = 250, .kh = 3, .kw = 3, .pt = 1, .pl = 1};
	weight_grad(t, blocks.same(1, 1));
	Problem kernel{.N = 2, .H = 40, .W = 40, .C1 = 2, .O = 3, .kh = 40, .kw = 40};  // more taps than row pointers kept for a band
	forward(t, kernel.same(0, 0));
	input_grad(t, kernel);
	weight_grad(t, kernel);
}

TEST(conv2d_padding_larger_than_the_kernel) {
	Problem p{.H = 2, .W = 3, .C1 = 5, .O = 7, .kh = 2, .kw = 3, .pt = 4, .pl = 5, .OH = 9, .OW = 12, .bias = true};
	forward(t, p);
	input_grad(t, p);
	weight_grad(t, p);
	Problem gaps{.H = 9, .W = 9, .C1 = 5, .O = 7, .kh = 1, .kw = 2, .sh = 3, .sw = 4, .OH = 3, .OW = 2, .packed = true};
	forward(t, gaps);
	input_grad(t, gaps);
	weight_grad(t, gaps);
}

TEST(conv2d_repeats_bit_for_bit_and_ignores_the_partition) {
	for (int i = 0; i < t.scaled(12); i++) {
		const std::mt19937 start = t.rng;
		const Problem p = random_problem(t, 12, 40);
		for (int which = 0; which < 3; which++) {
			auto once = [&](ThreadTeam& team) {
				Context context{t.table, team, start};
				return which == 0 ? forward(context, p, false) : which == 1 ? input_grad(context, p, true, true, false) : weight_grad(context, p, false);
			};
			const std::vector<float> first = once(t.team);
			CHECK(once(t.team) == first);
			for (int threads : {1, 2, 3, 5}) {
				ThreadTeam team(threads);
				CHECK(once(team) == first);
			}
		}
	}
}

}  // namespace dreamdist::test
