// Kernel microbenchmarks: BENCH(name) { … } adds rows to one table.
//
//   engine_bench [--json] [--isa NAME] [--threads N] [--filter TEXT] [--seconds S]
// --filter runs the groups (the NAMEs of BENCH) whose name contains TEXT.
// A row's rate is that of its fastest run; its share is of what the machine itself reaches in the same process: a loop of multiply-adds
// in registers for GFLOP/s, memcpy for GB/s (bytes read plus bytes written).
#pragma once
#include <cstdlib>
#include <functional>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "dreamdist/isa.h"
#include "dreamdist/kernels.h"

namespace dreamdist::bench {

// Memory as the engine's arena has it: whole cache lines, huge pages where it is large.
void* allocate(size_t bytes);
template <class T>
struct LineAligned {
	using value_type = T;
	LineAligned() = default;
	template <class U>
	LineAligned(const LineAligned<U>&) {}
	T* allocate(size_t count) { return static_cast<T*>(bench::allocate(count * sizeof(T))); }
	void deallocate(T* p, size_t) { std::free(p); }
	bool operator==(const LineAligned&) const { return true; }
};
template <class T>
using Aligned = std::vector<T, LineAligned<T>>;
using Floats = Aligned<float>;

struct Row {
	std::string name;
	double rate;   // GFLOP/s or GB/s
	bool compute;  // GFLOP/s
	double percent_of_peak;
	std::optional<double> onednn;             // the same work in oneDNN, in the same unit
	std::optional<double> percent_of_matmul;  // of matmul_gflops()
};

class Bench {
public:
	const KernelTable& table;
	ThreadTeam& team;

	Bench(const KernelTable& table, ThreadTeam& team, double seconds);
	// Seconds of the fastest of as many runs as fit the time budget (at least three).
	double fastest(const std::function<void()>& run) const;
	// The same for several runs that are to be compared: they take turns, so that whatever else the machine does falls on all alike.
	std::vector<double> fastest_of_each(const std::vector<std::function<void()>>& runs) const;
	// One kernel call with scratch of the size it asks for, ready to be repeated; the operands' memory must outlive it.
	std::function<void()> call(const char* kernel, std::vector<Operand> operands, std::vector<int64_t> ints, std::vector<double> floats = {}) const;
	// One kernel call, with scratch of the size it asks for; false where this build has no such kernel.
	bool has(const char* kernel) const;
	double fastest_call(const char* kernel, std::vector<Operand> operands, std::vector<int64_t> ints, std::vector<double> floats = {}) const;
	Aligned<uint8_t> pack(const char* packer, const void* source, DType dtype, std::vector<int64_t> ints) const;
	Floats normal(int64_t count);

	Row& add_compute(std::string name, double flops, double seconds);
	Row& add_memory(std::string name, double bytes, double seconds);

	double peak_gflops();
	double peak_gbps();
	// A 1024 × 1024 × 1024 matmul by packed weights in this run; 0 where this build has no matmul.
	double matmul_gflops();

	std::vector<Row> rows;

private:
	double seconds_;
	std::mt19937 rng_{20231222};
	double peak_gflops_ = 0, peak_gbps_ = 0, matmul_gflops_ = -1;
};

struct Register {
	Register(const char* name, void (*body)(Bench&));
};
#define BENCH(name)                                               \
	static void name(::dreamdist::bench::Bench&);                  \
	static ::dreamdist::bench::Register register_##name(#name, name); \
	static void name(::dreamdist::bench::Bench& b)

inline Operand operand(Floats& v) { return {v.empty() ? nullptr : v.data(), DType::f32}; }
inline Operand operand(Aligned<uint8_t>& v, DType dtype = DType::f32) { return {v.data(), dtype}; }
inline Operand none() { return {}; }

}  // namespace dreamdist::bench
