// The kernels and packers of the CUDA backend. Each family's file defines its launches; table.cu lists them.
#pragma once
#include "../context.h"

namespace dreamdist::cuda {

extern const KernelTable kTable;

void pointwise(const KernelArgs&, Context&);
void copy(const KernelArgs&, Context&);
void reduce(const KernelArgs&, Context&);
void matmul(const KernelArgs&, Context&);
void matmul_tf32(const KernelArgs&, Context&);
void conv2d(const KernelArgs&, Context&);
void conv2d_tf32(const KernelArgs&, Context&);
void conv2d_input_grad(const KernelArgs&, Context&);
void conv2d_input_grad_tf32(const KernelArgs&, Context&);
void conv2d_weight_grad(const KernelArgs&, Context&);
void conv2d_weight_grad_tf32(const KernelArgs&, Context&);
void attention(const KernelArgs&, Context&);
void attention_grad(const KernelArgs&, Context&);
void group_norm(const KernelArgs&, Context&);
void group_norm_grad(const KernelArgs&, Context&);
void layer_norm(const KernelArgs&, Context&);
void layer_norm_grad(const KernelArgs&, Context&);
void softmax(const KernelArgs&, Context&);
void softmax_grad(const KernelArgs&, Context&);
void gather(const KernelArgs&, Context&);
void scatter_add(const KernelArgs&, Context&);
void pool2d(const KernelArgs&, Context&);
void pool2d_grad(const KernelArgs&, Context&);
void random(const KernelArgs&, Context&);
void adamw(const KernelArgs&, Context&);
void sgd(const KernelArgs&, Context&);

// Shared scratch in bytes, from the integers alone.
int64_t reduce_scratch(const KernelArgs&, int threads);
int64_t attention_scratch(const KernelArgs&, int threads);
int64_t attention_grad_scratch(const KernelArgs&, int threads);
int64_t group_norm_scratch(const KernelArgs&, int threads);
int64_t group_norm_grad_scratch(const KernelArgs&, int threads);
int64_t layer_norm_grad_scratch(const KernelArgs&, int threads);
int64_t matmul_scratch(const KernelArgs&, int threads);
int64_t matmul_tf32_scratch(const KernelArgs&, int threads);
int64_t conv2d_scratch(const KernelArgs&, int threads);
int64_t conv2d_tf32_scratch(const KernelArgs&, int threads);
int64_t conv2d_input_grad_scratch(const KernelArgs&, int threads);
int64_t conv2d_input_grad_tf32_scratch(const KernelArgs&, int threads);
int64_t conv2d_weight_grad_scratch(const KernelArgs&, int threads);
int64_t conv2d_weight_grad_tf32_scratch(const KernelArgs&, int threads);

// What is worth measuring instead of estimating.
void matmul_choices(const KernelArgs&, std::vector<TileChoice>&);
void matmul_tf32_choices(const KernelArgs&, std::vector<TileChoice>&);
void conv2d_choices(const KernelArgs&, std::vector<TileChoice>&);
void conv2d_tf32_choices(const KernelArgs&, std::vector<TileChoice>&);
void conv2d_input_grad_choices(const KernelArgs&, std::vector<TileChoice>&);
void conv2d_input_grad_tf32_choices(const KernelArgs&, std::vector<TileChoice>&);
void conv2d_weight_grad_choices(const KernelArgs&, std::vector<TileChoice>&);
void conv2d_weight_grad_tf32_choices(const KernelArgs&, std::vector<TileChoice>&);

// On the host: what a weight becomes in device memory.
int64_t matmul_packed_bytes(DType, std::span<const int64_t> ints);
void matmul_pack(const void* source, DType, std::span<const int64_t> ints, void* packed, ThreadTeam&);
int64_t conv2d_packed_bytes(DType, std::span<const int64_t> ints);
void conv2d_pack(const void* source, DType, std::span<const int64_t> ints, void* packed, ThreadTeam&);

}  // namespace dreamdist::cuda
