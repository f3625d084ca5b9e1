// What happens to a tile of sums before it leaves the cache: scale, bias, per-sample channel vector, pre-activation, activation, residual.
#pragma once
#include "../vector_math.h"
#include "panels.h"

namespace dreamdist::cpu::DD_ISA {

enum Activation : int { kNone, kGelu, kSilu, kGeglu, kQuickGelu, kRelu };

inline vf activate(vf x, int act) {
	switch (act) {
		case kGelu: return vgelu(x);
		case kSilu: return vsilu(x);
		case kQuickGelu: return vquick_gelu(x);
		case kRelu: return vrelu(x);
		default: return x;
	}
}
inline vf load_some(const float* p, int64_t n) { return n >= kLanes ? load(p) : load_n(p, n); }
inline void store_some(float* p, vf v, int64_t n) { n >= kLanes ? store(p, v) : store_n(p, v, n); }

// U = alpha·sums + bias + channel vector; y = act(U) + residual. `columns` is U's width; with geglu y is half as wide.
struct Epilogue {
	float* y;
	int64_t pitch;
	int64_t columns;
	float alpha = 1;
	int act = kNone;
	const float* bias = nullptr;
	const float* residual = nullptr;
	int64_t residual_pitch = 0;
	float* preact = nullptr;                 // [rows, columns]
	const float* channel_vector = nullptr;   // [samples, columns]
	int64_t rows_per_sample = 1;

	// `tile` is [rows][panel.width()]; row i is row index[i] of y, residual and preact.
	void store_tile(const int64_t* index, int rows, const Panel& panel, const float* tile) const {
		const int width = panel.width();
		if (act == kGeglu && panel.runs == 2) {
			const Run &values = panel.run[0], &gates = panel.run[1];
			for (int64_t j = 0; j < values.columns; j += kLanes) {
				const int64_t n = min_of(kLanes, values.columns - j), h = values.column + j, g = gates.column + j;
				for (int r = 0; r < rows; r++) {
					const vf value = linear(load(tile + r * width + j), index[r], h, n);
					const vf gate = linear(load(tile + r * width + gates.offset + j), index[r], g, n);
					vf out = value * vgelu(gate);
					if (residual) out += load_some(residual + index[r] * residual_pitch + h, n);
					store_some(y + index[r] * pitch + h, out, n);
				}
			}
			return;
		}
		for (int part = 0; part < panel.runs; part++) {
			const Run& run = panel.run[part];
			for (int64_t j = 0; j < run.columns; j += kLanes) {
				const int64_t n = min_of(kLanes, run.columns - j), column = run.column + j;
				for (int r = 0; r < rows; r++) {
					vf out = activate(linear(load(tile + r * width + run.offset + j), index[r], column, n), act);
					if (residual) out += load_some(residual + index[r] * residual_pitch + column, n);
					store_some(y + index[r] * pitch + column, out, n);
				}
			}
		}
	}

	// The same from transposed sums: sums[j·sums_pitch + i] belongs to row index[i] and column `column` + j. Not for geglu.
	void store_transposed(const int64_t* index, int64_t rows, int64_t column, int64_t columns_here, const float* sums, int64_t sums_pitch) const {
		for (int64_t j = 0; j < columns_here; j += kLanes)
			for (int64_t i = 0; i < rows; i += kLanes) {
				vf block[kLanes];
				alignas(64) float tile[kLanes * kLanes];
				for (int64_t l = 0; l < kLanes; l++) block[l] = j + l < columns_here ? load(sums + (j + l) * sums_pitch + i) : zero();
				transpose_block(block);
				for (int64_t l = 0; l < kLanes; l++) store(tile + l * kLanes, block[l]);
				store_tile(index + i, (int)min_of(kLanes, rows - i), {1, 1, {{column + j, min_of(kLanes, columns_here - j), 0}, {}}}, tile);
			}
	}

private:
	vf linear(vf sum, int64_t row, int64_t column, int64_t n) const {
		vf u = sum * set1(alpha);
		if (bias) u += load_some(bias + column, n);
		if (channel_vector) u += load_some(channel_vector + row / rows_per_sample * columns + column, n);
		if (preact) store_some(preact + row * columns + column, u, n);
		return u;
	}
};

}  // namespace dreamdist::cpu::DD_ISA
