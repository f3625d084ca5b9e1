// PTX of sm_90a: barriers in shared memory that count bytes (mbarrier), tensor copies (TMA), products of a warpgroup (wgmma). Only in code
// compiled for 90a, which the device functions here exist for.
#pragma once
#include "../gpu.h"
#include "hopper_layout.h"

namespace dreamdist::cuda::hopper {

// What cuTensorMapEncodeTiled makes of a TensorBox; a kernel has it among its parameters.
struct alignas(64) TensorMap {
	unsigned char bytes[128];
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

// ---- Barriers

__device__ __forceinline__ void barrier_create(uint64_t* barrier, int arrivals) {
	asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(gpu::shared_address(barrier)), "r"(arrivals) : "memory");
}
// After creating; other threads may use barriers after __syncthreads(), and copies may arrive at them.
__device__ __forceinline__ void barriers_created() { asm volatile("fence.mbarrier_init.release.cluster;\n\tfence.proxy.async;" ::: "memory"); }
__device__ __forceinline__ void barrier_arrive(uint64_t* barrier) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(gpu::shared_address(barrier)) : "memory"); }
// Arrives, and the phase ends only after `bytes` more have been copied.
__device__ __forceinline__ void barrier_expect(uint64_t* barrier, uint32_t bytes) {
	asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(gpu::shared_address(barrier)), "r"(bytes) : "memory");
}
// Until the phase of this parity has ended.
__device__ __forceinline__ void barrier_wait(uint64_t* barrier, uint32_t parity) {
	// The loop is PTX's: the compiler would take one of C++ for a path that threads may leave apart.
	asm volatile(
		"{\n\t.reg .pred p;\n\t"
		"wait:\n\t"
		"mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n\t"
		"@p bra done;\n\t"
		"bra wait;\n\t"
		"done:\n\t}" ::"r"(gpu::shared_address(barrier)),
		"r"(parity)
		: "memory");
}

// ---- Tensor copies

__device__ __forceinline__ void prefetch_map(const TensorMap& map) { asm volatile("prefetch.tensormap [%0];" ::"l"(reinterpret_cast<uint64_t>(&map)) : "memory"); }
__device__ __forceinline__ void copy_box(void* to, const TensorMap& map, uint64_t* arrived, int c0, int c1, int c2) {
	asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(gpu::shared_address(to)),
				 "l"(reinterpret_cast<uint64_t>(&map)), "r"(gpu::shared_address(arrived)), "r"(c0), "r"(c1), "r"(c2)
				 : "memory");
}
__device__ __forceinline__ void copy_box(void* to, const TensorMap& map, uint64_t* arrived, int c0, int c1, int c2, int c3) {
	asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(gpu::shared_address(to)),
				 "l"(reinterpret_cast<uint64_t>(&map)), "r"(gpu::shared_address(arrived)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
				 : "memory");
}
__device__ __forceinline__ void copy_box(void* to, const TensorMap& map, uint64_t* arrived, int c0, int c1, int c2, int c3, int c4) {
	asm volatile("cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6, %7}], [%2];" ::"r"(gpu::shared_address(to)),
				 "l"(reinterpret_cast<uint64_t>(&map)), "r"(gpu::shared_address(arrived)), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(c4)
				 : "memory");
}

// Neighbouring bytes, a multiple of 16 as both addresses are.
__device__ __forceinline__ void copy_bytes(void* to, const void* from, uint32_t bytes, uint64_t* arrived) {
	asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(gpu::shared_address(to)), "l"(reinterpret_cast<uint64_t>(from)), "r"(bytes),
				 "r"(gpu::shared_address(arrived))
				 : "memory");
}

// ---- Warpgroups

template <int Registers>
__device__ __forceinline__ void give_registers() {
	asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
}
template <int Registers>
__device__ __forceinline__ void take_registers() {
	asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
}

// Before the first product of a sequence: what threads wrote into accumulators and operands in registers is there.
__device__ __forceinline__ void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Until at most `Pending` of the latest sequences are still under way.
template <int Pending>
__device__ __forceinline__ void products_wait() {
	asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}
// The compiler may not move what it does with these registers across this.
template <int Columns>
__device__ __forceinline__ void pin(float (&d)[Columns][4]) {
	GPU_UNROLL
	for (int j = 0; j < Columns; j++) asm volatile("" : "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])::"memory");
}

template <int Steps>
__device__ __forceinline__ void pin(uint32_t (&operand)[Steps][4]) {
	GPU_UNROLL
	for (int k = 0; k < Steps; k++) asm volatile("" : "+r"(operand[k][0]), "+r"(operand[k][1]), "+r"(operand[k][2]), "+r"(operand[k][3])::"memory");
}

// Names and operands of N / 2 accumulators.
#define DD_TEN(t) "%" #t "0,%" #t "1,%" #t "2,%" #t "3,%" #t "4,%" #t "5,%" #t "6,%" #t "7,%" #t "8,%" #t "9,"
#define DD_NAMES_64 DD_TEN() DD_TEN(1) DD_TEN(2) "%30,%31"
#define DD_NAMES_96 DD_TEN() DD_TEN(1) DD_TEN(2) DD_TEN(3) "%40,%41,%42,%43,%44,%45,%46,%47"
#define DD_NAMES_128 DD_TEN() DD_TEN(1) DD_TEN(2) DD_TEN(3) DD_TEN(4) DD_TEN(5) "%60,%61,%62,%63"
#define DD_NAMES_160 DD_TEN() DD_TEN(1) DD_TEN(2) DD_TEN(3) DD_TEN(4) DD_TEN(5) DD_TEN(6) "%70,%71,%72,%73,%74,%75,%76,%77,%78,%79"
#define DD_NAMES_256 \
	DD_TEN() DD_TEN(1) DD_TEN(2) DD_TEN(3) DD_TEN(4) DD_TEN(5) DD_TEN(6) DD_TEN(7) DD_TEN(8) DD_TEN(9) DD_TEN(10) DD_TEN(11) "%120,%121,%122,%123,%124,%125,%126,%127"
#define DD_SUM(j) "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
#define DD_SUMS_4(j) DD_SUM(j), DD_SUM(j + 1), DD_SUM(j + 2), DD_SUM(j + 3)
#define DD_SUMS_64 DD_SUMS_4(0), DD_SUMS_4(4)
#define DD_SUMS_96 DD_SUMS_64, DD_SUMS_4(8)
#define DD_SUMS_128 DD_SUMS_64, DD_SUMS_4(8), DD_SUMS_4(12)
#define DD_SUMS_160 DD_SUMS_128, DD_SUMS_4(16)
#define DD_SUMS_256 DD_SUMS_160, DD_SUMS_4(20), DD_SUMS_4(24), DD_SUMS_4(28)
// %A and %B: the operands after the accumulators; then scale-d and the right operand's transposition.
#define DD_WGMMA_SHARED(N, TYPE, A, B, ADD, TRANSPOSE)                                                                                                                        \
	asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" DD_NAMES_##N "}, %" #A ", %" #B ", %" #ADD ", 1, 1, 0, %" #TRANSPOSE ";" : DD_SUMS_##N \
				 : "l"(left), "l"(right), "n"(Add ? 1 : 0), "n"(RightK ? 0 : 1))
#define DD_WGMMA_REGISTERS(N, TYPE, A0, A1, A2, A3, B, ADD, TRANSPOSE)                                                                                                             \
	asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" DD_NAMES_##N "}, {%" #A0 ",%" #A1 ",%" #A2 ",%" #A3 "}, %" #B ", %" #ADD ", 1, 1, %" #TRANSPOSE ";" \
				 : DD_SUMS_##N                                                                                                                                                   \
				 : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right), "n"(Add ? 1 : 0), "n"(RightK ? 0 : 1))

// d [64 x 8 · Columns] += left [64 x 16] · right, both by descriptors of tiles in shared memory, the left one's K contiguous. Add = false: =.
template <class T, bool RightK, bool Add, int Columns>
__device__ __forceinline__ void multiply(float (&d)[Columns][4], uint64_t left, uint64_t right) {
	constexpr bool kBf16 = std::is_same_v<T, gpu::bf16>;
	static_assert(Columns == 12 || Columns == 16 || Columns == 20 || Columns == 32);
	if constexpr (Columns == 12) {
		if constexpr (kBf16) DD_WGMMA_SHARED(96, "bf16", 48, 49, 50, 51);
		else DD_WGMMA_SHARED(96, "f16", 48, 49, 50, 51);
	} else if constexpr (Columns == 16) {
		if constexpr (kBf16) DD_WGMMA_SHARED(128, "bf16", 64, 65, 66, 67);
		else DD_WGMMA_SHARED(128, "f16", 64, 65, 66, 67);
	} else if constexpr (Columns == 20) {
		if constexpr (kBf16) DD_WGMMA_SHARED(160, "bf16", 80, 81, 82, 83);
		else DD_WGMMA_SHARED(160, "f16", 80, 81, 82, 83);
	} else {
		if constexpr (kBf16) DD_WGMMA_SHARED(256, "bf16", 128, 129, 130, 131);
		else DD_WGMMA_SHARED(256, "f16", 128, 129, 130, 131);
	}
}
// The same with the left operand in registers, as mma m16n8k16 has it.
template <class T, bool RightK, bool Add, int Columns>
__device__ __forceinline__ void multiply_registers(float (&d)[Columns][4], const uint32_t (&left)[4], uint64_t right) {
	constexpr bool kBf16 = std::is_same_v<T, gpu::bf16>;
	static_assert(Columns == 8 || Columns == 12 || Columns == 16);
	if constexpr (Columns == 8) {
		if constexpr (kBf16) DD_WGMMA_REGISTERS(64, "bf16", 32, 33, 34, 35, 36, 37, 38);
		else DD_WGMMA_REGISTERS(64, "f16", 32, 33, 34, 35, 36, 37, 38);
	} else if constexpr (Columns == 12) {
		if constexpr (kBf16) DD_WGMMA_REGISTERS(96, "bf16", 48, 49, 50, 51, 52, 53, 54);
		else DD_WGMMA_REGISTERS(96, "f16", 48, 49, 50, 51, 52, 53, 54);
	} else {
		if constexpr (kBf16) DD_WGMMA_REGISTERS(128, "bf16", 64, 65, 66, 67, 68, 69, 70);
		else DD_WGMMA_REGISTERS(128, "f16", 64, 65, 66, 67, 68, 69, 70);
	}
}

#undef DD_TEN
#undef DD_NAMES_64
#undef DD_NAMES_96
#undef DD_NAMES_128
#undef DD_NAMES_160
#undef DD_NAMES_256
#undef DD_SUM
#undef DD_SUMS_4
#undef DD_SUMS_64
#undef DD_SUMS_96
#undef DD_SUMS_128
#undef DD_SUMS_160
#undef DD_SUMS_256
#undef DD_WGMMA_SHARED
#undef DD_WGMMA_REGISTERS

#endif

}  // namespace dreamdist::cuda::hopper
