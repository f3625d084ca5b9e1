// The convolution and its gradients on tensor cores, in f16, bf16 and tf32 (operands stored in f32), against plain float64 loops.
#include <algorithm>

#include "../kernels/conv_geometry.h"
#include "half.h"

namespace dreamdist::test {
namespace {

struct Problem {
	int64_t N = 1, H = 1, W = 1, C1 = 8, C2 = 0, O = 8, kh = 3, kw = 3, sh = 1, sw = 1, pt = 1, pl = 1, OH = 0, OW = 0;
	int act = 0;
	int layout = cuda::kPackedChunks;
	int64_t upsample = 1;
	DType type = DType::bf16;
	bool bias = false, channel = false, residual = false, preact = false, f32_result = false;

	DType result() const { return f32_result ? DType::f32 : type; }
	std::string kernel(const char* name) const { return tensor_kernel(name, type); }
	// Summed taps are rounded once more, as a weight is, and before that only to f32; tf32 has as many bits as f16.
	bool sums_taps() const { return layout == cuda::kPackedPhases; }
	DType inner() const { return !sums_taps() ? DType::f32 : type == DType::f32 ? DType::f16 : type; }
	double read(double picture) const { return read_as(type, picture); }
	double read_weight(double weight) const { return sums_taps() ? weight : read_as(type, weight); }
	int64_t channels() const { return C1 + C2; }
	int64_t height() const { return H * (upsample == 2 ? 2 : 1); }
	int64_t width() const { return W * (upsample == 2 ? 2 : 1); }
	std::vector<int64_t> ints() const { return {N, H, W, C1, C2, O, kh, kw, sh, sw, pt, pl, OH, OW, act, layout, upsample}; }
	std::string text() const {
		std::string text = std::string(name_of(type)) + (bias ? " bias" : "") + (channel ? " channel" : "") + (residual ? " residual" : "") + (preact ? " preact" : "") + ":";
		for (int64_t value : ints()) text.append(" ").append(std::to_string(value));
		return text;
	}
	// Output extents that padding on all sides gives; the layout that the problem allows.
	Problem& finish() {
		if (OH == 0) {
			OH = (height() + 2 * pt - kh) / sh + 1;
			OW = (width() + 2 * pl - kw) / sw + 1;
		}
		if (layout == cuda::kPackedPhases && (upsample != 2 || sh != 1 || sw != 1)) layout = cuda::kPackedChunks;
		return *this;
	}
};

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

struct Weight {
	Stored stored;
	std::vector<uint8_t> packed;
	Weight(Context& t, const Problem& p) : stored(t, p.O * p.channels() * p.kh * p.kw, p.type) {
		if (p.layout != cuda::kPlain) packed = t.pack("conv2d", stored.data(), p.type, {p.O, p.channels(), p.kh, p.kw, p.layout == cuda::kPackedPhases ? 2 : 1, 1});
	}
	Operand operand() {
		Operand operand = stored.operand();
		if (!packed.empty()) operand.data = packed.data();
		return operand;
	}
};

std::vector<float> values(const Output& y, int64_t count) {
	std::vector<float> all(count);
	for (int64_t i = 0; i < count; i++) all[i] = y.at(i);
	return all;
}
Operand half(const Stored& x) { return x.values.empty() ? none() : x.operand(); }

void forward(Context& t, const Problem& p) {
	const int64_t pixels = p.N * p.OH * p.OW, C = p.channels(), taps = p.kh * p.kw;
	const Stored x1(t, p.N * p.H * p.W * p.C1, p.type), x2(t, p.N * p.H * p.W * p.C2, p.type), channel(t, p.N * p.O, p.type), residual(t, pixels * p.O, p.type);
	std::vector<float> bias = t.normal(p.O);
	Output y(pixels * p.O, p.result()), preact(pixels * p.O, p.result());
	Weight w(t, p);
	t.run(p.kernel("conv2d").c_str(),
		  {half(x1), half(x2), w.operand(), p.bias ? operand(bias) : none(), p.channel ? half(channel) : none(), p.residual ? half(residual) : none(), y.operand(),
		   p.preact ? preact.operand() : none()},
		  p.ints());
	std::vector<double> u(pixels * p.O), size(u.size()), want(u.size()), want_size(u.size());
	for_each_product(p, [&](int64_t out, int64_t tap, int64_t in) {
		for (int64_t o = 0; o < p.O; o++)
			for (int64_t c = 0; c < C; c++) {
				const double x = c < p.C1 ? x1.values[in * p.C1 + c] : x2.values[in * p.C2 + c - p.C1], product = p.read(x) * p.read_weight(w.stored.values[(o * C + c) * taps + tap]);
				u[out * p.O + o] += product;
				size[out * p.O + o] += std::fabs(product);
			}
	});
	for (int64_t i = 0; i < pixels * p.O; i++) {
		u[i] += (p.bias ? bias[i % p.O] : 0) + (p.channel ? channel.values[i / p.O / (p.OH * p.OW) * p.O + i % p.O] : 0);
		want[i] = activation(p.act, u[i]) + (p.residual ? residual.values[i] : 0);
		want_size[i] = size[i] + (p.residual ? std::fabs(residual.values[i]) : 0);
	}
	expect_rounded(values(y, pixels * p.O), want, want_size, p.result(), p.text(), __FILE__, __LINE__, p.inner());
	if (p.preact) expect_rounded(values(preact, pixels * p.O), u, size, p.result(), p.text() + " (preact)", __FILE__, __LINE__, p.inner());
}

void input_grad(Context& t, const Problem& p, bool first = true, bool second = true) {
	const int64_t pixels = p.N * p.OH * p.OW, inputs = p.N * p.H * p.W, C = p.channels(), taps = p.kh * p.kw;
	const Stored dy(t, pixels * p.O, p.type);
	Output dx1(inputs * p.C1, p.result()), dx2(inputs * p.C2, p.result());
	Weight w(t, p);
	t.run(p.kernel("conv2d_input_grad").c_str(), {half(dy), w.operand(), first ? dx1.operand() : none(), second ? dx2.operand() : none()}, p.ints());
	std::vector<double> want1(inputs * p.C1), size1(want1.size()), want2(inputs * p.C2), size2(want2.size());
	for_each_product(p, [&](int64_t out, int64_t tap, int64_t in) {
		for (int64_t c = 0; c < C; c++)
			for (int64_t o = 0; o < p.O; o++) {
				const double product = p.read(dy.values[out * p.O + o]) * p.read_weight(w.stored.values[(o * C + c) * taps + tap]);
				(c < p.C1 ? want1[in * p.C1 + c] : want2[in * p.C2 + c - p.C1]) += product;
				(c < p.C1 ? size1[in * p.C1 + c] : size2[in * p.C2 + c - p.C1]) += std::fabs(product);
			}
	});
	if (first) expect_rounded(values(dx1, inputs * p.C1), want1, size1, p.result(), p.text() + " (dx1)", __FILE__, __LINE__, p.inner());
	if (second && p.C2) expect_rounded(values(dx2, inputs * p.C2), want2, size2, p.result(), p.text() + " (dx2)", __FILE__, __LINE__, p.inner());
}

void weight_grad(Context& t, const Problem& p) {
	const int64_t pixels = p.N * p.OH * p.OW, inputs = p.N * p.H * p.W, C = p.channels(), taps = p.kh * p.kw;
	const Stored x1(t, inputs * p.C1, p.type), x2(t, inputs * p.C2, p.type), dy(t, pixels * p.O, p.type);
	std::vector<float> dw(p.O * C * taps, Output::kMark);
	t.run(p.kernel("conv2d_weight_grad").c_str(), {half(x1), half(x2), half(dy), operand(dw)}, p.ints());
	std::vector<double> want(dw.size()), size(dw.size());
	for_each_product(p, [&](int64_t out, int64_t tap, int64_t in) {
		for (int64_t o = 0; o < p.O; o++)
			for (int64_t c = 0; c < C; c++) {
				const double product = p.read(dy.values[out * p.O + o]) * p.read(c < p.C1 ? x1.values[in * p.C1 + c] : x2.values[in * p.C2 + c - p.C1]);
				want[(o * C + c) * taps + tap] += product;
				size[(o * C + c) * taps + tap] += std::fabs(product);
			}
	});
	EXPECT_ROUNDED(dw, want, size, DType::f32, p.text() + " (dw)");
}

void all_three(Context& t, Problem p) {
	p.finish();
	forward(t, p);
	input_grad(t, p);
	weight_grad(t, p);
}

Problem random_problem(Context& t, int64_t extent, int64_t channels) {
	auto coin = [&] { return t.integer(0, 1) == 1; };
	auto width = [&] { return coin() ? 8 * t.integer(1, std::max<int64_t>(channels / 8, 1)) : t.integer(1, channels); };
	Problem p;
	p.N = t.integer(1, 2);
	p.H = t.integer(1, extent);
	p.W = t.integer(1, extent);
	p.C1 = width();
	p.C2 = coin() ? width() : 0;
	p.O = width();
	p.kh = coin() ? 3 : t.integer(1, 5);
	p.kw = coin() ? p.kh : t.integer(1, 5);
	p.sh = coin() ? 1 : t.integer(1, 3);
	p.sw = coin() ? p.sh : t.integer(1, 3);
	p.pt = coin() ? p.kh / 2 : t.integer(0, p.kh + 1);
	p.pl = coin() ? p.kw / 2 : t.integer(0, p.kw + 1);
	p.upsample = t.integer(0, 2) == 0 ? 2 : 1;
	p.OH = t.integer(1, p.height() / p.sh + 2);
	p.OW = t.integer(1, p.width() / p.sw + 2);
	const int activations[] = {0, 1, 2, 4, 5};
	p.act = activations[t.integer(0, 4)];
	const int layouts[] = {cuda::kPlain, cuda::kPackedChunks, cuda::kPackedPhases, cuda::kPackedPhases};
	p.layout = layouts[t.integer(0, 3)];
	const DType types[] = {DType::f32, DType::f16, DType::bf16};
	p.type = types[t.integer(0, 2)];
	p.bias = coin();
	p.channel = coin();
	p.residual = coin();
	p.preact = coin();
	p.f32_result = t.integer(0, 3) == 0;
	return p.finish();
}

}  // namespace

TEST(conv2d_half_random) {
	EachPlan plans;
	for (int i = 0; i < 180; i++) {
		plans.choose(i);
		forward(t, random_problem(t, 9, i % 4 == 0 ? 70 : 20));
	}
}

TEST(conv2d_half_input_grad_random) {
	EachPlan plans;
	for (int i = 0; i < 180; i++) {
		plans.choose(i);
		const bool first = t.integer(0, 5) > 0;
		input_grad(t, random_problem(t, 9, i % 4 == 0 ? 70 : 20), first, !first || t.integer(0, 3) > 0);
	}
}

TEST(conv2d_half_weight_grad_random) {
	EachPlan plans;
	for (int i = 0; i < 180; i++) {
		plans.choose(i);
		weight_grad(t, random_problem(t, 9, i % 4 == 0 ? 70 : 20));
	}
}

TEST(conv2d_half_shapes_of_the_networks) {
	for (DType type : {DType::bf16, DType::f16, DType::f32}) {
		all_three(t, {.N = 2, .H = 12, .W = 12, .C1 = 32, .O = 64, .type = type, .bias = true});
		all_three(t, {.H = 8, .W = 8, .C1 = 48, .C2 = 32, .O = 40, .type = type});
		all_three(t, {.N = 2, .H = 11, .W = 12, .C1 = 40, .O = 24, .sh = 2, .sw = 2, .type = type});
		all_three(t, {.H = 12, .W = 12, .C1 = 16, .O = 32, .sh = 2, .sw = 2, .pt = 0, .pl = 0, .OH = 6, .OW = 6, .type = type});  // the autoencoder pads bottom and right only
		all_three(t, {.N = 2, .H = 6, .W = 5, .C1 = 40, .O = 72, .layout = cuda::kPackedPhases, .upsample = 2, .type = type});
		all_three(t, {.H = 9, .W = 9, .C1 = 24, .C2 = 40, .O = 64, .kh = 1, .kw = 1, .pt = 0, .pl = 0, .type = type});
		all_three(t, {.H = 9, .W = 7, .C1 = 4, .O = 32, .type = type});  // latents
		all_three(t, {.H = 9, .W = 7, .C1 = 32, .O = 4, .type = type});
		all_three(t, {.H = 28, .W = 28, .C1 = 3, .O = 16, .kh = 14, .kw = 14, .sh = 14, .sw = 14, .pt = 0, .pl = 0, .type = type});
	}
}

// Outputs of an enlarged picture by phases are those of the enlarged picture, but for the rounding of summed taps: exact where the sums are.
TEST(conv2d_half_phases_are_exact_for_whole_weights) {
	Problem p{.H = 5, .W = 6, .C1 = 8, .O = 16, .layout = cuda::kPackedPhases, .upsample = 2, .f32_result = true};
	p.finish();
	const Stored x(t, p.H * p.W * p.C1, p.type);
	std::vector<uint16_t> weight(p.O * p.C1 * 9);
	for (uint16_t& w : weight) w = gpu::bf16_bits((float)t.integer(-8, 8));
	std::vector<float> results[2];
	for (int layout : {cuda::kPackedChunks, cuda::kPackedPhases}) {
		p.layout = layout;
		std::vector<uint8_t> packed = t.pack("conv2d", weight.data(), p.type, {p.O, p.C1, 3, 3, layout == cuda::kPackedPhases ? 2 : 1, 1});
		Output y(p.OH * p.OW * p.O, DType::f32);
		t.run("conv2d", {half(x), none(), {packed.data(), p.type}, none(), none(), none(), y.operand(), none()}, p.ints());
		results[layout == cuda::kPackedPhases] = values(y, p.OH * p.OW * p.O);
	}
	for (size_t i = 0; i < results[0].size(); i++) CHECK(std::fabs(results[0][i] - results[1][i]) <= 1e-4f);
}

TEST(conv2d_half_faults_are_noticed) {
	const PlantedFault faults[] = {
		{131, "waits for one group of copies too few"},
		{132, "no barrier before a stage is used"},
		{141, "the picture's bottom edge off by one"},
		{142, "positions of the smaller classes that are not there"},
		{143, "no barrier before the taps are read"},
		{144, "a stage's channels counted from the first tap's"},
	};
	for (const PlantedFault& fault : faults)
		expect_noticed(fault, [&] {
			Problem strided{.H = 9, .W = 7, .C1 = 16, .O = 24, .sh = 2, .sw = 2, .f32_result = true};
			input_grad(t, strided.finish());
			Problem plain{.H = 9, .W = 7, .C1 = 16, .O = 24, .f32_result = true};
			forward(t, plain.finish());
			Problem staged{.H = 5, .W = 4, .C1 = 32, .O = 24, .f32_result = true};
			forward(t, staged.finish());
		});
}

}  // namespace dreamdist::test
