// pool2d and its gradient: maxima and means over windows of an NHWC picture, vectorised over channels.
//
// A window's sum is taken row by row, so that a global average keeps its accuracy. The gradient walks windows in order and adds into dx;
// a thread owns some channels of some pictures, so no two threads meet.
#include "lanes.h"
#include "strided.h"
#include "table.h"

namespace dreamdist::cpu::DD_ISA {

namespace {

enum PoolMode : int64_t { kMaximum = 0, kMeanWithPadding = 1, kMeanWithoutPadding = 2 };

struct PoolShape {
	int64_t N, H, W, C, kh, kw, strideH, strideW, padTop, padLeft, OH, OW, mode;
	explicit PoolShape(const KernelArgs& args) { std::memcpy(static_cast<void*>(this), args.ints.data(), sizeof *this); }
};

// The part of a window that lies inside the picture.
struct Window {
	int64_t top, bottom, left, right;
	bool empty() const { return top >= bottom || left >= right; }
};
Window window_at(const PoolShape& s, int64_t oh, int64_t ow) {
	const int64_t top = oh * s.strideH - s.padTop, left = ow * s.strideW - s.padLeft;
	return {max64(top, 0), min64(top + s.kh, s.H), max64(left, 0), min64(left + s.kw, s.W)};
}
float mean_weight(const PoolShape& s, const Window& w) {
	const int64_t count = s.mode == kMeanWithPadding ? s.kh * s.kw : (w.bottom - w.top) * (w.right - w.left);
	return count > 0 ? 1.0f / (float)count : 0.0f;
}
void check_mode(const char* kernel, const PoolShape& s) {
	if (s.mode < kMaximum || s.mode > kMeanWithoutPadding) throw_call_error(kernel, "the mode must be 0, 1 or 2", s.mode);
}

}  // namespace

void pool2d(const KernelArgs& args, ThreadTeam& team) {
	const PoolShape s(args);
	check_mode("pool2d", s);
	const float* x = args.ptr<const float>(0);
	float* y = args.ptr(1);
	const int64_t rows = s.N * s.OH;
	if (rows * s.OW * s.C == 0) return;
	team.parallel_for(rows, rows * s.OW * s.C * s.kh * s.kw < kSerialWork ? rows : 1, [&](int64_t begin, int64_t end, int) {
		for (int64_t row = begin; row < end; row++)
			for (int64_t ow = 0; ow < s.OW; ow++) {
				const Window w = window_at(s, row % s.OH, ow);
				const float* picture = x + row / s.OH * s.H * s.W * s.C;
				float* out = y + (row * s.OW + ow) * s.C;
				const vf weight = set1(w.empty() ? 0.0f : mean_weight(s, w));
				over(s.C, [&](int64_t c, auto lanes) {
					auto at = [&](int64_t h, int64_t v) { return lanes.load(picture + (h * s.W + v) * s.C + c); };
					if (s.mode == kMaximum) {
						vf best = set1(-__builtin_inff());
						for (int64_t h = w.top; h < w.bottom; h++)
							for (int64_t v = w.left; v < w.right; v++) {
								const vf value = at(h, v);
								best = select((value > best) | (value != value), value, best);
							}
						lanes.store(out + c, best);
						return;
					}
					vf total = zero();
					for (int64_t h = w.top; h < w.bottom; h++) {
						vf line = zero();
						for (int64_t v = w.left; v < w.right; v++) line += at(h, v);
						total += line;
					}
					lanes.store(out + c, total * weight);
				});
			}
	});
}

void pool2d_grad(const KernelArgs& args, ThreadTeam& team) {
	const PoolShape s(args);
	check_mode("pool2d_grad", s);
	const float* x = args.ptr<const float>(0);
	const float* dy = args.ptr<const float>(1);
	float* dx = args.ptr(2);
	if (s.N * s.H * s.W * s.C == 0) return;
	// Few pictures: cut the channels too, into pieces of whole cache lines.
	const int64_t lines = div_up(s.C, 16), pieces = min64(lines, div_up(2 * team.size(), s.N)), width = div_up(lines, pieces) * 16;
	const int64_t units = s.N * pieces;
	team.parallel_for(units, s.N * s.OH * s.OW * s.C * s.kh * s.kw < kSerialWork ? units : 1, [&](int64_t begin, int64_t end, int) {
		for (int64_t unit = begin; unit < end; unit++) {
			const int64_t n = unit / pieces, first = unit % pieces * width, channels = min64(width, s.C - first);
			if (channels <= 0) continue;
			const float* picture = x ? x + n * s.H * s.W * s.C + first : nullptr;
			float* to = dx + n * s.H * s.W * s.C + first;
			for (int64_t pixel = 0; pixel < s.H * s.W; pixel++) std::memset(to + pixel * s.C, 0, channels * sizeof(float));
			for (int64_t oh = 0; oh < s.OH; oh++)
				for (int64_t ow = 0; ow < s.OW; ow++) {
					const Window w = window_at(s, oh, ow);
					if (w.empty()) continue;
					const float* from = dy + ((n * s.OH + oh) * s.OW + ow) * s.C + first;
					const vf weight = set1(mean_weight(s, w));
					over(channels, [&](int64_t c, auto lanes) {
						const vf gradient = lanes.load(from + c);
						if (s.mode != kMaximum) {
							const vf share = gradient * weight;
							for (int64_t h = w.top; h < w.bottom; h++)
								for (int64_t v = w.left; v < w.right; v++) {
									float* at = to + (h * s.W + v) * s.C + c;
									lanes.store(at, lanes.load(at) + share);
								}
							return;
						}
						// The first maximum in row-major order, a NaN being larger than anything.
						auto value_at = [&](int64_t position) {
							return lanes.load(picture + ((w.top + position / (w.right - w.left)) * s.W + w.left + position % (w.right - w.left)) * s.C + c);
						};
						const int64_t count = (w.bottom - w.top) * (w.right - w.left);
						vf best = value_at(0);
						vi winner{};
						for (int64_t position = 1; position < count; position++) {
							const vf value = value_at(position);
							const vi wins = (value > best) | ((value != value) & (best == best));
							best = select(wins, value, best);
							winner = (wins & (int32_t)position) | (~wins & winner);
						}
						for (int64_t position = 0; position < count; position++) {
							float* at = to + ((w.top + position / (w.right - w.left)) * s.W + w.left + position % (w.right - w.left)) * s.C + c;
							lanes.store(at, lanes.load(at) + select(winner == (int32_t)position, gradient, zero()));
						}
					});
				}
		}
	});
}

}  // namespace dreamdist::cpu::DD_ISA
