// Activations by the codes of docs/kernels.md, and their derivatives.
#pragma once
#include "../gpu.h"

namespace dreamdist::cuda {

enum Activation { kNone, kGelu, kSilu, kGeglu, kQuickGelu, kRelu };

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
__device__ __forceinline__ float normal_cdf(float x) { return 0.5f * erfcf(-0.70710678118654752f * x); }
__device__ __forceinline__ float gelu(float x) { return x * normal_cdf(x); }
__device__ __forceinline__ float silu(float x) { return x * sigmoid(x); }
__device__ __forceinline__ float quick_gelu(float x) { return x * sigmoid(1.702f * x); }
__device__ __forceinline__ float relu(float x) { return x < 0 ? 0.0f : x; }  // NaN passes

__device__ __forceinline__ float gelu_slope(float x) { return normal_cdf(x) + x * 0.39894228040143268f * expf(-0.5f * x * x); }
__device__ __forceinline__ float silu_slope(float x) {
	const float s = sigmoid(x);
	return s + x * s * sigmoid(-x);
}
__device__ __forceinline__ float quick_gelu_slope(float x) {
	const float s = sigmoid(1.702f * x);
	return s + 1.702f * x * s * sigmoid(-1.702f * x);
}

// Of one value; geglu takes two and is the epilogue's own.
__device__ __forceinline__ float activate(int activation, float x) {
	switch (activation) {
		case kGelu: return gelu(x);
		case kSilu: return silu(x);
		case kQuickGelu: return quick_gelu(x);
		case kRelu: return relu(x);
		default: return x;
	}
}

}  // namespace dreamdist::cuda
