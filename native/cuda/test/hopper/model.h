// Models of TMA, wgmma and mbarrier as NVIDIA documents them, written down apart from the kernels: what the kernels' descriptors, boxes and
// order are checked with on machines without a card. They say nothing about time, and of memory order only what barriers promise.
#pragma once
#include <array>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "../../../test/harness.h"
#include "../../kernels/hopper_layout.h"

namespace dreamdist::test {

// Why a kernel leaves a shape to others (null: it takes it) must hold `word`; an empty one stands for no reason.
inline void expect_reason(const char* why, const std::string& word) {
	const std::string got = why ? why : "";
	if (word.empty() ? !got.empty() : got.find(word) == std::string::npos) fail(__FILE__, __LINE__, "\"" + got + "\" instead of \"" + word + "\"");
}

// Shared memory of a block; a tile's address is what a matrix descriptor would hold.
struct SharedMemory {
	std::vector<uint8_t> bytes = std::vector<uint8_t>(232448, 0xff);  // NaN in every 16-bit type
	uint16_t load(uint32_t address) const {
		uint16_t value;
		std::memcpy(&value, &bytes.at(address + 1) - 1, 2);
		return value;
	}
	void store(uint32_t address, uint16_t value) { std::memcpy(&bytes.at(address + 1) - 1, &value, 2); }
};

// Address bits that a swizzle replaces by their exclusive or with the bits three above them (PTX ISA, "Swizzling modes").
inline uint32_t permuted(uint32_t address, uint32_t mode) {
	const uint32_t bits = mode == 1 ? 3 : mode == 2 ? 2 : mode == 3 ? 1 : 0;
	for (uint32_t bit = 0; bit < bits; bit++) address ^= (address >> (7 + bit) & 1) << (4 + bit);
	return address;
}

// cp.async.bulk.tensor, tile mode: the box at `place` (innermost coordinate first), zero outside the tensor. Returns the bytes it reports.
inline uint32_t copy_box(SharedMemory& shared, uint32_t to, const cuda::hopper::TensorBox& box, const uint16_t* data, std::vector<int> place) {
	if ((int)place.size() != box.rank) fail(__FILE__, __LINE__, "a copy of " + std::to_string(place.size()) + " coordinates from a tensor of " + std::to_string(box.rank));
	if (to % 128) fail(__FILE__, __LINE__, "a box is copied to " + std::to_string(to));
	uint32_t offset = 0, index[5] = {};
	for (;;) {
		bool inside = true;
		uint64_t from = 0;
		for (int d = 0; d < box.rank; d++) {
			const int64_t at = (int64_t)place[d] + (int64_t)index[d] * box.step[d];
			inside = inside && at >= 0 && (uint64_t)at < box.extent[d];
			from += (uint64_t)at * box.stride[d];
		}
		shared.store(permuted(to + offset, (uint32_t)box.swizzle), inside ? data[from / 2] : 0);
		offset += 2;
		int d = 0;
		while (d < box.rank && ++index[d] == box.box[d]) index[d++] = 0;
		if (d == box.rank) return offset;
	}
}

// A matrix descriptor, taken apart.
struct Descriptor {
	uint32_t address, leading, stride, base, mode;
	explicit Descriptor(uint64_t d)
		: address(uint32_t(d & 0x3fff) << 4), leading(uint32_t(d >> 16 & 0x3fff) << 4), stride(uint32_t(d >> 32 & 0x3fff) << 4), base(uint32_t(d >> 49 & 7)), mode(uint32_t(d >> 62)) {}
	// The element of wgmma's operand at (row, k), k below 16; row counts columns of a right operand.
	uint32_t element(int row, int k, bool k_contiguous) const {
		const uint32_t line = mode == 1 ? 128 : mode == 3 ? 32 : 64;
		if (mode == 0 || base != 0) fail(__FILE__, __LINE__, "a descriptor without a swizzle, or with a base offset");
		if (k_contiguous) return permuted(address + row / 8 * stride + row % 8 * line + k * 2, mode);
		const int rows = int(line) / 2;
		return permuted(address + row / rows * leading + row % rows * 2 + k / 8 * stride + k % 8 * line, mode);
	}
};

// wgmma with the left operand in registers (PTX ISA, fragment A of m64k16): where element `e` of a thread's register `r` is.
inline std::pair<int, int> left_place(int thread, int r, int e) { return {thread / 32 * 16 + thread % 32 / 4 + r % 2 * 8, thread % 4 * 2 + e + r / 2 * 8}; }
// ldmatrix.x4 (PTX ISA): lane 8 · m + r points at row r of matrix m; a lane's register m has two neighbouring elements of row lane / 4 of it.
inline std::array<std::array<uint16_t, 8>, 32> load_matrices(const SharedMemory& shared, const std::array<uint32_t, 32>& at) {
	std::array<std::array<uint16_t, 8>, 32> registers;
	for (int lane = 0; lane < 32; lane++) {
		if (at[lane] % 16) fail(__FILE__, __LINE__, "ldmatrix reads at " + std::to_string(at[lane]));
		for (int m = 0; m < 4; m++)
			for (int e = 0; e < 2; e++) registers[lane][m * 2 + e] = shared.load(at[m * 8 + lane / 4] + (lane % 4 * 2 + e) * 2);
	}
	return registers;
}
// And where a thread's accumulator d[j][e] is (fragment D).
inline std::pair<int, int> result_place(int thread, int j, int e) { return {thread / 32 * 16 + thread % 32 / 4 + e / 2 * 8, j * 8 + thread % 4 * 2 + e % 2}; }

// mbarrier: phases that end when all arrivals have come; a wait for a parity passes when the phase of that parity has ended.
class Barrier {
public:
	explicit Barrier(int arrivals = 1) : arrivals_(arrivals), missing_(arrivals) {}
	void arrive() {
		std::lock_guard<std::mutex> lock(mutex_);
		if (--missing_ > 0) return;
		missing_ = arrivals_;
		phase_++;
		changed_.notify_all();
	}
	// False where it would hang.
	bool wait(uint32_t parity) {
		std::unique_lock<std::mutex> lock(mutex_);
		return changed_.wait_for(lock, std::chrono::seconds(5), [&] { return (phase_ & 1) != parity; });
	}

private:
	std::mutex mutex_;
	std::condition_variable changed_;
	int arrivals_, missing_;
	uint32_t phase_ = 0;
};

}  // namespace dreamdist::test
