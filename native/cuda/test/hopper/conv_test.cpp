// What the Hopper convolutions copy and multiply, against the convolution as it is defined; what they leave to the kernels of sm_80.
#include "../../kernels/hopper_conv_plan.h"
#include "product_model.h"

namespace dreamdist::test {
namespace {

using namespace cuda::hopper;
using cuda::Geometry;

Geometry geometry(int N, int H, int W, int C1, int C2, int O, int kernel, int stride, int pad, int upsample = 1) {
	const int sees_h = H * upsample, sees_w = W * upsample;
	std::vector<int64_t> ints = {N, H, W, C1, C2, O, kernel, kernel, stride, stride, pad, pad, (sees_h + 2 * pad - kernel) / stride + 1, (sees_w + 2 * pad - kernel) / stride + 1, 0, upsample == 2 && stride == 1 ? 3 : 2, upsample};
	KernelArgs args;
	args.ints = ints;
	return Geometry(args);
}

// OIHW as the kernels read it: taps of an enlarged picture summed for even and odd pixels.
std::vector<uint16_t> packed_weight(const Geometry& g, const std::vector<uint16_t>& w) {
	const int I = g.channels(), padded = cuda::round8(I), taps = cuda::taps_held(g), down = cuda::phase_sums(g.kh), across = cuda::phase_sums(g.kw);
	std::vector<uint16_t> packed((size_t)g.O * taps * padded, 0);
	for (int o = 0; o < g.O; o++)
		for (int c = 0; c < I; c++)
			for (int r = 0; r < g.kh; r++)
				for (int s = 0; s < g.kw; s++) {
					const uint16_t value = w[((o * I + c) * g.kh + r) * g.kw + s];
					auto add = [&](int tap) { packed[((size_t)o * taps + tap) * padded + c] += value; };
					if (g.packed != cuda::kPackedPhases) add(r * g.kw + s);
					else
						for (int phase_y = 0; phase_y < 2; phase_y++)
							for (int phase_x = 0; phase_x < 2; phase_x++) add(((phase_y * 2 + phase_x) * down + (r + phase_y) / 2) * across + (s + phase_x) / 2);
				}
	return packed;
}

// Calls f(x's pixel, output's pixel, tap) for everything that the convolution adds up.
template <class F>
void each_term(const Geometry& g, F&& f) {
	for (int n = 0; n < g.N; n++)
		for (int i = 0; i < g.OH; i++)
			for (int j = 0; j < g.OW; j++)
				for (int r = 0; r < g.kh; r++)
					for (int s = 0; s < g.kw; s++) {
						const int h = i * g.strideH - g.padTop + r, w = j * g.strideW - g.padLeft + s, scale = g.scale();
						if (h >= 0 && w >= 0 && h < g.H * scale && w < g.W * scale) f((n * g.H + h / scale) * g.W + w / scale, (n * g.OH + i) * g.OW + j, r * g.kw + s);
					}
}

template <TileKind Kind, bool Backward>
void solve(Context& t, const Geometry& g, cuda::Wanted columns, int parts, const std::string& name) {
	using Right = OperandTile<kTiles[Kind].columns, !Backward>;
	const ConvSizes s = conv_sizes(g, Backward, columns);
	if (const char* why = why_not(s)) fail(__FILE__, __LINE__, name + ": " + why);
	const int I = g.channels(), taps = g.taps();
	const int64_t pixels = g.inputs(), outputs = g.outputs();
	const auto w = whole_numbers(t, (int64_t)g.O * I * taps), packed = packed_weight(g, w);
	const auto x1 = whole_numbers(t, Backward ? outputs * g.O : pixels * g.C1), x2 = whole_numbers(t, Backward ? 0 : pixels * g.C2);
	const TensorBox first = picture_box(s, s.C1), second = picture_box(s, std::max(s.C2, 8)), right = weight_box(s, Right::Rows, Right::kLineRows);
	const ConvFetch boxes(s);
	const Plan cut = conv_plan(s, {kTileRows, Right::Rows, parts});
	CHECK(cut.tile == Kind && cut.parts == parts && boxes.tiles.rows() <= kTileRows && right.swizzle == Right::kSwizzle);
	const int64_t results = Backward ? pixels : outputs;
	std::vector<int64_t> got(results * s.N, 0), written(results * s.N, 0), want(results * s.N, 0);
	run_product<Right>(
		boxes.tiles.count() * kTileRows, s.N, s.batch(), cut, [&](int which) { return boxes.steps(which); },
		[&](SharedMemory& shared, uint32_t to_left, uint32_t to_right, int which, int row_tile, int n0, int step) {
			uint32_t bytes = 0;
			boxes.fetch<Right>(
				which, row_tile, n0, step, [&](int at, auto... place) { bytes += copy_box(shared, to_left + at, first, x1.data(), {place...}); },
				[&](int at, auto... place) { bytes += copy_box(shared, to_left + at, second, x2.data(), {place...}); },
				[&](int at, auto... place) { bytes += copy_box(shared, to_right + at, right, packed.data(), {place...}); });
			const uint32_t expected = first.bytes() + Right::kBytes;
			CHECK(bytes == expected);
			return bytes;
		},
		[&](int which, int, int64_t m, int64_t n, int64_t sum) {
			const int64_t position = boxes.position(which, (int)m);
			if (position < 0 || n >= s.N) return;
			got[position * s.N + n] += sum;
			written[position * s.N + n]++;
		});
	auto number = [](uint16_t bits) { return (int64_t)(int16_t)bits; };
	each_term(g, [&](int64_t pixel, int64_t output, int tap) {
		for (int o = 0; o < g.O; o++)
			for (int c = 0; c < I; c++) {
				const int64_t weight = number(w[((int64_t)o * I + c) * taps + tap]);
				if (!Backward) want[output * s.N + o] += weight * number(c < g.C1 ? x1[pixel * g.C1 + c] : x2[pixel * g.C2 + c - g.C1]);
				else if (c >= columns.first && c < columns.first + columns.count) want[pixel * s.N + c - columns.first] += weight * number(x1[output * g.O + o]);
			}
	});
	for (size_t i = 0; i < want.size(); i++)
		if (got[i] != want[i] || written[i] != parts) fail(__FILE__, __LINE__, name + ": position " + std::to_string(i / s.N) + " column " + std::to_string(i % s.N) + (written[i] != parts ? " is not there once" : " is wrong"));
}

}  // namespace

TEST(hopper_conv_multiplies_what_it_should) {
	solve<kBy160, false>(t, geometry(2, 7, 9, 64, 0, 72, 3, 1, 1), {0, 72}, 1, "3x3");
	solve<kBy256, false>(t, geometry(1, 9, 11, 72, 64, 80, 3, 1, 1), {0, 80}, 2, "3x3 of two halves, in parts");
	solve<kBy160, false>(t, geometry(3, 5, 6, 64, 0, 64, 1, 1, 0), {0, 64}, 1, "1x1");
	solve<kBy160, false>(t, geometry(1, 18, 17, 64, 0, 64, 3, 2, 1), {0, 64}, 1, "a stride of 2");
	solve<kBy160, false>(t, geometry(2, 5, 7, 64, 0, 64, 3, 1, 1, 2), {0, 64}, 1, "an enlarged picture");
	solve<kBy160, false>(t, geometry(1, 3, 150, 64, 0, 64, 3, 1, 1), {0, 64}, 1, "a wide picture");
}

TEST(hopper_conv_input_grad_multiplies_what_it_should) {
	solve<kBy160, true>(t, geometry(2, 7, 9, 72, 0, 64, 3, 1, 1), {0, 72}, 1, "3x3");
	solve<kBy256, true>(t, geometry(1, 9, 11, 64, 72, 104, 3, 1, 1), {64, 72}, 2, "3x3, the second half, in parts");
	solve<kBy160, true>(t, geometry(1, 17, 18, 64, 0, 64, 3, 2, 1), {0, 64}, 1, "a stride of 2");
	solve<kBy160, true>(t, geometry(2, 6, 7, 64, 0, 64, 3, 1, 1, 2), {0, 64}, 1, "an enlarged picture");
	solve<kBy160, true>(t, geometry(1, 8, 9, 64, 0, 64, 1, 1, 0), {0, 64}, 1, "1x1");
	Geometry whole = geometry(1, 7, 10, 64, 0, 64, 3, 1, 1, 2);
	whole.packed = cuda::kPackedChunks;
	solve<kBy256, true>(t, whole, {0, 64}, 1, "an enlarged picture whose taps are not summed");
}

TEST(hopper_conv_boxes_cover_positions_once) {
	for (int across : {1, 5, 12, 24, 48, 96, 97, 300})
		for (int down : {1, 7, 12, 96})
			for (int pictures : {1, 3, 4}) {
				const PositionTiles tiles = position_tiles(across, down, pictures);
				CHECK(tiles.rows() >= 1 && tiles.rows() <= kTileRows);
				std::vector<int> seen((size_t)across * down * pictures, 0);
				for (int tile = 0; tile < tiles.count(); tile++)
					for (int row = 0; row < kTileRows; row++) {
						const auto place = tiles.at(tile, row);
						if (place.there && place.picture < pictures && place.row < down && place.column < across) seen[(place.picture * down + place.row) * across + place.column]++;
					}
				for (int count : seen) CHECK(count == 1);
			}
	// The maps of the UNet at 768 pixels with four pictures: how full tiles are.
	for (auto [side, least] : {std::pair{96, 1.0}, {48, 1.0}, {24, 0.94}, {12, 0.75}}) {
		const PositionTiles tiles = position_tiles(side, side, 4);
		CHECK(4.0 * side * side / (tiles.count() * kTileRows) >= least);
	}
}

TEST(hopper_conv_says_what_it_leaves) {
	auto expect = [](const Geometry& g, bool backward, cuda::Wanted columns, const std::string& word) {
		expect_reason(why_not(conv_sizes(g, backward, columns)), word);
	};
	expect(geometry(4, 96, 96, 320, 0, 320, 3, 1, 1), false, {0, 320}, "");
	expect(geometry(4, 96, 96, 640, 320, 320, 3, 1, 1), false, {0, 320}, "");
	expect(geometry(4, 96, 96, 640, 320, 320, 3, 1, 1), true, {640, 320}, "");
	expect(geometry(4, 48, 48, 640, 0, 640, 3, 1, 1, 2), true, {0, 640}, "");
	expect(geometry(4, 96, 96, 4, 0, 320, 3, 1, 1), false, {0, 320}, "multiple of 8");
	expect(geometry(4, 96, 96, 320, 0, 4, 3, 1, 1), true, {0, 320}, "multiple of 8");
	expect(geometry(4, 96, 96, 320, 0, 4, 3, 1, 1), false, {0, 4}, "64 columns");
	expect(geometry(4, 96, 96, 40, 0, 320, 3, 1, 1), false, {0, 320}, "two thirds");
	expect(geometry(1, 8, 8, 320, 0, 320, 3, 1, 1), false, {0, 320}, "64 positions");
	expect(geometry(1, 30, 30, 320, 0, 320, 3, 3, 1), false, {0, 320}, "stride is above 2");
	Geometry whole = geometry(1, 30, 30, 320, 0, 320, 3, 1, 1, 2);
	whole.packed = cuda::kPackedChunks;
	expect(whole, false, {0, 320}, "summed taps");
	Geometry between = geometry(1, 30, 30, 320, 0, 320, 3, 2, 1, 2);
	expect(between, true, {0, 320}, "between pixels");
}

}  // namespace dreamdist::test
