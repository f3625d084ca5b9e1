// Places and order in the Hopper kernels: descriptors bit by bit, tiles as TMA writes and wgmma reads them, accumulators, rings, tiles of a
// launch.
#include <atomic>
#include <deque>
#include <set>
#include <thread>

#include "model.h"

namespace dreamdist::test {
namespace {

using namespace cuda::hopper;

// Every element of a tile, written box by box by TMA, is found by wgmma where the descriptors say, and at place().
template <class Tile>
void check_tile(const std::string& name) {
	constexpr uint32_t kBase = 3 * kTileAlignment;
	std::vector<uint16_t> data(Tile::Rows * Tile::Depth);
	for (size_t i = 0; i < data.size(); i++) data[i] = uint16_t(i);
	auto value = [&](int row, int k) { return data[Tile::KContiguous ? row * Tile::Depth + k : k * Tile::Rows + row]; };
	TensorBox box;
	box.swizzle = Tile::kSwizzle;
	if (Tile::KContiguous) box.add(Tile::Depth, 2, Tile::Depth).add(Tile::Rows, Tile::Depth * 2, Tile::Rows);
	else box.add(Tile::Rows, 2, Tile::kLineRows).add(Tile::Depth, Tile::Rows * 2, Tile::Depth);
	SharedMemory shared;
	uint32_t bytes = 0;
	for (int i = 0; i < Tile::kBoxes; i++) bytes += copy_box(shared, kBase + i * Tile::kBoxBytes, box, data.data(), {i * (Tile::KContiguous ? 0 : Tile::kLineRows), 0});
	CHECK(bytes == Tile::kBytes && box.bytes() == Tile::kBoxBytes);
	const int first = Tile::KContiguous ? 64 : 0;
	for (int row0 = 0; row0 < Tile::Rows; row0 += first ? first : Tile::Rows)
		for (int step = 0; step < Tile::Depth / kWgmmaDepth; step++) {
			const Descriptor d(Tile::descriptor(kBase, row0, step));
			for (int row = row0; row < Tile::Rows; row++)
				for (int k = 0; k < kWgmmaDepth; k++) {
					const uint32_t at = d.element(row - row0, k, Tile::KContiguous);
					if (shared.load(at) != value(row, step * kWgmmaDepth + k) || at != kBase + Tile::place(row, step * kWgmmaDepth + k))
						fail(__FILE__, __LINE__, name + ": row " + std::to_string(row) + " k " + std::to_string(step * kWgmmaDepth + k));
				}
		}
}

}  // namespace

TEST(hopper_descriptors_have_the_documented_bits) {
	const uint64_t d = matrix_descriptor(0x12340, 0x4560, 0x3ff0, Swizzle::bytes128);
	CHECK((d & 0x3fff) == 0x1234 && (d >> 14 & 3) == 0);
	CHECK((d >> 16 & 0x3fff) == 0x456 && (d >> 30 & 3) == 0);
	CHECK((d >> 32 & 0x3fff) == 0x3ff && d >> 46 == 0x10000);
	CHECK(matrix_descriptor(0, 0, 0, Swizzle::bytes64) == uint64_t(2) << 62 && matrix_descriptor(0, 0, 0, Swizzle::none) == 0);
	// Shared memory has 227 KiB; its last bytes fit an address' 18 bits.
	CHECK(Descriptor(matrix_descriptor(232448 - 16, 16, 16, Swizzle::bytes64)).address == 232448 - 16);
}

TEST(hopper_tiles_are_read_where_they_are_written) {
	check_tile<OperandTile<128, true>>("128 rows, K contiguous");
	check_tile<OperandTile<160, true>>("160 rows, K contiguous");
	check_tile<OperandTile<256, true>>("256 rows, K contiguous");
	check_tile<OperandTile<160, false>>("160 rows contiguous");
	check_tile<OperandTile<256, false>>("256 rows contiguous");
	check_tile<OperandTile<64, false, 128>>("64 rows contiguous, 128 of K");
	check_tile<OperandTile<96, true>>("96 rows, K contiguous");
	check_tile<OperandTile<64, false, 96>>("64 rows contiguous, 96 of K");
}

TEST(hopper_fragments_are_those_of_wgmma) {
	using Tile = OperandTile<128, true>;
	SharedMemory shared;
	for (int row = 0; row < Tile::Rows; row++)
		for (int k = 0; k < Tile::Depth; k++) shared.store(Tile::place(row, k), uint16_t(row * Tile::Depth + k));
	for (int row = 0; row < Tile::Rows; row += 16)
		for (int step = 0; step < Tile::Depth / kWgmmaDepth; step++) {
			std::array<uint32_t, 32> at;
			for (int lane = 0; lane < 32; lane++) at[lane] = fragment_place<Tile>(row, lane, step);
			// Eight neighbouring lanes' rows lie in eight different groups of banks.
			for (int lane = 0; lane < 32; lane += 8) {
				std::set<uint32_t> groups;
				for (int i = 0; i < 8; i++) groups.insert(at[lane + i] / 16 % 8);
				CHECK(groups.size() == 8);
			}
			const auto registers = load_matrices(shared, at);
			for (int lane = 0; lane < 32; lane++)
				for (int r = 0; r < 4; r++)
					for (int e = 0; e < 2; e++) {
						const auto [i, k] = left_place(lane, r, e);
						CHECK(registers[lane][r * 2 + e] == (row + i) * Tile::Depth + step * kWgmmaDepth + k);
					}
		}
}

TEST(hopper_swizzle_spreads_a_column_over_the_banks) {
	// Eight lines' chunks of one column lie in eight (four) different groups of four banks.
	for (int chunk = 0; chunk < 8; chunk++) {
		std::set<uint32_t> groups;
		for (int line = 0; line < 8; line++) groups.insert(swizzled(line * 128 + chunk * 16, Swizzle::bytes128) / 16 % 8);
		CHECK(groups.size() == 8);
	}
	for (uint32_t offset = 0; offset < 4096; offset++)
		for (Swizzle mode : {Swizzle::none, Swizzle::bytes64, Swizzle::bytes128}) CHECK(swizzled(offset, mode) == permuted(offset, (uint32_t)mode));
}

TEST(hopper_accumulators_cover_a_tile_once) {
	// PTX ISA, wgmma's register fragment for D: thread t has rows 16 · (t / 32) + t % 32 / 4 (+ 8), columns 8 j + 2 (t % 4) (+ 1).
	std::set<std::pair<int, int>> seen;
	for (int thread = 0; thread < 128; thread++)
		for (int j = 0; j < 20; j++)
			for (int e = 0; e < 4; e++) {
				const int row = accumulator_row(thread, e), column = accumulator_column(thread, j, e);
				CHECK(row >= 0 && row < 64 && column >= 0 && column < 160);
				CHECK(row == thread / 32 * 16 + (e >= 2 ? 8 : 0) + thread % 32 / 4 && column == 8 * j + 2 * (thread % 4) + e % 2);
				seen.insert({row, column});
			}
	CHECK(seen.size() == 64 * 160);
}

TEST(hopper_walk_takes_every_tile_once) {
	for (int down : {1, 3, 17})
		for (int across : {1, 2, 9})
			for (int64_t layers : {1, 4})
				for (int blocks : {1, 7, 132}) {
					const TileWalk walk = {down, across, layers};
					std::set<std::tuple<int, int, int64_t>> seen;
					for (int block = 0; block < blocks; block++)
						for (int64_t t = block; t < walk.count(); t += blocks) {
							const auto tile = walk.at(t);
							CHECK(tile.row >= 0 && tile.row < down && tile.column >= 0 && tile.column < across && tile.layer >= 0 && tile.layer < layers);
							CHECK(seen.insert({tile.row, tile.column, tile.layer}).second);
						}
					CHECK((int64_t)seen.size() == down * across * layers);
				}
}

// The two sides as the kernels run them, in threads of their own. A stage is read when its products settle, not when they are queued, so
// that one given back too early is read after it has been filled again.
TEST(hopper_rings_neither_hang_nor_overwrite) {
	for (int stages = 2; stages <= 7; stages++) {
		const std::vector<int> products = {1, 2, 5, 0, 3, 7, 4, 13, 1};
		std::vector<Barrier> full(stages);
		std::deque<Barrier> empty;
		for (int s = 0; s < stages; s++) empty.emplace_back(2);
		std::vector<int> room(stages, -1);
		std::atomic<int> problems = 0;
		auto copier = [&] {
			RingPlace place;
			int number = 0;
			for (int steps : products)
				fill_ring(
					place, stages, steps, [&](int stage, uint32_t parity) { problems += !empty[stage].wait(parity); },
					[&](int stage, int) {
						room[stage] = number++;
						full[stage].arrive();
					});
		};
		auto multiplier = [&] {
			RingPlace place;
			int number = 0;
			std::deque<std::pair<int, int>> queued;  // stage, what it must hold
			auto settle = [&](size_t pending) {
				while (queued.size() > pending) {
					problems += room[queued.front().first] != queued.front().second;
					queued.pop_front();
				}
			};
			for (int steps : products)
				drain_ring(
					place, stages, steps, [&](int stage, uint32_t parity) { problems += !full[stage].wait(parity); }, [&](int stage) { queued.push_back({stage, number++}); },
					[&] { settle(1); }, [&] { settle(0); }, [&](int stage) { empty[stage].arrive(); });
		};
		std::thread first(copier), second(multiplier), third(multiplier);
		first.join();
		second.join();
		third.join();
		if (problems != 0) fail(__FILE__, __LINE__, std::to_string(problems) + " problems with " + std::to_string(stages) + " stages");
	}
}

}  // namespace dreamdist::test
