// matmul of two matrices of one 16-bit type, on tensor cores (matmul_half.cu).
#pragma once
#include "../context.h"

namespace dreamdist::cuda {

// Whether there is nothing to compute; throws where the activation does not fit the columns.
bool is_empty_product(const char* kernel, const KernelArgs&);

void matmul_half(const KernelArgs&, Context&);
// From the integers alone.
int64_t matmul_half_scratch(const KernelArgs&);
void matmul_half_choices(const KernelArgs&, std::vector<TileChoice>&);

}  // namespace dreamdist::cuda
