// B as the tile reads it: panels of columns, k-major, in f32.
//
// A weight [outputs, K] is packed once as panels of kPanelColumns outputs, panel-major, each [K][width], in its storage type; the last
// panel is only as many vectors wide as it needs, its missing columns are zero. For geglu the first half of a panel's columns are
// values and the second half their gates. The same bytes serve both directions: the forward product reads panels as they are (f32) or
// expanded (16-bit); the product with the transposed weight transposes square blocks of them into a panel of its own.
#pragma once
#include <utility>

#include "dreamdist/types.h"
#include "segment_tile.h"

namespace dreamdist::cpu::DD_ISA {

inline int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// A stretch of consecutive columns of the product inside a panel.
struct Run {
	int64_t column;
	int64_t columns;
	int offset;  // in the panel
};
struct Panel {
	int vectors;
	int runs;  // 2 with geglu: values, gates
	Run run[2];
	int width() const { return vectors * kLanes; }
};

// How N columns are cut into panels.
struct Columns {
	int64_t count;
	bool interleave;
	int full() const { return interleave ? kPanelVectors / 2 * 2 * kLanes : kPanelColumns; }
	int64_t panels() const { return ceil_div(interleave ? round_up(count, 2) : count, full()); }
	Panel panel(int64_t index) const {
		if (!interleave) {
			const int64_t first = index * full(), columns = min_of(full(), count - first);
			return {(int)ceil_div(columns, kLanes), 1, {{first, columns, 0}, {}}};
		}
		const int64_t half = count / 2, first = index * (full() / 2), columns = min_of(full() / 2, half - first);
		const int vectors = (int)ceil_div(columns, kLanes);
		return {2 * vectors, 2, {{first, columns, 0}, {half + first, columns, vectors * kLanes}}};
	}
	// Floats of the panels before `index`, per k.
	int64_t start(int64_t index) const { return index * full(); }
	int64_t padded() const { return panels() ? start(panels() - 1) + panel(panels() - 1).width() : 0; }
};

// Elements of the storage types as f32.
template <DType type>
struct Storage {
	using Element = uint16_t;
	static float one(uint16_t x) { return type == DType::f16 ? half_to_float(x) : bfloat_to_float(x); }
	static uint16_t from(float x) { return type == DType::f16 ? float_to_half(x) : float_to_bfloat(x); }
	static vf vector(const uint16_t* p) {
		if constexpr (type == DType::f16) return load_half(p);
		else return load_bfloat(p);
	}
};
template <>
struct Storage<DType::f32> {
	using Element = float;
	static float one(float x) { return x; }
	static float from(float x) { return x; }
	static vf vector(const float* p) { return load(p); }
};
// Calls body(Storage<type>{}) for the run-time type.
template <class Body>
inline void with_storage(DType type, Body&& body) {
	if (type == DType::f16) body(Storage<DType::f16>{});
	else if (type == DType::bf16) body(Storage<DType::bf16>{});
	else body(Storage<DType::f32>{});
}
template <class S>
inline vf load_some(const typename S::Element* p, int64_t n) {
	if (n >= kLanes) return S::vector(p);
	float lanes[kLanes] = {};
	for (int64_t i = 0; i < n; i++) lanes[i] = S::one(p[i]);
	return load(lanes);
}

// Transposes a kLanes × kLanes block of registers: for each bit of the index, rows that differ in it swap the lanes that differ in it.
template <int Bit, int... Lane>
inline void swap_across(vf& low, vf& high, std::integer_sequence<int, Lane...>) {
	const vf a = __builtin_shufflevector(low, high, (Lane & Bit ? kLanes + Lane - Bit : Lane)...);
	high = __builtin_shufflevector(low, high, (Lane & Bit ? kLanes + Lane : Lane + Bit)...);
	low = a;
}
template <int Bit = kLanes / 2>
inline void transpose_block(vf (&row)[kLanes]) {
#pragma GCC unroll 16
	for (int i = 0; i < kLanes; i++)
		if (!(i & Bit)) swap_across<Bit>(row[i], row[i + Bit], std::make_integer_sequence<int, kLanes>{});
	if constexpr (Bit > 1) transpose_block<Bit / 2>(row);
}

// destination[j·width + i] = source[i·pitch + j] for i < rows (≤ kLanes; the rest becomes zero) and j < columns (≤ kLanes).
template <class S>
inline void transpose_into(float* destination, int64_t width, const typename S::Element* source, int64_t pitch, int64_t rows, int64_t columns) {
	vf block[kLanes];
	if (rows >= kLanes && columns >= kLanes) {
#pragma GCC unroll 16
		for (int i = 0; i < kLanes; i++) block[i] = S::vector(source + i * pitch);
		transpose_block(block);
#pragma GCC unroll 16
		for (int j = 0; j < kLanes; j++) store(destination + j * width, block[j]);
		return;
	}
	for (int i = 0; i < kLanes; i++) block[i] = i < rows ? load_some<S>(source + i * pitch, columns) : zero();
	transpose_block(block);
	for (int64_t j = 0; j < columns && j < kLanes; j++) store(destination + j * width, block[j]);
}

// A stretch of outputs inside one panel: W[output + i][d] for i < length lies at from + d·pitch + i, in elements.
struct Piece {
	int64_t from, pitch, length;
};

// A weight packed for `outputs` columns and a reduction of `depth`: a conv's depth is taps · channels.
struct Packed {
	const void* data;
	DType type;
	Columns outputs;
	int64_t depth;

	int64_t offset(int64_t panel) const { return outputs.start(panel) * depth; }  // in elements

	// The panel's rows [k0, k1) in f32: in place, or expanded into `scratch`.
	const float* forward(int64_t index, const Panel& panel, int64_t k0, int64_t k1, float* scratch) const {
		const int64_t first = offset(index) + k0 * panel.width(), count = (k1 - k0) * panel.width();
		if (type == DType::f32) return (const float*)data + first;
		with_storage(type, [&]<class S>(S) {
			const auto* from = (const typename S::Element*)data + first;
			for (int64_t i = 0; i < count; i += kLanes) store(scratch + i, S::vector(from + i));
		});
		return scratch;
	}

	// With the weight transposed, columns of the product are depth rows of the panels: destination[(o − o0)·pitch + j] = W[o][k0 + j]
	// for outputs [o0, o1) and j < columns, with zeros up to the next whole vector.
	void backward(int64_t k0, int64_t columns, int64_t o0, int64_t o1, float* destination, int64_t pitch) const {
		with_storage(type, [&]<class S>(S) {
			const int64_t runs = outputs.interleave ? 2 : 1, per_run = outputs.count / runs, per_panel = outputs.full() / runs;
			for (int64_t run = 0; run < runs; run++) {
				const int64_t begin = max_of(o0 - run * per_run, 0), end = min_of(o1 - run * per_run, per_run);
				for (int64_t first = begin / kLanes * kLanes; first < end; first += kLanes) {
					const int64_t index = first / per_panel;
					const Panel panel = outputs.panel(index);
					const int64_t skip = max_of(begin - first, 0), count = min_of(kLanes, end - first) - skip;
					const auto* block = (const typename S::Element*)data + offset(index) + panel.run[run].offset + first % per_panel + skip;
					float* to = destination + (run * per_run + first + skip - o0) * pitch;
					for (int64_t j = 0; j < columns; j += kLanes)
						transpose_into<S>(to + j, pitch, block + (k0 + j) * panel.width(), panel.width(), columns - j, count);
				}
			}
		});
	}

	// The stretch that begins at an output.
	Piece piece(int64_t output) const {
		const int64_t runs = outputs.interleave ? 2 : 1, per_run = outputs.count / runs, per_panel = outputs.full() / runs;
		const int64_t run = output / per_run, column = output % per_run, index = column / per_panel;
		const Panel panel = outputs.panel(index);
		return {offset(index) + panel.run[run].offset + column % per_panel, panel.width(), panel.run[run].columns - column % per_panel};
	}
	float at(int64_t output, int64_t k) const {
		const Piece place = piece(output);
		float value = 0;
		with_storage(type, [&]<class S>(S) { value = S::one(((const typename S::Element*)data)[place.from + k * place.pitch]); });
		return value;
	}
};

}  // namespace dreamdist::cpu::DD_ISA
