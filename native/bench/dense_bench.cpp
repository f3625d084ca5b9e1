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

// A packed weight in as many copies as overflow the last cache, used in turns where each call of a network finds its weight in memory.
struct Weights {
	DType type;
	std::vector<Aligned<uint8_t>> copies;

	Weights(Bench& b, const char* packer, int64_t elements, DType type, std::vector<int64_t> ints, bool cold) : type(type) {
		constexpr size_t kBeyondCaches = 320 << 20;
		Floats values = b.normal(elements);
		Aligned<uint8_t> stored(elements * bytes_of(type));
		b.call("copy", {operand(values), operand(stored, type)}, {1, elements, 1, 1})();
		copies.push_back(b.pack(packer, stored.data(), type, std::move(ints)));
		while (cold && copies.size() * copies[0].size() < kBeyondCaches) copies.push_back(copies[0]);
	}
	// One run of whichever call is next; `call` makes the call for a copy.
	template <class Call>
	std::function<void()> in_turns(const Call& call) {
		std::vector<std::function<void()>> calls;
		for (auto& copy : copies) calls.push_back(call(operand(copy, type)));
		return [calls = std::move(calls), next = size_t{0}]() mutable { calls[next++ % calls.size()](); };
	}
};

std::string suffix_of(DType type, bool cold) {
	return (type == DType::f32 ? "" : std::string(", ") + name_of(type) + " weight") + (cold ? " from memory" : "");
}

void bench_matmul(Bench& b, int64_t M, int64_t K, int64_t N, DType type = DType::f32, bool cold = false) {
	const std::string name = "matmul " + std::to_string(M) + " x " + std::to_string(K) + " x " + std::to_string(N);
	Floats a = b.normal(M * K), c(M * N), dy = b.normal(M * N), dx(M * K);
	Weights weights(b, "matmul", N * K, type, {N, K, 0}, cold);
	const double flops = 2.0 * M * K * N;
	const bool full = type == DType::f32 && !cold;
	const std::string suffix = suffix_of(type, cold);
	add(b, name + suffix, flops, weights.in_turns([&](Operand w) {
		return b.call("matmul", {operand(a), w, none(), none(), operand(c), none()}, {1, M, N, K, 0, 1, K, K, N, 0, 0, 0, 0, 1, 0, 0}, {1});
	}),
		full ? onednn_matmul(M, K, N, b.team.size()) : std::vector<std::function<void()>>());
	add(b, name + ", input gradient" + suffix, flops, weights.in_turns([&](Operand w) {
		return b.call("matmul", {operand(dy), w, none(), none(), operand(dx), none()}, {1, M, K, N, 0, 0, N, K, K, 0, 0, 0, 0, 1, 0, 0}, {1});
	}),
		full ? onednn_matmul(M, N, K, b.team.size()) : std::vector<std::function<void()>>());
	if (!full) return;
	Floats dw(N * K);
	add(b, name + ", weight gradient", flops,
		b.call("matmul", {operand(dy), operand(a), none(), none(), operand(dw), none()}, {1, N, K, M, 1, 0, N, K, K, 0, 0, 0, 0, 0, 0, 0}, {1}), {});
}

void bench_conv(Bench& b, const std::string& name, const ConvProblem& p, int64_t second = 0, DType type = DType::f32, int64_t upsample = 1, bool cold = false) {
	const int64_t first = p.C - second, inputs = p.N * p.H * p.W, scale = upsample, OH = p.OH() * scale, OW = p.OW() * scale;
	const int64_t filter = p.O * p.C * p.kernel * p.kernel;
	Floats x1 = b.normal(inputs * first), x2 = b.normal(inputs * second), bias = b.normal(p.O);
	Floats y(p.N * OH * OW * p.O), dy = b.normal(y.size()), dx1(x1.size()), dx2(x2.size()), dw(filter);
	Weights weights(b, "conv2d", filter, type, {p.O, p.C, p.kernel, p.kernel, upsample}, cold);
	const std::vector<int64_t> ints{p.N, p.H, p.W, first, second, p.O, p.kernel, p.kernel, p.stride, p.stride, p.pad, p.pad, OH, OW, 0, 1, upsample};
	const std::string title = "conv " + name, suffix = suffix_of(type, cold);
	// An enlarged input is four 2 × 2 convolutions: 4/9 of the multiplications that the plain definition counts.
	const double flops = upsample == 2 ? 16.0 / 9 * p.flops() : p.flops();
	const bool compare = type == DType::f32 && upsample == 1 && !cold;
	auto yardstick = [&](bool input_grad) { return compare ? onednn_conv(p, input_grad, b.team.size()) : std::vector<std::function<void()>>(); };
	add(b, title + suffix, flops, weights.in_turns([&](Operand w) {
		return b.call("conv2d", {operand(x1), operand(x2), w, operand(bias), none(), none(), operand(y), none()}, ints);
	}),
		yardstick(false));
	add(b, title + ", input gradient" + suffix, flops, weights.in_turns([&](Operand w) {
		return b.call("conv2d_input_grad", {operand(dy), w, operand(dx1), operand(dx2)}, ints);
	}),
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
// A network's layers find their weights in memory, not in a cache: Stable Diffusion 2.1's, on latents of 32 x 32.
BENCH(unet_32x32) {
	struct Level {
		int64_t side, channels;
	};
	for (const Level& level : {Level{32, 320}, {16, 640}, {8, 1280}, {4, 1280}}) {
		const int64_t side = level.side, C = level.channels, rows = side * side;
		const std::string size = " @ " + std::to_string(side) + "x" + std::to_string(side), width = std::to_string(C);
		bench_matmul(b, rows, C, C, DType::f16, true);
		bench_matmul(b, rows, C, 8 * C, DType::f16, true);
		bench_matmul(b, rows, 4 * C, C, DType::f16, true);
		bench_conv(b, width + "->" + width + size, {1, side, side, C, C, 3, 1, 1}, 0, DType::f16, 1, true);
		bench_conv(b, width + "+" + width + "->" + width + size, {1, side, side, 2 * C, C, 3, 1, 1}, C, DType::f16, 1, true);
	}
}
BENCH(upsample) { bench_conv(b, "640->640 @ 32x32 -> 64x64", {1, 32, 32, 640, 640, 3, 1, 1}, 0, DType::f32, 2); }
