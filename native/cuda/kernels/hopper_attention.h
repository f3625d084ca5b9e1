// Self-attention of the Hopper family (attention_hopper.cu, attention_grad_hopper.cu).
#pragma once
#include "hopper.h"
#include "hopper_attention_grad_plan.h"

namespace dreamdist::cuda::hopper {

struct AttentionCall {
	DType type = DType::bf16;
	const void *q = nullptr, *k = nullptr, *v = nullptr;
	void* o = nullptr;
	float* lse = nullptr;
	AttentionShape shape = {};
};
// Queues it, or returns false where the kernels of sm_80 have to.
bool attention(const AttentionCall&, Context&);

struct AttentionGradCall {
	DType type = DType::bf16;
	const void *q = nullptr, *k = nullptr, *v = nullptr, *o = nullptr;
	const float* lse = nullptr;
	const void* grad = nullptr;
	void *dq = nullptr, *dk = nullptr, *dv = nullptr;  // null: not asked for
	AttentionShape shape = {};
	void* scratch = nullptr;  // of grad_statistics_bytes
};
bool attention_grad(const AttentionGradCall&, Context&);

}  // namespace dreamdist::cuda::hopper
