// Which source pixels a convolution's positions read, in either direction, along one axis at a time.
//
// Forward, output i reads the (enlarged) input at i·stride − pad + r. Backward, input u gathers from every output that read it. Both
// have one form: positions fall into interleaved classes (position = classes·t + class), and within a class every position reads
// source pixels multiplier·t + offset for the same list of taps, outside meaning zero. Forward there is one class, or two after
// enlarging (even and odd outputs see different pairs of equal pixels); backward one class per residue of the stride.
#pragma once
#include <cstdint>
#include <span>

#include "panels.h"

namespace dreamdist::cpu::DD_ISA {

inline int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a % b < 0) != (b < 0)); }

// The filter rows a tap stands for. Enlarging by two repeats every pixel, so rows that read the same one are summed when the weight
// is packed: {0, 1}, {2, 3}, … when the first row falls on the first copy (phase 0), else {0}, {1, 2}, … (phase 1).
struct FilterAxis {
	int64_t kernel;
	bool enlarged;
	int64_t phases() const { return enlarged ? 2 : 1; }
	int64_t groups(int64_t phase) const { return !enlarged ? kernel : phase ? kernel / 2 + 1 : (kernel + 1) / 2; }
	int64_t group_begin(int64_t phase, int64_t g) const { return !enlarged ? g : max_of(2 * g - phase, 0); }
	int64_t group_end(int64_t phase, int64_t g) const { return !enlarged ? g + 1 : min_of(2 * g - phase + 2, kernel); }
};

// A packed filter's taps, phase by phase: [phase y][phase x][group y][group x].
struct Filter {
	FilterAxis y, x;
	int64_t taps_of(int64_t phase_y, int64_t phase_x) const { return y.groups(phase_y) * x.groups(phase_x); }
	int64_t first(int64_t phase_y, int64_t phase_x) const {
		int64_t sum = 0;
		for (int64_t p = 0; p < phase_y * x.phases() + phase_x; p++) sum += taps_of(p / x.phases(), p % x.phases());
		return sum;
	}
	int64_t taps() const { return first(y.phases(), 0); }
};

struct Tap {
	int64_t offset;  // source = multiplier·t + offset
	int64_t phase, group;
};

struct Axis {
	FilterAxis filter;
	int64_t stride, pad, input, output;

	int64_t output_classes() const { return filter.enlarged && stride % 2 ? 2 : 1; }
	int64_t input_classes() const { return filter.enlarged && stride % 2 == 0 ? stride / 2 : stride; }
	int64_t max_taps() const { return output_classes() * (filter.kernel + 1); }
	int64_t phase(int64_t output_class) const { return filter.enlarged ? (output_class * stride - pad) & 1 : 0; }

	// The taps of one class of outputs; returns how many.
	int64_t forward_taps(int64_t output_class, Tap* taps) const {
		const int64_t at = output_class * stride - pad, p = phase(output_class), count = filter.groups(p);
		for (int64_t g = 0; g < count; g++) {
			const int64_t u = at + filter.group_begin(p, g);
			taps[g] = {filter.enlarged ? floor_div(u, 2) : u, p, g};
		}
		return count;
	}
	// The taps of one class of inputs: output classes·t + c read input_classes·t + offset, solved for the output.
	int64_t backward_taps(int64_t input_class, Tap* taps) const {
		int64_t count = 0;
		for (int64_t c = 0; c < output_classes(); c++) {
			Tap* found = taps + count;
			const int64_t candidates = forward_taps(c, found);
			int64_t kept = 0;
			for (int64_t i = 0; i < candidates; i++) {
				const Tap tap = found[i];
				if ((input_class - tap.offset) % input_classes() == 0)
					found[kept++] = {output_classes() * ((input_class - tap.offset) / input_classes()) + c, tap.phase, tap.group};
			}
			count += kept;
		}
		return count;
	}
};

// The integers of a conv2d call.
struct ConvShape {
	int64_t N, H, W, C1, C2, O, OH, OW;
	int act;
	bool packed, enlarged;
	Axis y, x;
	explicit ConvShape(std::span<const int64_t> i)
		: N(i[0]), H(i[1]), W(i[2]), C1(i[3]), C2(i[4]), O(i[5]), OH(i[12]), OW(i[13]), act((int)i[14]), packed(i[15]), enlarged(i[16] == 2),
		  y{{i[6], enlarged}, i[8], i[10], H, OH}, x{{i[7], enlarged}, i[9], i[11], W, OW} {}
	int64_t channels() const { return C1 + C2; }
	Filter filter() const { return {y.filter, x.filter}; }
};

}  // namespace dreamdist::cpu::DD_ISA
