// Specimen: 3x3 convolution as implicit GEMM over NHWC pictures, on mma m16n8k16, with a ring of asynchronous copies. GPU_MUTANT(n) plants fault n of mutants.h.
#pragma once
#include "../gpu.h"

namespace dreamdist::specimen {

// 3x3 convolution, NHWC, stride 1, padding 1
// x [N,H,W,Cin], w [Cout,3,3,Cin], bias f32 [Cout], y [N,H,W,Cout]; Cin % 8 == 0.  GEMM: M = N*H*W, N = Cout, K = 9*Cin.
// BM x BN block tile, BK = 32, WM x WN warps, STAGES-deep cp.async ring with one barrier per step.
struct ConvArgs { const void *x, *w; const float* bias; void* y; int n, h, wd, cin, cout; };
__device__ __forceinline__ int swz64(int row, int chunk) { return row * 64 + ((chunk ^ ((row >> 1) & 3)) << 4); }
template <int BM, int BN, int STAGES> constexpr int conv_smem() { return STAGES * (BM + BN) * 64; }
template <class T, int BM, int BN, int WM, int WN, int STAGES>
__global__ void __launch_bounds__(WM * WN * 32) conv3x3_fwd(ConvArgs p) {
	constexpr int NT = WM * WN * 32, TM = BM / WM / 16, TN = BN / WN / 16;   // 16x16 tiles per warp
	constexpr int AR = BM * 4 / NT, BR = BN * 4 / NT;                      // 16-byte chunks per thread and stage
	static_assert(BM * 4 % NT == 0 && BN * 4 % NT == 0, "tile does not divide over the threads");
	GPU_DYNAMIC_SHARED(smem);
	const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, wm = warp / WN, wn = warp % WN;
	const int M = p.n * p.h * p.wd, m0 = blockIdx.x * BM, n0 = blockIdx.y * BN;
	const int c8 = p.cin / 8, kchunks = 9 * c8, ksteps = (kchunks + 3) / 4;
	const T* x = static_cast<const T*>(p.x);
	const T* w = static_cast<const T*>(p.w);
	int ph[AR], pw[AR];
	const T* px[AR];                                        // this thread's pixels (rows of A); the k chunk is tid % 4
	const int kc = tid & 3;
	GPU_UNROLL
	for (int i = 0; i < AR; ++i) {
		int mrow = m0 + (tid >> 2) + i * (NT / 4);
		bool ok = mrow < M;
		int pix = ok ? mrow : 0;
		pw[i] = ok ? pix % p.wd : -100000;                    // never inside the image
		ph[i] = pix / p.wd % p.h;
		px[i] = x + size_t(pix) * p.cin;
	}
	auto load = [&](int step, int stage) {
		unsigned char *sa = smem + stage * (BM + BN) * 64, *sb = sa + BM * 64;
		const int ch = step * 4 + kc, tap = ch / c8, cc = (ch - tap * c8) * 8, dh = tap / 3 - 1, dw = tap % 3 - 1;
		const bool kin = ch < kchunks;
		GPU_UNROLL
		for (int i = 0; i < AR; ++i) {
			int hh = ph[i] + dh, ww = pw[i] + dw;
			bool ok = kin && hh >= 0 && hh < p.h + (GPU_MUTANT(9) ? 1 : 0) && ww >= 0 && ww < p.wd;
			gpu::copy_async16(sa + swz64((tid >> 2) + i * (NT / 4), kc), ok ? px[i] + (ptrdiff_t(dh) * p.wd + dw) * p.cin + cc : x, ok);
		}
		GPU_UNROLL
		for (int i = 0; i < BR; ++i) {
			int r = (tid >> 2) + i * (NT / 4);
			bool ok = kin && n0 + r < p.cout;
			gpu::copy_async16(sb + swz64(r, kc), ok ? w + size_t(n0 + r) * 9 * p.cin + ch * 8 : w, ok);
		}
	};
	float acc[TM][TN * 2][4];
	GPU_UNROLL
	for (int i = 0; i < TM; ++i) { GPU_UNROLL for (int j = 0; j < TN * 2; ++j) { GPU_UNROLL for (int e = 0; e < 4; ++e) if (!GPU_MUTANT(28)) acc[i][j][e] = 0.f; } }
	for (int s = 0; s < STAGES - 1; ++s) { if (s < ksteps) load(s, s); gpu::copy_async_commit(); }
	for (int ks = 0; ks < ksteps; ++ks) {
		if (GPU_MUTANT(8)) gpu::copy_async_wait<STAGES - 1>(); else if (GPU_MUTANT(32)) gpu::copy_async_wait<0>(); else gpu::copy_async_wait<STAGES - 2>();
		if (!GPU_MUTANT(7)) __syncthreads();
		if (ks + STAGES - 1 < ksteps) load(ks + STAGES - 1, (ks + STAGES - (GPU_MUTANT(10) ? 0 : 1)) % STAGES);
		gpu::copy_async_commit();
		const unsigned char *sa = smem + ks % STAGES * (BM + BN) * 64, *sb = sa + BM * 64;
		GPU_UNROLL
		for (int kk = 0; kk < 2; ++kk) {
			uint32_t a[TM][4], b[TN][4];
			GPU_UNROLL
			for (int i = 0; i < TM; ++i) gpu::ldmatrix_x4(a[i], sa + swz64((wm * TM + i) * 16 + (lane & 15), kk * 2 + (lane >> 4)));
			GPU_UNROLL
			for (int j = 0; j < TN; ++j) gpu::ldmatrix_x4(b[j], sb + swz64((wn * TN + j) * 16 + (lane & 7) + ((lane >> 4) << 3), kk * 2 + ((lane >> 3) & 1)));
			GPU_UNROLL
			for (int i = 0; i < TM; ++i) {
				GPU_UNROLL
				for (int j = 0; j < TN; ++j) {
					gpu::mma_m16n8k16<T>(acc[i][2 * j], a[i], b[j][0], b[j][1]);
					gpu::mma_m16n8k16<T>(acc[i][2 * j + 1], a[i], b[j][2], b[j][3]);
				}
			}
		}
	}
	gpu::copy_async_wait<0>();
	T* y = static_cast<T*>(p.y);
	GPU_UNROLL
	for (int i = 0; i < TM; ++i) {
		GPU_UNROLL
		for (int j = 0; j < TN * 2; ++j) {
			GPU_UNROLL
			for (int hh = 0; hh < 2; ++hh) {
				int mrow = m0 + (wm * TM + i) * 16 + (lane >> 2) + hh * 8, col = n0 + wn * TN * 16 + j * 8 + (lane & 3) * 2;
				if (mrow < M && col < p.cout) {
					float v0 = acc[i][j][hh * 2] + p.bias[col];
					T* d = y + size_t(mrow) * p.cout + col;
					if (p.cout % 2 == 0) gpu::store32(d, gpu::pack2<T>(v0, acc[i][j][hh * 2 + 1] + p.bias[col + 1]));
					else {
						d[0] = gpu::from_float<T>(v0);
						if (GPU_MUTANT(34)) { volatile float sink = p.bias[col + 1]; (void)sink; }
						float v1 = col + 1 < p.cout ? acc[i][j][hh * 2 + 1] + p.bias[col + 1] : 0.f;
						if (col + 1 < p.cout) d[1] = gpu::from_float<T>(v1);
					}
				}
			}
		}
	}
}

}  // namespace dreamdist::specimen
