// What the Hopper attention copies and multiplies, with whole numbers and without the softmax between the products, against plain loops;
// what it leaves to the kernels of sm_80.
#include <atomic>
#include <deque>
#include <thread>

#include "../../kernels/hopper_attention_plan.h"
#include "product_model.h"

namespace dreamdist::test {
namespace {

using namespace cuda::hopper;
using cuda::AttentionShape;

AttentionShape shape(int B, int H, int Lq, int Lk, int64_t extra = 0) {
	const int64_t pitch = H * 64 + extra;
	return {B, H, Lq, Lk, 64, 0, pitch, pitch, pitch, pitch, Lq * pitch, Lk * pitch, Lk * pitch, Lq * pitch, 0, 0, 1};
}

void solve(Context& t, const AttentionShape& s) {
	if (const char* why = why_not(s)) fail(__FILE__, __LINE__, why);
	const auto q = whole_numbers(t, s.B * s.q_batch), k = whole_numbers(t, s.B * s.k_batch), v = whole_numbers(t, s.B * s.v_batch);
	constexpr uint32_t kKeys = QueryTile::kBytes, kValues = kKeys + KeyTile::kBytes;
	SharedMemory shared;
	auto number = [](uint16_t bits) { return (int64_t)(int16_t)bits; };
	for (int b = 0; b < s.B; b++)
		for (int h = 0; h < s.H; h++)
			for (int q0 = 0; q0 < s.Lq; q0 += kQueryRows) {
				CHECK(copy_box(shared, 0, query_box(s), q.data(), {0, h, q0, b}) == QueryTile::kBytes);
				std::vector<int64_t> result(kQueryRows * kHeadWidth, 0);
				for (int step = 0; step < (s.Lk + kKeyRows - 1) / kKeyRows; step++) {
					CHECK(copy_box(shared, kKeys, key_box(s), k.data(), {0, h, step * kKeyRows, b}) == KeyTile::kBytes);
					CHECK(copy_box(shared, kValues, value_box(s), v.data(), {0, h, step * kKeyRows, b}) == ValueTile::kBytes);
					for (int row0 = 0; row0 < kQueryRows; row0 += 64) {
						std::vector<int64_t> score(64 * kKeyRows, 0);
						for (int part = 0; part < kHeadWidth / kWgmmaDepth; part++) {
							const Descriptor left(QueryTile::descriptor(0, row0, part)), right(KeyTile::descriptor(kKeys, 0, part));
							for (int row = 0; row < 64; row++)
								for (int key = 0; key < kKeyRows; key++)
									for (int d = 0; d < kWgmmaDepth; d++) score[row * kKeyRows + key] += number(shared.load(left.element(row, d, true))) * number(shared.load(right.element(key, d, true)));
						}
						// Threads hold accumulators, mask keys that are not there, and give them to the next product as as_left does.
						for (int thread = 0; thread < 128; thread++)
							for (int j = 0; j < kKeyRows / 8; j++)
								for (int e = 0; e < 4; e++) {
									const int row = accumulator_row(thread, e), column = accumulator_column(thread, j, e);
									if (step * kKeyRows + column >= s.Lk) score[row * kKeyRows + column] = 0;
									const auto place = left_place(thread, j % 2 * 2 + e / 2, e % 2);
									CHECK(place.first == row && j / 2 * kWgmmaDepth + place.second == column);
								}
						for (int part = 0; part < kKeyRows / kWgmmaDepth; part++) {
							const Descriptor right(ValueTile::descriptor(kValues, 0, part));
							for (int row = 0; row < 64; row++)
								for (int d = 0; d < kWgmmaDepth; d++)
									for (int column = 0; column < kHeadWidth; column++)
										result[(row0 + row) * kHeadWidth + column] += score[row * kKeyRows + part * kWgmmaDepth + d] * number(shared.load(right.element(column, d, false)));
						}
					}
				}
				for (int row = 0; row < kQueryRows && q0 + row < s.Lq; row++) {
					std::vector<int64_t> want(kHeadWidth, 0);
					for (int key = 0; key < s.Lk; key++) {
						int64_t score = 0;
						for (int d = 0; d < kHeadWidth; d++) score += number(q[b * s.q_batch + (q0 + row) * s.q_pitch + h * 64 + d]) * number(k[b * s.k_batch + key * s.k_pitch + h * 64 + d]);
						for (int d = 0; d < kHeadWidth; d++) want[d] += score * number(v[b * s.v_batch + key * s.v_pitch + h * 64 + d]);
					}
					for (int d = 0; d < kHeadWidth; d++)
						if (result[row * kHeadWidth + d] != want[d]) fail(__FILE__, __LINE__, "batch " + std::to_string(b) + " head " + std::to_string(h) + " query " + std::to_string(q0 + row));
				}
			}
}

}  // namespace

TEST(hopper_attention_multiplies_what_it_should) {
	solve(t, shape(1, 1, 70, 81));
	solve(t, shape(2, 2, 150, 150, 8));
}

// Both sides' orders, in threads of their own; stages are read when products settle. Each step's values must meet its own weights.
TEST(hopper_attention_neither_hangs_nor_overwrites) {
	for (int stages = 1; stages <= 5; stages++)
		for (int steps : {1, 2, 3, 4, 7, 20}) {
			if (stages == 1 && steps > 1) continue;  // the next keys are read before a step's values are given back
			std::vector<Barrier> full[2] = {std::vector<Barrier>(stages), std::vector<Barrier>(stages)};
			std::deque<Barrier> empty[2];
			for (auto& side : empty)
				for (int s = 0; s < stages; s++) side.emplace_back(2);
			std::vector<int> room[2] = {std::vector<int>(stages, -1), std::vector<int>(stages, -1)};
			std::atomic<int> problems = 0;
			auto wait = [&](auto& barriers) { return [&](int stage, uint32_t parity) { problems += !barriers[stage].wait(parity); }; };
			auto fill = [&](int side) {
				return [&, side](int stage, int step) {
					room[side][stage] = step;
					full[side][stage].arrive();
				};
			};
			auto copier = [&] { fill_steps(stages, steps, wait(empty[0]), fill(0), wait(empty[1]), fill(1)); };
			auto multiplier = [&] {
				struct Queued {
					int side, stage, step;
				};
				std::deque<Queued> queued;
				int keys = 0, values = 0, weights = -1, scores = -1;
				auto settle = [&](size_t pending) {
					for (; queued.size() > pending; queued.pop_front()) {
						const Queued& one = queued.front();
						problems += room[one.side][one.stage] != one.step;
						if (one.side == 0) scores = one.step;
						else problems += weights != one.step;
					}
				};
				drain_steps(
					stages, steps, wait(full[0]), wait(full[1]), [&](int stage) { queued.push_back({0, stage, keys++}); }, [&](int stage) { queued.push_back({1, stage, values++}); }, [&] { settle(1); },
					[&] { settle(0); }, [&](int stage) { empty[0][stage].arrive(); }, [&](int stage) { empty[1][stage].arrive(); }, [&](int step) { problems += scores != step; },
					[&](int step) {
						problems += !queued.empty();
						weights = step;
					});
				problems += values != steps;
			};
			std::thread first(copier), second(multiplier), third(multiplier);
			first.join();
			second.join();
			third.join();
			if (problems != 0) fail(__FILE__, __LINE__, std::to_string(problems) + " problems with " + std::to_string(stages) + " stages and " + std::to_string(steps) + " steps");
		}
}

TEST(hopper_attention_says_what_it_leaves) {
	auto expect = [](const AttentionShape& s, const std::string& word) { expect_reason(why_not(s), word); };
	expect(shape(4, 5, 9216, 9216), "");
	expect(shape(4, 20, 576, 576), "");
	expect(shape(4, 5, 9216, 77), "few keys");
	expect(shape(4, 5, 64, 9216), "64 queries");
	expect(shape(4, 5, 576, 576, 4), "multiples of 16 bytes");
	AttentionShape s = shape(4, 5, 576, 576);
	s.causal = 1;
	expect(s, "causal");
	s = shape(4, 5, 576, 576);
	s.D = 40;
	expect(s, "64 wide");
}

}  // namespace dreamdist::test
