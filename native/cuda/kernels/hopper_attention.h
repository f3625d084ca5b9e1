// Self-attention of the Hopper family (attention_hopper.cu).
#pragma once
#include "hopper.h"
#include "hopper_attention_plan.h"

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

}  // namespace dreamdist::cuda::hopper
