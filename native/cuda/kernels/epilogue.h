// What happens to a product's sum before it is written: bias, the pictures' channel vector, activation, residual.
#pragma once
#include "activation.h"
#include "common.h"

namespace dreamdist::cuda {

struct Epilogue {
	const float *bias, *channel, *residual;
	float *c, *preact;
	int64_t M, N, ldc, ldr, c_stride, r_stride;
	int pixels;  // rows that share a row of the channel vector
	int activation;
	float alpha;

	__device__ __forceinline__ float before_activation(int batch, int m, int64_t n, float sum) const {
		float u = alpha * sum;
		if (bias) u += bias[n];
		if (channel) u += channel[m / pixels * N + n];
		if (preact) preact[((int64_t)batch * M + m) * N + n] = u;
		return u;
	}
	__device__ __forceinline__ void write(int batch, int m, int64_t n, float value) const {
		if (residual) value += residual[batch * r_stride + m * ldr + n];
		c[batch * c_stride + m * ldc + n] = value;
	}
	__device__ __forceinline__ void store(int batch, int m, int64_t n, float sum) const {
		write(batch, m, n, activate(activation, before_activation(batch, m, n, sum)));
	}
	__device__ __forceinline__ void store_pair(int batch, int m, int64_t half, float value, float gate) const {
		const float v = before_activation(batch, m, half, value);
		write(batch, m, half, v * gelu(before_activation(batch, m, half + N / 2, gate)));
	}
};

}  // namespace dreamdist::cuda
