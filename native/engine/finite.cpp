#include "dreamdist/finite.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace dreamdist {

namespace {
// A float is not finite when all bits of its exponent are set. Blocks keep the inner loop free of branches, and small enough to be
// copied out of memory that is not aligned.
constexpr int64_t kBlock = 4096;

template <class Bits>
int64_t count(const uint8_t* bytes, Bits exponent, int64_t elements, ThreadTeam& team) {
	std::atomic<int64_t> total{0};
	const int64_t blocks = (elements + kBlock - 1) / kBlock;
	team.parallel_for(blocks, 1, [&](int64_t first, int64_t last, int) {
		Bits block[kBlock];
		int64_t found = 0;
		for (int64_t b = first; b < last; b++) {
			const int64_t n = std::min(kBlock, elements - b * kBlock);
			std::memcpy(block, bytes + b * kBlock * (int64_t)sizeof(Bits), n * sizeof(Bits));
			Bits any = 0;
			for (int64_t i = 0; i < n; i++) any |= (Bits)((block[i] & exponent) == exponent);
			if (any)
				for (int64_t i = 0; i < n; i++) found += (block[i] & exponent) == exponent;
		}
		total += found;
	});
	return total;
}
}  // namespace

int64_t count_non_finite(const void* bytes, DType type, int64_t elements, ThreadTeam& team) {
	const auto* from = static_cast<const uint8_t*>(bytes);
	switch (type) {
		case DType::f32: return count<uint32_t>(from, 0x7f800000u, elements, team);
		case DType::f16: return count<uint16_t>(from, 0x7c00, elements, team);
		case DType::bf16: return count<uint16_t>(from, 0x7f80, elements, team);
		case DType::i32: return 0;
	}
	return 0;
}

}  // namespace dreamdist
