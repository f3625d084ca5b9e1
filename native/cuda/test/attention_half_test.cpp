// attention and attention_grad in f16 and bf16 against plain float64 loops.
#include <algorithm>

#include "half.h"

namespace dreamdist::test {
namespace {

struct Case {
	int64_t B = 1, H = 1, Lq = 1, Lk = 1, D = 64;
	bool causal = false;
	DType type = DType::bf16;
	int64_t padding = 0;  // extra elements after each row of q, k, v, o and do
	double scale = 0;     // 0: 1/√D
	std::string text() const {
		return std::string(name_of(type)) + " B " + std::to_string(B) + " H " + std::to_string(H) + " Lq " + std::to_string(Lq) + " Lk " + std::to_string(Lk) + " D " + std::to_string(D) +
			   (causal ? " causal" : "") + " padding " + std::to_string(padding);
	}
};

struct Attention {
	Case c;
	double scale;
	int64_t pitch, q_batch, k_batch;
	Stored q, k, v, grad;
	std::vector<double> o, lse, dq, dk, dv, o_size, dq_size, dk_size, dv_size;

	Attention(Context& t, const Case& c)
		: c(c), scale(c.scale ? c.scale : 1 / std::sqrt((double)c.D)), pitch(c.H * c.D + c.padding), q_batch(c.Lq * pitch), k_batch(c.Lk * pitch), q(t, c.B * q_batch, c.type),
		  k(t, c.B * k_batch, c.type), v(t, c.B * k_batch, c.type), grad(t, c.B * q_batch, c.type) {}
	std::vector<int64_t> ints() const { return {c.B, c.H, c.Lq, c.Lk, c.D, c.causal, pitch, pitch, pitch, pitch, q_batch, k_batch, k_batch, q_batch}; }
	int64_t q_at(int64_t b, int64_t h, int64_t i) const { return b * q_batch + i * pitch + h * c.D; }
	int64_t k_at(int64_t b, int64_t h, int64_t j) const { return b * k_batch + j * pitch + h * c.D; }

	// `stored`: o as the gradient reads it (rounded); empty: exact.
	void evaluate(const std::vector<float>& stored) {
		for (auto* x : {&o, &o_size}) x->assign(c.B * q_batch, 0);
		lse.assign(c.B * c.H * c.Lq, 0);
		for (auto* x : {&dq, &dq_size}) x->assign(c.B * c.Lq * c.H * c.D, 0);
		for (auto* x : {&dk, &dv, &dk_size, &dv_size}) x->assign(c.B * c.Lk * c.H * c.D, 0);
		std::vector<double> p(c.Lk);
		for (int64_t b = 0; b < c.B; b++)
			for (int64_t h = 0; h < c.H; h++)
				for (int64_t i = 0; i < c.Lq; i++) {
					const int64_t qi = q_at(b, h, i), visible = c.causal ? std::min(c.Lk, i + 1) : c.Lk, dqi = ((b * c.Lq + i) * c.H + h) * c.D;
					double best = -INFINITY, sum = 0;
					for (int64_t j = 0; j < visible; j++) {
						double s = 0;
						for (int64_t d = 0; d < c.D; d++) s += (double)q.values[qi + d] * k.values[k_at(b, h, j) + d];
						best = std::max(best, p[j] = s * scale);
					}
					for (int64_t j = 0; j < visible; j++) sum += p[j] = std::exp(p[j] - best);
					lse[(b * c.H + h) * c.Lq + i] = best + std::log(sum);
					double delta = 0;
					for (int64_t j = 0; j < visible; j++) {
						p[j] /= sum;
						for (int64_t d = 0; d < c.D; d++) {
							const double value = v.values[k_at(b, h, j) + d];
							o[qi + d] += p[j] * value;
							o_size[qi + d] += p[j] * std::fabs(value);
						}
					}
					if (stored.empty()) continue;
					for (int64_t d = 0; d < c.D; d++) delta += (double)grad.values[qi + d] * stored[qi + d];
					for (int64_t j = 0; j < visible; j++) {
						double dp = 0, dp_size = 0;
						for (int64_t d = 0; d < c.D; d++) {
							const double product = (double)grad.values[qi + d] * v.values[k_at(b, h, j) + d];
							dp += product;
							dp_size += std::fabs(product);
						}
						const double ds = scale * p[j] * (dp - delta), ds_size = std::fabs(scale) * p[j] * (dp_size + std::fabs(delta));
						const int64_t dkj = ((b * c.Lk + j) * c.H + h) * c.D;
						for (int64_t d = 0; d < c.D; d++) {
							dq[dqi + d] += ds * k.values[k_at(b, h, j) + d];
							dk[dkj + d] += ds * q.values[qi + d];
							dv[dkj + d] += p[j] * grad.values[qi + d];
							dq_size[dqi + d] += ds_size * std::fabs(k.values[k_at(b, h, j) + d]);
							dk_size[dkj + d] += ds_size * std::fabs(q.values[qi + d]);
							dv_size[dkj + d] += p[j] * std::fabs(grad.values[qi + d]);
						}
					}
				}
	}
};

// Of the rows' own elements; what lies between them must keep its mark.
void compare_rows(const Attention& a, const Output& got, const std::string& what) {
	std::vector<float> values;
	std::vector<double> want, size;
	for (int64_t b = 0; b < a.c.B; b++)
		for (int64_t i = 0; i < a.c.Lq; i++)
			for (int64_t x = 0; x < a.pitch; x++) {
				const int64_t at = b * a.q_batch + i * a.pitch + x;
				if (x >= a.c.H * a.c.D) {
					if (got.at(at) != Output::kMark) fail(__FILE__, __LINE__, what + ": wrote past a row");
					continue;
				}
				values.push_back(got.at(at));
				want.push_back(a.o[at]);
				size.push_back(a.o_size[at]);
			}
	EXPECT_ROUNDED(values, want, size, a.c.type, what);
}

std::vector<float> all(const Output& x, int64_t count) {
	std::vector<float> values(count);
	for (int64_t i = 0; i < count; i++) values[i] = x.at(i);
	return values;
}

void solve(Context& t, const Case& c, int wanted = 7) {
	Attention a(t, c);
	a.evaluate({});
	Output o(c.B * a.q_batch, c.type);
	std::vector<float> lse(c.B * c.H * c.Lq);
	t.run("attention", {a.q.operand(), a.k.operand(), a.v.operand(), o.operand(), operand(lse)}, a.ints(), {a.scale});
	compare_rows(a, o, c.text());
	for (size_t i = 0; i < lse.size(); i++)
		if (!(std::fabs(lse[i] - a.lse[i]) <= 1e-5 * std::max(1.0, std::fabs(a.lse[i])))) fail(__FILE__, __LINE__, c.text() + ": lse " + std::to_string(lse[i]) + ", expected " + std::to_string(a.lse[i]));
	if (!wanted) return;
	a.evaluate(all(o, c.B * a.q_batch));
	const int64_t queries = c.B * c.Lq * c.H * c.D, keys = c.B * c.Lk * c.H * c.D;
	Output dq(queries, c.type), dk(keys, c.type), dv(keys, c.type);
	std::vector<int64_t> ints = a.ints();
	ints.insert(ints.end(), {a.pitch, a.q_batch});
	t.run("attention_grad",
		  {a.q.operand(), a.k.operand(), a.v.operand(), o.operand(), operand(lse), a.grad.operand(), wanted & 1 ? dq.operand() : none(), wanted & 2 ? dk.operand() : none(),
		   wanted & 4 ? dv.operand() : none()},
		  ints, {a.scale});
	// Differences that nearly cancel: rounding their terms counts by the terms' size.
	if (wanted & 1) expect_rounded(all(dq, queries), a.dq, a.dq_size, c.type, c.text() + " (dq)", __FILE__, __LINE__, c.Lk == 1 ? c.type : DType::f32);
	if (wanted & 2) expect_rounded(all(dk, keys), a.dk, a.dk_size, c.type, c.text() + " (dk)", __FILE__, __LINE__, c.Lk == 1 ? c.type : DType::f32);
	if (wanted & 4) EXPECT_ROUNDED(all(dv, keys), a.dv, a.dv_size, c.type, c.text() + " (dv)");
}

}  // namespace

TEST(attention_half_random) {
	for (int i = 0; i < 40; i++) {
		const bool aligned = t.integer(0, 2) > 0;
		Case c{.B = t.integer(1, 2), .H = t.integer(1, 3), .Lq = t.integer(1, 150), .Lk = t.integer(2, 170), .D = aligned ? 8 * t.integer(1, 20) : t.integer(1, 160)};
		c.causal = t.integer(0, 2) == 0;
		c.type = t.integer(0, 1) ? DType::bf16 : DType::f16;
		c.padding = t.integer(0, 2) ? 0 : t.integer(0, 1) ? 8 : t.integer(1, 9);
		solve(t, c, (int)t.integer(0, 9) == 0 ? (int)t.integer(1, 6) : 7);
	}
}

TEST(attention_half_shapes_of_the_networks) {
	for (DType type : {DType::bf16, DType::f16}) {
		for (int64_t width : {32, 40, 64, 80, 96, 128, 160}) solve(t, {.H = 2, .Lq = 70, .Lk = 90, .D = width, .type = type});
		for (int64_t keys : {1, 76, 77, 78, 80, 81}) solve(t, {.H = 2, .Lq = 130, .Lk = keys, .D = 64, .type = type});
		solve(t, {.B = 2, .H = 3, .Lq = 77, .Lk = 77, .D = 64, .causal = true, .type = type});
		solve(t, {.Lq = 100, .Lk = 140, .D = 64, .causal = true, .type = type});
		solve(t, {.Lq = 150, .Lk = 33, .D = 40, .causal = true, .type = type});
		solve(t, {.Lq = 300, .Lk = 77, .D = 64, .type = type});  // words, whose gradients are cut over the queries
		solve(t, {.Lq = 130, .Lk = 130, .D = 64, .type = type, .scale = -0.1});
		solve(t, {.B = 2, .Lq = 30, .Lk = 33, .D = 512, .type = type}, 0);  // the autoencoder, by blocks of rows
		solve(t, {.H = 2, .Lq = 40, .Lk = 40, .D = 168, .causal = true, .type = type}, 0);
	}
}

TEST(attention_half_passes_nan_on) {
	Attention a(t, {.Lq = 20, .Lk = 40, .D = 32});
	a.k.halves[5 * 32 + 3] = 0x7fff;
	Output o(20 * 32, DType::bf16);
	t.run("attention", {a.q.operand(), a.k.operand(), a.v.operand(), o.operand(), none()}, a.ints(), {a.scale});
	for (int i = 0; i < 20 * 32; i++) CHECK(std::isnan(o.at(i)));
}

TEST(attention_half_of_mixed_types_is_refused) {
	Attention a(t, {.Lq = 20, .Lk = 40, .D = 32});
	Output o(20 * 32, DType::f32);
	bool refused = false;
	try {
		t.run("attention", {a.q.operand(), a.k.operand(), a.v.operand(), o.operand(), none()}, a.ints(), {a.scale});
	} catch (const Error& error) {
		refused = std::string(error.what()) == "attention: operand 3 is f32, but q is bf16";
	}
	CHECK(refused);
}

TEST(attention_half_faults_are_noticed) {
	const PlantedFault faults[] = {
		{151, "no wait for the keys and values"},
		{152, "no barrier before they are used"},
		{153, "key mask off by one"},
		{154, "causal mask off by one"},
		{155, "result not rescaled"},
		{161, "no wait for the queries"},
		{162, "no barrier before they are used"},
		{163, "causal mask of the keys' gradient off by one"},
		{164, "no barrier before the keys are used"},
		{165, "causal mask of the queries' gradient off by one"},
	};
	for (const PlantedFault& fault : faults)
		expect_noticed(fault, [&] {
			solve(t, {.Lq = 70, .Lk = 90, .D = 32});
			solve(t, {.Lq = 90, .Lk = 90, .D = 32, .causal = true});
		});
}

}  // namespace dreamdist::test
