// pool2d and its gradient, of any float type, a thread per element. The gradient gathers: a pixel asks every window over it for its share.
#include "table.h"
#include "typed.h"

namespace dreamdist::cuda {
namespace {

constexpr int kThreads = 256;
enum PoolMode { kMaximum, kMeanWithPadding, kMeanWithoutPadding };

struct PoolShape {
	int N, H, W, C, kh, kw, strideH, strideW, padTop, padLeft, OH, OW, mode;
};

struct Window {
	int top, bottom, left, right;
	__device__ Window(const PoolShape& s, int oh, int ow) {
		const int y = oh * s.strideH - s.padTop, x = ow * s.strideW - s.padLeft;
		top = y > 0 ? y : 0;
		left = x > 0 ? x : 0;
		bottom = y + s.kh < s.H ? y + s.kh : s.H;
		right = x + s.kw < s.W ? x + s.kw : s.W;
	}
	__device__ bool empty() const { return top >= bottom || left >= right; }
	__device__ float mean_weight(const PoolShape& s) const {
		const int count = s.mode == kMeanWithPadding ? s.kh * s.kw : (bottom - top) * (right - left);
		return count > 0 ? 1.0f / (float)count : 0.0f;
	}
};

__global__ void __launch_bounds__(kThreads) pool_kernel(Typed x, Typed y, PoolShape s, int64_t count) {
	for (int64_t i = (int64_t)blockIdx.x * kThreads + threadIdx.x; i < count; i += (int64_t)gridDim.x * kThreads) {
		const int c = int(i % s.C), ow = int(i / s.C % s.OW), oh = int(i / s.C / s.OW % s.OH);
		const Window w(s, oh, ow);
		const int64_t picture = i / s.C / s.OW / s.OH * s.H * s.W * s.C + c;
		float best = -INFINITY;
		CarefulSum sum;
		for (int h = w.top; h < w.bottom; h++)
			for (int v = w.left; v < w.right; v++) {
				const float value = x.load(picture + ((int64_t)h * s.W + v) * s.C);
				if (value > best || value != value) best = value;
				sum.add(value);
			}
		y.store(i, s.mode == kMaximum ? best : w.empty() ? 0.0f : sum.total * w.mean_weight(s));
	}
}

__global__ void __launch_bounds__(kThreads, 1) pool_grad_kernel(Typed x, Typed dy, Typed dx, PoolShape s, int64_t count) {
	for (int64_t i = (int64_t)blockIdx.x * kThreads + threadIdx.x; i < count; i += (int64_t)gridDim.x * kThreads) {
		const int c = int(i % s.C), pw = int(i / s.C % s.W), ph = int(i / s.C / s.W % s.H);
		const int64_t n = i / s.C / s.W / s.H;
		const int64_t picture = n * s.H * s.W * s.C + c;
		// Output rows whose window holds this row: oh·stride − pad ≤ ph < oh·stride − pad + kh.
		const int y = ph + s.padTop, z = pw + s.padLeft;
		const int oh0 = y >= s.kh ? (y - s.kh) / s.strideH + 1 : 0, ow0 = z >= s.kw ? (z - s.kw) / s.strideW + 1 : 0;
		float total = 0;
		for (int oh = oh0; oh < s.OH && oh * s.strideH <= y; oh++)
			for (int ow = ow0; ow < s.OW && ow * s.strideW <= z; ow++) {
				const float gradient = dy.load(((n * s.OH + oh) * s.OW + ow) * s.C + c);
				const Window w(s, oh, ow);
				if (s.mode != kMaximum) {
					total += gradient * w.mean_weight(s);
					continue;
				}
				// The first maximum in row-major order; NaN is larger than anything.
				float best = x.load(picture + ((int64_t)w.top * s.W + w.left) * s.C);
				int at_h = w.top, at_w = w.left;
				for (int h = w.top; h < w.bottom; h++)
					for (int v = w.left; v < w.right; v++) {
						const float value = x.load(picture + ((int64_t)h * s.W + v) * s.C);
						if (value > best || (value != value && best == best)) {
							best = value;
							at_h = h;
							at_w = v;
						}
					}
				if (at_h == ph && at_w == pw) total += gradient;
			}
		dx.store(i, total);
	}
}

PoolShape shape_of(const char* kernel, const KernelArgs& args) {
	int values[13];
	for (int i = 0; i < 13; i++) values[i] = (int)args.ints[i];
	const PoolShape s{values[0], values[1], values[2], values[3], values[4], values[5], values[6], values[7], values[8], values[9], values[10], values[11], values[12]};
	if (s.mode < kMaximum || s.mode > kMeanWithoutPadding) refuse(kernel, "the mode must be 0, 1 or 2 (got " + std::to_string(s.mode) + ")");
	return s;
}

}  // namespace

void pool2d(const KernelArgs& args, Context& context) {
	const PoolShape s = shape_of("pool2d", args);
	const int64_t count = (int64_t)s.N * s.OH * s.OW * s.C;
	if (count > 0) gpu::launch<pool_kernel>(grid_for(count, kThreads), kThreads, 0, context.stream, Typed(args.at(0)), Typed(args.at(1)), s, count);
}

void pool2d_grad(const KernelArgs& args, Context& context) {
	const PoolShape s = shape_of("pool2d_grad", args);
	const int64_t count = (int64_t)s.N * s.H * s.W * s.C;
	if (count > 0)
		gpu::launch<pool_grad_kernel>(grid_for(count, kThreads), kThreads, 0, context.stream, Typed(args.at(0)), Typed(args.at(1)), Typed(args.at(2)), s, count);
}

}  // namespace dreamdist::cuda
