// Convolutions as products for the Hopper kernels: which positions a tile has, which boxes of pictures and weights a stage is, and what is
// left to the kernels of sm_80. Pure, as hopper_plan.h.
//
// A tile's rows are a box of positions (width x height x pictures, at most 128), so that its patches for one tap and 64 channels are one box
// of the picture, which TMA copies with zeros outside: padding, ragged edges and the last pictures cost nothing. Chosen over TMA's im2col
// mode because one kind of copy with one documented rule serves forward, strides, the residues of a stride and both directions of an
// enlarged picture, and because that rule can be written down and tested on the host. The price is that few boxes have all 128 rows (96²:
// 128, 24²: 128 with several pictures, 12² x 4: 96).
#pragma once
#include "conv_packed.h"
#include "hopper_plan.h"

namespace dreamdist::cuda::hopper {

// Boxes of positions that cover across x down x pictures.
struct PositionTiles {
	int width = 1, height = 1, depth = 1;                      // of a box; depth counts pictures
	int tiles_across = 1, tiles_down = 1, tiles_deep = 1;
	struct Place {
		int picture, row, column;
		bool there;  // in the box; whether it is among the positions is for who knows their extents
	};
	DD_ANYWHERE int rows() const { return width * height * depth; }
	DD_ANYWHERE int count() const { return tiles_across * tiles_down * tiles_deep; }
	DD_ANYWHERE Place corner(int tile) const { return {tile / tiles_across / tiles_down * depth, tile / tiles_across % tiles_down * height, tile % tiles_across * width, true}; }
	DD_ANYWHERE Place at(int tile, int row) const {
		Place place = corner(tile);
		place.picture += row / (width * height);
		place.row += row / width % height;
		place.column += row % width;
		place.there = row < rows();
		return place;
	}
};
// The fewest boxes; of those the widest, whose copies are the longest runs.
inline PositionTiles position_tiles(int across, int down, int pictures) {
	auto up = [](int a, int b) { return (a + b - 1) / b; };
	PositionTiles best;
	int64_t fewest = INT64_MAX;
	for (int width = std::min(across, kTileRows); width >= 1; width--)
		for (int height = std::min(down, kTileRows / width); height >= 1; height--) {
			const int depth = std::min(pictures, kTileRows / (width * height));
			const int64_t count = (int64_t)up(across, width) * up(down, height) * up(pictures, depth);
			if (count >= fewest) continue;
			fewest = count;
			best = {width, height, depth, up(across, width), up(down, height), up(pictures, depth)};
		}
	return best;
}

// A convolution (backward: its input gradient) as a product: positions of one class by N columns, classes as batches.
struct ConvSizes {
	AxisPlan rows, columns;
	int pictures = 0, C1 = 0, C2 = 0;  // of what is read: the picture's two halves; backward the output's channels and 0
	int shift = 0;                     // 1: each pixel is seen twice per axis
	bool backward = false;
	int outputs = 0, taps = 0, padded = 0;  // the packed weight is [outputs][taps][padded]
	int first_channel = 0, N = 0;           // of the product's columns: backward the first input channel, else 0; how many

	int first_blocks() const { return (C1 + kBlockDepth - 1) / kBlockDepth; }
	int blocks() const { return first_blocks() + (C2 + kBlockDepth - 1) / kBlockDepth; }
	int batch() const { return rows.classes * columns.classes; }
	int64_t positions() const { return (int64_t)pictures * rows.positions() * columns.positions(); }
	PositionTiles tiles() const { return position_tiles(columns.positions(), rows.positions(), pictures); }
	// With the depth that blocks of 64 channels make of it.
	int64_t depth() const {
		int down = 0, across = 0;
		for (int i = 0; i < rows.classes; i++) down = std::max(down, rows.taps(i));
		for (int i = 0; i < columns.classes; i++) across = std::max(across, columns.taps(i));
		return (int64_t)down * across * blocks() * kBlockDepth;
	}
};

inline ConvSizes conv_sizes(const Geometry& g, bool backward, Wanted columns) {
	ConvSizes s;
	s.rows = axis_plan(g, true, backward);
	s.columns = axis_plan(g, false, backward);
	s.pictures = g.N;
	s.C1 = backward ? g.O : g.C1;
	s.C2 = backward ? 0 : g.C2;
	s.shift = !backward && g.scale() == 2 && g.packed != kPackedPhases ? 1 : 0;
	s.backward = backward;
	s.outputs = g.O;
	s.taps = taps_held(g);
	s.padded = round8(g.channels());
	s.first_channel = columns.first;
	s.N = columns.count;
	return s;
}

// What a stage copies. Channels are walked in blocks of 64 of each half, tap by tap: zeros beyond a half's channels make what the weight
// has there count for nothing.
struct ConvFetch {
	AxisPlan rows, columns;
	PositionTiles tiles;
	int pictures = 0, first_blocks = 0, blocks = 0, C1 = 0, first_channel = 0;

	ConvFetch() = default;
	explicit ConvFetch(const ConvSizes& s)
		: rows(s.rows), columns(s.columns), tiles(s.tiles()), pictures(s.pictures), first_blocks(s.first_blocks()), blocks(s.blocks()), C1(s.C1), first_channel(s.first_channel) {}
	__host__ __device__ __forceinline__ int steps(int which) const { return rows.taps(which / columns.classes) * columns.taps(which % columns.classes) * blocks; }
	// The index among all positions of row m of a launch; −1 where there is none: in a tile's last rows, past an edge, in a smaller class.
	__host__ __device__ __forceinline__ int64_t position(int which, int m) const {
		const auto place = tiles.at(m / kTileRows, m % kTileRows);
		const int row = place.row * rows.classes + which / columns.classes, column = place.column * columns.classes + which % columns.classes;
		const bool there = place.there && place.picture < pictures && row < rows.extent && column < columns.extent;
		return there ? ((int64_t)place.picture * rows.extent + row) * columns.extent + column : -1;
	}
	// first(at, …), second(at, …): a box of that half of the picture; right(at, …): of the weight.
	template <class RightTile, class First, class Second, class Right>
	__device__ __forceinline__ void fetch(int which, int row_tile, int n0, int step, First&& first, Second&& second, Right&& right) const {
		const TapAxis down = rows.axis(which / columns.classes), across = columns.axis(which % columns.classes);
		const int tap = step / blocks, block = step - tap * blocks, row = tap / across.taps, column = tap - row * across.taps;
		const bool in_second = block >= first_blocks;
		const int channel = (in_second ? block - first_blocks : block) * kBlockDepth;
		const auto corner = tiles.corner(row_tile);
		const int w = corner.column * columns.multiplier + across.offset(column), h = corner.row * rows.multiplier + down.offset(row);
		if (in_second) second(0, channel, w, h, corner.picture);
		else first(0, channel, w, h, corner.picture);
		const int weight = down.weight(row) + across.weight(column);
		if constexpr (RightTile::KContiguous) right(0, (in_second ? C1 : 0) + channel, weight, n0);
		else {
			for (int i = 0; i < RightTile::kBoxes; i++) right(i * RightTile::kBoxBytes, first_channel + n0 + i * RightTile::kLineRows, weight, channel);
		}
	}
};

// One half of the picture; of rows and columns TMA takes every `multiplier`-th.
inline TensorBox picture_box(const ConvSizes& s, int channels) {
	const PositionTiles t = s.tiles();
	const uint64_t pixel = uint64_t(channels) * 2, row = pixel * (uint64_t)s.columns.source;
	TensorBox box;
	box.add((uint64_t)channels, 2, kBlockDepth).add((uint64_t)s.columns.source, pixel, (uint32_t)t.width, (uint32_t)s.columns.multiplier);
	return box.add((uint64_t)s.rows.source, row, (uint32_t)t.height, (uint32_t)s.rows.multiplier).add((uint64_t)s.pictures, row * (uint64_t)s.rows.source, (uint32_t)t.depth);
}
// The packed weight: forward, rows of output channels with K contiguous; backward, input channels contiguous, K being output channels.
inline TensorBox weight_box(const ConvSizes& s, int columns, int line_columns) {
	TensorBox box;
	if (s.backward) box.swizzle = line_columns == 64 ? Swizzle::bytes128 : Swizzle::bytes64;
	const uint64_t tap = uint64_t(s.padded) * 2;
	box.add((uint64_t)s.padded, 2, s.backward ? (uint32_t)line_columns : kBlockDepth).add((uint64_t)s.taps, tap, 1);
	return box.add((uint64_t)s.outputs, tap * (uint64_t)s.taps, s.backward ? kBlockDepth : (uint32_t)columns);
}

// Why the kernels of sm_80 compute a convolution; null: the Hopper kernel can.
inline const char* why_not(const ConvSizes& s, TileChoice choice = {}) {
	if (choice.rows != 0 && !is_tile(choice)) return "a tile of theirs was measured as the fastest";
	if (s.shift) return "the picture is enlarged without summed taps";
	if (s.rows.divisor != 1 || s.columns.divisor != 1) return "positions read between pixels";
	if (s.rows.multiplier > 2 || s.columns.multiplier > 2) return "a stride is above 2";
	if (s.C1 % 8 || s.C2 % 8 || s.C1 == 0) return "channels are no multiple of 8";
	if (s.blocks() * kBlockDepth * 2 > (s.C1 + s.C2) * 3) return "channels fill less than two thirds of blocks of 64";
	if (s.N < 64) return "fewer than 64 columns";
	if (s.positions() <= 64) return "at most 64 positions fill half of a tile";
	if ((int64_t)s.tiles().count() * kTileRows >= int64_t(1) << 31) return "an extent is above 2^31";
	for (const TensorBox& box : {picture_box(s, s.C1), picture_box(s, s.C2 ? s.C2 : s.C1), weight_box(s, 160, 32)})
		if (const char* why = box.problem(0)) return why;
	return nullptr;
}
inline Plan conv_plan(const ConvSizes& s, TileChoice choice) { return plan((int64_t)s.tiles().count() * kTileRows, s.N, s.depth(), s.batch(), choice); }
inline int64_t conv_parts_bytes(const ConvSizes& s, TileChoice choice) { return parts_bytes((int64_t)s.tiles().count() * kTileRows, s.N, s.depth(), s.batch(), choice); }

}  // namespace dreamdist::cuda::hopper
