// count_non_finite: every type, at the ends of blocks, in memory that is not aligned.
#include <cmath>
#include <cstring>
#include <limits>

#include "dreamdist/finite.h"
#include "strided_tensors.h"

namespace dreamdist::test {
namespace {
// The bits of 1, the largest finite number, infinity, -infinity and a NaN.
struct Numbers {
	DType type;
	uint32_t one, largest, infinity, negative, nan;
};
constexpr Numbers kNumbers[] = {
	{DType::f32, 0x3f800000, 0x7f7fffff, 0x7f800000, 0xff800000, 0x7fc00001},
	{DType::f16, 0x3c00, 0x7bff, 0x7c00, 0xfc00, 0x7e01},
	{DType::bf16, 0x3f80, 0x7f7f, 0x7f80, 0xff80, 0x7fc1},
};
}  // namespace

TEST(finite_counts) {
	for (const Numbers& numbers : kNumbers)
		for (const int64_t n : {1, 7, 4095, 4096, 4097, 100003})
			for (const int64_t shift : {0, 1}) {
				const int64_t size = bytes_of(numbers.type);
				std::vector<uint8_t> bytes(n * size + 8);
				auto put = [&](int64_t i, uint32_t bits) { std::memcpy(bytes.data() + shift + i * size, &bits, size); };
				auto found = [&] { return count_non_finite(bytes.data() + shift, numbers.type, n, t.team); };
				for (int64_t i = 0; i < n; i++) put(i, i % 2 ? numbers.one : numbers.largest);
				CHECK(found() == 0);
				put(0, numbers.nan);
				CHECK(found() == 1);
				put(n - 1, numbers.infinity);
				put(n / 2, numbers.negative);
				CHECK(found() == (n == 1 ? 1 : 3));
			}
}

TEST(finite_ignores_integers) {
	const std::vector<int32_t> all(100, 0x7f800000);
	CHECK(count_non_finite(all.data(), DType::i32, 100, t.team) == 0);
}

}  // namespace dreamdist::test
