// attention_grad with operands of one 16-bit type, on tensor cores: dq, dk and dv; the weights are computed again, never kept.
//
// Nothing is added by blocks in an order that timing decides, so results repeat bit for bit. delta: Σ do · o per row. keys: a block has 64
// keys and values (80 where there are no more), a warp 16 of them, and walks the queries in two buffers; it computes the scores transposed,
// so that weights and their gradients go from one product's results to the next one's left operand in registers. Where the keys are few,
// as words are, the queries are cut into parts that a join kernel adds in order. queries: likewise a block has 64 queries and walks the keys.
//
// Heads up to 64 wide keep their fragments in registers and take 64 of the other side a step; wider ones read fragments again at each step
// and take 32, or 16 where two results of 128 and more columns leave no registers for more.
#include "attention_half.h"

#include "hopper_attention.h"

namespace dreamdist::cuda {
namespace {

template <class T>
struct Pointers {
	const T *q, *k, *v, *grad;
	const float *lse, *delta;
	T *dq, *dk, *dv;
	float* partial;  // [part][dk, dv][heads][Lk][D], where the queries are cut
	bool q_vectors, k_vectors, v_vectors, grad_vectors, dq_vectors, dk_vectors, dv_vectors;
	int parts;
};

template <class T>
__global__ void __launch_bounds__(128) attention_half_delta_kernel(const T* o, const T* grad, float* delta, AttentionShape s) {
	const int lane = threadIdx.x & 31;
	const int64_t rows = (int64_t)s.B * s.H * s.Lq;
	for (int64_t i = (int64_t)blockIdx.x * 4 + (threadIdx.x >> 5); i < rows; i += (int64_t)gridDim.x * 4) {
		const int64_t row = i % s.Lq, h = i / s.Lq % s.H, b = i / s.Lq / s.H;
		const T *left = o + b * s.o_batch + row * s.o_pitch + h * s.D, *right = grad + b * s.do_batch + row * s.do_pitch + h * s.D;
		float sum = 0;
		for (int c = lane; c < s.D; c += 32) sum += gpu::to_float(left[c]) * gpu::to_float(right[c]);
		sum = gpu::warp_sum(sum);
		if (lane == 0) delta[i] = sum;
	}
}

template <int Count>
__device__ __forceinline__ void clear(float (&sum)[Count][4]) {
	GPU_UNROLL
	for (int j = 0; j < Count; j++) sum[j][0] = sum[j][1] = sum[j][2] = sum[j][3] = 0;
}

// The fragments of a warp's sixteen rows: in registers, or read when they are needed.
template <int DP, bool Held>
struct Fragments {
	static constexpr int kSteps = DP / 16;
	uint32_t held[Held ? kSteps : 1][4];
	__device__ __forceinline__ void load(const unsigned char* tile, int row) {
		if constexpr (Held) {
			GPU_UNROLL
			for (int k = 0; k < kSteps; k++) HeadTile<DP>::left(held[k], tile, row, k);
		}
	}
	__device__ __forceinline__ void get(uint32_t (&fragment)[4], const unsigned char* tile, int row, int step) const {
		if constexpr (Held) {
			GPU_UNROLL
			for (int e = 0; e < 4; e++) fragment[e] = held[step][e];
		} else HeadTile<DP>::left(fragment, tile, row, step);
	}
};

// sum = (sixteen rows of `left`) · (rows of `right`)ᵀ.
template <class T, int DP, int Count, bool Held>
__device__ __forceinline__ void multiply_heads(float (&sum)[Count][4], const Fragments<DP, Held>& left, const unsigned char* left_tile, int row, const unsigned char* right_tile) {
	clear(sum);
	auto step = [&](int k) {
		uint32_t a[4], b[4];
		left.get(a, left_tile, row, k);
		GPU_UNROLL
		for (int j = 0; j < Count; j += 2) {
			HeadTile<DP>::right(b, right_tile, j * 8, k);
			gpu::mma_m16n8k16<T>(sum[j], a, b[0], b[1]);
			gpu::mma_m16n8k16<T>(sum[j + 1], a, b[2], b[3]);
		}
	};
	if constexpr (DP > 96) {  // addresses of many steps at once would not fit the registers
		GPU_NO_UNROLL
		for (int k = 0; k < DP / 16; k++) step(k);
	} else {
		GPU_UNROLL
		for (int k = 0; k < DP / 16; k++) step(k);
	}
}

// sum += weights [16 x 8 · Count] · rows of the tile.
template <class T, int DP, int Count>
__device__ __forceinline__ void accumulate_heads(float (&sum)[DP / 8][4], const float (&weights)[Count][4], const unsigned char* tile) {
	GPU_UNROLL
	for (int k = 0; k < Count / 2; k++) {
		uint32_t a[4], b[4];
		as_left<T>(a, weights[2 * k], weights[2 * k + 1]);
		GPU_UNROLL
		for (int j = 0; j < DP / 8; j += 2) {
			HeadTile<DP>::right_transposed(b, tile, k * 16, j * 8);
			gpu::mma_m16n8k16<T>(sum[j], a, b[0], b[1]);
			gpu::mma_m16n8k16<T>(sum[j + 1], a, b[2], b[3]);
		}
	}
}

template <int DP>
constexpr int kQueriesOfStep = DP <= 64 ? 64 : DP <= 96 ? 32 : 16;

template <class T, int DP, int Warps>
__global__ void __launch_bounds__(Warps * 32, 1) attention_half_keys_kernel(Pointers<T> p, AttentionShape s) {
	GPU_DYNAMIC_SHARED(shared);
	using Tile = HeadTile<DP>;
	constexpr int kKeys = 16 * Warps, kQueries = kQueriesOfStep<DP>, kThreads = 32 * Warps;
	constexpr bool kHeld = DP <= 64;
	unsigned char *keys = shared, *values = keys + Tile::bytes(kKeys), *ring = values + Tile::bytes(kKeys);
	float* statistics = reinterpret_cast<float*>(ring + 4 * Tile::bytes(kQueries));  // two buffers of lse · log2 e and delta
	const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, key0 = blockIdx.x * kKeys, b = blockIdx.y / s.H, h = blockIdx.y % s.H;
	const int64_t rows = (int64_t)blockIdx.y * s.Lq;
	const HeadRows<T> queries = {p.q + b * s.q_batch + h * s.D, s.q_pitch, s.Lq, s.D, p.q_vectors}, grads = {p.grad + b * s.do_batch + h * s.D, s.do_pitch, s.Lq, s.D, p.grad_vectors};
	// Queries before the first key see none of these.
	const int all = (s.Lq + kQueries - 1) / kQueries, each = (all + p.parts - 1) / p.parts, first = s.causal ? key0 / kQueries : 0;
	const int from = (int)blockIdx.z * each, begin = from > first ? from : first, end = from + each < all ? from + each : all;
	auto issue = [&](int step) {
		unsigned char* at = ring + (step & 1) * 2 * Tile::bytes(kQueries);
		issue_head_rows<T, kQueries, DP, kThreads>(at, queries, step * kQueries);
		issue_head_rows<T, kQueries, DP, kThreads>(at + Tile::bytes(kQueries), grads, step * kQueries);
		float* to = statistics + (step & 1) * 2 * kQueries;
		for (int i = threadIdx.x; i < kQueries; i += kThreads) {
			const int query = step * kQueries + i;
			const bool there = query < s.Lq;
			to[i] = there ? p.lse[rows + query] * kLog2E : 0.0f;
			to[kQueries + i] = there ? p.delta[rows + query] : 0.0f;
		}
	};
	issue_head_rows<T, kKeys, DP, kThreads>(keys, {p.k + b * s.k_batch + h * s.D, s.k_pitch, s.Lk, s.D, p.k_vectors}, key0);
	issue_head_rows<T, kKeys, DP, kThreads>(values, {p.v + b * s.v_batch + h * s.D, s.v_pitch, s.Lk, s.D, p.v_vectors}, key0);
	if (begin < end) issue(begin);
	gpu::copy_async_commit();
	Fragments<DP, kHeld> key, value;
	float dk[DP / 8][4], dv[DP / 8][4];
	clear(dk);
	clear(dv);
	GPU_NO_UNROLL
	for (int step = begin; step < end; step++) {
		if (!GPU_MUTANT(161)) gpu::copy_async_wait<0>();
		if (!GPU_MUTANT(162)) __syncthreads();
		if (step + 1 < end) issue(step + 1);
		gpu::copy_async_commit();
		if (step == begin) {
			key.load(keys, warp * 16);
			value.load(values, warp * 16);
		}
		const unsigned char *query_tile = ring + (step & 1) * 2 * Tile::bytes(kQueries), *grad_tile = query_tile + Tile::bytes(kQueries);
		const float* now = statistics + (step & 1) * 2 * kQueries;
		float weight[kQueries / 8][4], gradient[kQueries / 8][4];
		multiply_heads<T>(weight, key, keys, warp * 16, query_tile);
		multiply_heads<T>(gradient, value, values, warp * 16, grad_tile);
		GPU_UNROLL
		for (int j = 0; j < kQueries / 8; j++) {
			GPU_UNROLL
			for (int e = 0; e < 4; e++) {
				const int i = j * 8 + (lane & 3) * 2 + (e & 1), row = step * kQueries + i, column = key0 + warp * 16 + (lane >> 2) + (e >> 1) * 8;
				const bool seen = row < s.Lq && column < s.Lk && (!s.causal || column <= row + (GPU_MUTANT(163) ? 1 : 0));
				weight[j][e] = seen ? gpu::fast_exp2(weight[j][e] * (s.scale * kLog2E) - now[i]) : 0.0f;
				gradient[j][e] = weight[j][e] * (gradient[j][e] - now[kQueries + i]) * s.scale;
			}
		}
		accumulate_heads<T, DP>(dv, weight, grad_tile);
		accumulate_heads<T, DP>(dk, gradient, query_tile);
	}
	gpu::copy_async_wait<0>();
	__syncthreads();
	const int row0 = key0 + warp * 16;
	if (p.parts == 1) {
		const int64_t pitch = (int64_t)s.H * s.D, head = (int64_t)b * s.Lk * pitch + h * s.D;
		unsigned char* room = keys + warp * 16 * Tile::kPitch;
		if (p.dk) store_head_rows<T, DP>(p.dk + head, pitch, row0, s.Lk, s.D, p.dk_vectors, dk, room);
		if (p.dv) store_head_rows<T, DP>(p.dv + head, pitch, row0, s.Lk, s.D, p.dv_vectors, dv, room);
		return;
	}
	GPU_UNROLL
	for (int which = 0; which < 2; which++) {
		float* to = p.partial + ((blockIdx.z * 2 + which) * (int64_t)s.B * s.H + blockIdx.y) * s.Lk * s.D;
		GPU_UNROLL
		for (int j = 0; j < DP / 8; j++) {
			GPU_UNROLL
			for (int e = 0; e < 4; e++) {
				const int row = row0 + (lane >> 2) + (e >> 1) * 8, c = j * 8 + (lane & 3) * 2 + (e & 1);
				if (row < s.Lk && c < s.D) to[(int64_t)row * s.D + c] = which ? dv[j][e] : dk[j][e];
			}
		}
	}
}

// Adds the parts of dk and dv in order.
template <class T>
__global__ void __launch_bounds__(256) attention_half_join_kernel(Pointers<T> p, AttentionShape s) {
	const int64_t count = (int64_t)s.B * s.H * s.Lk * s.D;
	for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < count; i += (int64_t)gridDim.x * 256) {
		const int64_t c = i % s.D, row = i / s.D % s.Lk, head = i / s.D / s.Lk, to = ((head / s.H * s.Lk + row) * s.H + head % s.H) * s.D + c;
		float dk = 0, dv = 0;
		for (int part = 0; part < p.parts; part++) {
			dk += p.partial[2 * part * count + i];
			dv += p.partial[(2 * part + 1) * count + i];
		}
		if (p.dk) p.dk[to] = gpu::from_float<T>(dk);
		if (p.dv) p.dv[to] = gpu::from_float<T>(dv);
	}
}

template <class T, int DP, int Keys>
__global__ void __launch_bounds__(128, 1) attention_half_queries_kernel(Pointers<T> p, AttentionShape s) {
	GPU_DYNAMIC_SHARED(shared);
	using Tile = HeadTile<DP>;
	constexpr int kThreads = 128, kQueries = 64;
	constexpr bool kHeld = DP <= 64;
	unsigned char *queries = shared, *grads = queries + Tile::bytes(kQueries), *ring = grads + Tile::bytes(kQueries);
	const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, q0 = blockIdx.x * kQueries, b = blockIdx.y / s.H, h = blockIdx.y % s.H;
	const int last = q0 + kQueries < s.Lq ? q0 + kQueries : s.Lq, length = s.causal && last < s.Lk ? last : s.Lk, steps = Keys == kFewKeys ? 1 : (length + Keys - 1) / Keys;
	const HeadRows<T> keys = {p.k + b * s.k_batch + h * s.D, s.k_pitch, length, s.D, p.k_vectors}, values = {p.v + b * s.v_batch + h * s.D, s.v_pitch, length, s.D, p.v_vectors};
	auto issue = [&](int step) {
		unsigned char* at = ring + (step & 1) * 2 * Tile::bytes(Keys);
		issue_head_rows<T, Keys, DP, kThreads>(at, keys, step * Keys);
		issue_head_rows<T, Keys, DP, kThreads>(at + Tile::bytes(Keys), values, step * Keys);
	};
	issue_head_rows<T, kQueries, DP, kThreads>(queries, {p.q + b * s.q_batch + h * s.D, s.q_pitch, s.Lq, s.D, p.q_vectors}, q0);
	issue_head_rows<T, kQueries, DP, kThreads>(grads, {p.grad + b * s.do_batch + h * s.D, s.do_pitch, s.Lq, s.D, p.grad_vectors}, q0);
	issue(0);
	gpu::copy_async_commit();
	float lse[2], delta[2];  // a lane has two rows
	GPU_UNROLL
	for (int half = 0; half < 2; half++) {
		const int row = q0 + warp * 16 + (lane >> 2) + half * 8;
		lse[half] = row < s.Lq ? p.lse[(int64_t)blockIdx.y * s.Lq + row] * kLog2E : 0.0f;
		delta[half] = row < s.Lq ? p.delta[(int64_t)blockIdx.y * s.Lq + row] : 0.0f;
	}
	Fragments<DP, kHeld> query, grad;
	float dq[DP / 8][4];
	clear(dq);
	GPU_NO_UNROLL
	for (int step = 0; step < steps; step++) {
		gpu::copy_async_wait<0>();
		if (!GPU_MUTANT(164)) __syncthreads();
		if (step + 1 < steps) issue(step + 1);
		gpu::copy_async_commit();
		if (step == 0) {
			query.load(queries, warp * 16);
			grad.load(grads, warp * 16);
		}
		const unsigned char *key_tile = ring + (step & 1) * 2 * Tile::bytes(Keys), *value_tile = key_tile + Tile::bytes(Keys);
		float weight[Keys / 8][4], gradient[Keys / 8][4];
		multiply_heads<T>(weight, query, queries, warp * 16, key_tile);
		multiply_heads<T>(gradient, grad, grads, warp * 16, value_tile);
		GPU_UNROLL
		for (int j = 0; j < Keys / 8; j++) {
			GPU_UNROLL
			for (int e = 0; e < 4; e++) {
				const int column = step * Keys + j * 8 + (lane & 3) * 2 + (e & 1), row = q0 + warp * 16 + (lane >> 2) + (e >> 1) * 8;
				const bool seen = row < s.Lq && column < s.Lk && (!s.causal || column <= row + (GPU_MUTANT(165) ? 1 : 0));
				const float w = seen ? gpu::fast_exp2(weight[j][e] * (s.scale * kLog2E) - lse[e >> 1]) : 0.0f;
				gradient[j][e] = w * (gradient[j][e] - delta[e >> 1]) * s.scale;
			}
		}
		accumulate_heads<T, DP>(dq, gradient, key_tile);
	}
	gpu::copy_async_wait<0>();
	__syncthreads();
	const int64_t pitch = (int64_t)s.H * s.D;
	store_head_rows<T, DP>(p.dq + (int64_t)b * s.Lq * pitch + h * s.D, pitch, q0 + warp * 16, s.Lq, s.D, p.dq_vectors, dq, queries + warp * 16 * Tile::kPitch);
}

// How many parts the queries are cut into, so that few keys still fill a card.
int query_parts(const AttentionShape& s) {
	const int64_t blocks = div_up(s.Lk, s.Lk <= kFewKeys && s.D <= 96 ? kFewKeys : 64) * s.B * s.H, tiles = div_up(s.Lq, s.D <= 64 ? 64 : s.D <= 96 ? 32 : 16);
	return (int)std::clamp<int64_t>(std::min<int64_t>(264 / std::max<int64_t>(blocks, 1), tiles / 2), 1, 32);
}
int64_t delta_bytes(const AttentionShape& s) { return div_up((int64_t)s.B * s.H * s.Lq * 4, 256) * 256; }

template <class T, int DP, int Warps>
void launch_keys(const Pointers<T>& p, const AttentionShape& s, Context& context) {
	constexpr int kKeys = 16 * Warps, kQueries = kQueriesOfStep<DP>;
	const dim3 grid((unsigned)div_up(s.Lk, kKeys), (unsigned)(s.B * s.H), (unsigned)p.parts);
	gpu::launch<attention_half_keys_kernel<T, DP, Warps>>(grid, 32 * Warps, size_t(HeadTile<DP>::bytes(2 * kKeys + 4 * kQueries) + 16 * kQueries), context.stream, p, s);
}
template <class T, int DP, int Keys>
void launch_queries(const Pointers<T>& p, const AttentionShape& s, Context& context) {
	const dim3 grid((unsigned)div_up(s.Lq, 64), (unsigned)(s.B * s.H));
	gpu::launch<attention_half_queries_kernel<T, DP, Keys>>(grid, 128, size_t(HeadTile<DP>::bytes(2 * 64 + (Keys == kFewKeys ? 2 : 4) * Keys)), context.stream, p, s);
}

template <class T>
void run_attention_grad(const KernelArgs& args, const AttentionShape& s, Context& context) {
	const int64_t heads = (int64_t)s.B * s.H;
	float* delta = static_cast<float*>(args.scratch);
	gpu::launch<attention_half_delta_kernel<T>>(grid_for(heads * s.Lq, 4), 128, 0, context.stream, args.ptr<const T>(3), args.ptr<const T>(5), delta, s);
	Pointers<T> p = {};
	p.q = args.ptr<const T>(0);
	p.k = args.ptr<const T>(1);
	p.v = args.ptr<const T>(2);
	p.lse = args.ptr<const float>(4);
	p.grad = args.ptr<const T>(5);
	p.delta = delta;
	p.dq = args.ptr<T>(6);
	p.dk = args.ptr<T>(7);
	p.dv = args.ptr<T>(8);
	p.q_vectors = vector_halves(p.q, s.q_pitch, s.q_batch, s.D);
	p.k_vectors = vector_halves(p.k, s.k_pitch, s.k_batch, s.D);
	p.v_vectors = vector_halves(p.v, s.v_pitch, s.v_batch, s.D);
	p.grad_vectors = vector_halves(p.grad, s.do_pitch, s.do_batch, s.D);
	p.dq_vectors = vector_halves(p.dq, 0, 0, s.D);
	p.dk_vectors = vector_halves(p.dk, 0, 0, s.D);
	p.dv_vectors = vector_halves(p.dv, 0, 0, s.D);
	p.parts = query_parts(s);
	p.partial = reinterpret_cast<float*>(static_cast<uint8_t*>(args.scratch) + delta_bytes(s));
	with_width(s.D, [&](auto width) {
		constexpr int DP = decltype(width)::value;
		if (p.dk || p.dv) {
			if constexpr (DP <= 96) {
				if (s.Lk <= kFewKeys) launch_keys<T, DP, 5>(p, s, context);
				else launch_keys<T, DP, 4>(p, s, context);
			} else launch_keys<T, DP, 4>(p, s, context);
		}
		if (!p.dq) return;
		if constexpr (DP > 64) launch_queries<T, DP, 32>(p, s, context);
		else if (s.Lk <= kFewKeys) launch_queries<T, DP, kFewKeys>(p, s, context);
		else launch_queries<T, DP, 64>(p, s, context);
	});
	if (p.parts > 1 && (p.dk || p.dv)) gpu::launch<attention_half_join_kernel<T>>(grid_for(heads * s.Lk * s.D, 256), 256, 0, context.stream, p, s);
}

}  // namespace

void attention_grad_half(const KernelArgs& args, Context& context) {
	const AttentionShape s = attention_shape(args);
#ifdef DD_HAVE_HOPPER
	if (context.hopper && hopper::wanted("attention_grad") &&
		hopper::attention_grad({args.at(0).dtype, args.ptr(0), args.ptr(1), args.ptr(2), args.ptr(3), args.ptr(4), args.ptr(5), args.ptr<void>(6), args.ptr<void>(7), args.ptr<void>(8), s, args.scratch}, context))
		return;
#endif
	if (args.at(0).dtype == DType::bf16) run_attention_grad<gpu::bf16>(args, s, context);
	else run_attention_grad<gpu::f16>(args, s, context);
}

int64_t attention_grad_half_scratch(const AttentionShape& s) {
	const int parts = query_parts(s);
	const int64_t bytes = delta_bytes(s) + (parts > 1 ? (int64_t)parts * 2 * s.B * s.H * s.Lk * s.D * 4 : 0);
	// Addresses are not known yet: room for either kernel.
	return hopper::wanted("attention_grad") && !hopper::why_not_grad(s) ? std::max(bytes, hopper::grad_statistics_bytes(s)) : bytes;
}

}  // namespace dreamdist::cuda
