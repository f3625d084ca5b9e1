// Writing around the caches: for outputs so large that nothing of them would still be cached when they are read, a plain store would
// first fetch every line it is about to overwrite.
#pragma once
#include "../simd.h"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace dreamdist::cpu::DD_ISA {

constexpr int64_t kStreamBytes = 32 << 20;

// p is aligned to a vector. `finish_stream` must follow before another thread reads.
inline void stream(float* p, vf v) {
#if defined(__AVX512F__)
	_mm512_stream_ps(p, (__m512)v);
#elif defined(__AVX2__)
	_mm256_stream_ps(p, (__m256)v);
#elif defined(__SSE2__)
	_mm_stream_ps(p, (__m128)v);
#else
	store(p, v);
#endif
}
// Elements before the first vector boundary at or after p, at most n.
inline int64_t unaligned_head(const float* p, int64_t n) {
	const int64_t head = (int64_t)(-reinterpret_cast<uintptr_t>(p) % sizeof(vf) / sizeof(float));
	return head < n ? head : n;
}
// y[0, n) = x[0, n)
inline void stream_run(float* y, const float* x, int64_t n) {
	int64_t i = unaligned_head(y, n);
	std::memcpy(y, x, i * sizeof(float));
	for (; i + kLanes <= n; i += kLanes) stream(y + i, load(x + i));
	std::memcpy(y + i, x + i, (n - i) * sizeof(float));
}
inline void finish_stream() {
#if defined(__SSE2__)
	_mm_sfence();
#endif
}

}  // namespace dreamdist::cpu::DD_ISA
