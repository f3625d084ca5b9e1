// Attention, GroupNorm, LayerNorm and softmax on the shapes of Stable Diffusion 2.1.
#include <cmath>

#include "bench.h"

using namespace dreamdist::bench;
using dreamdist::Operand;

namespace {

struct Attention {
	const char* name;
	int64_t batches, heads, queries, keys, width;
	bool causal;
};

void bench_attention(Bench& b, const Attention& a) {
	if (!b.has("attention") || !b.has("attention_grad")) return;
	const int64_t pitch = a.heads * a.width, q_size = a.queries * pitch, k_size = a.keys * pitch;
	Floats q = b.normal(a.batches * q_size), k = b.normal(a.batches * k_size), v = b.normal(a.batches * k_size), dout = b.normal(q.size());
	Floats o(q.size()), dq(q.size()), dk(k.size()), dv(k.size()), lse(a.batches * a.heads * a.queries);
	std::vector<int64_t> ints{a.batches, a.heads, a.queries, a.keys, a.width, a.causal, pitch, pitch, pitch, pitch, q_size, k_size, k_size, q_size};
	const double scale = 1 / std::sqrt((double)a.width);
	const double flops = 4.0 * a.batches * a.heads * a.queries * a.keys * a.width * (a.causal ? 0.5 : 1);
	auto add = [&](const std::string& direction, double factor, double seconds) {
		Row& row = b.add_compute(std::string("attention ") + a.name + direction, factor * flops, seconds);
		if (const double rate = b.matmul_gflops(); rate > 0) row.percent_of_matmul = 100 * row.rate / rate;
	};
	add("", 1, b.fastest_call("attention", {operand(q), operand(k), operand(v), operand(o), operand(lse)}, ints, {scale}));
	ints.insert(ints.end(), {pitch, q_size});
	add(", backward", 2.5,
		b.fastest_call("attention_grad", {operand(q), operand(k), operand(v), operand(o), operand(lse), operand(dout), operand(dq), operand(dk), operand(dv)}, ints, {scale}));
}

void bench_group_norm(Bench& b, const std::string& name, int64_t pictures, int64_t pixels, int64_t c1, int64_t c2) {
	if (!b.has("group_norm") || !b.has("group_norm_grad")) return;
	const int64_t C = c1 + c2;
	Floats x1 = b.normal(pictures * pixels * c1), x2 = b.normal(pictures * pixels * c2), gamma = b.normal(C), beta = b.normal(C);
	Floats dy = b.normal(pictures * pixels * C), y(dy.size()), dx1(x1.size()), dx2(x2.size()), stats(pictures * 64);
	const std::vector<int64_t> ints{pictures, pixels, c1, c2, 32, 2};
	const double bytes = 4.0 * dy.size();
	b.add_memory("group_norm+silu " + name, 2 * bytes,
				 b.fastest_call("group_norm", {operand(x1), operand(x2), operand(gamma), operand(beta), operand(y), operand(stats)}, ints, {1e-5}));
	b.add_memory("group_norm+silu " + name + ", backward", 3 * bytes,
				 b.fastest_call("group_norm_grad",
								{operand(x1), operand(x2), operand(gamma), operand(beta), operand(stats), operand(dy), operand(dx1), operand(dx2), none(), none()}, ints, {1e-5}));
}

}  // namespace

BENCH(attention) {
	for (const Attention& a : {Attention{"5 heads x 4096 x 64", 1, 5, 4096, 4096, 64, false}, {"10 heads x 1024 x 64", 1, 10, 1024, 1024, 64, false},
							   {"5 heads x 4096 x 64, 77 keys", 1, 5, 4096, 77, 64, false}, {"16 heads x 77 x 64, causal, batch 8", 8, 16, 77, 77, 64, true},
							   {"1 head x 4096 x 512", 1, 1, 4096, 4096, 512, false}})
		bench_attention(b, a);
}
BENCH(group_norm) {
	bench_group_norm(b, "320 @ 64x64", 1, 64 * 64, 320, 0);
	bench_group_norm(b, "640+320 @ 64x64", 1, 64 * 64, 640, 320);
	bench_group_norm(b, "1280 @ 16x16", 1, 16 * 16, 1280, 0);
}
BENCH(layer_norm) {
	if (!b.has("layer_norm")) return;
	const int64_t rows = 4096, C = 320;
	Floats x = b.normal(rows * C), gamma = b.normal(C), beta = b.normal(C), dy = b.normal(rows * C), y(rows * C), dx(rows * C), stats(rows * 2);
	b.add_memory("layer_norm 4096 x 320", 8.0 * rows * C,
				 b.fastest_call("layer_norm", {operand(x), operand(gamma), operand(beta), operand(y), operand(stats)}, {rows, C}, {1e-5}));
	b.add_memory("layer_norm 4096 x 320, backward", 12.0 * rows * C,
				 b.fastest_call("layer_norm_grad", {operand(x), operand(gamma), operand(stats), operand(dy), operand(dx), none(), none()}, {rows, C}));
}
BENCH(softmax) {
	if (!b.has("softmax")) return;
	const int64_t rows = 1024, C = 1000;
	Floats x = b.normal(rows * C), y(rows * C);
	b.add_memory("softmax 1024 x 1000", 8.0 * rows * C, b.fastest_call("softmax", {operand(x), operand(y)}, {rows, C, 0}));
}
