// The kernels and packers of one instruction set. Each family's file defines its rows; table.cpp lists them.
#pragma once
#include "../simd.h"
#include "dreamdist/kernels.h"

namespace dreamdist::cpu::DD_ISA {

extern const KernelTable kTable;

// One declaration per kernel; the definitions live in the family's file.
#define DD_KERNEL(name) void name(const KernelArgs&, ThreadTeam&);
void matmul(const KernelArgs&, ThreadTeam&);
void conv2d(const KernelArgs&, ThreadTeam&);
void conv2d_input_grad(const KernelArgs&, ThreadTeam&);
void conv2d_weight_grad(const KernelArgs&, ThreadTeam&);
void attention(const KernelArgs&, ThreadTeam&);
void attention_grad(const KernelArgs&, ThreadTeam&);
void group_norm(const KernelArgs&, ThreadTeam&);
void group_norm_grad(const KernelArgs&, ThreadTeam&);
void layer_norm(const KernelArgs&, ThreadTeam&);
void layer_norm_grad(const KernelArgs&, ThreadTeam&);
void softmax(const KernelArgs&, ThreadTeam&);
void softmax_grad(const KernelArgs&, ThreadTeam&);
#undef DD_KERNEL
void pointwise(const KernelArgs&, ThreadTeam&);
void copy(const KernelArgs&, ThreadTeam&);
void reduce(const KernelArgs&, ThreadTeam&);
void gather(const KernelArgs&, ThreadTeam&);
void scatter_add(const KernelArgs&, ThreadTeam&);
void pool2d(const KernelArgs&, ThreadTeam&);
void pool2d_grad(const KernelArgs&, ThreadTeam&);
void random(const KernelArgs&, ThreadTeam&);
void adamw(const KernelArgs&, ThreadTeam&);
void sgd(const KernelArgs&, ThreadTeam&);

// Shared scratch in bytes, from the integers alone.
int64_t conv2d_scratch(const KernelArgs&, int threads);
int64_t conv2d_input_grad_scratch(const KernelArgs&, int threads);
int64_t attention_scratch(const KernelArgs&, int threads);
int64_t attention_grad_scratch(const KernelArgs&, int threads);
int64_t group_norm_scratch(const KernelArgs&, int threads);
int64_t group_norm_grad_scratch(const KernelArgs&, int threads);
int64_t layer_norm_grad_scratch(const KernelArgs&, int threads);
int64_t reduce_scratch(const KernelArgs&, int threads);

int64_t matmul_packed_bytes(DType, std::span<const int64_t> ints);
void matmul_pack(const void* source, DType, std::span<const int64_t> ints, void* packed, ThreadTeam&);
int64_t conv2d_packed_bytes(DType, std::span<const int64_t> ints);
void conv2d_pack(const void* source, DType, std::span<const int64_t> ints, void* packed, ThreadTeam&);

}  // namespace dreamdist::cpu::DD_ISA
