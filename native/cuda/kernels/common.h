// What the kernel families share: sizes of grids, storage types, sums that keep their accuracy.
#pragma once
#include <algorithm>
#include <string>

#include "../context.h"
#include "../gpu.h"

namespace dreamdist::cuda {

constexpr int kMaxRank = 8;

inline int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Blocks of a one-dimensional grid whose threads walk `count` pieces of work in strides of the grid; enough to fill any card.
inline unsigned grid_for(int64_t count, int64_t per_block) { return (unsigned)std::clamp<int64_t>(div_up(count, per_block), 1, 132 * 16); }

[[noreturn]] inline void refuse(const char* kernel, const std::string& what) { throw Error(std::string(kernel) + ": " + what); }

inline bool aligned16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// Calls f with a value of the element type.
template <class F>
void with_type(DType type, F&& f) {
	switch (type) {
		case DType::f32: return f(float{});
		case DType::f16: return f(gpu::f16{});
		case DType::bf16: return f(gpu::bf16{});
		case DType::i32: return f(int32_t{});
	}
}
// The same without i32.
template <class F>
void with_float_type(const char* kernel, DType type, F&& f) {
	switch (type) {
		case DType::f32: return f(float{});
		case DType::f16: return f(gpu::f16{});
		case DType::bf16: return f(gpu::bf16{});
		case DType::i32: refuse(kernel, "i32 has no arithmetic");
	}
}

// Element `index` of an array whose type is known at run time.
__device__ __forceinline__ float load_as_float(const void* data, int type, int64_t index) {
	switch (type) {
		case 1: return gpu::to_float(static_cast<const gpu::f16*>(data)[index]);
		case 2: return gpu::to_float(static_cast<const gpu::bf16*>(data)[index]);
		case 3: return (float)static_cast<const int32_t*>(data)[index];
		default: return static_cast<const float*>(data)[index];
	}
}
__device__ __forceinline__ void store_from_float(void* data, int type, int64_t index, float value) {
	switch (type) {
		case 1: static_cast<gpu::f16*>(data)[index] = gpu::from_float<gpu::f16>(value); break;
		case 2: static_cast<gpu::bf16*>(data)[index] = gpu::from_float<gpu::bf16>(value); break;
		case 3: static_cast<int32_t*>(data)[index] = (int32_t)value; break;
		default: static_cast<float*>(data)[index] = value;
	}
}

// A sum that keeps what rounding took (Kahan): its error does not grow with the number of terms.
struct CarefulSum {
	float total = 0, lost = 0;
	__device__ __forceinline__ void add(float value) {
		const float corrected = value - lost, next = total + corrected;
		// Infinite sums have lost nothing, or they would turn into NaN.
		lost = next - next == 0 ? (next - total) - corrected : 0;
		total = next;
	}
};

// The sum over a block's threads (a multiple of 32, at most 1024), in a fixed order; all threads get it and none may be missing.
// `room` is 32 floats of shared memory that nobody uses at the moment.
__device__ __forceinline__ float block_sum(float value, float* room) {
	value = gpu::warp_sum(value);
	__syncthreads();
	if ((threadIdx.x & 31) == 0) room[threadIdx.x >> 5] = value;
	__syncthreads();
	float total = 0;
	for (unsigned warp = 0; warp < blockDim.x >> 5; warp++) total += room[warp];
	return total;
}

}  // namespace dreamdist::cuda
