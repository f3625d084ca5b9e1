// matmul and conv2d on the shapes of Stable Diffusion 2.1, weights packed beforehand, against oneDNN on the same shapes in turns.
#include "bench.h"
#include "onednn.h"

using namespace dreamdist;
using namespace dreamdist::bench;

namespace {

void add(Bench& b, const std::string& name, double flops, std::function<void()> own, std::vector<std::function<void()>> yardsticks) {
	std::vector<std::function<void()>> runs{std::move(own)};
	runs.insert(runs.end(), yardsticks.begin(), yardsticks.end());
	const std::vector<double> seconds = b.fastest_of_each(runs);
	Row& row = b.add_compute(name, flops, seconds[0]);
	if (seconds.size() > 1) row.onednn = flops / *std::min_element(seconds.begin() + 1, seconds.end()) / 1e9;
}

void bench_matmul(Bench& b, int64_t M, int64_t K, int64_t N, DType type = DType::f32) {
	const std::string name = "matmul " + std::to_string(M) + " x " + std::to_string(K) + " x " + std::to_string(N);
	Floats a = b.normal(M * K), w(N * K), c(M * N), dy = b.normal(M * N), dx(M * K);
	if (type == DType::f32) w = b.normal(N * K);  // 16-bit: zeros do
	Aligned<uint8_t> packed = b.pack("matmul", w.data(), type, {N, K, 0});
	const double flops = 2.0 * M * K * N;
	const bool full = type == DType::f32;
	const std::string suffix = full ? "" : std::string(", ") + name_of(type) + " weight";
	add(b, name + suffix, flops,
		b.call("matmul", {operand(a), operand(packed, type), none(), none(), operand(c), none()}, {1, M, N, K, 0, 1, K, K, N, 0, 0, 0, 0, 1, 0, 0}, {1}),
		full ? onednn_matmul(M, K, N, b.team.size()) : std::vector<std::function<void()>>());
	add(b, name + ", input gradient" + suffix, flops,
		b.call("matmul", {operand(dy), operand(packed, type), none(), none(), operand(dx), none()}, {1, M, K, N, 0, 0, N, K, K, 0, 0, 0, 0, 1, 0, 0}, {1}),
		full ? onednn_matmul(M, N, K, b.team.size()) : std::vector<std::function<void()>>());
	if (!full) return;
	Floats dw(N * K);
	add(b, name + ", weight gradient", flops,
		b.call("matmul", {operand(dy), operand(a), none(), none(), operand(dw), none()}, {1, N, K, M, 1, 0, N, K, K, 0, 0, 0, 0, 0, 0, 0}, {1}), {});
}

void bench_conv(Bench& b, const std::string& name, const ConvProblem& p, int64_t second = 0, DType type = DType::f32, int64_t upsample = 1) {
	const int64_t first = p.C - second, inputs = p.N * p.H * p.W, scale = upsample, OH = p.OH() * scale, OW = p.OW() * scale;
	Floats x1 = b.normal(inputs * first), x2 = b.normal(inputs * second), w(p.O * p.C * p.kernel * p.kernel), bias = b.normal(p.O);
	Floats y(p.N * OH * OW * p.O), dy = b.normal(y.size()), dx1(x1.size()), dx2(x2.size()), dw(w.size());
	if (type == DType::f32) w = b.normal((int64_t)w.size());
	Aligned<uint8_t> packed = b.pack("conv2d", w.data(), type, {p.O, p.C, p.kernel, p.kernel, upsample});
	const std::vector<int64_t> ints{p.N, p.H, p.W, first, second, p.O, p.kernel, p.kernel, p.stride, p.stride, p.pad, p.pad, OH, OW, 0, 1, upsample};
	const std::string title = "conv " + name + (type == DType::f32 ? "" : std::string(", ") + name_of(type) + " weight");
	// An enlarged input is four 2 × 2 convolutions: 4/9 of the multiplications that the plain definition counts.
	const double flops = upsample == 2 ? 16.0 / 9 * p.flops() : p.flops();
	const bool compare = type == DType::f32 && upsample == 1;
	auto yardstick = [&](bool input_grad) { return compare ? onednn_conv(p, input_grad, b.team.size()) : std::vector<std::function<void()>>(); };
	add(b, title, flops,
		b.call("conv2d", {operand(x1), operand(x2), operand(packed, type), operand(bias), none(), none(), operand(y), none()}, ints), yardstick(false));
	add(b, title + ", input gradient", flops, b.call("conv2d_input_grad", {operand(dy), operand(packed, type), operand(dx1), operand(dx2)}, ints),
		yardstick(true));
	if (compare)
		add(b, title + ", weight gradient", flops, b.call("conv2d_weight_grad", {operand(x1), operand(x2), operand(dy), operand(dw)}, ints), {});
}

}  // namespace

BENCH(matmul) {
	bench_matmul(b, 4096, 320, 2560);
	bench_matmul(b, 4096, 1280, 320);
	bench_matmul(b, 1024, 1024, 1024);
	bench_matmul(b, 77, 1024, 1024);
	bench_matmul(b, 2464, 1024, 4096);
}
BENCH(conv) {
	bench_conv(b, "320->320 @ 64x64", {1, 64, 64, 320, 320, 3, 1, 1});
	bench_conv(b, "640->640 @ 32x32", {1, 32, 32, 640, 640, 3, 1, 1});
	bench_conv(b, "1280->1280 @ 16x16", {1, 16, 16, 1280, 1280, 3, 1, 1});
	bench_conv(b, "320->320 @ 64x64, stride 2", {1, 64, 64, 320, 320, 3, 2, 1});
	bench_conv(b, "640+320->320 @ 64x64", {1, 64, 64, 960, 320, 3, 1, 1}, 320);
}
BENCH(small_maps) {
	bench_matmul(b, 16, 1280, 1280);
	bench_matmul(b, 64, 1280, 1280);
	bench_conv(b, "1280->1280 @ 8x8", {1, 8, 8, 1280, 1280, 3, 1, 1});
	bench_conv(b, "1280->1280 @ 4x4", {1, 4, 4, 1280, 1280, 3, 1, 1});
	bench_conv(b, "1280->1280 @ 4x4, batch 4", {4, 4, 4, 1280, 1280, 3, 1, 1});
	bench_conv(b, "32->64 @ 16x16, batch 16", {16, 16, 16, 32, 64, 3, 1, 1});
}
BENCH(half_weights) {
	for (DType type : {DType::f16, DType::bf16}) {
		bench_matmul(b, 1024, 1024, 1024, type);
		bench_matmul(b, 77, 1024, 1024, type);
		bench_conv(b, "640->640 @ 32x32", {1, 32, 32, 640, 640, 3, 1, 1}, 0, type);
	}
}
BENCH(upsample) { bench_conv(b, "640->640 @ 32x32 -> 64x64", {1, 32, 32, 640, 640, 3, 1, 1}, 0, DType::f32, 2); }
