// gpu.h for a plain C++ compiler: what kernels call on the emulated device.
#pragma once
#include <cstring>
#include <tuple>
#include <type_traits>

#include "emulator.h"
#include "language.h"
#include "../numbers.h"

#define GPU_EMULATED 1
#define GPU_MUTANT(n) (::dreamdist::emulated::mutant == (n))
// The address of a static keys the array's place in the block's shared memory.
#define GPU_SHARED(T, name, count)       \
	static const char name##_key_ = 0;   \
	T(&name)[count] = *reinterpret_cast<T(*)[count]>(::dreamdist::emulated::shared_static(&name##_key_, sizeof(T) * (count), alignof(T)))
#define GPU_DYNAMIC_SHARED(name) unsigned char* name = ::dreamdist::emulated::shared_dynamic()
#define GPU_UNROLL
#define GPU_NO_UNROLL
// Where a collective stands in the source: threads that meet must stand at the same place.
#define GPU_SITE \
	::dreamdist::emulated::Site site = {__builtin_FILE(), __builtin_LINE()}

inline void __syncthreads(GPU_SITE) { dreamdist::emulated::barrier(site); }
inline int __syncthreads_count(int predicate, GPU_SITE) { return dreamdist::emulated::barrier_reduce(predicate, dreamdist::emulated::Reduce::count, site); }
inline int __syncthreads_and(int predicate, GPU_SITE) { return dreamdist::emulated::barrier_reduce(predicate, dreamdist::emulated::Reduce::all, site); }
inline int __syncthreads_or(int predicate, GPU_SITE) { return dreamdist::emulated::barrier_reduce(predicate, dreamdist::emulated::Reduce::any, site); }
inline void __syncwarp(unsigned mask = 0xffffffffu, GPU_SITE) { dreamdist::emulated::sync_warp(mask, site); }

namespace dreamdist::emulated {
template <class T>
T shuffle_any(unsigned mask, T value, Shuffle kind, int argument, int width, Site site) {
	static_assert(sizeof(T) == 4);
	uint32_t bits;
	memcpy(&bits, &value, 4);
	bits = shuffle(mask, bits, kind, argument, width, site);
	memcpy(&value, &bits, 4);
	return value;
}
}  // namespace dreamdist::emulated
template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, GPU_SITE) {
	return dreamdist::emulated::shuffle_any(mask, value, dreamdist::emulated::Shuffle::index, lane, width, site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int delta, int width = 32, GPU_SITE) {
	return dreamdist::emulated::shuffle_any(mask, value, dreamdist::emulated::Shuffle::up, delta, width, site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int delta, int width = 32, GPU_SITE) {
	return dreamdist::emulated::shuffle_any(mask, value, dreamdist::emulated::Shuffle::down, delta, width, site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, GPU_SITE) {
	return dreamdist::emulated::shuffle_any(mask, value, dreamdist::emulated::Shuffle::exclusive_or, lanes, width, site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, GPU_SITE) { return dreamdist::emulated::ballot(mask, predicate, site); }
inline int __any_sync(unsigned mask, int predicate, GPU_SITE) { return dreamdist::emulated::ballot(mask, predicate, site) != 0; }
inline int __all_sync(unsigned mask, int predicate, GPU_SITE) { return dreamdist::emulated::ballot(mask, !predicate, site) == 0; }

inline float atomicAdd(float* p, float value) { return dreamdist::emulated::atomic_add(p, value); }
inline int atomicAdd(int* p, int value) { return dreamdist::emulated::atomic_add(p, value); }
inline int atomicMin(int* p, int value) { return dreamdist::emulated::atomic_min(p, value); }
inline int atomicCAS(int* p, int expected, int value) { return dreamdist::emulated::atomic_compare_and_swap(p, expected, value); }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline uint32_t __umulhi(uint32_t a, uint32_t b) { return uint32_t(uint64_t(a) * b >> 32); }

namespace dreamdist::gpu {

using emulated::check_alignment;
using emulated::copy_async16;
using emulated::copy_async16_part;
using emulated::copy_async4;
using emulated::copy_async_commit;
template <int Pending>
void copy_async_wait() {
	emulated::copy_async_wait(Pending);
}
inline void ldmatrix_x4(uint32_t (&r)[4], const void* row, GPU_SITE) { emulated::ldmatrix(r, row, false, site); }
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, GPU_SITE) { emulated::ldmatrix(r, row, true, site); }
template <class T>
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, GPU_SITE) {
	emulated::mma_m16n8k16(d, a, b0, b1, std::is_same_v<T, f16>, site);
}
inline void mma_m16n8k8(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, GPU_SITE) { emulated::mma_m16n8k8(d, a, b0, b1, site); }

// ---- The host's side

using Stream = int;

namespace detail {
template <class F>
struct parameters_of;
template <class... P>
struct parameters_of<void (*)(P...)> {
	using tuple = std::tuple<std::decay_t<P>...>;
};
}  // namespace detail

// Runs the kernel to its end. Throws Error with the kernel's name, what it did and which thread did it.
template <auto Kernel, class... Arguments>
void launch(dim3 grid, dim3 block, size_t shared_bytes, Stream, Arguments... arguments) {
	// Converted to the kernel's own parameter types, as <<<>>> does.
	using Parameters = typename detail::parameters_of<decltype(Kernel)>::tuple;
	Parameters parameters(arguments...);
	emulated::run(__PRETTY_FUNCTION__, grid, block, shared_bytes, [](void* p) { std::apply(Kernel, *static_cast<Parameters*>(p)); }, &parameters);
}

}  // namespace dreamdist::gpu
