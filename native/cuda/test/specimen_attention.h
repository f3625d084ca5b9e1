// Specimen: Flash attention forward, head width 64, on mma m16n8k16. GPU_MUTANT(n) plants fault n of mutants.h.
#pragma once
#include "../gpu.h"

namespace dreamdist::specimen {

// flash attention forward, head dim 64
// q [B,Lq,H,64], k,v [B,Lk,H,64], o [B,Lq,H,64]; causal aligned to the bottom right; 64 queries x 64 keys per step, 4 warps
struct AttnArgs { const void *q, *k, *v; void* o; int lq, lk, heads; float scale; };
constexpr int kAttnSmem = (64 + 4 * 64) * 128;
__device__ __forceinline__ int swz128(int row, int chunk) {   // byte offset of 16-byte chunk in a tile of 128-byte rows
	if (GPU_MUTANT(18)) return row * 128 + chunk * 16;
	return row * 128 + ((chunk ^ (row & 7)) << 4);
}
template <class T, bool Causal>
__global__ void __launch_bounds__(128) attention_fwd(AttnArgs p) {
	GPU_DYNAMIC_SHARED(smem);
	unsigned char *sq = smem, *sk = smem + 64 * 128, *sv = sk + 2 * 64 * 128;
	const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
	const int q0 = blockIdx.x * 64, b = blockIdx.y / p.heads, h = blockIdx.y % p.heads;
	const size_t rs = size_t(p.heads) * 64;
	const T* q = static_cast<const T*>(p.q) + size_t(b) * p.lq * rs + h * 64;
	const T* k = static_cast<const T*>(p.k) + size_t(b) * p.lk * rs + h * 64;
	const T* v = static_cast<const T*>(p.v) + size_t(b) * p.lk * rs + h * 64;
	T* o = static_cast<T*>(p.o) + size_t(b) * p.lq * rs + h * 64;
	auto load_tile = [&](unsigned char* dst, const T* src, int row0, int rows) {
		GPU_UNROLL
		for (int i = 0; i < 4; ++i) {
			int idx = tid + i * 128, r = idx >> 3, c = idx & 7;
			bool ok = row0 + r < rows;
			gpu::copy_async16(dst + swz128(r, c) + (GPU_MUTANT(16) ? 8 : 0), ok ? src + size_t(row0 + r) * rs + c * 8 : src, ok);
		}
	};
	const int off = p.lk - p.lq;
	int kt_end = (p.lk + 63) / 64;
	if (Causal) {
		int last = q0 + (GPU_MUTANT(29) ? warp * 16 + 15 : 63) + off;                            // last key any query of this block may see
		int lim = last < 0 ? 0 : last / 64 + 1;
		if (lim < kt_end) kt_end = lim;
	}
	load_tile(sq, q, q0, p.lq);
	if (kt_end > 0) { load_tile(sk, k, 0, p.lk); load_tile(sv, v, 0, p.lk); }
	gpu::copy_async_commit();
	uint32_t qf[4][4];
	float acc[8][4], m[2], l[2] = {0.f, 0.f};
	m[0] = m[1] = -INFINITY;
	GPU_UNROLL
	for (int i = 0; i < 8; ++i) { GPU_UNROLL for (int j = 0; j < 4; ++j) acc[i][j] = 0.f; }
	const float sl = p.scale * 1.4426950408889634f;
	for (int kt = 0; kt < kt_end; ++kt) {
		const int buf = kt & 1;
		if (kt + 1 < kt_end) {
			load_tile(sk + (buf ^ 1) * 64 * 128, k, (kt + 1) * 64, p.lk);
			load_tile(sv + (buf ^ 1) * 64 * 128, v, (kt + 1) * 64, p.lk);
		}
		if (!GPU_MUTANT(19) || kt + 1 < kt_end) gpu::copy_async_commit();   // an empty last group keeps the count right
		if (GPU_MUTANT(4)) gpu::copy_async_wait<2>(); else if (!GPU_MUTANT(3)) gpu::copy_async_wait<1>();
		if (!GPU_MUTANT(1)) __syncthreads();
		if (kt == 0) {
			GPU_UNROLL
			for (int kk = 0; kk < 4; ++kk) gpu::ldmatrix_x4(qf[kk], sq + swz128(warp * 16 + (lane & 15), kk * 2 + (lane >> 4)));
		}
		const unsigned char *ks = sk + buf * 64 * 128, *vs = sv + buf * 64 * 128;
		float s[8][4];
		GPU_UNROLL
		for (int i = 0; i < 8; ++i) { GPU_UNROLL for (int j = 0; j < 4; ++j) s[i][j] = 0.f; }
		GPU_UNROLL
		for (int kk = 0; kk < 4; ++kk) {
			GPU_UNROLL
			for (int np = 0; np < 4; ++np) {
				uint32_t r[4];
				gpu::ldmatrix_x4(r, ks + swz128(np * 16 + (lane & 7) + ((lane >> 4) << 3), kk * 2 + ((lane >> 3) & 1)));
				if (GPU_MUTANT(14)) { uint32_t t = r[1]; r[1] = r[2]; r[2] = t; }
				gpu::mma_m16n8k16<T>(s[np * 2], qf[kk], r[0], r[1]);
				gpu::mma_m16n8k16<T>(s[np * 2 + 1], qf[kk], r[2], r[3]);
			}
		}
		const int row = q0 + warp * 16 + (lane >> 2);
		if (kt * 64 + 64 > p.lk || (Causal && kt * 64 + 63 > q0 + warp * 16 + off)) {
			const int klim = GPU_MUTANT(5) ? p.lk + 1 : p.lk, coff = GPU_MUTANT(6) ? off + 1 : off;
			GPU_UNROLL
			for (int i = 0; i < 8; ++i) {
				GPU_UNROLL
				for (int j = 0; j < 4; ++j) {
					int key = kt * 64 + i * 8 + (lane & 3) * 2 + (j & 1);
					if (key >= klim || (Causal && key > row + (j >> 1) * 8 + coff)) s[i][j] = -INFINITY;
				}
			}
		}
		GPU_UNROLL
		for (int hh = 0; hh < 2; ++hh) {                     // the two rows this lane holds
			float mx = m[hh];
			GPU_UNROLL
			for (int i = 0; i < 8; ++i) mx = fmaxf(mx, fmaxf(s[i][hh * 2], s[i][hh * 2 + 1]));
			mx = fmaxf(mx, __shfl_xor_sync(0xffffffffu, mx, 1));
			mx = fmaxf(mx, __shfl_xor_sync(0xffffffffu, mx, 2));
			const float base = mx == -INFINITY && !GPU_MUTANT(33) ? 0.f : mx * sl;
			const float corr = gpu::fast_exp2(m[hh] * sl - base);
			m[hh] = mx;
			float sum = 0.f;
			GPU_UNROLL
			for (int i = 0; i < 8; ++i) {
				GPU_UNROLL
				for (int j = hh * 2; j < hh * 2 + 2; ++j) { s[i][j] = gpu::fast_exp2(s[i][j] * sl - base); sum += s[i][j]; }
				if (!GPU_MUTANT(15)) { acc[i][hh * 2] *= corr; acc[i][hh * 2 + 1] *= corr; }
			}
			l[hh] = l[hh] * corr + sum;
		}
		GPU_UNROLL
		for (int kk = 0; kk < 4; ++kk) {
			uint32_t pf[4] = {gpu::pack2<T>(s[2 * kk][0], s[2 * kk][1]), gpu::pack2<T>(s[2 * kk][2], s[2 * kk][3]),
												gpu::pack2<T>(s[2 * kk + 1][0], s[2 * kk + 1][1]), gpu::pack2<T>(s[2 * kk + 1][2], s[2 * kk + 1][3])};
			GPU_UNROLL
			for (int np = 0; np < 4; ++np) {
				uint32_t r[4];
				gpu::ldmatrix_x4_trans(r, vs + swz128(kk * 16 + (lane & 15), np * 2 + (lane >> 4)));
				gpu::mma_m16n8k16<T>(acc[np * 2], pf, r[0], r[1]);
				gpu::mma_m16n8k16<T>(acc[np * 2 + 1], pf, r[2], r[3]);
			}
		}
		if (!GPU_MUTANT(2)) __syncthreads();                  // the next step overwrites this buffer
	}
	gpu::copy_async_wait<0>();
	GPU_UNROLL
	for (int hh = 0; hh < 2; ++hh) {
		float sum = l[hh] + __shfl_xor_sync(0xffffffffu, l[hh], 1);
		sum += __shfl_xor_sync(0xffffffffu, sum, 2);
		const float inv = sum > 0.f ? 1.f / sum : 0.f;
		const int row = q0 + warp * 16 + (lane >> 2) + hh * 8;
		if (row < p.lq || GPU_MUTANT(20)) {
			GPU_UNROLL
			for (int i = 0; i < 8; ++i)
				gpu::store32(o + size_t(row) * rs + i * 8 + (lane & 3) * 2, gpu::pack2<T>(acc[i][hh * 2] * inv, acc[i][hh * 2 + 1] * inv));
		}
	}
}

}  // namespace dreamdist::specimen
