// Failures a kernel finds in its data or its call. Defined outside the per-instruction-set files: those must not emit library templates
// that the linker could share between instruction sets.
#pragma once
#include <cstdint>

namespace dreamdist::cpu {

// "gather: index 7 (at position 3) is outside [0, 5)".
[[noreturn]] void throw_index_error(const char* kernel, int64_t position, int64_t index, int64_t rows);

// A call that breaks the contract of docs/kernels.md, e.g. "pointwise: 41 registers; at most 32 are allowed".
[[noreturn]] void throw_call_error(const char* kernel, const char* what, int64_t value);

}  // namespace dreamdist::cpu
