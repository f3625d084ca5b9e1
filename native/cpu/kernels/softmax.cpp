// Softmax and log-softmax over the last dimension, and their gradients. A row is read from L1 after its first pass; rows are shared out.
#include <cmath>

#include "../vector_math.h"
#include "lanes.h"
#include "table.h"

namespace dreamdist::cpu::DD_ISA {

namespace {

// Rows per share such that a share is worth waking a thread for.
int64_t row_grain(int64_t width) { return width >= 2048 ? 1 : 2048 / width; }

template <class Term>
double sum_of(int64_t n, Term&& term) {
	double total = 0;
	for (int64_t start = 0; start < n; start += kSumPiece) {
		vf part = zero();
		over(n - start < kSumPiece ? n - start : kSumPiece, [&](int64_t i, auto lanes) { part += lanes.keep(term(start + i, lanes)); });
		total += sum(part);
	}
	return total;
}

}  // namespace

void softmax(const KernelArgs& args, ThreadTeam& team) {
	const int64_t rows = args.ints[0], width = args.ints[1];
	const bool logarithm = args.ints[2] != 0;
	if (rows <= 0 || width <= 0) return;
	team.parallel_for(rows, row_grain(width), [&](int64_t begin, int64_t end, int) {
		for (int64_t r = begin; r < end; r++) {
			const float* x = args.ptr(0) + r * width;
			float* y = args.ptr(1) + r * width;
			constexpr float kLowest = -__builtin_inff();
			vf best = set1(kLowest);
			over(width, [&](int64_t i, auto lanes) { best = vmax(best, lanes.keep(lanes.load(x + i), kLowest)); });
			const vf highest = set1(max_of(best));
			if (logarithm) {
				const double total = sum_of(width, [&](int64_t i, auto lanes) { return vexp(lanes.load(x + i) - highest); });
				const vf log_total = set1((float)std::log(total));
				over(width, [&](int64_t i, auto lanes) { lanes.store(y + i, lanes.load(x + i) - highest - log_total); });
			} else {
				const double total = sum_of(width, [&](int64_t i, auto lanes) {
					const vf e = vexp(lanes.load(x + i) - highest);
					lanes.store(y + i, e);
					return e;
				});
				const vf factor = set1((float)(1 / total));
				over(width, [&](int64_t i, auto lanes) { lanes.store(y + i, lanes.load(y + i) * factor); });
			}
		}
	});
}

void softmax_grad(const KernelArgs& args, ThreadTeam& team) {
	const int64_t rows = args.ints[0], width = args.ints[1];
	const bool logarithm = args.ints[2] != 0;
	if (rows <= 0 || width <= 0 || !args.ptr(2)) return;
	team.parallel_for(rows, row_grain(width), [&](int64_t begin, int64_t end, int) {
		for (int64_t r = begin; r < end; r++) {
			const float *y = args.ptr(0) + r * width, *dy = args.ptr(1) + r * width;
			float* dx = args.ptr(2) + r * width;
			if (logarithm) {
				const vf total = set1((float)sum_of(width, [&](int64_t i, auto lanes) { return lanes.load(dy + i); }));
				over(width, [&](int64_t i, auto lanes) { lanes.store(dx + i, fma(-vexp(lanes.load(y + i)), total, lanes.load(dy + i))); });
			} else {
				const vf total = set1((float)sum_of(width, [&](int64_t i, auto lanes) { return lanes.load(dy + i) * lanes.load(y + i); }));
				over(width, [&](int64_t i, auto lanes) { lanes.store(dx + i, lanes.load(y + i) * (lanes.load(dy + i) - total)); });
			}
		}
	});
}

}  // namespace dreamdist::cpu::DD_ISA
