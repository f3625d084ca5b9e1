// Specimen: GroupNorm + SiLU over NHWC pictures, any number of channels that the groups divide. GPU_MUTANT(n) plants fault n of mutants.h.
#pragma once
#include "../gpu.h"

namespace dreamdist::specimen {

// GroupNorm + SiLU, NHWC, any C divisible by G
// pass 1: per (image, chunk of rows): sum and sum of squares of (x - shift) per group; shift = first element of the group
template <class T>
__global__ void gn_stats(const T* __restrict__ x, float2* __restrict__ part, int hw, int c, int groups, int rows_per_chunk) {
	GPU_DYNAMIC_SHARED(smem);                                  // [rows_par][c] float2
	float2* acc = reinterpret_cast<float2*>(smem);
	const int n = blockIdx.y, chunk = blockIdx.x, tid = threadIdx.x, nt = blockDim.x, cpg = c / groups;
	const T* xn = x + size_t(n) * hw * c;
	const int cols = c < nt ? c : nt, rows_par = nt / cols, rr = tid / cols;
	const int r0 = chunk * rows_per_chunk;
	int r1 = r0 + rows_per_chunk;
	if (r1 > hw) r1 = hw;
	if (rr < rows_par)
		for (int ch = tid % cols; ch < c; ch += cols) {
			const float shift = gpu::to_float(xn[ch / cpg * cpg]);
			float s = 0, ss = 0;
			for (int r = r0 + rr; r < r1; r += rows_par) {
				float v = gpu::to_float(xn[size_t(r) * c + ch]) - shift;
				s += v; ss += v * v;
			}
			acc[rr * c + ch] = make_float2(s, ss);
		}
	if (!GPU_MUTANT(11)) __syncthreads();
	for (int g = tid >> 5; g < groups; g += nt >> 5) {     // one warp per group
		float s = 0, ss = 0;
		for (int i = tid & 31; i < rows_par * cpg; i += 32) {
			float2 v = acc[i / cpg * c + g * cpg + i % cpg];
			s += v.x; ss += v.y;
		}
		s = gpu::warp_sum(s); ss = gpu::warp_sum(ss);
		if ((tid & 31) == 0) part[(size_t(n) * gridDim.x + chunk) * groups + g] = make_float2(s, ss);
	}
}
// pass 2: finish the statistics, normalise, scale, SiLU
template <class T, bool Silu>
__global__ void gn_apply(const T* __restrict__ x, const float2* __restrict__ part, const float* __restrict__ gamma, const float* __restrict__ beta,
												T* __restrict__ y, int hw, int c, int groups, int chunks, float eps) {
	GPU_SHARED(float, s_mean, 128);
	GPU_SHARED(float, s_rstd, 128);
	const int n = blockIdx.y, tid = threadIdx.x, cpg = c / groups;
	const T* xn = x + size_t(n) * hw * c;
	T* yn = y + size_t(n) * hw * c;
	for (int g = tid >> 5; g < groups; g += blockDim.x >> 5) {
		float s = 0, ss = 0;
		for (int k = tid & 31; k < chunks; k += 32) {
			float2 v = part[(size_t(n) * chunks + k) * groups + g];
			s += v.x; ss += v.y;
		}
		s = gpu::warp_sum(s); ss = gpu::warp_sum(ss);
		if ((tid & 31) == 0) {
			const float inv = 1.f / (float(hw) * cpg), d = s * inv;
			float var = ss * inv - d * d;
			s_mean[g] = gpu::to_float(xn[g * cpg]) + d;
			s_rstd[g] = rsqrtf((var > 0 ? var : 0) + eps);
		}
	}
	if (GPU_MUTANT(13)) { if (tid < 64) __syncthreads(); }
	else if (!GPU_MUTANT(12)) __syncthreads();
	const size_t total = size_t(hw) * c, step = size_t(gridDim.x) * blockDim.x, i0 = size_t(blockIdx.x) * blockDim.x + tid;
	auto f = [&](float v, int ch) {
		int g = ch / cpg;
		v = (v - s_mean[g]) * s_rstd[g] * gamma[ch] + beta[ch];
		return Silu ? gpu::fast_silu(v) : v;
	};
	if (c % 8 == 0) {
		for (size_t i = i0; i < total / 8; i += step) {
			const int ch = int(i * 8 % c);
			uint4 in = gpu::load128(xn + i * 8), out;
			const T* e = reinterpret_cast<const T*>(&in);
			uint32_t* o = reinterpret_cast<uint32_t*>(&out);
			GPU_UNROLL
			for (int k = 0; k < 4; ++k) o[k] = gpu::pack2<T>(f(gpu::to_float(e[2 * k]), ch + 2 * k), f(gpu::to_float(e[2 * k + 1]), ch + 2 * k + 1));
			gpu::store128(yn + i * 8, out);
		}
	} else {
		const size_t lim = GPU_MUTANT(17) ? total + 8 : total;
		for (size_t i = i0; i < lim; i += step) yn[i] = gpu::from_float<T>(f(gpu::to_float(xn[i]), int(i % c)));
	}
}

}  // namespace dreamdist::specimen
