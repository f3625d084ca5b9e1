// Tests of the emulated device itself: specimens against float64, and every planted fault caught.
//   emulator_tests [--order forward|reverse|random] [--seed N] [--no-mutants] [--verbose]
// Compiled with -fsanitize=thread (without libtsan) it also runs under the race check. The last line is "N passed, N failed, N skipped".
#include <chrono>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "dreamdist/types.h"
#include "mutants.h"
#include "specimen_attention.h"
#include "specimen_conv.h"
#include "specimen_group_norm.h"
#include "specimen_probes.h"

namespace dreamdist::specimen {
namespace {

using gpu::bf16;
using gpu::f16;

struct Failure {
	std::string message;
};

template <class T>
struct Memory {
	T* p;
	size_t count;
	explicit Memory(size_t count) : p(static_cast<T*>(emulated::allocate(count * sizeof(T)))), count(count) {}
	explicit Memory(const std::vector<T>& values) : Memory(values.size()) { std::memcpy(p, values.data(), count * sizeof(T)); }
	~Memory() { emulated::release(p); }
	Memory(const Memory&) = delete;
	std::vector<T> read() const { return std::vector<T>(p, p + count); }
};

template <class T>
std::vector<T> normal(size_t count, unsigned seed, float scale = 1, float mean = 0) {
	std::mt19937 engine(seed);
	std::normal_distribution<float> distribution(mean, scale);
	std::vector<T> values(count);
	for (T& value : values) value = gpu::from_float<T>(distribution(engine));
	return values;
}

template <class T>
void compare(const Memory<T>& memory, const std::vector<double>& want, double absolute, double relative) {
	const std::vector<T> got = memory.read();
	for (size_t i = 0; i < want.size(); i++) {
		const double error = std::fabs(gpu::to_float(got[i]) - want[i]);
		if (!(error <= absolute + relative * std::fabs(want[i])))
			throw Failure{"element " + std::to_string(i) + " is off by " + std::to_string(error)};
	}
	if (emulated::counters.ldmatrix_conflicts) throw Failure{std::to_string(emulated::counters.ldmatrix_conflicts) + " bank conflicts of ldmatrix"};
}

template <class T>
void check_group_norm(int n, int hw, int c, int groups, float mean) {
	const auto x = normal<T>(size_t(n) * hw * c, 1, 1.5f, mean);
	std::vector<float> gamma(c), beta(c);
	for (int i = 0; i < c; i++) {
		gamma[i] = 0.5f + 0.01f * i;
		beta[i] = 0.3f - 0.02f * i;
	}
	const int rows_per_chunk = 16, chunks = (hw + rows_per_chunk - 1) / rows_per_chunk, threads = 256, columns = c < threads ? c : threads;
	Memory<T> device_x(x), device_y(x.size());
	Memory<float> device_gamma(gamma), device_beta(beta);
	Memory<float2> parts(size_t(n) * chunks * groups);
	gpu::launch<gn_stats<T>>(dim3(chunks, n), threads, size_t(threads / columns) * c * 8, 0, device_x.p, parts.p, hw, c, groups, rows_per_chunk);
	const int blocks = (hw * c / 8 + threads * 4 - 1) / (threads * 4);
	gpu::launch<gn_apply<T, true>>(dim3(blocks ? blocks : 1, n), threads, 0, 0, device_x.p, parts.p, device_gamma.p, device_beta.p, device_y.p, hw, c, groups, chunks, 1e-5f);
	std::vector<double> want(x.size());
	const int width = c / groups;
	for (int b = 0; b < n; b++)
		for (int g = 0; g < groups; g++) {
			double sum = 0, squares = 0;
			auto at = [&](int r, int k) { return (size_t(b) * hw + r) * c + g * width + k; };
			auto each = [&](auto f) {
				for (int r = 0; r < hw; r++)
					for (int k = 0; k < width; k++) f(at(r, k), g * width + k);
			};
			each([&](size_t i, int) { sum += gpu::to_float(x[i]); });
			const double average = sum / (double(hw) * width);
			each([&](size_t i, int) { squares += (gpu::to_float(x[i]) - average) * (gpu::to_float(x[i]) - average); });
			const double scale = 1 / std::sqrt(squares / (double(hw) * width) + 1e-5);
			each([&](size_t i, int channel) {
				const double v = (gpu::to_float(x[i]) - average) * scale * gamma[channel] + beta[channel];
				want[i] = v / (1 + std::exp(-v));
			});
		}
	compare(device_y, want, 2e-3, 1.0 / 200);
}

template <class T, bool Causal>
void check_attention(int batch, int heads, int lq, int lk) {
	const size_t row = size_t(heads) * 64;
	const auto q = normal<T>(batch * lq * row, 1), v = normal<T>(batch * lk * row, 3);
	auto k = normal<T>(batch * lk * row, 2);
	// Late maxima, so that the rescaling matters.
	for (size_t i = 0; i < k.size(); i++)
		if (i / row % lk == size_t(lk - 1)) k[i] = gpu::from_float<T>(2 * gpu::to_float(k[i]));
	Memory<T> device_q(q), device_k(k), device_v(v), device_o(q.size());
	gpu::launch<attention_fwd<T, Causal>>(dim3((lq + 63) / 64, batch * heads), 128, size_t(kAttnSmem), 0,
										  AttnArgs{device_q.p, device_k.p, device_v.p, device_o.p, lq, lk, heads, 0.125f});
	std::vector<double> want(q.size(), 0.0), score(lk);
	for (int b = 0; b < batch; b++)
		for (int h = 0; h < heads; h++)
			for (int i = 0; i < lq; i++) {
				auto at = [&](const std::vector<T>& x, int length, int r, int e) { return (double)gpu::to_float(x[(size_t(b) * length + r) * row + h * 64 + e]); };
				const int keys = Causal ? std::min(lk, i + lk - lq + 1) : lk;
				double largest = -1e300, sum = 0;
				for (int j = 0; j < keys; j++) {
					score[j] = 0;
					for (int e = 0; e < 64; e++) score[j] += at(q, lq, i, e) * at(k, lk, j, e) * 0.125;
					largest = std::max(largest, score[j]);
				}
				for (int j = 0; j < keys; j++) sum += score[j] = std::exp(score[j] - largest);
				for (int j = 0; j < keys; j++)
					for (int e = 0; e < 64; e++) want[(size_t(b) * lq + i) * row + h * 64 + e] += score[j] / sum * at(v, lk, j, e);
			}
	compare(device_o, want, 4e-3, 1.0 / 128);
}

template <class T, int BM, int BN, int WM, int WN, int Stages>
void check_conv(int n, int h, int w, int ci, int co) {
	const auto x = normal<T>(size_t(n) * h * w * ci, 1), weight = normal<T>(size_t(co) * 9 * ci, 2, 1 / std::sqrt(9.0f * ci));
	std::vector<float> bias(co);
	for (int i = 0; i < co; i++) bias[i] = 0.1f * (i % 7) - 0.3f;
	Memory<T> device_x(x), device_w(weight), device_y(size_t(n) * h * w * co);
	Memory<float> device_bias(bias);
	gpu::launch<conv3x3_fwd<T, BM, BN, WM, WN, Stages>>(dim3((n * h * w + BM - 1) / BM, (co + BN - 1) / BN), WM * WN * 32, size_t(conv_smem<BM, BN, Stages>()), 0,
														ConvArgs{device_x.p, device_w.p, device_bias.p, device_y.p, n, h, w, ci, co});
	std::vector<double> want(device_y.count);
	for (size_t at = 0; at < want.size(); at++) {
		const int o = int(at % co), j = int(at / co % w), i = int(at / co / w % h), b = int(at / co / w / h);
		double sum = bias[o];
		for (int tap = 0; tap < 9; tap++) {
			const int y = i + tap / 3 - 1, z = j + tap % 3 - 1;
			if (y < 0 || y >= h || z < 0 || z >= w) continue;
			for (int c = 0; c < ci; c++)
				sum += (double)gpu::to_float(x[((size_t(b) * h + y) * w + z) * ci + c]) * gpu::to_float(weight[(size_t(o) * 9 + tap) * ci + c]);
		}
		want[at] = sum;
	}
	compare(device_y, want, 1e-3, 1.0 / 200);
}

template <class T>
void check_mma() {
	const auto a = normal<T>(256, 5), b = normal<T>(128, 6);
	Memory<T> device_a(a), device_b(b);
	Memory<float> c(128);
	gpu::launch<probe_mma<T>>(1, 32, 0, 0, device_a.p, device_b.p, c.p);
	std::vector<double> want(128, 0.0);
	for (int i = 0; i < 16; i++)
		for (int j = 0; j < 8; j++)
			for (int k = 0; k < 16; k++) want[i * 8 + j] += (double)gpu::to_float(a[i * 16 + k]) * gpu::to_float(b[k * 8 + j]);
	compare(c, want, 1e-4, 0);
}

// A number as the nearest of tf32's: ten bits after the point.
double tf32_value(float x) {
	int exponent;
	const double fraction = std::frexp((double)x, &exponent);
	return std::ldexp(std::round(std::ldexp(fraction, 11)), exponent - 11);
}
void check_mma_tf32() {
	const auto a = normal<float>(128, 5), b = normal<float>(64, 6);
	Memory<float> device_a(a), device_b(b), c(128);
	gpu::launch<probe_mma_tf32>(1, 32, 0, 0, device_a.p, device_b.p, c.p);
	std::vector<double> want(128, 0.0);
	for (int i = 0; i < 16; i++)
		for (int j = 0; j < 8; j++)
			for (int k = 0; k < 8; k++) want[i * 8 + j] += tf32_value(a[i * 8 + k]) * tf32_value(b[k * 8 + j]);
	compare(c, want, 1e-5, 0);
}

void check_warp() {
	Memory<int> out(64 * 6);
	gpu::launch<probe_warp>(1, 64, 0, 0, out.p);
	const auto got = out.read();
	for (int t = 0; t < 64; t++) {
		const int lane = t & 31, other = ((t & 32) + 31 - lane) * 3;
		unsigned odd = 0;
		for (int l = 0; l < 32; l++) odd |= unsigned(((t & 32) + 31 - l) * 3 & 1) << l;
		const int want[6] = {other + (lane < 8 ? (lane ^ 3) : 0), int(odd), 496, lane % 8 ? lane - 1 : lane, 64, other + 1};
		for (int i = 0; i < 6; i++)
			if (got[t * 6 + i] != want[i]) throw Failure{"thread " + std::to_string(t) + ", value " + std::to_string(i)};
	}
}

void check_global() {
	Memory<int> sum(std::vector<int>{0}), flag(std::vector<int>{0});
	gpu::launch<probe_global>(4, 64, 0, 0, sum.p, flag.p);
	if (sum.read()[0] != 256) throw Failure{"the sum is " + std::to_string(sum.read()[0])};
}

void check_conversions() {
	for (int i = 0; i < 65536; i++) {
		const float half = gpu::f16_value(uint16_t(i)), brain = gpu::to_float(bf16{uint16_t(i)});
		if (half == half && gpu::f16_bits(half) != i) throw Failure{"f16 " + std::to_string(i)};
		if (brain == brain && gpu::bf16_bits(brain) != i) throw Failure{"bf16 " + std::to_string(i)};
		if (i >= 0x7bff) continue;
		// Half way between neighbours: to the even one.
		const float middle = (half + gpu::f16_value(uint16_t(i + 1))) / 2;
		if (gpu::f16_bits(middle) != ((i & 1) ? i + 1 : i)) throw Failure{"f16 tie after " + std::to_string(i)};
	}
	const std::pair<float, float> rounded[] = {{0, 0}, {1, 1}, {1 + 0x1p-11f, 1 + 0x1p-10f}, {1 + 0x1p-11f - 0x1p-23f, 1}, {-1 - 0x1p-11f, -1 - 0x1p-10f},
											   {2 - 0x1p-23f, 2}, {INFINITY, INFINITY}, {-INFINITY, -INFINITY}, {3.4027e38f, INFINITY}};
	auto tf32 = [](uint32_t bits) { return gpu::float_of_bits(gpu::round_tf32(bits) & ~0x1fffu); };
	for (auto [from, to] : rounded)
		if (tf32(gpu::bits_of_float(from)) != to) throw Failure{"tf32 of " + std::to_string(from)};
	for (uint32_t nan : {0x7fc00000u, 0x7fffffffu, 0xffffffffu})
		if (!std::isnan(tf32(nan))) throw Failure{"tf32 of NaN " + std::to_string(nan)};
}

void expect_error(const std::function<void()>& body, const char* part) {
	try {
		body();
	} catch (const Error& error) {
		if (std::string(error.what()).find(part) != std::string::npos) return;
		throw Failure{std::string("reported as: ") + error.what()};
	}
	throw Failure{"not reported"};
}

void check_reports() {
	Memory<float> out(32);
	expect_error([&] { gpu::launch<probe_overflow>(1, 32, 32 * 4, 0, out.p, 33); }, "kernel dreamdist::specimen::probe_overflow: shared memory access 1 bytes past the end");
	expect_error([&] { gpu::launch<probe_overflow>(1, 64, 64 * 4, 0, out.p, 64); }, "global access out of bounds: offset 128 of a buffer of 128 bytes at block (0,0,0) thread (32,0,0)");
	expect_error([&] { gpu::launch<probe_overflow>(1, 32, 300 * 1024, 0, out.p, 32); }, "too much dynamic shared memory");
	expect_error([&] { gpu::launch<probe_overflow>(1, 2048, 64, 0, out.p, 32); }, "invalid block size");
}

struct Case {
	const char* name;
	std::function<void()> body;
};
const Case kCases[] = {
	{"conversions", check_conversions},
	{"probe warp", check_warp},
	{"probe global", check_global},
	{"mma bf16", check_mma<bf16>},
	{"mma f16", check_mma<f16>},
	{"mma tf32", check_mma_tf32},
	{"group norm bf16 1x256x64, 32 groups", [] { check_group_norm<bf16>(1, 256, 64, 32, 0); }},
	{"group norm bf16 2x37x320, 32 groups of 10", [] { check_group_norm<bf16>(2, 37, 320, 32, 3); }},
	{"group norm bf16 1x9x30, no multiple of 8", [] { check_group_norm<bf16>(1, 9, 30, 5, -2); }},
	{"group norm f16 2x5x7, odd", [] { check_group_norm<f16>(2, 5, 7, 7, 0); }},
	{"attention bf16 64x64", [] { check_attention<bf16, false>(1, 1, 64, 64); }},
	{"attention bf16 100x77", [] { check_attention<bf16, false>(1, 2, 100, 77); }},
	{"attention f16 33x200", [] { check_attention<f16, false>(2, 1, 33, 200); }},
	{"attention bf16 1x1", [] { check_attention<bf16, false>(1, 1, 1, 1); }},
	{"attention bf16 causal 77x77", [] { check_attention<bf16, true>(1, 2, 77, 77); }},
	{"attention bf16 causal 150x150", [] { check_attention<bf16, true>(1, 1, 150, 150); }},
	{"attention bf16 causal 100x140", [] { check_attention<bf16, true>(1, 1, 100, 140); }},
	{"attention bf16 causal 100x33, rows without keys", [] { check_attention<bf16, true>(1, 1, 100, 33); }},
	{"conv bf16 16x16 64>64", [] { check_conv<bf16, 64, 64, 2, 2, 3>(1, 16, 16, 64, 64); }},
	{"conv bf16 2x7x9 8>4", [] { check_conv<bf16, 64, 64, 2, 2, 3>(2, 7, 9, 8, 4); }},
	{"conv bf16 5x13 40>3", [] { check_conv<bf16, 64, 64, 2, 2, 3>(1, 5, 13, 40, 3); }},
	{"conv f16 11x17 24>136", [] { check_conv<f16, 128, 128, 2, 4, 4>(1, 11, 17, 24, 136); }},
	{"conv bf16 1x1 16>70", [] { check_conv<bf16, 64, 64, 2, 2, 3>(1, 1, 1, 16, 70); }},
	{"errors are reported", check_reports},
};

// Empty where the case passes.
std::string outcome(const Case& one) {
	try {
		one.body();
		return "";
	} catch (const Failure& failure) {
		return failure.message;
	} catch (const Error& error) {
		return error.what();
	}
}

// The first message of the cases that run the mutant's specimen; empty: it was not noticed.
std::string noticed(const Mutant& mutant, emulated::Order order, bool race) {
	emulated::settings.order = order;
	emulated::settings.race_check = race;
	emulated::settings.timeout_seconds = 1;
	emulated::mutant = mutant.number;
	std::string message;
	for (const Case& one : kCases)
		if (message.empty() && std::string(one.name).rfind(mutant.cases, 0) == 0) message = outcome(one);
	emulated::mutant = 0;
	return message;
}

struct Totals {
	int passed = 0, failed = 0;
	void count(bool ok, const std::string& text) {
		(ok ? passed : failed)++;
		if (!ok) std::printf("FAIL %s\n", text.c_str());
	}
};

void run_mutants(Totals& totals, bool instrumented, bool verbose) {
	const emulated::Settings kept = emulated::settings;
	for (const Mutant& mutant : kMutants) {
		const std::string name = "mutant " + std::to_string(mutant.number) + " (" + mutant.cases + ": " + mutant.fault + ")";
		auto expect = [&](const char* mode, emulated::Order order, bool race, bool caught) {
			const std::string message = noticed(mutant, order, race);
			totals.count(message.empty() != caught, name + (caught ? " is not noticed " : " is noticed ") + mode + " " + message);
			if (verbose) std::printf("%-12s %s: %s\n", mode, name.c_str(), message.c_str());
		};
		if (instrumented) {
			expect("by the race check", emulated::Order::forward, true, mutant.caught != kNever);
			continue;
		}
		expect("in order", emulated::Order::forward, false, mutant.caught == kEveryMode);
		expect("in reverse", emulated::Order::reverse, false, mutant.caught == kEveryMode || mutant.caught == kReverse);
	}
	emulated::settings = kept;
}

int run_all(int argc, char** argv) {
#if defined(__SANITIZE_THREAD__)
	constexpr bool kInstrumented = true;
#else
	constexpr bool kInstrumented = false;
#endif
	bool mutants = true, verbose = false;
	emulated::settings.race_check = kInstrumented;
	for (int i = 1; i < argc; i++) {
		const std::string option = argv[i];
		const std::string value = i + 1 < argc ? argv[i + 1] : "";
		if (option == "--no-mutants") mutants = false;
		else if (option == "--verbose") verbose = true;
		else if (option == "--seed") emulated::settings.seed = std::stoul(value), i++;
		else if (option == "--order") {
			emulated::settings.order = value == "reverse" ? emulated::Order::reverse : value == "random" ? emulated::Order::random : emulated::Order::forward;
			i++;
		} else return std::fprintf(stderr, "unknown option %s\n", option.c_str()), 2;
	}
	Totals totals;
	for (const Case& one : kCases) {
		const std::string message = outcome(one);
		totals.count(message.empty(), std::string(one.name) + ": " + message);
	}
	if (mutants) run_mutants(totals, kInstrumented, verbose);
	std::printf("%d passed, %d failed, 0 skipped\n", totals.passed, totals.failed);
	return totals.failed ? 1 : 0;
}

}  // namespace
}  // namespace dreamdist::specimen

int main(int argc, char** argv) { return dreamdist::specimen::run_all(argc, argv); }
