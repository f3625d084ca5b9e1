// What the Hopper kernels compute of places and of order: pure functions, the same on the device and in tests on machines without a card
// (wgmma and TMA can't be emulated, so everything around them that can be checked is here).
//
// Tiles lie in shared memory as TMA writes them and wgmma reads them, in lines of one box: K contiguous, a line is 64 elements of K of one
// row; rows contiguous, a line is 64 (or 32) rows at one k. Of a line of 128 (64) bytes the chunks of 16 bytes are permuted with the
// line's number (the swizzle), so that reading a column of chunks touches every bank once. A tile begins at a multiple of 1024 bytes.
#pragma once
#include <cstdint>

#if defined(__CUDACC__)
#define DD_ANYWHERE __host__ __device__ __forceinline__
#else
#define DD_ANYWHERE inline
#endif

namespace dreamdist::cuda::hopper {

constexpr int kBlockDepth = 64;  // of K in a stage: 128 bytes of 16-bit elements, the longest line that a swizzle permutes
constexpr int kWgmmaDepth = 16;  // of K in one wgmma
constexpr int kTileRows = 128;   // of a block: 64 for each of two warpgroups
constexpr int kTileAlignment = 1024;

// The values are those of a matrix descriptor's bits 62–63.
enum class Swizzle : uint32_t { none = 0, bytes128 = 1, bytes64 = 2 };
constexpr uint32_t line_bytes(Swizzle swizzle) { return swizzle == Swizzle::bytes128 ? 128 : swizzle == Swizzle::bytes64 ? 64 : 16; }

// Where the byte that would be at `offset` of an aligned tile lies: bits 7–9 (7–8) of the offset permute chunks, bits 4–6 (4–5).
constexpr DD_ANYWHERE uint32_t swizzled(uint32_t offset, Swizzle swizzle) {
	const uint32_t chunks = swizzle == Swizzle::bytes128 ? 0x70 : swizzle == Swizzle::bytes64 ? 0x30 : 0;
	return offset ^ ((offset >> 3) & chunks);
}

// A wgmma's matrix descriptor (PTX ISA, "Matrix Descriptor Format"): bits 0–13 address, 16–29 leading and 32–45 stride byte offset, each
// in units of 16 bytes; 49–51 base offset, 0 for tiles aligned to 1024 bytes; 62–63 swizzle.
constexpr DD_ANYWHERE uint64_t matrix_descriptor(uint32_t address, uint32_t leading, uint32_t stride, Swizzle swizzle) {
	return uint64_t((address & 0x3ffff) >> 4) | uint64_t((leading & 0x3ffff) >> 4) << 16 | uint64_t((stride & 0x3ffff) >> 4) << 32 | uint64_t(swizzle) << 62;
}

// An operand's tile of Rows x Depth.
template <int Rows_, bool KContiguous_, int Depth_ = kBlockDepth>
struct OperandTile {
	static constexpr int Rows = Rows_, Depth = Depth_;
	static constexpr bool KContiguous = KContiguous_;
	static_assert(Depth % kWgmmaDepth == 0 && (!KContiguous || Depth == kBlockDepth) && Rows % (KContiguous ? 8 : 32) == 0);
	// Rows contiguous, 160 are no multiple of 64: then lines of 32.
	static constexpr int kLineRows = Rows % 64 == 0 ? 64 : 32;
	static constexpr Swizzle kSwizzle = KContiguous || kLineRows == 64 ? Swizzle::bytes128 : Swizzle::bytes64;
	static constexpr int kLineBytes = (int)line_bytes(kSwizzle);
	static constexpr int kBoxes = KContiguous ? 1 : Rows / kLineRows;
	static constexpr int kBoxBytes = KContiguous ? Rows * kLineBytes : Depth * kLineBytes;
	static constexpr int kBytes = kBoxes * kBoxBytes;
	// Of the descriptor: between groups of eight lines; between boxes (where K is contiguous hardware does not look at it).
	static constexpr uint32_t kStride = 8 * kLineBytes, kLeading = KContiguous ? 16 : kBoxBytes;
	// From one wgmma's 16 of K to the next one's.
	static constexpr uint32_t kStep = KContiguous ? kWgmmaDepth * 2 : kWgmmaDepth * kLineBytes;

	static constexpr DD_ANYWHERE uint32_t place(int row, int k) {
		if constexpr (KContiguous) return swizzled(uint32_t(row * kLineBytes + k * 2), kSwizzle);
		else return uint32_t(row / kLineRows * kBoxBytes) + swizzled(uint32_t(k * kLineBytes + row % kLineRows * 2), kSwizzle);
	}
	// Of rows from `row` (a multiple of 8 where K is contiguous, else of a box's) on and K from 16 · step on.
	static constexpr DD_ANYWHERE uint64_t descriptor(uint32_t tile, int row, int step) {
		return matrix_descriptor(tile + uint32_t(KContiguous ? row * kLineBytes : row / kLineRows * kBoxBytes) + uint32_t(step) * kStep, kLeading, kStride, kSwizzle);
	}
};

// Where a warpgroup's accumulators are: sum[j][e] of a thread. A warp has sixteen rows, as in mma m16n8.
DD_ANYWHERE constexpr int accumulator_row(int thread, int e) { return thread / 32 * 16 + thread % 32 / 4 + e / 2 * 8; }
DD_ANYWHERE constexpr int accumulator_column(int thread, int j, int e) { return j * 8 + thread % 4 * 2 + e % 2; }

// Where a lane points ldmatrix so that it gets a warp's sixteen rows, from `row` on, and K from 16 · step on, as wgmma's left operand in registers.
template <class Tile>
DD_ANYWHERE constexpr uint32_t fragment_place(int row, int lane, int step) {
	static_assert(Tile::KContiguous);
	return Tile::place(row + lane % 16, step * kWgmmaDepth + lane / 16 * 8);
}

// A place in a ring of stages. Barriers begin in phase 0; a wait for the parity of the phase before the present one passes at once, so that
// whoever fills the ring waits for parity ^ 1 and finds every stage empty the first time.
struct RingPlace {
	int stage = 0;
	uint32_t parity = 0;
	DD_ANYWHERE void advance(int stages) {
		if (++stage == stages) {
			stage = 0;
			parity ^= 1;
		}
	}
};

// The two sides of a ring, whose `place` goes on from one product to the next.
template <class WaitEmpty, class Fill>
DD_ANYWHERE void fill_ring(RingPlace& place, int stages, int steps, WaitEmpty&& wait_empty, Fill&& fill) {
	for (int step = 0; step < steps; step++) {
		wait_empty(place.stage, place.parity ^ 1);
		fill(place.stage, step);
		place.advance(stages);
	}
}
// A stage is given back when the products that read it are done: those of the step before, while this step's run. Waits stand on every
// path, or the compiler would add its own and end the overlap.
template <class WaitFull, class Multiply, class SettleOlder, class SettleAll, class Release>
DD_ANYWHERE void drain_ring(RingPlace& place, int stages, int steps, WaitFull&& wait_full, Multiply&& multiply, SettleOlder&& settle_older, SettleAll&& settle_all, Release&& release) {
	int before = 0;
	for (int step = 0; step < steps; step++) {
		wait_full(place.stage, place.parity);
		multiply(place.stage);
		settle_older();
		if (step > 0) release(before);
		before = place.stage;
		place.advance(stages);
	}
	settle_all();
	if (steps > 0) release(before);
}

// The tiles of a launch in the order in which its blocks take them, each block every gridDim.x-th: columns first, so that blocks at work
// together read the same rows.
struct TileWalk {
	int down, across;
	int64_t layers;
	struct Tile {
		int row, column;
		int64_t layer;
	};
	DD_ANYWHERE int64_t count() const { return layers * down * across; }
	DD_ANYWHERE Tile at(int64_t index) const {
		const int64_t line = index / across;
		return {int(line % down), int(index % across), line / down};
	}
};

// A box of a tensor in device memory as TMA copies it: extents, strides (bytes; the first is that of neighbours, 2), and the box, innermost
// first. `step` is how far apart a box's elements are; outside the extents is zero.
struct TensorBox {
	static constexpr int kMost = 5;
	int rank = 0;
	uint64_t extent[kMost] = {}, stride[kMost] = {};
	uint32_t box[kMost] = {}, step[kMost] = {};
	Swizzle swizzle = Swizzle::bytes128;

	TensorBox& add(uint64_t extent_, uint64_t stride_, uint32_t box_, uint32_t step_ = 1) {
		extent[rank] = extent_;
		stride[rank] = stride_;
		box[rank] = box_;
		step[rank++] = step_;
		return *this;
	}
	uint32_t bytes() const {
		uint32_t count = 2;
		for (int d = 0; d < rank; d++) count *= box[d];
		return count;
	}
	// What TMA can't do about it; null: nothing. (CUDA driver API, cuTensorMapEncodeTiled.)
	const char* problem(uint64_t address) const {
		if (address % 16) return "an operand does not begin at a multiple of 16 bytes";
		for (int d = 0; d < rank; d++) {
			if (extent[d] < 1 || extent[d] > (uint64_t(1) << 32)) return "an extent is 0 or above 2^32";
			if (d > 0 && (stride[d] % 16 || stride[d] >= (uint64_t(1) << 40))) return "rows do not begin at multiples of 16 bytes";
			if (box[d] < 1 || box[d] * step[d] > 256) return "a box has more than 256 elements on a side";
			if (step[d] < 1 || step[d] > 8) return "elements are more than 8 apart";
		}
		if (box[0] * 2 % 16 || box[0] * 2 > line_bytes(swizzle)) return "a box's line is no line of the swizzle";
		return nullptr;
	}
};

}  // namespace dreamdist::cuda::hopper
