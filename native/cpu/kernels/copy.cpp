// copy: y[i·yStrides] = x[i·xStrides], the one kernel behind slice, concat, transpose, broadcast and cast.
//
// Bound by memory, so the shape is first put into the order y is written in and collapsed; what is left is one of two loops: runs along
// the innermost dimension, or, where another dimension is the contiguous one of x, a transpose in tiles that both sides hold in L1.
#include "convert.h"
#include "strided.h"
#include "table.h"

namespace dreamdist::cpu::DD_ISA {

namespace {

constexpr int64_t kSegment = 16384;  // a long run is cut into pieces of this many elements, the unit of parallel work
constexpr int64_t kTile = 32;

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
	static E one(E x) { return x; }
	static void run(const E* x, int64_t xStride, E* y, int64_t yStride, int64_t n) {
		if (xStride == 1 && yStride == 1) {
			if (n * (int64_t)sizeof(E) >= 128) {
				std::memcpy(y, x, n * sizeof(E));
				return;
			}
			for (int64_t i = 0; i < n; i++) y[i] = x[i];
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
	static Y one(X x) { return To::put(From::get(x)); }
	static void run(const X* x, int64_t xStride, Y* y, int64_t yStride, int64_t n) { convert_run<From, To>(x, xStride, y, yStride, n); }
};

template <class Op>
void copy_runs(const CopyShape& s, const typename Op::X* x, typename Op::Y* y, ThreadTeam& team) {
	const int outer = s.rank > 0 ? s.rank - 1 : 0;
	const int64_t n = s.rank > 0 ? s.shape[outer] : 1, yStride = s.rank > 0 ? s.strides[0][outer] : 1, xStride = s.rank > 0 ? s.strides[1][outer] : 1;
	const int64_t rows = product(s.shape, outer), segments = div_up(n, kSegment), units = rows * segments;
	const int64_t grain = n * rows < kSerialWork ? units : max64(1, kLanes * 16 / n);
	team.parallel_for(units, grain, [&](int64_t begin, int64_t end, int) {
		Odometer<2> at(outer, s.shape, s.strides, begin / segments);
		int64_t segment = begin % segments;
		for (int64_t unit = begin; unit < end; unit++) {
			const int64_t first = segment * kSegment;
			Op::run(x + at.offset[1] + first * xStride, xStride, y + at.offset[0] + first * yStride, yStride, min64(kSegment, n - first));
			if (++segment == segments) {
				segment = 0;
				at.next();
			}
		}
	});
}

// The last two dimensions are (i, j) with x contiguous along i and y along j.
template <class Op>
void copy_transposed(const CopyShape& s, const typename Op::X* x, typename Op::Y* y, ThreadTeam& team) {
	const int outer = s.rank - 2;
	const int64_t ni = s.shape[outer], nj = s.shape[outer + 1], yi = s.strides[0][outer], xj = s.strides[1][outer + 1];
	const int64_t tiles = div_up(ni, kTile), units = product(s.shape, outer) * tiles;
	team.parallel_for(units, product(s.shape, s.rank) < kSerialWork ? units : 1, [&](int64_t begin, int64_t end, int) {
		Odometer<2> at(outer, s.shape, s.strides, begin / tiles);
		int64_t tile = begin % tiles;
		for (int64_t unit = begin; unit < end; unit++) {
			const int64_t i0 = tile * kTile, i1 = min64(ni, i0 + kTile);
			for (int64_t j0 = 0; j0 < nj; j0 += kTile) {
				const int64_t j1 = min64(nj, j0 + kTile);
				for (int64_t i = i0; i < i1; i++) {
					const typename Op::X* from = x + at.offset[1] + i;
					typename Op::Y* to = y + at.offset[0] + i * yi;
					for (int64_t j = j0; j < j1; j++) to[j] = Op::one(from[j * xj]);
				}
			}
			if (++tile == tiles) {
				tile = 0;
				at.next();
			}
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
