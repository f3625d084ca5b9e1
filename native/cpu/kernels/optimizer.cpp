// adamw and sgd: parameters and moments updated in place, in one pass over memory.
#include "../vector_math.h"
#include "lanes.h"
#include "strided.h"
#include "table.h"

namespace dreamdist::cpu::DD_ISA {

namespace {

// Calls update(i, lanes) over [0, n), shared out among the threads.
template <class Update>
void each_parameter(int64_t n, ThreadTeam& team, Update&& update) {
	if (n <= 0) return;
	team.parallel_for(n, n < kSerialWork ? n : 1024, [&](int64_t begin, int64_t end, int) {
		over(end - begin, [&](int64_t i, auto lanes) { update(begin + i, lanes); });
	});
}

}  // namespace

void adamw(const KernelArgs& args, ThreadTeam& team) {
	float *p = args.ptr(0), *m = args.ptr(1), *v = args.ptr(2);
	const float *g = args.ptr<const float>(3), *hyper = args.ptr<const float>(4);
	const double lr = hyper[0], beta1 = hyper[1], beta2 = hyper[2];
	const vf keepM = set1((float)beta1), takeM = set1((float)(1 - beta1)), keepV = set1((float)beta2), takeV = set1((float)(1 - beta2));
	const vf decay = set1((float)(1 - lr * hyper[4])), scale = set1(hyper[7]), eps = set1(hyper[3]);
	const vf step = set1((float)(lr / hyper[5])), correction = set1((float)(1 / __builtin_sqrt((double)hyper[6])));
	each_parameter(args.ints[0], team, [&](int64_t i, auto lanes) {
		const vf gradient = lanes.load(g + i) * scale;
		const vf mean = keepM * lanes.load(m + i) + takeM * gradient;
		const vf square = keepV * lanes.load(v + i) + takeV * gradient * gradient;
		lanes.store(m + i, mean);
		lanes.store(v + i, square);
		lanes.store(p + i, lanes.load(p + i) * decay - step * mean / (vsqrt(square) * correction + eps));
	});
}

void sgd(const KernelArgs& args, ThreadTeam& team) {
	float *p = args.ptr(0), *m = args.ptr(1);
	const float *g = args.ptr<const float>(2), *hyper = args.ptr<const float>(3);
	const bool nesterov = args.ints[1] != 0, first = hyper[4] != 0;
	const vf lr = set1(hyper[0]), momentum = set1(hyper[1]), decay = set1(hyper[2]), scale = set1(hyper[3]);
	each_parameter(args.ints[0], team, [&](int64_t i, auto lanes) {
		const vf old = lanes.load(p + i);
		const vf gradient = lanes.load(g + i) * scale + decay * old;
		// The first step does not read m: its memory may hold anything.
		const vf mean = first ? gradient : momentum * lanes.load(m + i) + gradient;
		lanes.store(m + i, mean);
		lanes.store(p + i, old - lr * (nesterov ? gradient + momentum * mean : mean));
	});
}

}  // namespace dreamdist::cpu::DD_ISA
