#include "bench.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#endif

#include "isa/peak.h"

namespace dreamdist::bench {

namespace {

struct Entry {
	const char* name;
	void (*body)(Bench&);
};
std::vector<Entry>& entries() {
	static std::vector<Entry> all;
	return all;
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

using FmaLoop = double (*)(int64_t, double*);
FmaLoop fma_loop_of(const std::string& isa) {
#if DD_HAVE_AVX512
	if (isa == "avx512") return cpu::avx512::fma_loop;
#endif
#if DD_HAVE_AVX2
	if (isa == "avx2") return cpu::avx2::fma_loop;
#endif
#if DD_HAVE_NEON
	if (isa == "neon") return cpu::neon::fma_loop;
#endif
#if DD_HAVE_GENERIC
	if (isa == "generic") return cpu::generic::fma_loop;
#endif
	throw Error("no peak loop for the instruction set " + isa);
}

std::string processor() {
	std::ifstream info("/proc/cpuinfo");
	for (std::string line; std::getline(info, line);)
		if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
	return "unknown processor";
}

std::string quoted(const std::string& text) {
	std::string out = "\"";
	for (char c : text) {
		if (c == '"' || c == '\\') out += '\\';
		out += (unsigned char)c < 32 ? ' ' : c;
	}
	return out + "\"";
}

}  // namespace

void* allocate(size_t bytes) {
	constexpr size_t kHuge = 2 << 20;
	const size_t alignment = bytes >= 2 * kHuge ? kHuge : 64;
	bytes = (bytes + alignment - 1) / alignment * alignment;
	void* p = std::aligned_alloc(alignment, bytes);
	if (!p) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
	if (alignment == kHuge) madvise(p, bytes, MADV_HUGEPAGE);
#endif
	return p;
}

Register::Register(const char* name, void (*body)(Bench&)) { entries().push_back({name, body}); }

Bench::Bench(const KernelTable& table, ThreadTeam& team, double seconds) : table(table), team(team), seconds_(seconds) {}

double Bench::fastest(const std::function<void()>& run) const {
	run();  // touches the memory, wakes the threads
	double best = 1e30;
	const double until = now() + seconds_;
	for (int i = 0; i < 3 || now() < until; i++) {
		const double start = now();
		run();
		best = std::min(best, now() - start);
	}
	return best;
}

std::vector<double> Bench::fastest_of_each(const std::vector<std::function<void()>>& runs) const {
	std::vector<double> best(runs.size(), 1e30);
	for (auto& run : runs) run();
	const double until = now() + seconds_ * (double)runs.size();
	for (int round = 0; round < 3 || now() < until; round++)
		for (size_t i = 0; i < runs.size(); i++) {
			std::this_thread::sleep_for(std::chrono::milliseconds(1));  // the threads of the run before may still be spinning
			for (int repeat = 0; repeat < 3; repeat++) {
				const double start = now();
				runs[i]();
				best[i] = std::min(best[i], now() - start);
			}
		}
	return best;
}

bool Bench::has(const char* kernel) const {
	const KernelInfo* info = table.find(kernel);
	return info && info->run;
}

std::function<void()> Bench::call(const char* kernel, std::vector<Operand> operands, std::vector<int64_t> ints, std::vector<double> floats) const {
	const KernelInfo* info = table.find(kernel);
	if (!info || !info->run) throw Error(std::string("no kernel ") + kernel);
	struct Call {
		std::vector<Operand> operands;
		std::vector<int64_t> ints;
		std::vector<double> floats;
		std::unique_ptr<void, decltype(&std::free)> scratch{nullptr, std::free};
	};
	auto call = std::make_shared<Call>(std::move(operands), std::move(ints), std::move(floats));
	KernelArgs args{call->operands, call->ints, call->floats};
	const int64_t bytes = info->scratch_bytes ? info->scratch_bytes(args, team.size()) : 0;
	if (bytes) call->scratch.reset(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
	args.scratch = call->scratch.get();
	return [call, args, info, this] { info->run(args, team); };
}

double Bench::fastest_call(const char* kernel, std::vector<Operand> operands, std::vector<int64_t> ints, std::vector<double> floats) const {
	return fastest(call(kernel, std::move(operands), std::move(ints), std::move(floats)));
}

Aligned<uint8_t> Bench::pack(const char* packer, const void* source, DType dtype, std::vector<int64_t> ints) const {
	const PackerInfo* info = table.find_packer(packer);
	if (!info || !info->pack) throw Error(std::string("no packer ") + packer);
	Aligned<uint8_t> packed(info->bytes(dtype, ints));
	info->pack(source, dtype, ints, packed.data(), team);
	return packed;
}

Floats Bench::normal(int64_t count) {
	std::normal_distribution<float> distribution;
	Floats values(count);
	for (float& value : values) value = distribution(rng_);
	return values;
}

double Bench::peak_gflops() {
	if (peak_gflops_ == 0) {
		const FmaLoop loop = fma_loop_of(table.name);
		constexpr int64_t kRounds = 2'000'000;
		double flops = 0;
		volatile double keep = 0;
		const double seconds = fastest([&] {
			team.parallel_for(team.size(), 1, [&](int64_t, int64_t, int thread) {
				double each = 0;
				const double result = loop(kRounds, &each);
				if (thread == 0) keep = result, flops = each;
			});
		});
		peak_gflops_ = flops * kRounds * team.size() / seconds / 1e9;
	}
	return peak_gflops_;
}

double Bench::peak_gbps() {
	if (peak_gbps_ == 0) {
		constexpr int64_t kBytes = 64 << 20;
		Aligned<uint8_t> from(kBytes, 1), to(kBytes, 2);
		const double seconds = fastest([&] {
			team.parallel_for(kBytes, 4096, [&](int64_t begin, int64_t end, int) { std::memcpy(to.data() + begin, from.data() + begin, end - begin); });
		});
		peak_gbps_ = 2.0 * kBytes / seconds / 1e9;
	}
	return peak_gbps_;
}

double Bench::matmul_gflops() {
	if (matmul_gflops_ < 0) {
		matmul_gflops_ = 0;
		if (has("matmul") && table.find_packer("matmul")->pack) {
			const int64_t n = 1024;
			Floats a = normal(n * n), w = normal(n * n), c(n * n);
			Aligned<uint8_t> packed = pack("matmul", w.data(), DType::f32, {n, n, 0});
			const double seconds = fastest_call("matmul", {operand(a), operand(packed), none(), none(), operand(c), none()},
												{1, n, n, n, 0, 1, n, n, n, 0, 0, 0, 0, 1, 0, 0}, {1});
			matmul_gflops_ = 2.0 * n * n * n / seconds / 1e9;
		}
	}
	return matmul_gflops_;
}

Row& Bench::add_compute(std::string name, double flops, double seconds) {
	const double rate = flops / seconds / 1e9;
	rows.push_back({std::move(name), rate, true, 100 * rate / peak_gflops(), {}, {}});
	return rows.back();
}
Row& Bench::add_memory(std::string name, double bytes, double seconds) {
	const double rate = bytes / seconds / 1e9;
	rows.push_back({std::move(name), rate, false, 100 * rate / peak_gbps(), {}, {}});
	return rows.back();
}

namespace {

void print_table(Bench& bench, const std::string& machine) {
	std::printf("%s\npeak %.0f GFLOP/s, %.1f GB/s; matmul %.0f GFLOP/s\n\n", machine.c_str(), bench.peak_gflops(), bench.peak_gbps(), bench.matmul_gflops());
	std::printf("%-52s %10s %8s %10s %10s\n", "", "rate", "of peak", "of matmul", "oneDNN");
	for (const Row& row : bench.rows) {
		std::printf("%-52s %5.1f %s %6.0f %%", row.name.c_str(), row.rate, row.compute ? "GF/s" : "GB/s", row.percent_of_peak);
		if (row.percent_of_matmul) std::printf(" %8.0f %%", *row.percent_of_matmul);
		else std::printf(" %10s", "");
		if (row.onednn) std::printf(" %10.1f", *row.onednn);
		std::printf("\n");
	}
}

void print_json(Bench& bench, const std::string& machine) {
	std::printf("{\"machine\":%s,\"peakGflops\":%.1f,\"peakGbps\":%.2f,\"matmulGflops\":%.1f,\"rows\":[", quoted(machine).c_str(), bench.peak_gflops(),
				bench.peak_gbps(), bench.matmul_gflops());
	const char* comma = "";
	for (const Row& row : bench.rows) {
		std::printf("%s\n{\"name\":%s,\"%s\":%.2f,\"percentOfPeak\":%.1f", comma, quoted(row.name).c_str(), row.compute ? "gflops" : "gbps", row.rate, row.percent_of_peak);
		if (row.percent_of_matmul) std::printf(",\"percentOfMatmul\":%.1f", *row.percent_of_matmul);
		if (row.onednn) std::printf(",\"onednn\":%.2f", *row.onednn);
		else std::printf(",\"onednn\":null");
		std::printf("}");
		comma = ",";
	}
	std::printf("]}\n");
}

}  // namespace

int run(int argc, char** argv) {
	bool json = false;
	std::string isa, filter;
	int threads = (int)std::thread::hardware_concurrency();
	double seconds = 0.5;
	for (int i = 1; i < argc; i++) {
		auto is = [&](const char* flag) { return !std::strcmp(argv[i], flag); };
		if (is("--json")) {
			json = true;
			continue;
		}
		if (i + 1 >= argc) return std::fprintf(stderr, "%s needs a value\n", argv[i]), 2;
		if (is("--isa")) isa = argv[++i];
		else if (is("--threads")) threads = std::atoi(argv[++i]);
		else if (is("--filter")) filter = argv[++i];
		else if (is("--seconds")) seconds = std::atof(argv[++i]);
		else return std::fprintf(stderr, "unknown option %s\n", argv[i]), 2;
	}
	ThreadTeam team(threads);
	Bench bench(kernel_table(isa), team, seconds);
	for (const Entry& entry : entries())
		if (std::string(entry.name).find(filter) != std::string::npos) entry.body(bench);
	if (bench.rows.empty()) {
		std::string groups;
		for (const Entry& entry : entries()) groups += (groups.empty() ? "" : ", ") + std::string(entry.name);
		return std::fprintf(stderr, "bench: no group's name contains \"%s\"; there are %s\n", filter.c_str(), groups.c_str()), 2;
	}
	const std::string machine = processor() + ", " + std::to_string(team.size()) + " threads, " + bench.table.name;
	(json ? print_json : print_table)(bench, machine);
	return 0;
}

}  // namespace dreamdist::bench

int main(int argc, char** argv) {
	try {
		return dreamdist::bench::run(argc, argv);
	} catch (const std::exception& error) {
		std::fprintf(stderr, "%s\n", error.what());
		return 1;
	}
}
