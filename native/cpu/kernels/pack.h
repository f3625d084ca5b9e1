// Writing weights into panels: blocks of registers are transposed on the way, so packing costs little more than the memory it touches.
#pragma once
#include "panels.h"

namespace dreamdist::cpu::DD_ISA {

template <class S>
inline void store_vector(typename S::Element* p, vf v) {
	if constexpr (__is_same(S, Storage<DType::f16>)) store_half(p, v);
	else if constexpr (__is_same(S, Storage<DType::bf16>)) store_bfloat(p, v);
	else store(p, v);
}

// block[j] = column j of `rows` (≤ kLanes) rows, of which `columns` are there; what is missing is zero.
template <class S>
inline void load_transposed(vf (&block)[kLanes], const typename S::Element* source, int64_t pitch, int64_t rows, int64_t columns) {
	if (rows >= kLanes && columns >= kLanes) {
#pragma GCC unroll 16
		for (int i = 0; i < kLanes; i++) block[i] = S::vector(source + i * pitch);
	} else {
		for (int i = 0; i < kLanes; i++) block[i] = i < rows ? load_some<S>(source + i * pitch, columns) : zero();
	}
	transpose_block(block);
}

// Rows [k0, k1) of a panel of the linear weight `source` [outputs, depth]: panel[k·width + column] = source[column][k].
template <class S>
inline void pack_linear_panel(const typename S::Element* source, int64_t depth, const Panel& panel, int64_t k0, int64_t k1, typename S::Element* to) {
	const int64_t width = panel.width(), run_width = width / panel.runs;
	for (int r = 0; r < panel.runs; r++)
		for (int64_t j = 0; j < run_width; j += kLanes) {
			const int64_t rows = panel.run[r].columns - j;
			const auto* from = source + (panel.run[r].column + j) * depth;
			for (int64_t k = k0; k < k1; k += kLanes) {
				vf block[kLanes];
				load_transposed<S>(block, from + k, depth, rows, k1 - k);
				for (int64_t i = 0; i < min_of(kLanes, k1 - k); i++) store_vector<S>(to + (k + i) * width + panel.run[r].offset + j, block[i]);
			}
		}
}

}  // namespace dreamdist::cpu::DD_ISA
