// Pictures as the K-contiguous operand of a product: a row is a position, K walks (tap, channel rounded up to 8).
#pragma once
#include "conv_packed.h"
#include "tensor_tile.h"

namespace dreamdist::cuda {

// A picture, or two side by side; `height` and `width` are those that taps see, `shift` 1 where each pixel is seen twice per axis.
template <class T>
struct Pictures {
	const T *x1, *x2;
	int C1, C2, height, width, shift;
	__device__ __forceinline__ int channels() const { return C1 + C2; }
	__device__ __forceinline__ const T* at(int picture, int h, int w, int c) const {
		const int64_t pixel = ((int64_t)picture * (height >> shift) + (h >> shift)) * (width >> shift) + (w >> shift);
		return c < C1 ? x1 + pixel * C1 + c : x2 + pixel * C2 + (c - C1);
	}
};

// Where one class of positions lies, and which taps it reads.
struct Positions {
	AxisPlan rows, columns;
	int row_class, column_class;
	__device__ Positions(const AxisPlan& rows, const AxisPlan& columns, int which) : rows(rows), columns(columns), row_class(which / columns.classes), column_class(which % columns.classes) {}
	struct Place {
		int picture, row, column;  // t along both axes
		bool there;
	};
	__device__ __forceinline__ Place of(int64_t m, int64_t count) const {
		const int down = rows.positions(), across = columns.positions(), at = m < count ? (int)m : 0;
		Place place = {at / across / down, at / across % down, at % across, false};
		// Mutant 142: classes are not all of one size.
		place.there = m < count && (GPU_MUTANT(142) || (place.row * rows.classes + row_class < rows.extent && place.column * columns.classes + column_class < columns.extent));
		return place;
	}
	// The index of a place among all positions.
	__device__ __forceinline__ int64_t index(const Place& p) const {
		return ((int64_t)p.picture * rows.extent + p.row * rows.classes + row_class) * columns.extent + p.column * columns.classes + column_class;
	}
};

// Room for a block's two axes of taps: in shared memory, where they cost no registers.
__device__ __forceinline__ TapAxis* tap_room() {
	GPU_SHARED(TapAxis, room, 2);
	return room;
}

// The taps of K: which tap and which channel an index is. Finding that takes divisions and reads of shared memory; where a stage of the
// ring is of one tap, as in every layer with a multiple of 32 channels, it is done once per stage.
struct TapWalk {
	const TapAxis* axes;  // of rows, of columns
	int padded;           // channels rounded up to 8
	__device__ __forceinline__ bool by_stage() const { return padded % kDepth == 0; }
	struct Step {
		int row, column, channel;
	};
	__device__ __forceinline__ Step of(int k) const {
		const int tap = k / padded, row = tap / axes[1].taps;
		return {row, tap - row * axes[1].taps, k - tap * padded};
	}
	__device__ __forceinline__ int down(const Step& s) const { return axes[0].offset(s.row); }
	__device__ __forceinline__ int across(const Step& s) const { return axes[1].offset(s.column); }
	__device__ __forceinline__ int weight(const Step& s) const { return axes[0].weight(s.row) + axes[1].weight(s.column); }
};

template <class T, int Rows, int Threads>
struct PatchSource {
	static constexpr bool kMayBeMisaligned = true;
	static constexpr bool kUnrolled = false;  // addresses of several chunks at once would not fit the registers
	Pictures<T> pictures;
	TapWalk walk;
	int row_divisor, column_divisor;
	bool vectors;
	const uint4* places;  // of each row of the tile: its picture, and what its first tap reads but for the tap's offset
	int down = 0, across = 0, channel = 0;  // of a stage's tap; its first channel less its first k

	// All threads; a barrier must follow.
	__device__ __forceinline__ PatchSource(const Pictures<T>& pictures, const Positions& positions, const TapWalk& walk, int64_t m0, int64_t count, bool vectors)
		: pictures(pictures), walk(walk), row_divisor(positions.rows.divisor), column_divisor(positions.columns.divisor), vectors(vectors) {
		GPU_SHARED(uint4, room, Rows);
		places = room;
		for (int r = threadIdx.x; r < Rows; r += Threads) {
			const auto p = positions.of(m0 + r, count);
			const int top = p.there ? p.row * positions.rows.multiplier : -(1 << 28);
			room[r] = make_uint4((unsigned)p.picture, (unsigned)top, (unsigned)(p.column * positions.columns.multiplier), 0);
		}
	}
	// Mutant 141: the picture's bottom edge.
	__device__ __forceinline__ bool inside(int& h, int& w) const {
		if (h < 0 || w < 0) return false;
		if (row_divisor > 1 || column_divisor > 1) {
			if (h % row_divisor != 0 || w % column_divisor != 0) return false;
			h /= row_divisor;
			w /= column_divisor;
		}
		return h < pictures.height + (GPU_MUTANT(141) ? 1 : 0) && w < pictures.width;
	}
	__device__ __forceinline__ void enter(int k0) {
		if (!walk.by_stage()) return;
		const auto step = walk.of(k0);
		down = walk.down(step);
		across = walk.across(step);
		channel = step.channel - k0;
	}
	__device__ __forceinline__ Chunk<T> chunk(int line, int k, int k_end) const {
		const T* from = element(line, k, k_end);
		return from ? Chunk<T>{from, kChunk<T>} : Chunk<T>{pictures.x1, 0};
	}
	__device__ __forceinline__ const T* element(int line, int k, int k_end) const {
		if (walk.by_stage()) return of_tap(line, k, k_end, k + (GPU_MUTANT(144) ? 0 : channel), down, across);
		const auto step = walk.of(k);
		return of_tap(line, k, k_end, step.channel, walk.down(step), walk.across(step));
	}
	__device__ __forceinline__ const T* of_tap(int line, int k, int k_end, int c, int dh, int dw) const {
		const uint4 place = places[line];
		int h = (int)place.y + dh, w = (int)place.z + dw;
		if (k >= k_end || c >= pictures.channels() || !inside(h, w)) return nullptr;
		return pictures.at((int)place.x, h, w, c);
	}
};

}  // namespace dreamdist::cuda
