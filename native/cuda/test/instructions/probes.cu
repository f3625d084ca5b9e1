// A kernel per instruction that the gates of scripts/cuda-budgets.mjs look for, named after it, and one without any of them: they show that
// the gates read this compiler's machine code. Compiled, never run.
#include <cstdint>

extern "C" {

__global__ void none(float* p) { p[threadIdx.x] += 1; }

__global__ void HMMA(float* p, const uint32_t* q) {
	float d[4] = {p[0], p[1], p[2], p[3]};
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
				 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
				 : "r"(q[0]), "r"(q[1]), "r"(q[2]), "r"(q[3]), "r"(q[4]), "r"(q[5]));
	for (int i = 0; i < 4; i++) p[i] = d[i];
}

__global__ void HMMA_TF32(float* p, const uint32_t* q) {
	float d[4] = {p[0], p[1], p[2], p[3]};
	asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
				 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
				 : "r"(q[0]), "r"(q[1]), "r"(q[2]), "r"(q[3]), "r"(q[4]), "r"(q[5]));
	for (int i = 0; i < 4; i++) p[i] = d[i];
}

__global__ void LDSM(uint32_t* p) {
	__shared__ uint32_t rows[512];
	rows[threadIdx.x] = p[threadIdx.x];
	__syncthreads();
	uint32_t r[4];
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
				 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
				 : "r"(uint32_t(__cvta_generic_to_shared(rows + threadIdx.x * 4))));
	p[threadIdx.x] = r[0] + r[1] + r[2] + r[3];
}

__global__ void LDGSTS(float* p) {
	__shared__ __align__(16) float room[128];
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, 16;" ::"r"(uint32_t(__cvta_generic_to_shared(room + threadIdx.x * 4))), "l"(p + threadIdx.x * 4) : "memory");
	asm volatile("cp.async.wait_all;" ::: "memory");
	__syncthreads();
	p[threadIdx.x] = room[127 - threadIdx.x];
}

// An array whose elements are chosen while the kernel runs, and too many to choose from registers.
__global__ void LDL(float* p, int n) {
	volatile float v[200];
	for (int i = 0; i < 200; i++) v[i] = p[i];
	p[n] = v[n];
}

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
__global__ void HGMMA(float* p, uint64_t a, uint64_t b) {
	float d[4] = {};
	asm volatile("wgmma.fence.sync.aligned;");
	asm volatile("wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%0,%1,%2,%3}, %4, %5, 1, 1, 1, 0, 0;"
				 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
				 : "l"(a), "l"(b));
	asm volatile("wgmma.commit_group.sync.aligned;");
	asm volatile("wgmma.wait_group.sync.aligned 0;");
	for (int i = 0; i < 4; i++) p[i] = d[i];
}

__global__ void UTMALDG(float* p, const void* map) {
	__shared__ __align__(128) float tile[1024];
	__shared__ uint64_t arrived;
	asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2,%3}], [%4];" ::"r"(uint32_t(__cvta_generic_to_shared(tile))),
				 "l"(map), "r"(0), "r"(0), "r"(uint32_t(__cvta_generic_to_shared(&arrived)))
				 : "memory");
	__syncthreads();
	p[threadIdx.x] = tile[threadIdx.x];
}
#endif
}
