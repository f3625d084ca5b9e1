// reduce: y = scale · op over the reduced dimensions.
//
// The reduced space of each output is cut into pieces; a group of threads walks a piece and leaves one partial result, and a second
// kernel joins the pieces in order. Where neighbouring outputs are neighbours in x (column sums) a thread has an output of its own and a
// warp reads along the outputs; else a warp has an output and reads along the reduced space. Sums are Kahan's.
#include "strided.h"
#include "table.h"

namespace dreamdist::cuda {
namespace {

enum ReduceOp { kSum, kMaximum, kSumSquares, kMinimum, kSumAbsolute };
constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int64_t kPiece = 2048;  // reduced elements of a piece, at least

struct ReduceShape {
	int64_t outputs, count;  // elements of y; elements reduced into each
	int64_t pieces, piece;
	int kept_rank, reduced_rank;
	uint32_t kept[kMaxRank], reduced[kMaxRank];
	int64_t kept_strides[kMaxRank], reduced_strides[kMaxRank];
};

struct Accumulator {
	CarefulSum sum;
	float best;
	int op;
	__device__ explicit Accumulator(int op) : best(op == kMinimum ? INFINITY : -INFINITY), op(op) {}
	__device__ __forceinline__ void add(float x) {
		if (op == kSum) sum.add(x);
		else if (op == kSumSquares) sum.add(x * x);
		else if (op == kSumAbsolute) sum.add(fabsf(x));
		else join(x);
	}
	__device__ __forceinline__ void join(float x) {  // NaN enters and never leaves
		if (op == kMaximum) best = x > best || x != x ? (best != best ? best : x) : best;
		else if (op == kMinimum) best = x < best || x != x ? (best != best ? best : x) : best;
		else sum.add(x);
	}
	__device__ __forceinline__ float value() const { return op == kMaximum || op == kMinimum ? best : sum.total; }
};

__device__ __forceinline__ int64_t offset_of(uint32_t index, int rank, const uint32_t* shape, const int64_t* strides) {
	int64_t at = 0;
	GPU_NO_UNROLL
	for (int d = rank - 1; d >= 0; d--) {
		const uint32_t rest = d > 0 ? index / shape[d] : 0;
		at += (index - rest * shape[d]) * strides[d];
		index = rest;
	}
	return at;
}

// Unit u = output · pieces + piece; its partial result goes to partial[u] (with one piece: straight to y).
template <class T>
__global__ void __launch_bounds__(kThreads) reduce_rows_kernel(const T* x, float* partial, ReduceShape s, int op, float scale) {
	const int lane = threadIdx.x & 31;
	const int64_t units = s.outputs * s.pieces;
	for (int64_t unit = (int64_t)blockIdx.x * kWarps + (threadIdx.x >> 5); unit < units; unit += (int64_t)gridDim.x * kWarps) {
		const int64_t output = unit / s.pieces, begin = unit % s.pieces * s.piece, rest = s.count - begin, end = begin + (rest < s.piece ? rest : s.piece);
		const T* from = x + offset_of((uint32_t)output, s.kept_rank, s.kept, s.kept_strides);
		Accumulator a(op);
		for (int64_t i = begin + lane; i < end; i += 32) a.add((float)gpu::to_float(from[offset_of((uint32_t)i, s.reduced_rank, s.reduced, s.reduced_strides)]));
		GPU_UNROLL
		for (int distance = 16; distance; distance >>= 1) {
			const float other = __shfl_xor_sync(gpu::kFullWarp, a.value(), distance);
			a.join(other);
		}
		if (lane == 0) partial[unit] = s.pieces == 1 ? a.value() * scale : a.value();
	}
}

// Unit u = piece · outputs + output.
template <class T>
__global__ void __launch_bounds__(kThreads) reduce_columns_kernel(const T* x, float* partial, ReduceShape s, int op, float scale) {
	const int64_t units = s.outputs * s.pieces;
	for (int64_t unit = (int64_t)blockIdx.x * kThreads + threadIdx.x; unit < units; unit += (int64_t)gridDim.x * kThreads) {
		const int64_t output = unit % s.outputs, begin = unit / s.outputs * s.piece, rest = s.count - begin, end = begin + (rest < s.piece ? rest : s.piece);
		const T* from = x + offset_of((uint32_t)output, s.kept_rank, s.kept, s.kept_strides);
		Accumulator a(op);
		for (int64_t i = begin; i < end; i++) a.add((float)gpu::to_float(from[offset_of((uint32_t)i, s.reduced_rank, s.reduced, s.reduced_strides)]));
		partial[unit] = s.pieces == 1 ? a.value() * scale : a.value();
	}
}

__global__ void __launch_bounds__(kThreads) reduce_join_kernel(const float* partial, float* y, int64_t outputs, int64_t pieces, int64_t output_step, int64_t piece_step, int op,
															  float scale) {
	for (int64_t output = (int64_t)blockIdx.x * kThreads + threadIdx.x; output < outputs; output += (int64_t)gridDim.x * kThreads) {
		Accumulator a(op);
		for (int64_t piece = 0; piece < pieces; piece++) a.join(partial[output * output_step + piece * piece_step]);
		y[output] = a.value() * scale;
	}
}

struct Plan {
	ReduceShape s = {};
	bool columns = false;
};

Plan plan(const KernelArgs& args) {
	const int64_t* ints = args.ints.data();
	const int kept = (int)ints[1], reduced = (int)ints[2];
	int64_t shape[kMaxRank], strides[1][kMaxRank];
	Plan p;
	if (kept > kMaxRank || reduced > kMaxRank) refuse("reduce", "at most 8 kept and 8 reduced dimensions are allowed");
	auto take = [&](const int64_t* from, int rank, uint32_t* to_shape, int64_t* to_strides, int64_t& count) {
		for (int d = 0; d < rank; d++) {
			shape[d] = from[d];
			strides[0][d] = from[rank + d];
		}
		count = product(shape, rank);
		const int collapsed = collapse(rank, shape, strides, 1);
		for (int d = 0; d < collapsed; d++) {
			to_shape[d] = (uint32_t)shape[d];
			to_strides[d] = strides[0][d];
		}
		return collapsed;
	};
	p.s.kept_rank = take(ints + 3, kept, p.s.kept, p.s.kept_strides, p.s.outputs);
	p.s.reduced_rank = take(ints + 3 + 2 * kept, reduced, p.s.reduced, p.s.reduced_strides, p.s.count);
	if (p.s.outputs >= int64_t(1) << 32 || p.s.count >= int64_t(1) << 32) refuse("reduce", "the tensor has too many elements");
	// The innermost reduced step is wide and the innermost kept step is 1.
	const bool inner_kept = p.s.kept_rank > 0 && p.s.kept_strides[p.s.kept_rank - 1] == 1;
	const bool inner_reduced = p.s.reduced_rank > 0 && p.s.reduced_strides[p.s.reduced_rank - 1] == 1;
	p.columns = (inner_kept && !inner_reduced) || p.s.count <= 8;
	// Enough units to fill a card, none shorter than a piece (a column's piece is walked by one thread).
	const int64_t least = p.columns ? kPiece / 32 : kPiece, wanted = p.columns ? 132 * 1024 : 132 * 32;
	const int64_t most = div_up(std::max<int64_t>(p.s.count, 1), least);
	p.s.pieces = std::clamp<int64_t>(div_up(wanted, std::max<int64_t>(p.s.outputs, 1)), 1, most);
	p.s.piece = div_up(std::max<int64_t>(p.s.count, 1), p.s.pieces);
	p.s.pieces = div_up(std::max<int64_t>(p.s.count, 1), p.s.piece);
	return p;
}

}  // namespace

void reduce(const KernelArgs& args, Context& context) {
	const Plan p = plan(args);
	if (p.s.outputs == 0) return;
	const int op = (int)args.ints[0];
	if (op < kSum || op > kSumAbsolute) refuse("reduce", "the op must be between 0 and 4");
	const float scale = (float)args.floats[0];
	float* y = args.ptr(1);
	float* partial = p.s.pieces == 1 ? y : static_cast<float*>(args.scratch);
	const int64_t units = p.s.outputs * p.s.pieces;
	with_type(args.at(0).dtype, [&](auto element) {
		using T = decltype(element);
		if (p.columns)
			gpu::launch<reduce_columns_kernel<T>>(grid_for(units, kThreads), kThreads, 0, context.stream, args.ptr<const T>(0), partial, p.s, op, scale);
		else gpu::launch<reduce_rows_kernel<T>>(grid_for(units, kWarps), kThreads, 0, context.stream, args.ptr<const T>(0), partial, p.s, op, scale);
	});
	if (p.s.pieces == 1) return;
	const int64_t output_step = p.columns ? 1 : p.s.pieces, piece_step = p.columns ? p.s.outputs : 1;
	gpu::launch<reduce_join_kernel>(grid_for(p.s.outputs, kThreads), kThreads, 0, context.stream, static_cast<const float*>(partial), y, p.s.outputs, p.s.pieces, output_step,
									piece_step, op, scale);
}

int64_t reduce_scratch(const KernelArgs& args, int) {
	const Plan p = plan(args);
	return p.s.pieces == 1 ? 0 : p.s.outputs * p.s.pieces * (int64_t)sizeof(float);
}

}  // namespace dreamdist::cuda
