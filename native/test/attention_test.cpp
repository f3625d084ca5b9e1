// attention and attention_grad against plain float64 loops.
#include <algorithm>

#include "harness.h"

using namespace dreamdist;
using namespace dreamdist::test;

namespace {

struct Case {
	int64_t B, H, Lq, Lk, D;
	bool causal = false;
	double scale = 0;        // 0: 1/√D
	int64_t padding = 0;     // extra elements after each row of q, k, v, o and do
	float spread = 1;        // of q and k
	bool whole = false;      // q and k hold small integers
	int64_t gap = 0;         // extra elements between batches
};

// What the kernel computes, and the same on absolute values, in float64.
struct Reference {
	std::vector<double> o, o_size, lse, dq, dk, dv, dq_size, dk_size, dv_size;
};

struct Attention {
	Case c;
	double scale;
	int64_t pitch, q_batch, k_batch;
	std::vector<float> q, k, v, dout;

	Attention(Context& t, const Case& given) : c(given), scale(c.scale ? c.scale : 1 / std::sqrt((double)c.D)) {
		pitch = c.H * c.D + c.padding;
		q_batch = c.Lq * pitch + c.gap;
		k_batch = c.Lk * pitch + c.gap;
		q = t.normal(c.B * q_batch, c.spread);
		k = t.normal(c.B * k_batch, c.spread);
		v = t.normal(c.B * k_batch);
		dout = t.normal(c.B * q_batch);
		if (c.whole)
			for (auto* values : {&q, &k})
				for (float& x : *values) x = std::round(x);
	}
	std::vector<int64_t> ints() const {
		return {c.B, c.H, c.Lq, c.Lk, c.D, c.causal, pitch, pitch, pitch, pitch, q_batch, k_batch, k_batch, q_batch};
	}
	int64_t q_at(int64_t b, int64_t h, int64_t i) const { return b * q_batch + i * pitch + h * c.D; }
	int64_t k_at(int64_t b, int64_t h, int64_t j) const { return b * k_batch + j * pitch + h * c.D; }
	int64_t grad_at(int64_t b, int64_t h, int64_t r, int64_t rows) const { return ((b * rows + r) * c.H + h) * c.D; }

	Reference reference(bool gradients) const {
		Reference r;
		r.o.assign(q.size(), 0);
		r.o_size.assign(q.size(), 0);
		r.lse.assign(c.B * c.H * c.Lq, 0);
		for (auto* grad : {&r.dq, &r.dq_size}) grad->assign(c.B * c.Lq * c.H * c.D, 0);
		for (auto* grad : {&r.dk, &r.dk_size, &r.dv, &r.dv_size}) grad->assign(c.B * c.Lk * c.H * c.D, 0);
		std::vector<double> p(c.Lk), dp(c.Lk), dp_size(c.Lk);
		for (int64_t b = 0; b < c.B; b++)
			for (int64_t h = 0; h < c.H; h++)
				for (int64_t i = 0; i < c.Lq; i++) {
					const int64_t qi = q_at(b, h, i), visible = c.causal ? std::min(c.Lk, i + 1) : c.Lk;
					double best = -INFINITY, sum = 0;
					for (int64_t j = 0; j < visible; j++) {
						double s = 0;
						for (int64_t d = 0; d < c.D; d++) s += (double)q[qi + d] * k[k_at(b, h, j) + d];
						p[j] = s * scale;
						best = std::max(best, p[j]);
					}
					for (int64_t j = 0; j < visible; j++) sum += p[j] = std::exp(p[j] - best);
					r.lse[(b * c.H + h) * c.Lq + i] = best + std::log(sum);
					double delta = 0, delta_size = 0;
					for (int64_t j = 0; j < visible; j++) {
						p[j] /= sum;
						dp[j] = dp_size[j] = 0;
						for (int64_t d = 0; d < c.D; d++) {
							const double value = v[k_at(b, h, j) + d], g = dout[qi + d];
							r.o[qi + d] += p[j] * value;
							r.o_size[qi + d] += p[j] * std::abs(value);
							dp[j] += g * value;
							dp_size[j] += std::abs(g * value);
						}
						delta += p[j] * dp[j];
						delta_size += p[j] * dp_size[j];
					}
					if (!gradients) continue;
					const int64_t dqi = grad_at(b, h, i, c.Lq);
					for (int64_t j = 0; j < visible; j++) {
						const int64_t kj = k_at(b, h, j), dkj = grad_at(b, h, j, c.Lk);
						const double ds = scale * p[j] * (dp[j] - delta), ds_size = std::abs(scale) * p[j] * (dp_size[j] + delta_size);
						for (int64_t d = 0; d < c.D; d++) {
							r.dq[dqi + d] += ds * k[kj + d];
							r.dq_size[dqi + d] += ds_size * std::abs(k[kj + d]);
							r.dk[dkj + d] += ds * q[qi + d];
							r.dk_size[dkj + d] += ds_size * std::abs(q[qi + d]);
							r.dv[dkj + d] += p[j] * dout[qi + d];
							r.dv_size[dkj + d] += p[j] * std::abs(dout[qi + d]);
						}
					}
				}
		return r;
	}
	std::vector<float> forward(Context& t, std::vector<float>* lse) {
		std::vector<float> o(q.size(), 7);
		t.run("attention", {operand(q), operand(k), operand(v), operand(o), lse ? operand(*lse) : none()}, ints(), {scale});
		return o;
	}
	// What lies between rows and batches belongs to someone else.
	void expect_padding_untouched(const std::vector<float>& o) const {
		for (int64_t b = 0; b < c.B; b++)
			for (int64_t at = 0; at < q_batch; at++)
				if (at >= c.Lq * pitch || at % pitch >= c.H * c.D) CHECK(o[b * q_batch + at] == 7);
	}
	static std::vector<double> only_rows(const std::vector<double>& reference, const std::vector<float>& o) {
		std::vector<double> want = reference;
		for (size_t i = 0; i < want.size(); i++)
			if (o[i] == 7) want[i] = 7;
		return want;
	}
	std::string name() const {
		return std::to_string(c.B) + "x" + std::to_string(c.H) + " heads, " + std::to_string(c.Lq) + " queries, " + std::to_string(c.Lk) + " keys, width " +
			   std::to_string(c.D) + (c.causal ? ", causal" : "");
	}
};

void check_forward(Context& t, const Case& c) {
	Attention a(t, c);
	const Reference want = a.reference(false);
	std::vector<float> lse(want.lse.size(), NAN);
	const std::vector<float> o = a.forward(t, &lse);
	a.expect_padding_untouched(o);
	EXPECT_CLOSE(o.data(), Attention::only_rows(want.o, o), want.o_size, 1e-5, "o of " + a.name());
	EXPECT_CLOSE(lse.data(), want.lse, want.lse, 1e-5, "lse of " + a.name());
	CHECK(a.forward(t, nullptr) == o);  // the same bits again, and without lse
}

struct Gradients {
	std::vector<float> dq, dk, dv;
};

Gradients backward(Context& t, Attention& a, std::vector<float>& o, std::vector<float>& lse, int wanted) {
	Gradients g;
	if (wanted & 1) g.dq.assign(a.c.B * a.c.Lq * a.c.H * a.c.D, NAN);
	if (wanted & 2) g.dk.assign(a.c.B * a.c.Lk * a.c.H * a.c.D, NAN);
	if (wanted & 4) g.dv.assign(a.c.B * a.c.Lk * a.c.H * a.c.D, NAN);
	std::vector<int64_t> ints = a.ints();
	ints.insert(ints.end(), {a.pitch, a.q_batch});
	t.run("attention_grad",
		  {operand(a.q), operand(a.k), operand(a.v), operand(o), operand(lse), operand(a.dout), operand(g.dq), operand(g.dk), operand(g.dv)}, ints, {a.scale});
	return g;
}

void check_backward(Context& t, const Case& c) {
	Attention a(t, c);
	const Reference want = a.reference(true);
	std::vector<float> o(want.o.begin(), want.o.end()), lse(want.lse.begin(), want.lse.end());
	const Gradients all = backward(t, a, o, lse, 7);
	EXPECT_CLOSE(all.dq.data(), want.dq, want.dq_size, 1e-5, "dq of " + a.name());
	EXPECT_CLOSE(all.dk.data(), want.dk, want.dk_size, 1e-5, "dk of " + a.name());
	EXPECT_CLOSE(all.dv.data(), want.dv, want.dv_size, 1e-5, "dv of " + a.name());
	// Again, and leaving some out: the same bits.
	for (int wanted : {7, (int)t.integer(1, 6)}) {
		const Gradients some = backward(t, a, o, lse, wanted);
		CHECK(!(wanted & 1) || some.dq == all.dq);
		CHECK(!(wanted & 2) || some.dk == all.dk);
		CHECK(!(wanted & 4) || some.dv == all.dv);
	}
}

const int64_t kWidths[] = {1, 3, 32, 40, 64, 80, 96, 128, 160, 512};

Case any_case(Context& t) {
	Case c{t.integer(1, 2), t.integer(1, 3), t.integer(1, 90), t.integer(1, 90), kWidths[t.integer(0, 9)]};
	if (t.integer(0, 3) == 0) c.D = t.integer(1, 70);
	c.causal = t.integer(0, 2) == 0;
	c.padding = t.integer(0, 2) ? 0 : t.integer(1, 20);
	c.gap = t.integer(0, 2) ? 0 : t.integer(1, 9);
	if (t.integer(0, 4) == 0) c.scale = t.integer(0, 1) ? 0.3 : -0.2;
	return c;
}

// Shapes where a block, a tile or a lane ends one before, at and one after the last element.
const std::vector<Case> kEdges = {
	{1, 1, 1, 1, 1},        {1, 1, 1, 1, 64, true},  {1, 1, 1, 300, 64},        {1, 1, 300, 1, 64},       {1, 2, 33, 76, 64},
	{1, 2, 33, 77, 64},     {1, 2, 33, 78, 64},      {2, 2, 77, 77, 64, true},  {1, 1, 77, 20, 32, true}, {1, 1, 20, 77, 32, true},
	{1, 1, 600, 530, 64},   {1, 1, 600, 600, 64, true}, {1, 1, 450, 1030, 8},   {1, 1, 90, 140, 512},     {1, 1, 129, 257, 40},
	{1, 1, 14, 512, 64},    {1, 1, 15, 513, 64},     {1, 1, 460, 700, 16, true}, {1, 1, 127, 252, 64},    {3, 1, 128, 253, 3},
};
std::vector<Case> edges(const Context& t) {
	std::vector<Case> chosen;
	for (const Case& c : kEdges)
		if (!t.quick || c.Lq * c.Lk * c.D < 10'000'000) chosen.push_back(c);
	return chosen;
}

}  // namespace

TEST(attention_edges) {
	for (const Case& c : edges(t)) check_forward(t, c);
}
TEST(attention_random) {
	for (int round = 0; round < t.scaled(40); round++) check_forward(t, any_case(t));
}
TEST(attention_grad_edges) {
	for (const Case& c : edges(t)) check_backward(t, c);
}
TEST(attention_grad_random) {
	for (int round = 0; round < t.scaled(40); round++) check_backward(t, any_case(t));
}

TEST(attention_pitches_differ) {
	// q, k and v side by side in one projection's output, o contiguous, as the models call it.
	const int64_t H = 3, L = 45, D = 24, C = H * D;
	Attention a(t, {1, H, L, L, D});
	std::vector<float> qkv(L * 3 * C), o(L * C), split(L * C);
	for (int64_t r = 0; r < L; r++)
		for (int64_t i = 0; i < C; i++) {
			qkv[r * 3 * C + i] = a.q[r * C + i];
			qkv[r * 3 * C + C + i] = a.k[r * C + i];
			qkv[r * 3 * C + 2 * C + i] = a.v[r * C + i];
		}
	Operand q{qkv.data()}, k{qkv.data() + C}, v{qkv.data() + 2 * C};
	t.run("attention", {q, k, v, operand(o), none()}, {1, H, L, L, D, 0, 3 * C, 3 * C, 3 * C, C, 0, 0, 0, 0}, {a.scale});
	CHECK(o == a.forward(t, nullptr));
}

TEST(attention_extreme_logits) {
	// Whole numbers, so that every score (up to ±1e4 and beyond) is exact and the bound holds whatever its size.
	Case c{1, 2, 40, 600, 16, false, 1, 0, 24, true};
	check_forward(t, c);
	c.scale = -1;
	check_forward(t, c);
	// Any numbers: nothing may become NaN or leave the hull of v, and probabilities rebuilt from a rounded lse may be off by that rounding only.
	Case wild{1, 1, 50, 300, 64, false, 1, 0, 35};
	Attention a(t, wild);
	const Reference want = a.reference(true);
	std::vector<float> lse(want.lse.size());
	std::vector<float> o = a.forward(t, &lse);
	EXPECT_CLOSE(o.data(), want.o, want.o_size, 5e-3, "o of logits near 1e4");
	EXPECT_CLOSE(lse.data(), want.lse, want.lse, 1e-6, "lse of logits near 1e4");
	const Gradients g = backward(t, a, o, lse, 7);
	EXPECT_CLOSE(g.dq.data(), want.dq, want.dq_size, 5e-3, "dq of logits near 1e4");
	EXPECT_CLOSE(g.dk.data(), want.dk, want.dk_size, 5e-3, "dk of logits near 1e4");
	EXPECT_CLOSE(g.dv.data(), want.dv, want.dv_size, 5e-3, "dv of logits near 1e4");
}

TEST(attention_passes_nan_on) {
	Attention a(t, {1, 1, 20, 40, 32});
	a.k[5 * 32 + 3] = NAN;
	for (float x : a.forward(t, nullptr)) CHECK(std::isnan(x));
}

TEST(attention_of_nothing) {
	std::vector<float> x(64, 7);
	for (int64_t dimension = 0; dimension < 5; dimension++) {
		std::vector<int64_t> ints{1, 1, 2, 2, 16, 0, 16, 16, 16, 16, 32, 32, 32, 32};
		ints[dimension] = 0;
		t.run("attention", {operand(x), operand(x), operand(x), operand(x), none()}, ints, {1});
		ints.insert(ints.end(), {16, 32});
		t.run("attention_grad", std::vector<Operand>(9, operand(x)), ints, {1});
	}
	for (float value : x) CHECK(value == 7);
}

TEST(attention_threads) {
	for (const Case& c : {Case{1, 3, 200, 130, 64}, Case{2, 1, 300, 400, 40, true}, Case{1, 1, 30, 77, 64}}) {
		Attention a(t, c);
		const Reference want = a.reference(true);
		std::vector<float> lse(want.lse.size());
		std::vector<float> o = a.forward(t, &lse);
		for (int threads : t.quick ? std::vector{1, 3} : std::vector{1, 2, 3, 5}) {
			ThreadTeam team(threads);
			Context other{t.table, team, t.rng};
			CHECK(a.forward(other, nullptr) == o);  // no row depends on how queries are shared out
			const Gradients first = backward(other, a, o, lse, 7), again = backward(other, a, o, lse, 7);
			CHECK(first.dq == again.dq && first.dk == again.dk && first.dv == again.dv);
			EXPECT_CLOSE(first.dq.data(), want.dq, want.dq_size, 1e-5, "dq with " + std::to_string(threads) + " threads");
			EXPECT_CLOSE(first.dk.data(), want.dk, want.dk_size, 1e-5, "dk with " + std::to_string(threads) + " threads");
			EXPECT_CLOSE(first.dv.data(), want.dv, want.dv_size, 1e-5, "dv with " + std::to_string(threads) + " threads");
		}
	}
}
