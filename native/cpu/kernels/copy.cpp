// copy: y[i·yStrides] = x[i·xStrides], the one kernel behind slice, concat, transpose, broadcast and cast.
//
// Bound by memory, so the shape is first put into the order y is written in and collapsed; what is left is one of two loops: runs along
// the innermost dimension, or, where another dimension is the contiguous one of x, a transpose in square tiles of one cache line a side.
#include "convert.h"
#include "stream.h"
#include "strided.h"
#include "table.h"
#include "transpose.h"

namespace dreamdist::cpu::DD_ISA {

namespace {

constexpr int64_t kSegment = 16384;  // a long run is cut into pieces of this many elements, the unit of parallel work
constexpr int64_t kColumns = 1024;   // columns of y that one unit of a transpose writes

struct CopyShape {
	int rank;
	int64_t shape[kMaxRank];
	int64_t strides[2][kMaxRank];  // y, x
};

// Moves bits where the types agree.
template <class E>
struct Move {
	using X = E;
	using Y = E;
	// to[i·toPitch + j] = from[j·fromPitch + i]
	static void tile(const E* from, int64_t fromPitch, E* to, int64_t toPitch, int64_t ni, int64_t nj) {
		constexpr int64_t kSide = 64 / sizeof(E);
		if (ni == kSide && nj == kSide) {
			// Whole lines are read once, into a tile, and written once: powers of two between rows would evict what is half used.
			alignas(64) E lines[kSide * kSide];
			for (int64_t j = 0; j < kSide; j++) std::memcpy(lines + j * kSide, from + j * fromPitch, 64);
			transpose_block(lines, kSide, to, toPitch, kSide);
			return;
		}
		for (int64_t i = 0; i < ni; i++)
			for (int64_t j = 0; j < nj; j++) to[i * toPitch + j] = from[j * fromPitch + i];
	}
	static void run(const E* x, int64_t xStride, E* y, int64_t yStride, int64_t n) {
		if (xStride == 1 && yStride == 1) {
			if (n * sizeof(E) == 16) std::memcpy(y, x, 16);  // four channels: latents
			else std::memcpy(y, x, n * sizeof(E));
		} else if (xStride == 0 && yStride == 1) {
			const E value = *x;
			for (int64_t i = 0; i < n; i++) y[i] = value;
		} else {
			for (int64_t i = 0; i < n; i++) y[i * yStride] = x[i * xStride];
		}
	}
};

template <class From, class To>
struct Convert {
	using X = typename From::Element;
	using Y = typename To::Element;
	static void tile(const X* from, int64_t fromPitch, Y* to, int64_t toPitch, int64_t ni, int64_t nj) {
		for (int64_t i = 0; i < ni; i++)
			for (int64_t j = 0; j < nj; j++) to[i * toPitch + j] = To::put(From::get(from[j * fromPitch + i]));
	}
	static void run(const X* x, int64_t xStride, Y* y, int64_t yStride, int64_t n) { convert_run<From, To>(x, xStride, y, yStride, n); }
};

template <class Op>
void copy_runs(const CopyShape& s, const typename Op::X* x, typename Op::Y* y, ThreadTeam& team) {
	const bool streams = __is_same(Op, Move<uint32_t>) && product(s.shape, s.rank) * (int64_t)sizeof(typename Op::Y) >= kStreamBytes;
	const int outer = s.rank > 0 ? s.rank - 1 : 0;
	const int64_t n = s.rank > 0 ? s.shape[outer] : 1, yStride = s.rank > 0 ? s.strides[0][outer] : 1, xStride = s.rank > 0 ? s.strides[1][outer] : 1;
	const int64_t rows = product(s.shape, outer), segments = div_up(n, kSegment), units = rows * segments;
	const int64_t grain = n * rows < kSerialWork ? units : max64(1, kLanes * 16 / n);
	team.parallel_for(units, grain, [&](int64_t begin, int64_t end, int) {
		Odometer<2> at(outer, s.shape, s.strides, begin / segments);
		int64_t segment = begin % segments;
		for (int64_t unit = begin; unit < end; unit++) {
			const int64_t first = segment * kSegment;
			const auto* from = x + at.offset[1] + first * xStride;
			auto* to = y + at.offset[0] + first * yStride;
			const int64_t count = min64(kSegment, n - first);
			if (streams && xStride == 1 && yStride == 1 && count >= 256) stream_run(reinterpret_cast<float*>(to), reinterpret_cast<const float*>(from), count);
			else Op::run(from, xStride, to, yStride, count);
			if (++segment == segments) {
				segment = 0;
				at.next();
			}
		}
		if (streams) finish_stream();
	});
}

// The last two dimensions are (i, j) with x contiguous along i and y along j.
template <class Op>
void copy_transposed(const CopyShape& s, const typename Op::X* x, typename Op::Y* y, ThreadTeam& team) {
	const int outer = s.rank - 2;
	const int64_t ni = s.shape[outer], nj = s.shape[outer + 1], yi = s.strides[0][outer], xj = s.strides[1][outer + 1];
	constexpr int64_t kSide = 64 / sizeof(typename Op::X);
	const int64_t tiles = div_up(ni, kSide), strips = div_up(nj, kColumns), units = product(s.shape, outer) * tiles * strips;
	team.parallel_for(units, product(s.shape, s.rank) < kSerialWork ? units : 1, [&](int64_t begin, int64_t end, int) {
		for (int64_t unit = begin; unit < end; unit++) {
			const Odometer<2> at(outer, s.shape, s.strides, unit / (tiles * strips));
			const int64_t i = unit / strips % tiles * kSide, first = unit % strips * kColumns, last = min64(nj, first + kColumns);
			const auto* from = x + at.offset[1] + i;
			auto* to = y + at.offset[0] + i * yi;
			for (int64_t j = first; j < last; j += kSide) Op::tile(from + j * xj, xj, to + j, yi, min64(kSide, ni - i), min64(kSide, last - j));
		}
	});
}

// Brings the dimension x is contiguous along next to the last one, if that makes a transpose worth tiling.
bool arrange_transpose(CopyShape& s) {
	const int last = s.rank - 1;
	if (s.rank < 2 || s.strides[0][last] != 1 || s.strides[1][last] == 1 || s.strides[1][last] == 0 || s.shape[last] < 4) return false;
	for (int d = 0; d < last; d++) {
		if (s.strides[1][d] != 1 || s.shape[d] < 4) continue;
		const int64_t shape = s.shape[d], yStride = s.strides[0][d];
		for (int e = d; e + 1 < last; e++) {
			s.shape[e] = s.shape[e + 1];
			s.strides[0][e] = s.strides[0][e + 1];
			s.strides[1][e] = s.strides[1][e + 1];
		}
		s.shape[last - 1] = shape;
		s.strides[0][last - 1] = yStride;
		s.strides[1][last - 1] = 1;
		return true;
	}
	return false;
}

}  // namespace

void copy(const KernelArgs& args, ThreadTeam& team) {
	const int64_t* ints = args.ints.data();
	const int64_t rank = ints[0];
	if (rank < 0 || rank > kMaxRank) throw_call_error("copy", "the rank must be between 0 and 8", rank);
	CopyShape s;
	for (int d = 0; d < rank; d++) {
		s.shape[d] = ints[1 + d];
		s.strides[1][d] = ints[1 + rank + d];
		s.strides[0][d] = ints[1 + 2 * rank + d];
	}
	if (product(s.shape, rank) == 0) return;
	sort_dimensions(rank, s.shape, s.strides, 2);
	s.rank = collapse(rank, s.shape, s.strides, 2);
	const bool transposed = arrange_transpose(s);
	auto run = [&]<class Op>(Op) {
		const auto* x = args.ptr<const typename Op::X>(0);
		auto* y = args.ptr<typename Op::Y>(1);
		transposed ? copy_transposed<Op>(s, x, y, team) : copy_runs<Op>(s, x, y, team);
	};
	const DType from = args.at(0).dtype, to = args.at(1).dtype;
	if (from == to) return bytes_of(from) == 2 ? run(Move<uint16_t>{}) : run(Move<uint32_t>{});
	with_storage(from, [&]<class X>(X) { with_storage(to, [&]<class Y>(Y) { run(Convert<X, Y>{}); }); });
}

}  // namespace dreamdist::cpu::DD_ISA
