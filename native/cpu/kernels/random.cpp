// random: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), one vector lane per block.
//
// An element depends on its row's key and its position alone. For normals the angle is taken off in integers (the quadrant is u1's top
// bits) and ln(v) near v = 1 comes from 1 − v = ~u0·2⁻³², exact, so that both agree with the float64 formula to 1e-6 in f32 arithmetic.
#include "../vector_math.h"
#include "strided.h"
#include "table.h"
#include "transpose.h"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace dreamdist::cpu::DD_ISA {

namespace {

enum RandomKind : int64_t { kNormal = 0, kUniform = 1, kWords = 2 };
typedef uint64_t vu64 __attribute__((vector_size(DD_LANES * 4), may_alias));

// The 64-bit products of the even 32-bit lanes.
inline vu64 multiply_even(vu64 a, vu64 b) {
#if defined(__AVX512F__)
	return (vu64)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
	return (vu64)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
	return (vu64)_mm_mul_epu32((__m128i)a, (__m128i)b);
#elif defined(__aarch64__)
	return (vu64)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
#else
	return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

struct Words {
	vu word[4];
};

struct Product {
	vu low, high;
};
inline Product multiply(vu a, uint32_t m) {
	const vu64 factor = vu64{} + m, upper = vu64{} + 0xffffffff00000000u;
	const vu64 even = multiply_even((vu64)a, factor), odd = multiply_even((vu64)a >> 32, factor);
	return {(vu)((even & ~upper) | (odd << 32)), (vu)((even >> 32) | (odd & upper))};
}

Words philox(Words counter, uint32_t k0, uint32_t k1) {
	vu *c = counter.word;
	for (int round = 0; round < 10; round++) {
		const Product p = multiply(c[0], 0xd2511f53u), q = multiply(c[2], 0xcd9e8d57u);
		const vu c1 = c[1], c3 = c[3];
		c[0] = q.high ^ c1 ^ k0;
		c[1] = q.low;
		c[2] = p.high ^ c3 ^ k1;
		c[3] = p.low;
		k0 += 0x9e3779b9u;
		k1 += 0xbb67ae85u;
	}
	return counter;
}

// √(−2 ln((u + 1)·2⁻³²))
inline vf radius(vu u) {
	const vf v = __builtin_convertvector(u + (1 - ((vu)(u == 0xffffffffu) & 1)), vf) * set1(0x1p-32f);
	const vf below = __builtin_convertvector(~u, vf) * set1(-0x1p-32f);  // v − 1
	// As vlog, but where no power of two is taken off v − 1 is known exactly.
	const vi bits = (vi)v - 0x3f3504f3, e = bits >> 23;
	const vf f = select(e == 0, below, (vf)((bits & 0x7fffff) + 0x3f3504f3) - set1(1.0f));
	return vsqrt(log_reduced(f, e) * set1(-2.0f));
}

// The sine and cosine of 2π·u·2⁻³².
inline void turn(vu u, vf& sine, vf& cosine) {
	const vu quadrant = (u + 0x20000000u) >> 30;
	const vf r = to_float((vi)(u - (quadrant << 30))) * set1(1.46291807926715968e-9f);  // 2π·2⁻³²
	sincos_reduced(r, (vi)quadrant, sine, cosine);
}

// kLanes blocks from block number j on, as they are stored: out[4·lane + word].
void generate(const int32_t* key, int64_t j, int64_t kind, uint32_t* out) {
	Words counter;
	vu lane;
	for (int i = 0; i < kLanes; i++) lane[i] = (uint32_t)i;
	counter.word[0] = lane + (uint32_t)(uint64_t)j;
	counter.word[1] = (uint32_t)((uint64_t)j >> 32) - (vu)(counter.word[0] < lane);  // the carry
	counter.word[2] = vu{} + (uint32_t)key[2];
	counter.word[3] = vu{} + (uint32_t)key[3];
	Words words = philox(counter, (uint32_t)key[0], (uint32_t)key[1]);
	if (kind == kNormal) {
		for (int pair = 0; pair < 4; pair += 2) {
			const vf r = radius(words.word[pair]);
			vf sine, cosine;
			turn(words.word[pair + 1], sine, cosine);
			words.word[pair] = (vu)(r * cosine);
			words.word[pair + 1] = (vu)(r * sine);
		}
	} else if (kind == kUniform) {
		for (vu& word : words.word) word = (vu)(to_float((vi)(word >> 8)) * set1(0x1p-24f));
	}
	// The words of a block lie next to each other.
	for (int lane = 0; lane < kLanes; lane += 4) {
		Words4 rows[4];
		for (int w = 0; w < 4; w++) std::memcpy(&rows[w], reinterpret_cast<const char*>(&words.word[w]) + 4 * lane, 16);
		transpose_registers(rows);
		std::memcpy(out + 4 * lane, rows, sizeof rows);
	}
}

}  // namespace

void random(const KernelArgs& args, ThreadTeam& team) {
	const int64_t rows = args.ints[0], n = args.ints[1], kind = args.ints[2];
	if (kind < kNormal || kind > kWords) throw_call_error("random", "the kind must be 0, 1 or 2", kind);
	if (rows <= 0 || n <= 0) return;
	const auto* keys = args.ptr<const int32_t>(0);
	auto* y = args.ptr<uint32_t>(1);
	constexpr int64_t kStep = 4 * kLanes;
	const int64_t steps = div_up(n, kStep), units = rows * steps;
	team.parallel_for(units, rows * n < kSerialWork / 4 ? units : 16, [&](int64_t begin, int64_t end, int) {
		uint32_t rest[kStep];
		for (int64_t unit = begin; unit < end; unit++) {
			const int64_t row = unit / steps, first = unit % steps * kStep, count = min64(kStep, n - first);
			uint32_t* to = y + row * n + first;
			generate(keys + 4 * row, first / 4, kind, count == kStep ? to : rest);
			if (count < kStep) std::memcpy(to, rest, count * 4);
		}
	});
}

}  // namespace dreamdist::cpu::DD_ISA
