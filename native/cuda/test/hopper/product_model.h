// A block of hopper_product.h on the models of TMA and wgmma: the kernel's own tiles, boxes, descriptors, walk and accumulator places, one
// stage after another.
#pragma once
#include "../../kernels/hopper_plan.h"
#include "model.h"

namespace dreamdist::test {

// 16-bit elements whose numbers are whole, so that every sum is exact whatever its order: a bit pattern is its signed number.
inline std::vector<uint16_t> whole_numbers(Context& t, int64_t count) {
	std::vector<uint16_t> values(count);
	for (uint16_t& value : values) value = (uint16_t)(int16_t)t.integer(-9, 9);
	return values;
}

// fetch(shared, left address, right address, layer, row tile, n0, step) copies a stage's boxes and returns their bytes; steps(layer) is the
// depth; result(layer, part, row, column, sum) gets each sum of the launch once.
template <class Right, class Steps, class Fetch, class Result>
void run_product(int64_t M, int64_t N, int64_t layers, const cuda::hopper::Plan& plan, Steps&& steps, Fetch&& fetch, Result&& result) {
	using namespace cuda::hopper;
	using Left = OperandTile<kTileRows, true>;
	const TileWalk walk = {int((M + kTileRows - 1) / kTileRows), int((N + Right::Rows - 1) / Right::Rows), layers * plan.parts};
	const int part_steps = int(plan.length / kBlockDepth);
	SharedMemory shared;
	for (int64_t t = 0; t < walk.count(); t++) {
		const auto tile = walk.at(t);
		const int layer = int(tile.layer / plan.parts), part = int(tile.layer % plan.parts), first = part * part_steps, last = std::min(first + part_steps, (int)steps(layer));
		std::vector<int64_t> sum(kTileRows * Right::Rows, 0);
		for (int step = first; step < last; step++) {
			const uint32_t left = 0, right = Left::kBytes;
			const uint32_t bytes = fetch(shared, left, right, layer, tile.row, tile.column * Right::Rows, step);
			if (bytes > uint32_t(Left::kBytes + Right::kBytes)) fail(__FILE__, __LINE__, "a stage of " + std::to_string(bytes) + " bytes");
			for (int row0 = 0; row0 < kTileRows; row0 += 64)
				for (int k = 0; k < kBlockDepth / kWgmmaDepth; k++) {
					const Descriptor a(Left::descriptor(left, row0, k)), b(Right::descriptor(right, 0, k));
					int64_t left_value[64][kWgmmaDepth], right_value[Right::Rows][kWgmmaDepth];
					for (int d = 0; d < kWgmmaDepth; d++) {
						for (int row = 0; row < 64; row++) left_value[row][d] = (int16_t)shared.load(a.element(row, d, true));
						for (int column = 0; column < Right::Rows; column++) right_value[column][d] = (int16_t)shared.load(b.element(column, d, Right::KContiguous));
					}
					for (int row = 0; row < 64; row++)
						for (int column = 0; column < Right::Rows; column++)
							for (int d = 0; d < kWgmmaDepth; d++) sum[(row0 + row) * Right::Rows + column] += left_value[row][d] * right_value[column][d];
				}
		}
		for (int warpgroup = 0; warpgroup < 2; warpgroup++)
			for (int thread = 0; thread < 128; thread++)
				for (int j = 0; j < Right::Rows / 8; j++)
					for (int e = 0; e < 4; e++) {
						const int row = warpgroup * 64 + accumulator_row(thread, e), column = accumulator_column(thread, j, e);
						result(layer, part, tile.row * kTileRows + row, tile.column * Right::Rows + column, sum[row * Right::Rows + column]);
					}
	}
}

}  // namespace dreamdist::test
