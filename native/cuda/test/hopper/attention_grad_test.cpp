// The gradient of self-attention on the models of TMA, wgmma and mbarrier: whole calls with the kernels' own tiles, boxes, descriptors and
// order, against float64; faults that have to be noticed; what is left to the kernels of sm_80.
#include <atomic>
#include <cmath>
#include <deque>
#include <functional>
#include <thread>

#include "../../kernels/hopper_attention_grad_plan.h"
#include "../../numbers.h"
#include "model.h"

namespace dreamdist::test {
namespace {

using namespace cuda::hopper;
using cuda::AttentionShape;

AttentionShape shape(int B, int H, int Lq, int Lk, int64_t extra = 0) {
	const int64_t pitch = H * 64 + extra;
	return {B, H, Lq, Lk, 64, 0, pitch, pitch + extra, pitch, pitch, Lq * pitch, Lk * (pitch + extra), Lk * pitch, Lq * pitch, pitch + extra, Lq * (pitch + extra), 0.125f};
}

enum class Fault { none, waits_for_one_group_less, unmasked, statistics_without_padding, rows_for_columns };

// A 16-bit type.
struct Half {
	bool bf16;
	float value(uint16_t bits) const { return bf16 ? gpu::to_float(gpu::bf16{bits}) : gpu::f16_value(bits); }
	uint16_t bits(double value) const { return bf16 ? gpu::bf16_bits((float)value) : gpu::f16_bits((float)value); }
	double rounded(double x) const { return value(bits(x)); }
};

struct Problem {
	AttentionShape s;
	Half type;
	std::vector<uint16_t> q, k, v, grad;
	std::vector<float> statistics;                  // as the kernels' statistics kernel makes them
	std::vector<double> want[3], naive[3], got[3];  // dq, dk, dv, contiguous
};

// `low`: how far below 0 every score is.
Problem make(Context& t, const AttentionShape& s, bool bf16, double low, Fault fault) {
	Problem p = {s, {bf16}, {}, {}, {}, {}, {}, {}, {}, {}};
	const float shift = (float)std::sqrt(low / (64 * s.scale));
	auto noise = [&](int64_t count, float mean) {
		std::vector<uint16_t> values;
		for (float x : t.normal(count)) values.push_back(p.type.bits(x + mean));
		return values;
	};
	p.q = noise(s.B * s.q_batch, shift);
	p.k = noise(s.B * s.k_batch, -shift);
	p.v = noise(s.B * s.v_batch, 0);
	p.grad = noise(s.B * s.do_batch, 0);
	const int64_t rows = grad_rows(s), width = (int64_t)s.H * 64;
	p.statistics.assign(grad_statistics_bytes(s) / 4, fault == Fault::statistics_without_padding ? NAN : 0);
	for (int side = 0; side < 3; side++)
		for (auto* results : {&p.want[side], &p.naive[side], &p.got[side]}) results->assign(s.B * width * (side ? s.Lk : s.Lq), results == &p.got[side] ? NAN : 0);
	for (int b = 0; b < s.B; b++)
		for (int h = 0; h < s.H; h++) {
			auto row = [&](const std::vector<uint16_t>& from, int64_t batch, int64_t pitch, int64_t i, int d) { return (double)p.type.value(from[b * batch + i * pitch + h * 64 + d]); };
			std::vector<double> kd(s.Lk * 64), vd(s.Lk * 64), score(s.Lk), product(s.Lk);
			for (int i = 0; i < s.Lk; i++)
				for (int d = 0; d < 64; d++) {
					kd[i * 64 + d] = row(p.k, s.k_batch, s.k_pitch, i, d);
					vd[i * 64 + d] = row(p.v, s.v_batch, s.v_pitch, i, d);
				}
			float* statistics = &p.statistics[(b * s.H + h) * 2 * rows];
			for (int64_t i = s.Lq; i < rows && fault != Fault::statistics_without_padding; i++) statistics[i] = INFINITY;
			for (int i = 0; i < s.Lq; i++) {
				double qd[64], gd[64], o[64] = {}, highest = -INFINITY, total = 0, delta = 0, low_delta = 0;
				for (int d = 0; d < 64; d++) {
					qd[d] = row(p.q, s.q_batch, s.q_pitch, i, d);
					gd[d] = row(p.grad, s.do_batch, s.do_pitch, i, d);
				}
				for (int key = 0; key < s.Lk; key++) {
					score[key] = product[key] = 0;
					for (int d = 0; d < 64; d++) {
						score[key] += qd[d] * kd[key * 64 + d] * s.scale;
						product[key] += gd[d] * vd[key * 64 + d];
					}
					highest = std::max(highest, score[key]);
				}
				for (double x : score) total += std::exp(x - highest);
				const double lse = highest + std::log(total);
				for (int key = 0; key < s.Lk; key++)
					for (int d = 0; d < 64; d++) o[d] += std::exp(score[key] - lse) * vd[key * 64 + d];
				for (int d = 0; d < 64; d++) {
					delta += gd[d] * o[d];
					low_delta += gd[d] * p.type.rounded(o[d]);
				}
				statistics[i] = (float)lse * 1.4426950408889634f;
				statistics[rows + i] = (float)low_delta * s.scale;
				for (int key = 0; key < s.Lk; key++) {
					const double weight = std::exp(score[key] - lse), exact = weight * (product[key] - delta) * s.scale, low = p.type.rounded(weight * (product[key] - low_delta) * s.scale);
					const int64_t query_at = ((int64_t)b * s.Lq + i) * width + h * 64, key_at = ((int64_t)b * s.Lk + key) * width + h * 64;
					for (int d = 0; d < 64; d++) {
						p.want[0][query_at + d] += exact * kd[key * 64 + d];
						p.want[1][key_at + d] += exact * qd[d];
						p.want[2][key_at + d] += weight * gd[d];
						p.naive[0][query_at + d] += low * kd[key * 64 + d];
						p.naive[1][key_at + d] += low * qd[d];
						p.naive[2][key_at + d] += p.type.rounded(weight) * gd[d];
					}
				}
			}
		}
	for (auto& results : p.naive)
		for (double& x : results) x = p.type.rounded(x);
	return p;
}

// What a block's copier and warpgroups share.
template <GradSide Side>
struct Block {
	using At = GradPlaces<Side>;
	const Problem& p;
	int b, h, row0, steps, length;
	Fault fault;
	SharedMemory shared;
	std::vector<Barrier> first_full = std::vector<Barrier>(kGradStages), second_full = std::vector<Barrier>(kGradStages);
	std::deque<Barrier> first_empty, second_empty;
	std::atomic<int> hangs = 0;

	Block(const Problem& p, int b, int h, int row0, int steps, int length, Fault fault) : p(p), b(b), h(h), row0(row0), steps(steps), length(length), fault(fault) {
		for (auto* side : {&first_empty, &second_empty})
			for (int stage = 0; stage < kGradStages; stage++) side->emplace_back(2);
	}

	void wait(Barrier& barrier, uint32_t parity) { hangs += !barrier.wait(parity); }
	void copy() {
		constexpr bool kKeys = Side == GradSide::keys;
		const AttentionShape& s = p.s;
		const int64_t rows = grad_rows(s);
		const float* statistics = &p.statistics[(b * s.H + h) * 2 * rows];
		auto fill = [&](Barrier& full, int at, const TensorBox& box, const std::vector<uint16_t>& data, const float* statistic, int statistic_at, int step) {
			const int from = walked_step(step, steps) * At::kStep;
			hangs += copy_box(shared, at, box, data.data(), {0, h, from, b}) != (uint32_t)At::WalkedTile::kBytes;
			std::memcpy(&shared.bytes.at(statistic_at + At::kStatisticBytes) - At::kStatisticBytes, statistic + (kKeys ? from : 0), At::kStatisticBytes);
			full.arrive();
		};
		constexpr GradSide kOther = kKeys ? GradSide::queries : GradSide::keys;
		const TensorBox first = grad_first_box(s, kOther, At::kStep), second = grad_second_box(s, kOther, At::kStep);
		fill_steps(
			kGradStages, steps, [&](int stage, uint32_t parity) { wait(first_empty[stage], parity); },
			[&](int stage, int step) { fill(first_full[stage], At::first(stage), first, kKeys ? p.q : p.k, statistics, At::lse(stage), step); },
			[&](int stage, uint32_t parity) { wait(second_empty[stage], parity); },
			[&](int stage, int step) { fill(second_full[stage], At::second(stage), second, kKeys ? p.grad : p.v, statistics + rows, At::delta(stage), step); });
	}
};

// A warpgroup, as drain_grad_steps asks for it. Products read and write when they are waited for, as late as they may.
template <GradSide Side>
struct Multiplier {
	using At = GradPlaces<Side>;
	static constexpr bool kKeys = Side == GradSide::keys;
	static constexpr int kColumns = At::kStep / 8;
	template <int Columns>
	using Results = std::vector<std::array<std::array<float, 4>, Columns>>;  // of each thread
	Block<Side>& block;
	int row;
	Results<kColumns> score{128}, product{128};
	Results<8> sum{128}, weighted_sum{128};
	using Fragment = std::array<uint16_t, 8>;  // of a thread: sixteen of K
	std::vector<std::array<Fragment, 4>> held{128};
	std::vector<std::array<Fragment, kColumns / 2>> left{128};
	std::deque<std::function<void()>> queued = {};

	float load(uint32_t address) const { return block.p.type.value(block.shared.load(address)); }
	void wait_first(int stage, uint32_t parity) { block.wait(block.first_full[stage], parity); }
	void wait_second(int stage, uint32_t parity) { block.wait(block.second_full[stage], parity); }
	void release_first(int stage) { block.first_empty[stage].arrive(); }
	void release_second(int stage) { block.second_empty[stage].arrive(); }
	template <int Pending>
	void settle() {
		const size_t pending = block.fault == Fault::waits_for_one_group_less ? Pending + 1 : Pending;
		for (; queued.size() > pending; queued.pop_front()) queued.front()();
	}

	void hold() {
		for (int warp = 0; warp < 4; warp++)
			for (int k = 0; k < 4; k++) {
				std::array<uint32_t, 32> at;
				for (int lane = 0; lane < 32; lane++) at[lane] = fragment_place<HeldTile>(row + warp * 16, lane, k);
				const auto registers = load_matrices(block.shared, at);
				for (int lane = 0; lane < 32; lane++) held[warp * 32 + lane][k] = registers[lane];
			}
	}
	// A left operand in registers: [64][16 · Steps].
	template <size_t Steps>
	std::vector<float> rows_of(const std::vector<std::array<Fragment, Steps>>& fragments) const {
		std::vector<float> rows(64 * 16 * Steps);
		for (int thread = 0; thread < 128; thread++)
			for (size_t k = 0; k < Steps; k++)
				for (int r = 0; r < 4; r++)
					for (int e = 0; e < 2; e++) {
						const auto [i, depth] = left_place(thread, r, e);
						rows[i * 16 * Steps + k * 16 + depth] = block.p.type.value(fragments[thread][k][r * 2 + e]);
					}
		return rows;
	}

	// `left`: what makes the left operand when it is read.
	template <class Left>
	void multiply_rows(Results<kColumns>& results, Left left, uint32_t walked) {
		queued.push_back([=, this, &results] {
			const std::vector<float> a = left();
			std::vector<float> b(At::kStep * 64);
			for (int k = 0; k < 64; k++) {
				const Descriptor right(At::WalkedTile::descriptor(walked, 0, k / 16));
				for (int i = 0; i < At::kStep; i++) b[i * 64 + k] = load(right.element(i, k % 16, true));
			}
			for (int thread = 0; thread < 128; thread++)
				for (int j = 0; j < kColumns; j++)
					for (int e = 0; e < 4; e++) {
						const auto [i, column] = result_place(thread, j, e);
						float total = 0;
						for (int k = 0; k < 64; k++) total += a[i * 64 + k] * b[column * 64 + k];
						results[thread][j][e] = total;
					}
		});
	}
	void multiply_scores(int stage) {
		multiply_rows(score, [this] { return rows_of(held); }, At::first(stage));
	}
	void multiply_products(int stage) {
		auto left = [this] {
			std::vector<float> rows(64 * 64);
			for (int k = 0; k < 64; k++) {
				const Descriptor left(HeldTile::descriptor(At::kSecondHeld, row, k / 16));
				for (int i = 0; i < 64; i++) rows[i * 64 + k] = load(left.element(i, k % 16, true));
			}
			return rows;
		};
		multiply_rows(product, left, At::second(stage));
	}
	void add(Results<8>& results, uint32_t walked) {
		queued.push_back([=, this, &results] {
			const std::vector<float> a = rows_of(left);
			std::vector<float> b(At::kStep * 64);
			for (int k = 0; k < At::kStep; k++) {
				const Descriptor right(At::WalkedColumns::descriptor(walked, 0, k / 16));
				for (int column = 0; column < 64; column++) b[k * 64 + column] = load(block.fault == Fault::rows_for_columns ? right.element(k % 16, column % 16, false) : right.element(column, k % 16, false));
			}
			for (int thread = 0; thread < 128; thread++)
				for (int j = 0; j < 8; j++)
					for (int e = 0; e < 4; e++) {
						const auto [i, column] = result_place(thread, j, e);
						float total = results[thread][j][e];
						for (int k = 0; k < At::kStep; k++) total += a[i * At::kStep + k] * b[k * 64 + column];
						results[thread][j][e] = total;
					}
		});
	}
	void add_weights(int stage) { add(weighted_sum, At::second(stage)); }
	void add_gradients(int stage) { add(sum, At::first(stage)); }

	// Of an element's query: in shared memory where queries are columns, else in the statistics themselves.
	float statistic(int which, int at, int thread, int j, int e) const {
		if constexpr (kKeys) {
			float value;
			std::memcpy(&value, &block.shared.bytes.at(at + accumulator_column(thread, j, e) * 4), 4);
			return value;
		} else {
			const int64_t rows = grad_rows(block.p.s);
			return block.p.statistics[((block.b * block.p.s.H + block.h) * 2 + which) * rows + block.row0 + row + accumulator_row(thread, e)];
		}
	}
	template <class F>
	void each(F&& f) {
		for (int thread = 0; thread < 128; thread++)
			for (int j = 0; j < kColumns; j++)
				for (int e = 0; e < 4; e++) f(thread, j, e);
	}
	template <class First>
	void weigh(int stage, First) {
		const int there = block.length - (block.steps - 1) * At::kStep;
		each([&](int thread, int j, int e) {
			float x = score[thread][j][e] * (block.p.s.scale * 1.4426950408889634f) - statistic(0, At::lse(stage), thread, j, e);
			if (!kKeys && First::value && block.fault != Fault::unmasked && accumulator_column(thread, j, e) >= there) x = -INFINITY;
			score[thread][j][e] = std::exp2(x);
		});
	}
	void differentiate(int stage) {
		each([&](int thread, int j, int e) { product[thread][j][e] = score[thread][j][e] * (product[thread][j][e] * block.p.s.scale - statistic(1, At::delta(stage), thread, j, e)); });
	}
	void take(const Results<kColumns>& from) {
		each([&](int thread, int j, int e) { left[thread][j / 2][j % 2 * 4 + e] = block.p.type.bits(from[thread][j][e]); });
	}
	void take_weights() { take(score); }
	void take_gradients() { take(product); }
};

template <GradSide Side>
void run_side(Problem& p, Fault fault) {
	using At = GradPlaces<Side>;
	constexpr bool kKeys = Side == GradSide::keys;
	const AttentionShape& s = p.s;
	const int rows = kKeys ? s.Lk : s.Lq, length = kKeys ? s.Lq : s.Lk, steps = (length + At::kStep - 1) / At::kStep;
	for (int b = 0; b < s.B; b++)
		for (int h = 0; h < s.H; h++)
			for (int row0 = 0; row0 < rows; row0 += kGradRows) {
				Block<Side> block(p, b, h, row0, steps, length, fault);
				CHECK(copy_box(block.shared, 0, grad_first_box(s, Side, kGradRows), (kKeys ? p.k : p.q).data(), {0, h, row0, b}) == (uint32_t)HeldTile::kBytes);
				CHECK(copy_box(block.shared, At::kSecondHeld, grad_second_box(s, Side, kGradRows), (kKeys ? p.v : p.grad).data(), {0, h, row0, b}) == (uint32_t)HeldTile::kBytes);
				Multiplier<Side> warpgroups[2] = {{block, 0}, {block, 64}};
				for (auto& warpgroup : warpgroups) warpgroup.hold();
				std::thread copier([&] { block.copy(); }), other([&] { drain_grad_steps<kKeys>(kGradStages, steps, warpgroups[1]); });
				drain_grad_steps<kKeys>(kGradStages, steps, warpgroups[0]);
				copier.join();
				other.join();
				if (block.hangs != 0) fail(__FILE__, __LINE__, "a wait that would not end, or a box of the wrong size");
				for (auto& warpgroup : warpgroups)
					for (int thread = 0; thread < 128; thread++)
						for (int j = 0; j < 8; j++)
							for (int e = 0; e < 4; e++) {
								const int row = row0 + warpgroup.row + accumulator_row(thread, e);
								if (row >= rows) continue;
								const int64_t at = (((int64_t)b * rows + row) * s.H + h) * 64 + accumulator_column(thread, j, e);
								p.got[kKeys ? 1 : 0][at] = p.type.rounded(warpgroup.sum[thread][j][e]);
								if (kKeys) p.got[2][at] = p.type.rounded(warpgroup.weighted_sum[thread][j][e]);
							}
			}
}

// Roundings are those of the naive computation; sums are taken in another order, and in f32.
constexpr double kMost = 1.1;

// How far results are off, of what a naive computation that rounds weights, gradients and results to the type is off: the most of dq, dk and dv.
double error(Context& t, const AttentionShape& s, bool bf16, double low = 0, Fault fault = Fault::none) {
	if (const char* why = why_not_grad(s)) fail(__FILE__, __LINE__, why);
	Problem p = make(t, s, bf16, low, fault);
	run_side<GradSide::keys>(p, fault);
	run_side<GradSide::queries>(p, fault);
	double most = 0;
	for (int side = 0; side < 3; side++) {
		double got = 0, naive = 0;
		for (size_t i = 0; i < p.want[side].size(); i++) {
			got += std::pow(p.got[side][i] - p.want[side][i], 2);
			naive += std::pow(p.naive[side][i] - p.want[side][i], 2);
		}
		const double ratio = std::sqrt(got / naive);
		most = std::isfinite(ratio) ? std::max(most, ratio) : INFINITY;
	}
	return most;
}

void expect_exact(Context& t, const AttentionShape& s, bool bf16, double low = 0) {
	const double ratio = error(t, s, bf16, low);
	if (!(ratio <= kMost))
		fail(__FILE__, __LINE__, std::to_string(s.B) + " x " + std::to_string(s.H) + " heads, " + std::to_string(s.Lq) + " queries, " + std::to_string(s.Lk) + " keys: " + std::to_string(ratio) + " times a naive computation's error");
}

}  // namespace

TEST(hopper_attention_grad_computes_what_it_should) {
	expect_exact(t, shape(1, 1, 65, 81), true);
	expect_exact(t, shape(1, 1, 384, 128, 8), false);  // no step lacks rows
	expect_exact(t, shape(2, 2, 97, 129, 16), true);
	expect_exact(t, shape(1, 1, 500, 300), true);  // every stage is used again
	for (int i = 0; i < t.scaled(4); i++) expect_exact(t, shape((int)t.integer(1, 2), (int)t.integer(1, 2), (int)t.integer(65, 300), (int)t.integer(81, 400), 8 * t.integer(0, 2)), i % 2 == 0);
}

// Weights of keys that are not there would be infinite, and infinity times their zeros no number.
TEST(hopper_attention_grad_where_all_scores_are_low) { expect_exact(t, shape(1, 1, 70, 140), true, 150); }

TEST(hopper_attention_grad_faults_are_noticed) {
	auto noticed = [&](Fault fault, double low) { return !(error(t, shape(1, 1, 110, 140), true, low, fault) <= kMost); };
	CHECK(!noticed(Fault::none, 150));
	CHECK(noticed(Fault::waits_for_one_group_less, 0));
	CHECK(noticed(Fault::unmasked, 150));
	CHECK(noticed(Fault::statistics_without_padding, 0));
	CHECK(noticed(Fault::rows_for_columns, 0));
}

// Tiles are read by rows and by columns where TMA has written them once.
TEST(hopper_attention_grad_tiles_are_read_both_ways) {
	auto check = [&]<GradSide Side>(std::integral_constant<GradSide, Side>) {
		using At = GradPlaces<Side>;
		for (int row = 0; row < At::kStep; row++)
			for (int column = 0; column < kHeadWidth; column++) CHECK(At::WalkedTile::place(row, column) == At::WalkedColumns::place(column, row));
		for (int stage = 0; stage < kGradStages; stage++) CHECK(At::first(stage) % kTileAlignment == 0 && At::second(stage) % kTileAlignment == 0 && At::lse(stage) % 16 == 0 && At::delta(stage) % 16 == 0);
		CHECK(At::delta(kGradStages - 1) + At::kStatisticBytes <= At::kRooms && At::second(kGradStages - 1) + At::WalkedTile::kBytes <= At::lse(0));
	};
	check(std::integral_constant<GradSide, GradSide::keys>{});
	check(std::integral_constant<GradSide, GradSide::queries>{});
}

TEST(hopper_attention_grad_walks_every_row_once) {
	for (int steps : {1, 2, 7}) {
		int sum = 0;
		for (int step = 0; step < steps; step++) sum |= 1 << walked_step(step, steps);
		CHECK(sum == (1 << steps) - 1 && walked_step(0, steps) == steps - 1);
	}
	// Statistics reach to the end of the last step and of the last block, and rows of them begin at multiples of 16 bytes.
	for (int Lq : {65, 96, 97, 128, 129, 192, 193, 9216}) {
		const int64_t rows = grad_rows(shape(1, 1, Lq, 100));
		CHECK(rows % 4 == 0 && rows >= (Lq + 95) / 96 * 96 && rows >= (Lq + 127) / 128 * 128 && rows < Lq + 128);
	}
}

TEST(hopper_attention_grad_says_what_it_leaves) {
	auto expect = [](const AttentionShape& s, const std::string& word) { expect_reason(why_not_grad(s), word); };
	expect(shape(4, 5, 9216, 9216), "");
	expect(shape(4, 20, 576, 576), "");
	expect(shape(4, 5, 9216, 77), "few keys");
	AttentionShape s = shape(4, 5, 576, 576);
	s.do_pitch += 4;
	expect(s, "multiples of 16 bytes");
	s = shape(4, 5, 576, 576);
	s.causal = 1;
	expect(s, "causal");
	s.D = 80;
	expect(s, "64 wide");
}

}  // namespace dreamdist::test
