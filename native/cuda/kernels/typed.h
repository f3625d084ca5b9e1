// Arrays whose element type is known at run time, read and written eight elements at a time. The branch on the type is the same for a
// whole grid; what counts is that 16-bit storage moves 16 bytes per access.
#pragma once
#include "common.h"

namespace dreamdist::cuda {

struct Typed {
	void* data = nullptr;
	int type = 0;  // DType
	Typed() = default;
	Typed(const Operand& operand) : data(operand.data), type((int)operand.dtype) {}
	__host__ __device__ explicit operator bool() const { return data != nullptr; }
	__device__ __forceinline__ float load(int64_t index) const { return load_as_float(data, type, index); }
	__device__ __forceinline__ void store(int64_t index, float value) const { store_from_float(data, type, index, value); }
};

// By value: a reference to one of two parameters would put both into local memory.
__device__ __forceinline__ Typed choose(bool first, const Typed& a, const Typed& b) {
	Typed chosen;
	chosen.data = first ? a.data : b.data;
	chosen.type = first ? a.type : b.type;
	return chosen;
}

// Two 16-bit elements of a register as floats.
template <class T>
__device__ __forceinline__ float2 unpack2(uint32_t pair) {
	if constexpr (std::is_same_v<T, gpu::bf16>) return make_float2(gpu::float_of_bits(pair << 16), gpu::float_of_bits(pair & 0xffff0000u));
	else return make_float2(gpu::to_float(gpu::f16{uint16_t(pair)}), gpu::to_float(gpu::f16{uint16_t(pair >> 16)}));
}

template <class T>
__device__ __forceinline__ void unpack8(uint4 raw, float (&v)[8]) {
	const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
	GPU_UNROLL
	for (int i = 0; i < 4; i++) {
		const float2 pair = unpack2<T>(words[i]);
		v[2 * i] = pair.x;
		v[2 * i + 1] = pair.y;
	}
}
template <class T>
__device__ __forceinline__ uint4 pack8(const float (&v)[8]) {
	return make_uint4(gpu::pack2<T>(v[0], v[1]), gpu::pack2<T>(v[2], v[3]), gpu::pack2<T>(v[4], v[5]), gpu::pack2<T>(v[6], v[7]));
}

__device__ __forceinline__ void load8_f32(const float* from, float (&v)[8]) {
	const float4 a = gpu::load_float4(from), b = gpu::load_float4(from + 4);
	v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}
__device__ __forceinline__ void store8_f32(float* to, const float (&v)[8]) {
	gpu::check_alignment(to, 16, "store8");
	*reinterpret_cast<float4*>(to) = make_float4(v[0], v[1], v[2], v[3]);
	*reinterpret_cast<float4*>(to + 4) = make_float4(v[4], v[5], v[6], v[7]);
}

// Elements [index, index + 8); the array and the index are aligned to 16 bytes.
__device__ __forceinline__ void load8(const Typed& x, int64_t index, float (&v)[8]) {
	if (x.type == (int)DType::f32) load8_f32(static_cast<const float*>(x.data) + index, v);
	else if (x.type == (int)DType::bf16) unpack8<gpu::bf16>(gpu::load128(static_cast<const gpu::bf16*>(x.data) + index), v);
	else unpack8<gpu::f16>(gpu::load128(static_cast<const gpu::f16*>(x.data) + index), v);
}
__device__ __forceinline__ void store8(const Typed& x, int64_t index, const float (&v)[8]) {
	if (x.type == (int)DType::f32) store8_f32(static_cast<float*>(x.data) + index, v);
	else if (x.type == (int)DType::bf16) gpu::store128(static_cast<gpu::bf16*>(x.data) + index, pack8<gpu::bf16>(v));
	else gpu::store128(static_cast<gpu::f16*>(x.data) + index, pack8<gpu::f16>(v));
}

// The same for the first `count` elements, one at a time; the others are 0.
__device__ __forceinline__ void load_some(const Typed& x, int64_t index, int count, float (&v)[8]) {
	GPU_UNROLL
	for (int i = 0; i < 8; i++) v[i] = i < count ? x.load(index + i) : 0.0f;
}
__device__ __forceinline__ void store_some(const Typed& x, int64_t index, int count, const float (&v)[8]) {
	GPU_UNROLL
	for (int i = 0; i < 8; i++)
		if (i < count) x.store(index + i, v[i]);
}

}  // namespace dreamdist::cuda
