// Tensor maps: what TMA is told about a TensorBox.
#pragma once
#include "hopper_ptx.h"
#include "dreamdist/types.h"

namespace dreamdist::cuda::hopper {

// The map of a box of 16-bit elements at `base`, made by the driver. Throws Error where the driver is too old or refuses the box.
TensorMap make_map(const TensorBox& box, DType type, const void* base);

}  // namespace dreamdist::cuda::hopper
