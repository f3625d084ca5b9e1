// The convolution and its gradients with operands of one 16-bit type, on tensor cores (conv_half.cu, conv_weight_grad_half.cu; those of f32 in
// tf32 are rows of the kernel table).
#pragma once
#include <initializer_list>

#include "../context.h"

namespace dreamdist::cuda {

void conv2d_half(const KernelArgs&, Context&);
void conv2d_input_grad_half(const KernelArgs&, Context&);
void conv2d_weight_grad_half(const KernelArgs&, Context&);
// Throws where one of the operands is there and not f32.
void check_f32(const char* kernel, const KernelArgs&, std::initializer_list<int> operands);
// From the integers alone.
int64_t conv2d_half_scratch(const KernelArgs&);
int64_t conv2d_input_grad_half_scratch(const KernelArgs&);
int64_t conv2d_weight_grad_half_scratch(const KernelArgs&);
void conv2d_half_choices(const KernelArgs&, std::vector<TileChoice>&);
void conv2d_input_grad_half_choices(const KernelArgs&, std::vector<TileChoice>&);
void conv2d_weight_grad_half_choices(const KernelArgs&, std::vector<TileChoice>&);

// On the host: OIHW → [O][tap][I rounded up to 8], with summed taps for an enlarged picture (`phases`).
int64_t conv2d_chunks_bytes(DType, int64_t O, int64_t I, int64_t kh, int64_t kw, bool phases);
void conv2d_pack_chunks(const void* source, DType, int64_t O, int64_t I, int64_t kh, int64_t kw, bool phases, void* packed, ThreadTeam&);

}  // namespace dreamdist::cuda
