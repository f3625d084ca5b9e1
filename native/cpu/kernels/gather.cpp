// gather and scatter_add: rows of a table by index, and their gradient.
//
// Indices are checked before anything is written. scatter_add has no order for timing to decide: every element of y is owned by one
// thread, which walks all indices in order. Wide rows are shared out by columns, narrow ones by rows of y.
#include "convert.h"
#include "lanes.h"
#include "strided.h"
#include "table.h"

namespace dreamdist::cpu::DD_ISA {

namespace {

void check_indices(const char* kernel, const int32_t* index, int64_t n, int64_t rows) {
	for (int64_t i = 0; i < n; i++)
		if (index[i] < 0 || index[i] >= rows) throw_index_error(kernel, i, index[i], rows);
}

// y[0, n) += x[0, n)
void add_row(float* y, const float* x, int64_t n) {
	over(n, [&](int64_t i, auto lanes) { lanes.store(y + i, lanes.load(y + i) + lanes.load(x + i)); });
}

}  // namespace

void gather(const KernelArgs& args, ThreadTeam& team) {
	const int64_t n = args.ints[0], rows = args.ints[1], C = args.ints[2];
	const auto* index = args.ptr<const int32_t>(1);
	float* y = args.ptr(2);
	if (n <= 0) return;
	check_indices("gather", index, n, rows);
	if (C <= 0) return;
	with_storage(args.at(0).dtype, [&]<class X>(X) {
		const auto* table = args.ptr<const typename X::Element>(0);
		team.parallel_for(n, n * C < kSerialWork ? n : max64(1, 256 / C), [&](int64_t begin, int64_t end, int) {
			for (int64_t i = begin; i < end; i++) convert_run<X, F32>(table + index[i] * C, 1, y + i * C, 1, C);
		});
	});
}

void scatter_add(const KernelArgs& args, ThreadTeam& team) {
	const int64_t n = args.ints[0], rows = args.ints[1], C = args.ints[2];
	const auto* index = args.ptr<const int32_t>(0);
	const float* src = args.ptr<const float>(1);
	float* y = args.ptr(2);
	if (n > 0) check_indices("scatter_add", index, n, rows);
	if (rows <= 0 || C <= 0) return;
	const bool small = (n + rows) * C < kSerialWork;
	if (small || C >= 32 * team.size()) {
		team.parallel_for(C, small ? C : 16, [&](int64_t begin, int64_t end, int) {
			for (int64_t r = 0; r < rows; r++) std::memset(y + r * C + begin, 0, (end - begin) * sizeof(float));
			for (int64_t i = 0; i < n; i++) add_row(y + index[i] * C + begin, src + i * C + begin, end - begin);
		});
	} else {
		team.parallel_for(rows, max64(1, 64 / C), [&](int64_t begin, int64_t end, int) {
			std::memset(y + begin * C, 0, (end - begin) * C * sizeof(float));
			for (int64_t i = 0; i < n; i++)
				if (index[i] >= begin && index[i] < end) add_row(y + index[i] * C, src + i * C, C);
		});
	}
}

}  // namespace dreamdist::cpu::DD_ISA
