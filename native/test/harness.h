// A small test harness: TEST(name) { … }, one binary, every case run on every usable instruction set.
//
//   engine_tests [--isa NAME|auto] [--threads N] [--filter TEXT] [--quick] [--times] [--list]
// The last line is "N passed, N failed, N skipped".
#pragma once
#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "dreamdist/isa.h"
#include "dreamdist/kernels.h"

namespace dreamdist::test {

struct Context {
	const KernelTable& table;
	ThreadTeam& team;
	std::mt19937 rng;
	bool quick = false;  // under an emulator or a sanitizer: fewer random cases, smaller large ones

	// How often to repeat a random case, or how large to make a large one.
	int64_t scaled(int64_t full) const { return quick ? (full + 9) / 10 : full; }

	// Runs a kernel by name with scratch of the size it asks for (poisoned with NaN).
	void run(const char* kernel, std::vector<Operand> operands, std::vector<int64_t> ints, std::vector<double> floats = {});
	std::vector<uint8_t> pack(const char* packer, const void* source, DType dtype, std::vector<int64_t> ints);
	std::vector<float> normal(int64_t count, float scale = 1);
	int64_t integer(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(rng); }
};

using Body = std::function<void(Context&)>;
struct Register {
	Register(const char* name, Body body);
};
#define DD_JOIN2(a, b) a##b
#define DD_JOIN(a, b) DD_JOIN2(a, b)
#define TEST(name)                                                                   \
	static void name(::dreamdist::test::Context&);                                   \
	static ::dreamdist::test::Register DD_JOIN(register_, name)(#name, name);        \
	static void name([[maybe_unused]] ::dreamdist::test::Context& t)

[[noreturn]] void fail(const char* file, int line, const std::string& message);
// Ends a case that can't be run here, and says why.
[[noreturn]] void skip(const std::string& reason);
#define CHECK(condition) \
	do { if (!(condition)) ::dreamdist::test::fail(__FILE__, __LINE__, #condition); } while (0)

// The bound of the contract: ‖got − want‖ ≤ bound · max(‖want‖, ‖magnitude‖), where magnitude is the same op on absolute values
// (float64). Anything not finite fails unless the reference is not finite in the same place.
void expect_close(const float* got, const std::vector<double>& want, const std::vector<double>& magnitude, double bound, const std::string& what,
				  const char* file, int line);
#define EXPECT_CLOSE(got, want, magnitude, bound, what) ::dreamdist::test::expect_close(got, want, magnitude, bound, what, __FILE__, __LINE__)

inline Operand operand(std::vector<float>& v) { return {v.empty() ? nullptr : v.data(), DType::f32}; }
inline Operand operand(std::vector<int32_t>& v) { return {v.data(), DType::i32}; }
inline Operand none() { return {}; }

}  // namespace dreamdist::test
