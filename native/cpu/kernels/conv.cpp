// conv2d and its input gradient as indirect products: no im2col buffer, rows of the product are positions, the reduction runs over
// taps and channels. And the packer of filters.
#include "conv_geometry.h"
#include "few_rows.h"
#include "pack.h"
#include "table.h"

namespace dreamdist::cpu::DD_ISA {

namespace {

// The positions of one class, and the pixels they read: [N, source H, source W, C1] and [.., C2] side by side.
struct PixelRows {
	const float *x1, *x2;
	Cut cut1, cut2;
	int64_t source_h, source_w, multiply_y, multiply_x;
	int64_t grid_h, grid_w;
	const Tap *taps_y, *taps_x;
	int64_t count_y, count_x;
	const float* zeros;

	int64_t pieces() const { return cut1.pieces + cut2.pieces; }
	int64_t segments() const { return count_y * count_x * pieces(); }
	int64_t length(int64_t s) const {
		const int64_t piece = s % pieces();
		return piece < cut1.pieces ? cut1.length(piece) : cut2.length(piece - cut1.pieces);
	}
	int64_t row_bytes() const { return (cut1.depth + cut2.depth) * 4 * multiply_y * multiply_x; }
	int64_t max_rows() const { return kBandRows; }
	void rows(int64_t first, int64_t count, const float** table) const {
		int64_t column = first % grid_w, row = first / grid_w % grid_h, sample = first / grid_w / grid_h;
		for (int64_t i = 0; i < count; i++) {
			const float** entry = table + i;
			for (int64_t a = 0; a < count_y; a++) {
				const int64_t y = row * multiply_y + taps_y[a].offset;
				for (int64_t b = 0; b < count_x; b++) {
					const int64_t x = column * multiply_x + taps_x[b].offset;
					const bool inside = y >= 0 && y < source_h && x >= 0 && x < source_w;
					const int64_t pixel = (sample * source_h + y) * source_w + x;
					for (int64_t piece = 0; piece < cut1.pieces; piece++, entry += count)
						*entry = inside ? x1 + pixel * cut1.depth + cut1.start(piece) : zeros;
					for (int64_t piece = 0; piece < cut2.pieces; piece++, entry += count)
						*entry = inside ? x2 + pixel * cut2.depth + cut2.start(piece) : zeros;
				}
			}
			if (++column == grid_w) {
				column = 0;
				if (++row == grid_h) {
					row = 0;
					sample++;
				}
			}
		}
	}
};

// Where the sums of a class of positions go.
struct PixelOut {
	Epilogue epilogue;
	int64_t grid_h, grid_w, height, width, classes_y, classes_x, class_y, class_x;
	void index(int64_t first, int64_t rows, int64_t* to) const {
		int64_t column = first % grid_w, row = first / grid_w % grid_h, sample = first / grid_w / grid_h;
		for (int64_t i = 0; i < rows; i++) {
			to[i] = (sample * height + row * classes_y + class_y) * width + column * classes_x + class_x;
			if (++column == grid_w) {
				column = 0;
				if (++row == grid_h) {
					row = 0;
					sample++;
				}
			}
		}
	}
	void store(int64_t first, int rows, const Panel& panel, const float* tile) const {
		int64_t pixels[kMaxRows];
		index(first, rows, pixels);
		epilogue.store_tile(pixels, rows, panel, tile);
	}
};

// B of the input gradient: columns are the channels from `channel` on, a segment is a tap's stretch of outputs.
struct FilterRows {
	const Packed& weight;
	Filter filter;
	int64_t channels, channel;
	const Tap *taps_y, *taps_x;
	int64_t count_x;
	Cut outputs;
	bool made() const { return true; }
	Memory source(int64_t, const Panel&, int64_t) const { return {}; }
	int64_t outputs_begin(int64_t s) const { return outputs.start(s % outputs.pieces); }
	int64_t depth_row(int64_t s) const {
		const Tap &y = taps_y[s / outputs.pieces / count_x], &x = taps_x[s / outputs.pieces % count_x];
		return (filter.first(y.phase, x.phase) + y.group * filter.x.groups(x.phase) + x.group) * channels + channel;
	}
	const float* panel(int64_t, const Panel& panel, int64_t s0, int64_t s1, int64_t, int64_t, float* scratch) const {
		float* to = scratch;
		for (int64_t s = s0; s < s1; s++) {
			const int64_t piece = s % outputs.pieces;
			weight.backward(depth_row(s) + panel.run[0].column, panel.run[0].columns, outputs.start(piece), outputs.start(piece + 1), to, panel.width());
			to += outputs.length(piece) * panel.width();
		}
		return scratch;
	}
};

struct Scratch {
	Workspace work;
	FewRowsWorkspace few;
	Tap *taps_y, *taps_x;
	float* zeros;
	int64_t bytes;
	Scratch(Carver& carver, const ConvShape& shape, int64_t segments, bool few_rows)
		: work(carver, segments),
		  few(carver, few_rows),
		  taps_y(carver.take<Tap>(shape.y.max_taps())),
		  taps_x(carver.take<Tap>(shape.x.max_taps())),
		  zeros(carver.take<float>(kMaxSegment)),
		  bytes(carver.used) {}
	static Scratch of(ThreadTeam& team, int thread, const ConvShape& shape, int64_t segments, bool few_rows) {
		Carver count{nullptr};
		Carver carver{(char*)team.scratch(thread, Scratch(count, shape, segments, few_rows).bytes)};
		Scratch scratch(carver, shape, segments, few_rows);
		std::memset(scratch.zeros, 0, kMaxSegment * sizeof(float));
		return scratch;
	}
};

int64_t members(int64_t positions, int64_t classes, int64_t index) { return ceil_div(max_of(positions - index, 0), classes); }

int64_t plain_bytes(const ConvShape& shape) {
	return shape.packed ? 0 : Columns{shape.O, false}.padded() * shape.filter().taps() * shape.channels() * 4;
}

// Taps summed for an enlarged picture are kept in f32: 16 bits would round them once more than the weight as stored.
DType packed_type(DType stored, bool enlarged) { return enlarged ? DType::f32 : stored; }

// The filter as packed by the packer, or packed now into the call's scratch.
Packed packed_filter(const ConvShape& shape, const Operand& w, void* scratch, ThreadTeam& team) {
	const void* data = w.data;
	if (!shape.packed) {
		const int64_t ints[] = {shape.O, shape.channels(), shape.y.filter.kernel, shape.x.filter.kernel, shape.enlarged ? 2 : 1};
		conv2d_pack(w.data, w.dtype, ints, scratch, team);
		data = scratch;
	}
	return {data, packed_type(w.dtype, shape.enlarged), {shape.O, false}, shape.filter().taps() * shape.channels()};
}

}  // namespace

void conv2d(const KernelArgs& args, ThreadTeam& team) {
	const ConvShape shape(args.ints);
	if (shape.N <= 0 || shape.OH <= 0 || shape.OW <= 0 || shape.O <= 0) return;
	if (shape.act == kGeglu) throw Error("conv2d has no geglu");
	const Packed weight = packed_filter(shape, args.at(2), args.scratch, team);
	const Filter filter = shape.filter();
	const Cut cut1(shape.C1), cut2(shape.C2);
	const int64_t segments = shape.y.max_taps() * shape.x.max_taps() * (cut1.pieces + cut2.pieces);
	const int64_t classes_y = shape.y.output_classes(), classes_x = shape.x.output_classes();
	const Columns columns{shape.O, false};
	const Grid grid = choose_grid(1, shape.N * members(shape.OH, classes_y, 0) * members(shape.OW, classes_x, 0), columns.panels(), weight.depth,
								  weight.type == DType::f32 ? 1 : 3, team.size());
	Epilogue epilogue{args.ptr(6), shape.O, shape.O};
	epilogue.act = shape.act;
	epilogue.bias = args.ptr(3);
	epilogue.channel_vector = args.ptr(4);
	epilogue.rows_per_sample = shape.OH * shape.OW;
	epilogue.residual = args.ptr(5);
	epilogue.residual_pitch = shape.O;
	epilogue.preact = args.ptr(7);

	team.parallel_for(grid.parts(), 1, [&](int64_t begin, int64_t end, int thread) {
		Scratch scratch = Scratch::of(team, thread, shape, segments, false);
		for (int64_t part = begin; part < end; part++)
			for (int64_t cls = 0; cls < classes_y * classes_x; cls++) {
				const int64_t class_y = cls / classes_x, class_x = cls % classes_x;
				const int64_t grid_h = members(shape.OH, classes_y, class_y), grid_w = members(shape.OW, classes_x, class_x);
				if (grid_h == 0 || grid_w == 0) continue;
				const int64_t count_y = shape.y.forward_taps(class_y, scratch.taps_y), count_x = shape.x.forward_taps(class_x, scratch.taps_x);
				const PixelRows rows{args.ptr(0), args.ptr(1), cut1, cut2, shape.H, shape.W, shape.y.input_classes(), shape.x.input_classes(),
									 grid_h, grid_w, scratch.taps_y, scratch.taps_x, count_y, count_x, scratch.zeros};
				const PackedColumns filter_columns{weight, filter.first(shape.y.phase(class_y), shape.x.phase(class_x)) * shape.channels()};
				const PixelOut out{epilogue, grid_h, grid_w, shape.OH, shape.OW, classes_y, classes_x, class_y, class_x};
				multiply(rows, filter_columns, out, columns, grid.share(part, shape.N * grid_h * grid_w, columns.panels()), scratch.work);
			}
	});
}

void conv2d_input_grad(const KernelArgs& args, ThreadTeam& team) {
	const ConvShape shape(args.ints);
	if (shape.N <= 0 || shape.H <= 0 || shape.W <= 0) return;
	const Packed weight = packed_filter(shape, args.at(1), args.scratch, team);
	const Cut cut(shape.O);
	const int64_t segments = shape.y.max_taps() * shape.x.max_taps() * cut.pieces;
	const int64_t classes_y = shape.y.input_classes(), classes_x = shape.x.input_classes();
	float* const outputs[] = {args.ptr(2), args.ptr(3)};
	const int64_t channels[] = {outputs[0] ? shape.C1 : 0, outputs[1] ? shape.C2 : 0};
	const int64_t panels[] = {Columns{channels[0], false}.panels(), Columns{channels[1], false}.panels()};
	if (panels[0] + panels[1] == 0) return;
	const int64_t most_rows = shape.N * members(shape.H, classes_y, 0) * members(shape.W, classes_x, 0);
	const bool few = few_rows(most_rows, segments);
	const Grid grid = choose_grid(1, few ? 1 : most_rows, panels[0] + panels[1], few ? weight.depth * most_rows : weight.depth, 10, team.size());

	team.parallel_for(grid.parts(), 1, [&](int64_t begin, int64_t end, int thread) {
		Scratch scratch = Scratch::of(team, thread, shape, segments, few);
		for (int64_t part = begin; part < end; part++)
			for (int64_t cls = 0; cls < classes_y * classes_x; cls++) {
				const int64_t class_y = cls / classes_x, class_x = cls % classes_x;
				const int64_t grid_h = members(shape.H, classes_y, class_y), grid_w = members(shape.W, classes_x, class_x);
				if (grid_h == 0 || grid_w == 0) continue;
				const int64_t count_y = shape.y.backward_taps(class_y, scratch.taps_y), count_x = shape.x.backward_taps(class_x, scratch.taps_x);
				const PixelRows rows{args.ptr(0), nullptr, cut, Cut(0), shape.OH, shape.OW, shape.y.output_classes(), shape.x.output_classes(),
									 grid_h, grid_w, scratch.taps_y, scratch.taps_x, count_y, count_x, scratch.zeros};
				const Share share = grid.share(part, shape.N * grid_h * grid_w, panels[0] + panels[1]);
				for (int which = 0; which < 2; which++) {
					const int64_t before = which ? panels[0] : 0;
					Share own = share;
					own.panel_begin = max_of(share.panel_begin - before, 0);
					own.panel_end = min_of(share.panel_end - before, panels[which]);
					const FilterRows filter_rows{weight, shape.filter(), shape.channels(), which ? shape.C1 : 0, scratch.taps_y, scratch.taps_x, count_x, cut};
					const PixelOut out{{outputs[which], channels[which], channels[which]}, grid_h, grid_w, shape.H, shape.W, classes_y, classes_x, class_y, class_x};
					const Columns columns{channels[which], false};
					if (few)
						multiply_few_rows(rows, filter_rows, out, shape.N * grid_h * grid_w, own.panel_begin * columns.full(),
										  min_of(own.panel_end * columns.full(), columns.count), scratch.work, scratch.few);
					else multiply(rows, filter_rows, out, columns, own, scratch.work);
				}
			}
	});
}

int64_t conv2d_scratch(const KernelArgs& args, int) { return plain_bytes(ConvShape(args.ints)); }
int64_t conv2d_input_grad_scratch(const KernelArgs& args, int) { return plain_bytes(ConvShape(args.ints)); }

int64_t conv2d_packed_bytes(DType type, std::span<const int64_t> ints) {
	const Filter filter{{ints[2], ints[4] == 2}, {ints[3], ints[4] == 2}};
	return Columns{ints[0], false}.padded() * filter.taps() * ints[1] * bytes_of(packed_type(type, ints[4] == 2));
}

namespace {

constexpr int64_t kTransposedFloats = 4096;

// Channels [c0, c1) of kLanes outputs: the rows of every tap, from filters transposed to [channel][kh][kw][output].
template <class T>
void pack_taps(const Filter& filter, int64_t kh, int64_t kw, int64_t channels, int64_t c0, int64_t c1, const float* transposed,
			   typename T::Element* to, int64_t width) {
	int64_t tap = 0;
	for (int64_t py = 0; py < filter.y.phases(); py++)
		for (int64_t px = 0; px < filter.x.phases(); px++)
			for (int64_t gy = 0; gy < filter.y.groups(py); gy++)
				for (int64_t gx = 0; gx < filter.x.groups(px); gx++, tap++) {
					const int64_t r0 = filter.y.group_begin(py, gy), r1 = filter.y.group_end(py, gy);
					const int64_t s0 = filter.x.group_begin(px, gx), s1 = filter.x.group_end(px, gx);
					for (int64_t c = c0; c < c1; c++) {
						const float* of_channel = transposed + (c - c0) * kh * kw * kLanes;
						vf sum = load(of_channel + (r0 * kw + s0) * kLanes);
						for (int64_t r = r0; r < r1; r++)
							for (int64_t s = s0 + (r == r0); s < s1; s++) sum += load(of_channel + (r * kw + s) * kLanes);
						store_vector<T>(to + (tap * channels + c) * width, sum);
					}
				}
}

}  // namespace

void conv2d_pack(const void* source, DType type, std::span<const int64_t> ints, void* packed, ThreadTeam& team) {
	const int64_t outputs = ints[0], channels = ints[1], kh = ints[2], kw = ints[3];
	const Filter filter{{kh, ints[4] == 2}, {kw, ints[4] == 2}};
	const Columns columns{outputs, false};
	const int64_t depth = filter.taps() * channels, area = kh * kw;
	// So many channels at a time that their transposed filters stay in L1.
	const int64_t some = max_of(min_of(channels, kTransposedFloats / (area * kLanes)), 1), blocks = ceil_div(channels, some);
	auto pack = [&]<class S, class T>(S, T) {
		team.parallel_for(columns.panels() * blocks, 1, [&](int64_t begin, int64_t end, int thread) {
			float* transposed = (float*)team.scratch(thread, (some * area + kLanes) * kLanes * (int64_t)sizeof(float));
			for (int64_t item = begin; item < end; item++) {
				const int64_t index = item / blocks, c0 = item % blocks * some, c1 = min_of(c0 + some, channels);
				const Panel panel = columns.panel(index);
				const int64_t width = panel.width();
				auto* to = (typename T::Element*)packed + columns.start(index) * depth;
				for (int64_t j = 0; j < width; j += kLanes) {
					const auto* from = (const typename S::Element*)source + ((panel.run[0].column + j) * channels + c0) * area;
					const int64_t values = (c1 - c0) * area;
					for (int64_t q = 0; q < values; q += kLanes) {
						vf block[kLanes];
						load_transposed<S>(block, from + q, channels * area, panel.run[0].columns - j, values - q);
						for (int i = 0; i < kLanes; i++) store(transposed + (q + i) * kLanes, block[i]);
					}
					pack_taps<T>(filter, kh, kw, channels, c0, c1, transposed, to + j, width);
				}
			}
		});
	};
	with_storage(type, [&]<class S>(S storage) {
		if (ints[4] == 2) pack(storage, Storage<DType::f32>{});
		else pack(storage, storage);
	});
}

}  // namespace dreamdist::cpu::DD_ISA
