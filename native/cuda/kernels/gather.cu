// gather and scatter_add: rows of a table by index, and their gradient.
//
// Indices are checked before anything is written: one outside the table is reported to the context's fault record, which the host reads
// after the run, and nothing else is done. scatter_add has no order for timing to decide: the block of the first position with some index
// adds all positions with that index, in order.
#include "table.h"
#include "typed.h"

namespace dreamdist::cuda {
namespace {

constexpr int kThreads = 128;

enum FaultKernel { kGather, kScatterAdd };  // kFaultKernels

// One block looks at all positions in order, so that the first bad one is reported.
__global__ void __launch_bounds__(kThreads) check_indices_kernel(const int32_t* index, int64_t n, int64_t rows, Fault* fault, int kernel, int call) {
	GPU_SHARED(int, first_bad, 1);
	if (threadIdx.x == 0) first_bad[0] = kThreads;
	__syncthreads();
	for (int64_t first = 0; first < n; first += kThreads) {
		const int64_t i = first + threadIdx.x;
		const bool bad = i < n && (index[i] < 0 || index[i] >= rows);
		if (!__syncthreads_or(bad)) continue;
		if (bad) atomicMin(first_bad, (int)threadIdx.x);
		__syncthreads();
		if (first_bad[0] == (int)threadIdx.x && atomicCAS(&fault->claimed, 0, 1) == 0) {
			fault->kernel = kernel;
			fault->call = call;
			fault->position = (int)i;
			fault->index = index[i];
			fault->rows = (int)rows;
		}
		return;
	}
}

__global__ void __launch_bounds__(kThreads) gather_kernel(Typed table, const int32_t* index, Typed y, int64_t n, int64_t width, const Fault* fault) {
	if (fault->claimed) return;
	for (int64_t i = blockIdx.x; i < n; i += gridDim.x)
		for (int64_t c = threadIdx.x; c < width; c += kThreads) y.store(i * width + c, table.load(index[i] * width + c));
}

__global__ void __launch_bounds__(kThreads) zero_kernel(Typed y, int64_t count, const Fault* fault) {
	if (fault->claimed) return;
	for (int64_t i = (int64_t)blockIdx.x * kThreads + threadIdx.x; i < count; i += (int64_t)gridDim.x * kThreads) y.store(i, 0);
}

__global__ void __launch_bounds__(kThreads) scatter_add_kernel(const int32_t* index, Typed source, Typed y, int64_t n, int64_t width, const Fault* fault) {
	if (fault->claimed) return;
	for (int64_t i = blockIdx.x; i < n; i += gridDim.x) {
		const int64_t row = index[i];
		int earlier = 0;
		for (int64_t j = threadIdx.x; j < i; j += kThreads) earlier |= index[j] == row;
		if (__syncthreads_or(earlier)) continue;
		for (int64_t c = threadIdx.x; c < width; c += kThreads) {
			float total = 0;
			for (int64_t j = i; j < n; j++)
				if (index[j] == row) total += source.load(j * width + c);
			y.store(row * width + c, total);
		}
	}
}

void check_indices(const int32_t* index, int64_t n, int64_t rows, FaultKernel kernel, const KernelArgs& args, Context& context) {
	gpu::launch<check_indices_kernel>(1, kThreads, 0, context.stream, index, n, rows, context.fault, (int)kernel, args.call);
}

}  // namespace

void gather(const KernelArgs& args, Context& context) {
	const int64_t n = args.ints[0], rows = args.ints[1], width = args.ints[2];
	if (n <= 0) return;
	const auto* index = args.ptr<const int32_t>(1);
	check_indices(index, n, rows, kGather, args, context);
	gpu::launch<gather_kernel>(grid_for(n, 1), kThreads, 0, context.stream, Typed(args.at(0)), index, Typed(args.at(2)), n, width, context.fault);
}

void scatter_add(const KernelArgs& args, Context& context) {
	const int64_t n = args.ints[0], rows = args.ints[1], width = args.ints[2];
	const auto* index = args.ptr<const int32_t>(0);
	if (n > 0) check_indices(index, n, rows, kScatterAdd, args, context);
	if (rows > 0 && width > 0) gpu::launch<zero_kernel>(grid_for(rows * width, kThreads), kThreads, 0, context.stream, Typed(args.at(2)), rows * width, context.fault);
	if (n > 0)
		gpu::launch<scatter_add_kernel>(grid_for(n, 1), kThreads, 0, context.stream, index, Typed(args.at(1)), Typed(args.at(2)), n, width, context.fault);
}

}  // namespace dreamdist::cuda
