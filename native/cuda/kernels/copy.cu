// copy: strided, with conversion. Contiguous runs of one type move 16 bytes at a time.
#include "strided.h"
#include "table.h"

namespace dreamdist::cuda {
namespace {

constexpr int kThreads = 256;

struct CopyShape {
	int64_t count;
	int rank;
	uint32_t shape[kMaxRank];
	int64_t from[kMaxRank], to[kMaxRank];
};

template <class From, class To>
__global__ void __launch_bounds__(kThreads) copy_kernel(const From* x, To* y, CopyShape s) {
	for (int64_t i = (int64_t)blockIdx.x * kThreads + threadIdx.x; i < s.count; i += (int64_t)gridDim.x * kThreads) {
		uint32_t index = (uint32_t)i;
		int64_t from = 0, to = 0;
		GPU_NO_UNROLL
		for (int d = s.rank - 1; d >= 0; d--) {
			const uint32_t rest = d > 0 ? index / s.shape[d] : 0, at = index - rest * s.shape[d];
			from += at * s.from[d];
			to += at * s.to[d];
			index = rest;
		}
		if constexpr (std::is_same_v<From, To>) y[to] = x[from];
		else if constexpr (std::is_same_v<From, int32_t>) y[to] = gpu::from_float<To>((float)x[from]);
		else if constexpr (std::is_same_v<To, int32_t>) y[to] = (int32_t)gpu::to_float(x[from]);
		else y[to] = gpu::from_float<To>(gpu::to_float(x[from]));
	}
}

__global__ void __launch_bounds__(kThreads) copy_bytes_kernel(const uint4* x, uint4* y, int64_t count) {
	for (int64_t i = (int64_t)blockIdx.x * kThreads + threadIdx.x; i < count; i += (int64_t)gridDim.x * kThreads) gpu::store128(y + i, gpu::load128(x + i));
}

}  // namespace

void copy(const KernelArgs& args, Context& context) {
	const int64_t* ints = args.ints.data();
	const int rank = (int)ints[0];
	if (rank < 0 || rank > kMaxRank) refuse("copy", "the rank must be between 0 and 8");
	int64_t shape[kMaxRank], strides[2][kMaxRank];
	for (int d = 0; d < rank; d++) {
		shape[d] = ints[1 + d];
		strides[0][d] = ints[1 + rank + d];
		strides[1][d] = ints[1 + 2 * rank + d];
	}
	CopyShape s = {};
	s.count = product(shape, rank);
	if (s.count == 0) return;
	if (s.count >= int64_t(1) << 32) refuse("copy", "the tensor has too many elements");
	s.rank = collapse(rank, shape, strides, 2);
	const Operand x = args.at(0), y = args.at(1);
	const int64_t bytes = s.count * bytes_of(x.dtype);
	const bool contiguous = s.rank == 0 || (s.rank == 1 && strides[0][0] == 1 && strides[1][0] == 1);
	if (contiguous && x.dtype == y.dtype && bytes % 16 == 0 && aligned16(x.data) && aligned16(y.data)) {
		gpu::launch<copy_bytes_kernel>(grid_for(bytes / 16, kThreads), kThreads, 0, context.stream, x.as<const uint4>(), y.as<uint4>(), bytes / 16);
		return;
	}
	for (int d = 0; d < s.rank; d++) {
		s.shape[d] = (uint32_t)shape[d];
		s.from[d] = strides[0][d];
		s.to[d] = strides[1][d];
	}
	with_type(x.dtype, [&](auto from) {
		with_type(y.dtype, [&](auto to) {
			using From = decltype(from);
			using To = decltype(to);
			gpu::launch<copy_kernel<From, To>>(grid_for(s.count, kThreads), kThreads, 0, context.stream, x.as<const From>(), y.as<To>(), s);
		});
	});
}

}  // namespace dreamdist::cuda
