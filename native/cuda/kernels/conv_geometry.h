// What conv.cu and the 16-bit convolutions share: the call's integers, and which taps a position reads along one axis.
#pragma once
#include <cstring>

#include "common.h"

namespace dreamdist::cuda {

// How a convolution's weight lies in memory.
enum WeightLayout {
	kPlain,         // OIHW
	kPackedRows,    // [O][tap][I], rows padded to 16 bytes
	kPackedChunks,  // [O][tap][I rounded up to 8]: a chunk of 16 bytes belongs to one tap
	kPackedPhases,  // the same with the sums of taps that an enlarged picture's even and odd pixels need, [phase y][phase x][y][x]
};

struct Geometry {
	int N, H, W, C1, C2, O, kh, kw, strideH, strideW, padTop, padLeft, OH, OW, activation, packed, upsample;
	Geometry() = default;
	explicit Geometry(const KernelArgs& args) {
		int values[17];
		for (int i = 0; i < 17; i++) values[i] = (int)args.ints[i];
		std::memcpy(static_cast<void*>(this), values, sizeof values);
	}
	__host__ __device__ int channels() const { return C1 + C2; }
	__host__ __device__ int taps() const { return kh * kw; }
	__host__ __device__ int scale() const { return upsample == 2 ? 2 : 1; }
	int64_t inputs() const { return (int64_t)N * H * W; }
	int64_t outputs() const { return (int64_t)N * OH * OW; }
};
static_assert(sizeof(Geometry) == 17 * sizeof(int));

// Channels of the halves whose gradient is wanted.
struct Wanted {
	int first, count;
};
inline Wanted wanted(const Geometry& g, bool first_half, bool second_half) {
	const int begin = first_half ? 0 : g.C1, end = second_half ? g.channels() : g.C1;
	return {begin, std::max(end - begin, 0)};
}

// Rows of a filter that read the same row of an enlarged picture are summed when it is packed: for outputs whose first row is a pixel's
// first copy (phase 0) {0, 1}, {2, 3}, …, else {0}, {1, 2}, …; as many sums for either, the last may be of nothing.
__host__ __device__ inline int phase_sums(int kernel) { return kernel / 2 + 1; }

// The taps that positions of one class read along an axis. Positions class, class + classes, … are t = 0, 1, …; tap r of t reads source
// row (multiplier · t + offset(r)) / divisor where that is whole and inside.
struct TapAxis {
	int taps, per_group, start[2], step, weight_start[2], weight_step;
	__device__ __forceinline__ int offset(int r) const { return r < per_group ? start[0] + r * step : start[1] + (r - per_group) * step; }
	__device__ __forceinline__ int weight(int r) const { return r < per_group ? weight_start[0] + r * weight_step : weight_start[1] + (r - per_group) * weight_step; }
};

// What an axis is made of; weight indices count taps of the packed filter.
struct AxisPlan {
	enum Mode {
		kForward,
		kForwardPhases,      // enlarged: even and odd outputs apart, with summed taps
		kBackward,           // inputs by residue of the stride
		kBackwardEnlarged,   // both copies of a pixel, with the filter's own taps
		kBackwardPhases,     // both copies of a pixel, with summed taps
	} mode;
	int kernel, stride, pad, extent, source;  // of positions, of what they read
	int weight_unit, phase_unit;              // between neighbouring taps and phases of the packed filter
	int classes, multiplier, divisor;

	__host__ __device__ int positions() const { return (extent + classes - 1) / classes; }  // of the largest class
	__host__ __device__ int taps(int which) const {
		switch (mode) {
			case kForwardPhases: return phase_sums(kernel);
			case kBackward: {
				const int first = (which + pad) % stride;
				return first < kernel ? (kernel - first + stride - 1) / stride : 0;
			}
			case kBackwardEnlarged: return 2 * kernel;
			case kBackwardPhases: return 2 * phase_sums(kernel);
			default: return kernel;
		}
	}
	__host__ __device__ int phase(int copy) const { return (copy - pad) & 1; }
	__host__ __device__ int phase_start(int copy) const { return (copy - pad - phase(copy)) / 2; }
	__device__ __forceinline__ TapAxis axis(int which) const {
		TapAxis a = {taps(which), 1 << 30, {-pad, 0}, 1, {0, 0}, weight_unit};
		if (mode == kForwardPhases) {
			a.start[0] = phase_start(which);
			a.weight_start[0] = phase(which) * phase_unit;
		} else if (mode == kBackward) {
			const int first = (which + pad) % stride;
			a.start[0] = (which + pad - first) / stride;
			a.step = -1;
			a.weight_start[0] = first * weight_unit;
			a.weight_step = stride * weight_unit;
		} else if (mode == kBackwardEnlarged) {
			a.per_group = kernel;
			a.start[0] = pad;
			a.start[1] = pad + 1;
			a.step = -1;
		} else if (mode == kBackwardPhases) {
			a.per_group = phase_sums(kernel);
			a.step = -2;
			for (int copy = 0; copy < 2; copy++) {
				a.start[copy] = copy - 2 * phase_start(copy);
				a.weight_start[copy] = phase(copy) * phase_unit;
			}
		}
		return a;
	}
};

inline AxisPlan axis_plan(const Geometry& g, bool rows, bool backward) {
	const int kernel = rows ? g.kh : g.kw, stride = rows ? g.strideH : g.strideW, pad = rows ? g.padTop : g.padLeft;
	const int input = rows ? g.H : g.W, output = rows ? g.OH : g.OW;
	const bool phases = g.packed == kPackedPhases;
	const int across = phases ? phase_sums(g.kw) : g.kw, sums = phases ? phase_sums(g.kh) * across : 0;
	AxisPlan a = {AxisPlan::kForward, kernel, stride, pad, output, input, rows ? across : 1, rows ? 2 * sums : sums, 1, stride, 1};
	if (!backward) {
		if (phases) {
			a.mode = AxisPlan::kForwardPhases;
			a.classes = 2;
			a.multiplier = 1;
		} else a.source = input * g.scale();
		return a;
	}
	a.extent = input;
	a.source = output;
	if (phases) {
		a.mode = AxisPlan::kBackwardPhases;
		a.multiplier = 2;
	} else if (g.scale() == 2) {
		a.mode = AxisPlan::kBackwardEnlarged;
		a.multiplier = 2;
		a.divisor = stride;
	} else {
		a.mode = AxisPlan::kBackward;
		a.classes = stride;
		a.multiplier = 1;
	}
	return a;
}

}  // namespace dreamdist::cuda
