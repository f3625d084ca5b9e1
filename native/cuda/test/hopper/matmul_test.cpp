// What the Hopper matmul copies and multiplies, against plain loops; what it leaves to the kernels of sm_80; how it cuts.
#include <cstring>

#include "product_model.h"

namespace dreamdist::test {
namespace {

using namespace cuda::hopper;

template <TileKind Kind, bool RightK>
void solve(Context& t, MatmulSizes s, int parts, const std::string& name) {
	using Left = OperandTile<kTileRows, true>;
	using Right = OperandTile<kTiles[Kind].columns, RightK>;
	if (const char* why = why_not(s)) fail(__FILE__, __LINE__, name + ": " + why);
	const auto a = whole_numbers(t, (s.batch - 1) * s.a_stride + s.M * s.lda), b = whole_numbers(t, (s.batch - 1) * s.b_stride + (RightK ? s.N : s.K) * s.ldb);
	const TensorBox left = left_box(s), right = RightK ? right_box_k(s, Right::Rows) : right_box_rows(s, Right::kLineRows);
	CHECK(!left.problem(0) && !right.problem(0) && left.bytes() + right.bytes() * Right::kBoxes == Left::kBytes + Right::kBytes);
	CHECK(right.swizzle == Right::kSwizzle);
	const MatmulFetch boxes(s);
	const Plan cut = plan(s.M, s.N, s.K, s.batch, {kTileRows, Right::Rows, parts});
	CHECK(cut.tile == Kind && cut.parts == parts);
	std::vector<int64_t> got(s.batch * s.M * s.N, 0), written(s.batch * s.M * s.N, 0);
	run_product<Right>(
		s.M, s.N, s.batch, cut, [&](int) { return (s.K + kBlockDepth - 1) / kBlockDepth; },
		[&](SharedMemory& shared, uint32_t to_left, uint32_t to_right, int batch, int row_tile, int n0, int step) {
			uint32_t bytes = 0;
			boxes.fetch<Right>(
				batch, row_tile, n0, step, [&](int at, auto... place) { bytes += copy_box(shared, to_left + at, left, a.data(), {place...}); },
				[&](int at, auto... place) { bytes += copy_box(shared, to_right + at, right, b.data(), {place...}); });
			CHECK(bytes == Left::kBytes + Right::kBytes);  // as the barrier expects
			return bytes;
		},
		[&](int batch, int, int64_t m, int64_t n, int64_t sum) {
			// As deliver_rows counts: of pairs eight values, then their eight gates.
			const int64_t half = n / 16 * 8 + n % 8;
			if (m >= s.M || (s.pairs ? half >= s.N / 2 : n >= s.N)) {
				CHECK(sum == 0);
				return;
			}
			if (s.pairs) n = half + (n % 16 < 8 ? 0 : s.N / 2);
			got[(batch * s.M + m) * s.N + n] += sum;
			written[(batch * s.M + m) * s.N + n]++;
		});
	for (int64_t batch = 0; batch < s.batch; batch++)
		for (int64_t m = 0; m < s.M; m++)
			for (int64_t n = 0; n < s.N; n++) {
				int64_t want = 0;
				for (int64_t k = 0; k < s.K; k++) want += int64_t((int16_t)a[batch * s.a_stride + m * s.lda + k]) * (int16_t)b[batch * s.b_stride + (RightK ? n * s.ldb + k : k * s.ldb + n)];
				const int64_t at = (batch * s.M + m) * s.N + n;
				if (got[at] != want || written[at] != parts) fail(__FILE__, __LINE__, name + ": (" + std::to_string(m) + ", " + std::to_string(n) + ")");
			}
}

MatmulSizes sizes(int64_t batch, int64_t M, int64_t N, int64_t K, bool trans_b, bool pairs = false, int64_t extra = 0) {
	MatmulSizes s;
	s.batch = batch;
	s.M = M;
	s.N = N;
	s.K = K;
	s.lda = (K + 7) / 8 * 8 + extra;
	s.ldb = ((trans_b ? K : N) + 7) / 8 * 8 + extra;
	s.a_stride = M * s.lda;
	s.b_stride = (trans_b ? N : K) * s.ldb;
	s.trans_b = trans_b;
	s.pairs = pairs;
	return s;
}

}  // namespace

TEST(hopper_matmul_multiplies_what_it_should) {
	solve<kBy160, true>(t, sizes(1, 130, 165, 70, true), 1, "ragged");
	solve<kBy160, false>(t, sizes(1, 130, 165, 70, false), 1, "ragged, columns contiguous");
	solve<kBy256, true>(t, sizes(1, 129, 264, 200, true, false, 8), 2, "wide, in parts, with rows apart");
	solve<kBy256, false>(t, sizes(1, 70, 300, 136, false, false, 16), 3, "wide, columns contiguous, in parts");
	solve<kBy160, true>(t, sizes(1, 100, 176, 64, true, true), 1, "pairs");
	solve<kBy256, true>(t, sizes(2, 100, 528, 72, true, true), 1, "wide pairs in batches");
	MatmulSizes repeated = sizes(3, 80, 96, 64, true);
	repeated.b_stride = 0;
	solve<kBy160, true>(t, repeated, 1, "a repeated weight");
	MatmulSizes same_left = sizes(2, 80, 96, 64, false);
	same_left.a_stride = 0;
	solve<kBy256, false>(t, same_left, 1, "a repeated left operand");
}

TEST(hopper_matmul_says_what_it_leaves) {
	auto expect = [](const MatmulSizes& s, const std::string& word, TileChoice choice = {}) { expect_reason(why_not(s, choice), word); };
	const MatmulSizes usual = sizes(1, 36864, 320, 320, true);
	expect(usual, "");
	expect(sizes(1, 36864, 2560, 320, true, true), "");
	expect(sizes(2, 77, 320, 1024, false), "");
	MatmulSizes s = usual;
	s.trans_a = true;
	expect(s, "a is transposed");
	s = usual;
	s.lda = 321;
	expect(s, "multiples of 16 bytes");
	s = usual;
	s.ldb = 324;
	expect(s, "multiples of 16 bytes");
	s = sizes(2, 100, 320, 320, true);
	s.a_stride = 100 * 320 + 4;
	expect(s, "multiples of 16 bytes");
	expect(sizes(1, 64, 1280, 320, true), "64 rows");
	expect(sizes(1, 4096, 4, 320, true), "fewer than 64");
	expect(sizes(1, 4096, 320, 40, true), "fewer than 64");
	expect(sizes(1, 4096, 328, 320, true, true), "values and gates");
	expect(sizes(1, 4096, 320, 320, false, true), "values and gates");
	expect(usual, "measured", {128, 128, 1});
	expect(usual, "", {128, 160, 2});
	s = usual;
	s.M = int64_t(1) << 31;
	expect(s, "2^31");
}

TEST(hopper_plans_cover_k) {
	for (int64_t M : {65, 576, 2304, 36864})
		for (int64_t N : {64, 320, 1024, 1280, 5120})
			for (int64_t K : {64, 320, 1280, 11520, 100}) {
				const Plan p = plan(M, N, K, 1, {});
				CHECK(p.length % kBlockDepth == 0 && p.parts * p.length >= K && (p.parts - 1) * p.length < K);
				CHECK((p.parts > 1) == (parts_bytes(M, N, K, 1, {}) > 0));
				std::vector<TileChoice> offered;
				choices(M, N, K, 1, offered);
				CHECK(offered.size() >= kTileKindCount);
				for (TileChoice choice : offered) {
					const Plan chosen = plan(M, N, K, 1, TileChoice(choice.code()));
					CHECK(kTiles[chosen.tile].columns == choice.columns && chosen.parts <= choice.parts && chosen.parts * chosen.length >= K);
				}
			}
	// The widths of the UNet fill tiles of 160; small maps are cut along K.
	CHECK(plan(36864, 320, 320, 1, {}).tile == kBy160 && plan(36864, 320, 320, 1, {}).parts == 1);
	CHECK(plan(576, 1280, 11520, 1, {}).parts > 1);
}

TEST(hopper_boxes_that_tma_refuses_are_named) {
	TensorBox box;
	box.add(320, 2, 64).add(100, 640, 128);
	CHECK(!box.problem(4096) && std::strstr(box.problem(8), "16 bytes"));
	TensorBox odd = box;
	odd.stride[1] = 642;
	CHECK(std::strstr(odd.problem(0), "16 bytes"));
	odd = box;
	odd.box[1] = 257;
	CHECK(std::strstr(odd.problem(0), "256"));
	odd = box;
	odd.box[1] = 129;
	odd.step[1] = 2;
	CHECK(std::strstr(odd.problem(0), "256"));
	odd = box;
	odd.box[0] = 72;
	CHECK(std::strstr(odd.problem(0), "line"));
	odd = box;
	odd.extent[1] = 0;
	CHECK(std::strstr(odd.problem(0), "extent"));
}

TEST(hopper_launches_need_a_card) {
	skip("wgmma and TMA need a card of compute capability 9.0; there the GPU kit's section \"hopper\" runs these kernels");
}

}  // namespace dreamdist::test
