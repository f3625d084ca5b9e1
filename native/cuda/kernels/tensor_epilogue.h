// What happens to a tensor-core product's sums before they are written: bias, the pictures' channel vector, activation, residual; eight
// neighbouring columns at a time.
#pragma once
#include "activation.h"
#include "typed.h"

namespace dreamdist::cuda {

struct TensorEpilogue {
	const float* bias = nullptr;
	Typed channel, residual, c, preact;
	int64_t N = 0, ldc = 0, ldr = 0, c_stride = 0, r_stride = 0, preact_stride = 0;
	int pixels = 1;  // rows that share a row of the channel vector
	int activation = kNone;
	float alpha = 1;
	bool vectors = false;

	// Whether rows begin at multiples of 16 bytes in everything that is read and written.
	void choose_vectors(int64_t width) {
		auto even = [](int64_t value) { return value % 8 == 0; };
		vectors = even(N) && even(width) && even(ldc) && even(c_stride) && aligned16(c.data) && aligned16(bias) && aligned16(channel.data) && aligned16(preact.data) &&
				  (!residual || (even(ldr) && even(r_stride) && aligned16(residual.data)));
	}

	__device__ __forceinline__ void read(const Typed& x, int64_t at, int count, float (&v)[8]) const {
		if (vectors) load8(x, at, v);
		else load_some(x, at, count, v);
	}
	__device__ __forceinline__ void write(const Typed& x, int64_t at, int count, const float (&v)[8]) const {
		if (vectors) store8(x, at, v);
		else store_some(x, at, count, v);
	}

	__device__ __forceinline__ void before_activation(int batch, int64_t row, int64_t n, int count, float (&v)[8]) const {
		float more[8];
		GPU_UNROLL
		for (int e = 0; e < 8; e++) v[e] *= alpha;
		if (bias) {
			GPU_UNROLL
			for (int e = 0; e < 8; e++)
				if (e < count) v[e] += bias[n + e];
		}
		if (channel) {
			read(channel, row / pixels * N + n, count, more);
			GPU_UNROLL
			for (int e = 0; e < 8; e++) v[e] += more[e];
		}
		if (preact) write(preact, batch * preact_stride + row * N + n, count, v);
	}
	__device__ __forceinline__ void finish(int batch, int64_t row, int64_t n, int count, float (&v)[8]) const {
		float more[8];
		if (residual) {
			read(residual, batch * r_stride + row * ldr + n, count, more);
			GPU_UNROLL
			for (int e = 0; e < 8; e++) v[e] += more[e];
		}
		write(c, batch * c_stride + row * ldc + n, count, v);
	}
	__device__ __forceinline__ void store(int batch, int64_t row, int64_t n, int count, float (&v)[8]) const {
		before_activation(batch, row, n, count, v);
		if (activation != kNone) {
			GPU_UNROLL
			for (int e = 0; e < 8; e++) v[e] = activate(activation, v[e]);
		}
		finish(batch, row, n, count, v);
	}
	__device__ __forceinline__ void store_pair(int batch, int64_t row, int64_t n, int count, float (&value)[8], float (&gate)[8]) const {
		before_activation(batch, row, n, count, value);
		before_activation(batch, row, n + N / 2, count, gate);
		GPU_UNROLL
		for (int e = 0; e < 8; e++) value[e] *= gelu(gate[e]);
		finish(batch, row, n, count, value);
	}
};

// A convolution's input gradient by its pixels and channels: the picture's two halves, either of which may be absent.
struct InputGradients {
	Typed dx1, dx2;
	int C1 = 0, C2 = 0, first_channel = 0;  // of the product's columns
	bool vectors = false;
	__device__ __forceinline__ void store(int64_t pixel, int n, int count, float (&v)[8]) const {
		const int c = first_channel + n;
		if (vectors) return c < C1 ? store8(dx1, pixel * C1 + c, v) : store8(dx2, pixel * C2 + (c - C1), v);
		GPU_UNROLL
		for (int e = 0; e < 8; e++) {
			if (e >= count) continue;
			if (c + e < C1) dx1.store(pixel * C1 + c + e, v[e]);
			else dx2.store(pixel * C2 + (c + e - C1), v[e]);
		}
	}
};

}  // namespace dreamdist::cuda
