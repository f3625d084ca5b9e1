// reduce: y = scale · op over the reduced dimensions.
//
// Three walks. Rows: the reduced space of one output is read in runs, four vector accumulators per kChunk elements. Columns: neighbouring
// outputs are neighbours in x (bias gradients, [rows, C] → [C]), so whole rows are added into a row of accumulators, eight at a time.
// Short: few elements for each of many outputs, gathered so that a register holds one of each output.
//
// In each, f32 carries at most a short chain and float64 the sum of chains: the error does not grow with the count. Where there are too
// few outputs to keep every thread busy the reduced space is cut into pieces, combined in order afterwards.
#include <cstddef>

#include "convert.h"
#include "strided.h"
#include "table.h"

namespace dreamdist::cpu::DD_ISA {

namespace {

enum ReduceOp : int64_t { kSum = 0, kMax = 1, kSumSquares = 2, kMin = 3, kSumAbs = 4 };
constexpr int64_t kChunk = 1024;       // elements per float64 addition in a row
constexpr int64_t kColumns = 1024;     // columns accumulated together: 4 KB of f32, 8 KB of float64
constexpr int64_t kFlushRows = 256;    // rows between float64 additions of a column: chains of 32 sums of 8
constexpr int64_t kShort = 128;        // elements that are gathered rather than walked
constexpr int64_t kPieceWork = 16384;  // a piece of a cut reduction has at least this many elements

struct Sum {
	static constexpr double kStart = 0;
	static vf map(vf x) { return x; }
	static vf join(vf a, vf b) { return a + b; }
	static double join(double a, double b) { return a + b; }
};
struct SumSquares : Sum {
	static vf map(vf x) { return x * x; }
};
struct SumAbs : Sum {
	static vf map(vf x) { return vabs(x); }
};
// A NaN anywhere is the result: `x > best` is false for it, so it is let in by name and never leaves.
struct Max {
	static constexpr double kStart = -__builtin_inf();
	static vf map(vf x) { return x; }
	static vf join(vf a, vf b) { return select((b > a) | (b != b), b, a); }
	static double join(double a, double b) { return b > a || b != b ? b : a; }
};
struct Min {
	static constexpr double kStart = __builtin_inf();
	static vf map(vf x) { return x; }
	static vf join(vf a, vf b) { return select((b < a) | (b != b), b, a); }
	static double join(double a, double b) { return b < a || b != b ? b : a; }
};

struct ReducePlan {
	int kept, reduced;  // ranks after collapsing
	int64_t keptShape[kMaxRank], reducedShape[kMaxRank];
	int64_t keptStrides[1][kMaxRank], reducedStrides[1][kMaxRank];
	int64_t outputs, count;  // elements of y; elements reduced into each
	bool columns, few;
	// Columns: the last kept dimension is walked inside a unit, `width` of it at a time; `fold` rows count as one wider row.
	int64_t fold, width, strips;
	int64_t units, pieces, pieceCount;  // pieceCount: reduced elements (columns: rows of the reduced space) of a piece

	int64_t partials() const { return outputs * pieces; }
};

ReducePlan make_plan(const KernelArgs& args, int threads) {
	const int64_t* ints = args.ints.data();
	const int64_t keptRank = ints[1], reducedRank = ints[2];
	if (keptRank < 0 || keptRank > kMaxRank || reducedRank < 0 || reducedRank > kMaxRank)
		throw_call_error("reduce", "the kept and reduced ranks must be between 0 and 8", keptRank > reducedRank ? keptRank : reducedRank);
	ReducePlan p;
	ints += 3;
	for (int d = 0; d < keptRank; d++) {
		p.keptShape[d] = ints[d];
		p.keptStrides[0][d] = ints[keptRank + d];
	}
	ints += 2 * keptRank;
	for (int d = 0; d < reducedRank; d++) {
		p.reducedShape[d] = ints[d];
		p.reducedStrides[0][d] = ints[reducedRank + d];
	}
	p.outputs = product(p.keptShape, keptRank);
	p.count = product(p.reducedShape, reducedRank);
	p.kept = collapse(keptRank, p.keptShape, p.keptStrides, 1);
	sort_dimensions(reducedRank, p.reducedShape, p.reducedStrides, 1);
	p.reduced = collapse(reducedRank, p.reducedShape, p.reducedStrides, 1);

	const int64_t inner = p.kept > 0 ? p.keptShape[p.kept - 1] : 1;
	const bool rowsContiguous = p.reduced > 0 && p.reducedStrides[0][p.reduced - 1] == 1;
	p.columns = p.kept > 0 && p.keptStrides[0][p.kept - 1] == 1 && !rowsContiguous && p.reduced > 0;
	const bool shortRow = rowsContiguous && p.reduced == 1 && p.count >= 48;  // long enough for registers along the row
	p.few = p.count > 0 && p.count <= kShort && p.outputs >= kLanes && (p.columns ? inner < kLanes : !shortRow);
	p.fold = 1;
	p.width = inner;
	p.strips = 1;
	p.units = p.outputs;
	int64_t steps = p.count;  // what pieces are cut from
	int64_t pieceSteps = kPieceWork;
	if (p.columns && p.outputs > 0 && p.count > 0) {
		// Narrow rows that follow each other in memory are read several at a time.
		if (inner < 128 && p.reducedStrides[0][p.reduced - 1] == inner) p.fold = min64(256 / inner, p.reducedShape[p.reduced - 1]);
		const int64_t outer = p.outputs / inner;
		p.width = inner > kColumns ? kColumns : inner;
		p.strips = div_up(inner, p.width);
		p.units = outer * p.strips;
		pieceSteps = max64(kFlushRows, kPieceWork / p.width);
	}
	p.pieces = 1;
	if (threads > 1 && !p.few && p.outputs > 0 && p.units < 4 * threads && p.outputs * p.count > 2 * kPieceWork)
		p.pieces = max64(1, min64(div_up(4 * threads, p.units), steps / pieceSteps));
	p.pieceCount = div_up(max64(steps, 1), p.pieces);
	if (p.columns && p.fold > 1) p.pieceCount = div_up(p.pieceCount, p.fold) * p.fold;
	p.pieceCount = max64(p.pieceCount, 1);
	p.pieces = max64(1, div_up(steps, p.pieceCount));
	return p;
}

// n contiguous elements, n ≤ kChunk.
template <class Op>
double reduce_chunk(const float* x, int64_t n) {
	const vf start = set1((float)Op::kStart);
	vf a = start, b = start, c = start, d = start;
	int64_t i = 0;
	for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
		a = Op::join(a, Op::map(load(x + i)));
		b = Op::join(b, Op::map(load(x + i + kLanes)));
		c = Op::join(c, Op::map(load(x + i + 2 * kLanes)));
		d = Op::join(d, Op::map(load(x + i + 3 * kLanes)));
	}
	for (; i + kLanes <= n; i += kLanes) a = Op::join(a, Op::map(load(x + i)));
	if (i < n) {
		// Lanes beyond the end repeat the start value.
		float tail[kLanes];
		store(tail, start);
		vf lanes = Op::map(load_n(x + i, n - i));
		std::memcpy(tail, &lanes, (n - i) * sizeof(float));
		b = Op::join(b, load(tail));
	}
	const vf all = Op::join(Op::join(a, b), Op::join(c, d));
	double result = all[0];
	for (int lane = 1; lane < kLanes; lane++) result = Op::join(result, (double)all[lane]);
	return result;
}

// Elements [begin, end) of the reduced space of the output at x.
template <class Op, class X>
double reduce_rows(const ReducePlan& p, const typename X::Element* x, int64_t begin, int64_t end) {
	const int outer = p.reduced > 0 ? p.reduced - 1 : 0;
	const int64_t n = p.reduced > 0 ? p.reducedShape[outer] : 1, stride = p.reduced > 0 ? p.reducedStrides[0][outer] : 0;
	double total = Op::kStart;
	float buffer[kChunk];
	int64_t held = 0;  // short and strided runs are collected, so that every chunk is long
	Odometer<1> at(outer, p.reducedShape, p.reducedStrides, begin / n);
	for (int64_t i = begin; i < end;) {
		const int64_t first = i % n, run = min64(n - first, end - i);
		const auto* from = x + at.offset[0] + first * stride;
		int64_t done = 0;
		if constexpr (__is_same(X, F32)) {
			if (stride == 1)
				while (run - done >= kChunk / 4 || (run == end - begin && done < run)) {
					const int64_t part = min64(kChunk, run - done);
					total = Op::join(total, reduce_chunk<Op>(from + done, part));
					done += part;
				}
		}
		while (done < run) {
			const int64_t part = min64(kChunk - held, run - done);
			convert_run<X, F32>(from + done * stride, stride, buffer + held, 1, part);
			held += part;
			done += part;
			if (held == kChunk) {
				total = Op::join(total, reduce_chunk<Op>(buffer, held));
				held = 0;
			}
		}
		i += run;
		if (first + run == n) at.next();
	}
	return held > 0 ? Op::join(total, reduce_chunk<Op>(buffer, held)) : total;
}

// One vector of a row, or its first n elements.
template <class Op, class X>
vf element(const typename X::Element* x, int64_t n) {
	if (n == kLanes) return Op::map(X::load(x));
	float lanes[kLanes] = {};
	for (int64_t i = 0; i < n; i++) lanes[i] = X::get(x[i]);
	return Op::map(load(lanes));
}

// acc[0, n) joined with `rows` rows of x, in trees of eight.
template <class Op, class X>
void accumulate_rows(float* acc, const typename X::Element* x, int64_t stride, int64_t rows, int64_t n) {
	for (; rows >= 8; rows -= 8, x += 8 * stride) {
		auto add = [&](int64_t i, int64_t lanes) {
			auto pair = [&](int row) { return Op::join(element<Op, X>(x + row * stride + i, lanes), element<Op, X>(x + (row + 1) * stride + i, lanes)); };
			const vf eight = Op::join(Op::join(pair(0), pair(2)), Op::join(pair(4), pair(6)));
			store(acc + i, Op::join(load(acc + i), eight));
		};
		int64_t i = 0;
		for (; i + kLanes <= n; i += kLanes) add(i, kLanes);
		if (i < n) add(i, n - i);
	}
	for (; rows > 0; rows--, x += stride) {
		auto add = [&](int64_t i, int64_t lanes) { store(acc + i, Op::join(load(acc + i), element<Op, X>(x + i, lanes))); };
		int64_t i = 0;
		for (; i + kLanes <= n; i += kLanes) add(i, kLanes);
		if (i < n) add(i, n - i);
	}
}

// Rows [begin, end) of the reduced space into `width` columns: result[c] = op over x[row][c].
template <class Op, class X>
void reduce_columns(const ReducePlan& p, const typename X::Element* x, int64_t width, int64_t begin, int64_t end, double* result) {
	constexpr int64_t kWide = kColumns + kLanes;
	float acc[kWide];
	const int outer = p.reduced - 1;
	const int64_t rowCount = p.reducedShape[outer], stride = p.reducedStrides[0][outer];
	for (int64_t c = 0; c < width; c++) result[c] = Op::kStart;
	auto clear = [&](int64_t n) {
		for (int64_t c = 0; c < n; c += kLanes) store(acc + c, set1((float)Op::kStart));
	};
	auto flush = [&](int64_t copies) {
		for (int64_t k = 0; k < copies; k++)
			for (int64_t c = 0; c < width; c++) result[c] = Op::join(result[c], (double)acc[k * width + c]);
	};
	Odometer<1> at(outer, p.reducedShape, p.reducedStrides, begin / rowCount);
	int64_t pending = 0;
	clear(width);
	for (int64_t row = begin; row < end;) {
		const int64_t first = row % rowCount, run = min64(rowCount - first, end - row);
		const auto* from = x + at.offset[0] + first * stride;
		int64_t done = 0;
		if (p.fold > 1 && run >= p.fold) {
			if (pending > 0) flush(1);
			const int64_t wide = run / p.fold;
			for (int64_t w = 0; w < wide;) {
				const int64_t part = min64(kFlushRows, wide - w);
				clear(p.fold * width);
				accumulate_rows<Op, X>(acc, from + w * p.fold * stride, p.fold * stride, part, p.fold * width);
				flush(p.fold);
				w += part;
			}
			done = wide * p.fold;
			pending = 0;
			clear(width);
		}
		while (done < run) {
			const int64_t part = min64(kFlushRows - pending, run - done);
			accumulate_rows<Op, X>(acc, from + done * stride, stride, part, width);
			pending += part;
			done += part;
			if (pending == kFlushRows) {
				flush(1);
				clear(width);
				pending = 0;
			}
		}
		row += run;
		if (first + run == rowCount) at.next();
	}
	if (pending > 0) flush(1);
}

// Outputs [begin, end), each of at most kShort elements.
template <class Op, class X>
void reduce_few(const ReducePlan& p, const typename X::Element* x, float* y, double scale, int64_t begin, int64_t end) {
	int64_t offsets[kShort];
	Odometer<1> element(p.reduced, p.reducedShape, p.reducedStrides, 0);
	for (int64_t k = 0; k < p.count; k++, element.next()) offsets[k] = element.offset[0];
	alignas(64) float gathered[kShort * kLanes];
	alignas(64) float acc[kLanes];
	Odometer<1> output(p.kept, p.keptShape, p.keptStrides, begin);
	for (int64_t first = begin; first < end; first += kLanes) {
		const int64_t lanes = min64(kLanes, end - first);
		for (int64_t lane = 0; lane < kLanes; lane++) {
			const auto* from = x + output.offset[0];
			for (int64_t k = 0; k < p.count; k++) gathered[k * kLanes + lane] = X::get(from[offsets[k]]);
			if (lane < lanes - 1) output.next();  // lanes beyond the end repeat the last output
		}
		output.next();
		store(acc, set1((float)Op::kStart));
		accumulate_rows<Op, F32>(acc, gathered, kLanes, p.count, kLanes);
		for (int64_t lane = 0; lane < lanes; lane++) y[first + lane] = (float)(scale * acc[lane]);
	}
}

template <class Op, class X>
void run_reduce(const ReducePlan& p, const typename X::Element* x, float* y, double scale, double* partials, ThreadTeam& team) {
	const int64_t tasks = p.units * p.pieces, steps = p.count;
	if (steps == 0) {
		for (int64_t i = 0; i < p.outputs; i++) y[i] = (float)(scale * Op::kStart);
		return;
	}
	const bool small = p.outputs * p.count < kSerialWork;
	if (p.few) {
		team.parallel_for(p.outputs, small ? p.outputs : 16 * kLanes,
						  [&](int64_t begin, int64_t end, int) { reduce_few<Op, X>(p, x, y, scale, begin, end); });
		return;
	}
	const int64_t inner = p.kept > 0 ? p.keptShape[p.kept - 1] : 1;
	team.parallel_for(tasks, small ? tasks : 1, [&](int64_t first, int64_t last, int) {
		double columns[kColumns];
		for (int64_t task = first; task < last; task++) {
			const int64_t unit = task / p.pieces, piece = task % p.pieces;
			const int64_t begin = piece * p.pieceCount, end = min64(steps, begin + p.pieceCount);
			if (!p.columns) {
				const Odometer<1> at(p.kept, p.keptShape, p.keptStrides, unit);
				const double value = reduce_rows<Op, X>(p, x + at.offset[0], begin, end);
				if (p.pieces == 1) y[unit] = (float)(scale * value);
				else partials[piece * p.outputs + unit] = value;
				continue;
			}
			const Odometer<1> at(p.kept - 1, p.keptShape, p.keptStrides, unit / p.strips);
			const int64_t column = unit % p.strips * p.width, width = min64(p.width, inner - column);
			const int64_t out = unit / p.strips * inner + column;
			double* result = p.pieces == 1 ? columns : partials + piece * p.outputs + out;
			reduce_columns<Op, X>(p, x + at.offset[0] + column, width, begin, end, result);
			if (p.pieces == 1)
				for (int64_t c = 0; c < width; c++) y[out + c] = (float)(scale * result[c]);
		}
	});
	if (p.pieces == 1) return;
	for (int64_t i = 0; i < p.outputs; i++) {
		double value = Op::kStart;
		for (int64_t piece = 0; piece < p.pieces; piece++) value = Op::join(value, partials[piece * p.outputs + i]);
		y[i] = (float)(scale * value);
	}
}

}  // namespace

int64_t reduce_scratch(const KernelArgs& args, int threads) {
	const ReducePlan plan = make_plan(args, threads);
	return plan.pieces > 1 ? plan.partials() * (int64_t)sizeof(double) : 0;
}

void reduce(const KernelArgs& args, ThreadTeam& team) {
	const ReducePlan plan = make_plan(args, team.size());
	if (plan.outputs == 0) return;
	auto* partials = static_cast<double*>(args.scratch);
	float* y = args.ptr(1);
	if (args.at(1).dtype != DType::f32) throw_call_error("reduce", "the result must be f32, not dtype", (int64_t)args.at(1).dtype);
	with_storage(args.at(0).dtype, [&]<class X>(X) {
		const auto* x = args.ptr<const typename X::Element>(0);
		const double scale = args.floats[0];
		switch (args.ints[0]) {
			case kSum: return run_reduce<Sum, X>(plan, x, y, scale, partials, team);
			case kMax: return run_reduce<Max, X>(plan, x, y, scale, partials, team);
			case kSumSquares: return run_reduce<SumSquares, X>(plan, x, y, scale, partials, team);
			case kMin: return run_reduce<Min, X>(plan, x, y, scale, partials, team);
			case kSumAbs: return run_reduce<SumAbs, X>(plan, x, y, scale, partials, team);
			default: throw_call_error("reduce", "unknown op", args.ints[0]);
		}
	});
}

}  // namespace dreamdist::cpu::DD_ISA
