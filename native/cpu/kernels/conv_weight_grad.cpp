// The gradient of conv2d's filter: for every tap, the outer products of output gradients and the pixels that tap reads, summed.
#include "conv_geometry.h"
#include "outer_product.h"
#include "table.h"

namespace dreamdist::cpu::DD_ISA {

namespace {

struct OutputGradients {
	const float* dy;
	int64_t outputs;
	void pack(int64_t k, int64_t m, int64_t rows, float* to) const { copy_row(to, dy + k * outputs + m, rows); }
};

// The pixels one tap reads, null where it reads padding.
struct TapPixels {
	const ConvShape& shape;
	const float *x1, *x2;
	int64_t first = 0;
	const float* pixel1[kOuterChunk];
	const float* pixel2[kOuterChunk];
	TapPixels(const ConvShape& shape, const float* x1, const float* x2) : shape(shape), x1(x1), x2(x2) {}

	void chunk(int64_t tap, int64_t k0, int64_t k1) {
		first = k0;
		const int64_t r = tap / shape.x.filter.kernel, s = tap % shape.x.filter.kernel, shift = shape.enlarged ? 1 : 0;
		int64_t column = k0 % shape.OW, row = k0 / shape.OW % shape.OH, sample = k0 / shape.OW / shape.OH;
		for (int64_t k = k0; k < k1; k++) {
			const int64_t y = (row * shape.y.stride - shape.y.pad + r) >> shift, x = (column * shape.x.stride - shape.x.pad + s) >> shift;
			const bool inside = y >= 0 && y < shape.H && x >= 0 && x < shape.W;
			const int64_t pixel = (sample * shape.H + y) * shape.W + x;
			pixel1[k - k0] = inside ? x1 + pixel * shape.C1 : nullptr;
			pixel2[k - k0] = inside ? x2 + pixel * shape.C2 : nullptr;
			if (++column == shape.OW) {
				column = 0;
				if (++row == shape.OH) {
					row = 0;
					sample++;
				}
			}
		}
	}
	void pack(int64_t k, const Run& run, float* to) const {
		const float *p1 = pixel1[k - first], *p2 = pixel2[k - first];
		const int64_t begin = run.column, end = begin + run.columns;
		if (!p1 && !p2) {
			for (int64_t j = 0; j < run.columns; j += kLanes) store(to + j, zero());
		} else if (end <= shape.C1) copy_row(to, p1 + begin, run.columns);
		else if (begin >= shape.C1) copy_row(to, p2 + begin - shape.C1, run.columns);
		else {
			for (int64_t c = begin; c < begin + round_up(run.columns, kLanes); c++) to[c - begin] = c < shape.C1 ? p1[c] : c < end ? p2[c - shape.C1] : 0;
		}
	}
};

}  // namespace

void conv2d_weight_grad(const KernelArgs& args, ThreadTeam& team) {
	const ConvShape shape(args.ints);
	const int64_t taps = shape.y.filter.kernel * shape.x.filter.kernel, channels = shape.channels(), pixels = shape.N * shape.OH * shape.OW;
	if (shape.O <= 0 || channels <= 0 || taps <= 0) return;
	float* dw = args.ptr(3);
	const int64_t panels = ceil_div(channels, kTileCols);
	const Grid grid = choose_grid(1, shape.O, panels, max_of(pixels, 1) * taps, 0, team.size());

	team.parallel_for(grid.parts(), 1, [&](int64_t begin, int64_t end, int thread) {
		auto carve = [](Carver& carver) { return OuterWorkspace(carver); };
		Carver count{nullptr};
		carve(count);
		Carver carver{(char*)team.scratch(thread, count.used)};
		const OuterWorkspace work = carve(carver);
		TapPixels pixel_rows(shape, args.ptr(0), args.ptr(1));
		for (int64_t part = begin; part < end; part++) {
			const Share share = grid.share(part, shape.O, panels);
			outer_product(
				max_of(pixels, 0), taps, share.row_begin, share.row_end, share.panel_begin * kTileCols, min_of(share.panel_end * kTileCols, channels),
				OutputGradients{args.ptr(2), shape.O}, pixel_rows,
				[&](const OuterBlock& block) {
					const int64_t group_step = block.padded() * block.rows(), groups = block.g1 - block.g0;
					for (int64_t o = block.m0; o < block.m1; o++)
						for (int64_t p = 0; p < block.panels(); p++) {
							const float* sums = block.row(block.g0, p, o);
							const Run run = block.panel(p).run[0];
							float* to = dw + (o * channels + run.column) * taps + block.g0;
							for (int64_t j = 0; j < run.columns; j++, to += taps)
								for (int64_t g = 0; g < groups; g++) to[g] = sums[g * group_step + j];
						}
				},
				work);
		}
	});
}

}  // namespace dreamdist::cpu::DD_ISA
