// random: the published known answers of Philox4x32-10, an independent scalar implementation, float64 normals and their statistics.
#include "strided_tensors.h"

namespace dreamdist::test {
namespace {

// Written from the paper's definition, one block at a time.
std::vector<uint32_t> philox_block(uint32_t k0, uint32_t k1, uint64_t j, uint32_t c2, uint32_t c3) {
	uint32_t c[4] = {(uint32_t)j, (uint32_t)(j >> 32), c2, c3};
	for (int round = 0; round < 10; round++) {
		const uint64_t p0 = 0xD2511F53ull * c[0], p1 = 0xCD9E8D57ull * c[2];
		const uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ c[1] ^ k0, (uint32_t)p1, (uint32_t)(p0 >> 32) ^ c[3] ^ k1, (uint32_t)p0};
		std::copy(next, next + 4, c);
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	return {c, c + 4};
}

}  // namespace

// Random123's kat_vectors. The kernel's counter starts at block 0, so vectors whose first two words are not a reachable block number are
// checked on the scalar implementation, which the kernel is then compared with.
TEST(random_known_answers) {
	using V = std::vector<uint32_t>;
	CHECK(philox_block(0, 0, 0, 0, 0) == (V{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
	CHECK(philox_block(~0u, ~0u, ~0ull, ~0u, ~0u) == (V{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
	CHECK(philox_block(0xa4093822, 0x299f31d0, 0x85a308d3243f6a88ull, 0x13198a2e, 0x03707344) == (V{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
	std::vector<int32_t> key{0, 0, 0, 0}, words(4);
	t.run("random", {operand(key), operand(words)}, {1, 4, 2});
	CHECK((uint32_t)words[0] == 0x6627e8d5 && (uint32_t)words[1] == 0xe169c58d && (uint32_t)words[2] == 0xbc57ac4c && (uint32_t)words[3] == 0x9b00dbd8);
}

TEST(random_words_and_uniforms) {
	for (int64_t rows : {1, 3})
		for (int64_t n : {1, 3, 4, 63, 64, 65, 1000, 40003}) {
			std::vector<int32_t> key(rows * 4), words(rows * n + 1, -9);
			for (auto& k : key) k = (int32_t)t.rng();
			std::vector<float> uniform(rows * n);
			t.run("random", {operand(key), operand(words)}, {rows, n, 2});
			t.run("random", {operand(key), operand(uniform)}, {rows, n, 1});
			CHECK(words.back() == -9);
			for (int64_t r = 0; r < rows; r++)
				for (int64_t i = 0; i < n; i += 4) {
					const auto block = philox_block(key[4 * r], key[4 * r + 1], i / 4, key[4 * r + 2], key[4 * r + 3]);
					for (int64_t w = 0; w < 4 && i + w < n; w++) {
						CHECK((uint32_t)words[r * n + i + w] == block[w]);
						CHECK(uniform[r * n + i + w] == (float)(block[w] >> 8) / 16777216.0f);
					}
				}
		}
}

TEST(random_normals) {
	const int64_t n = t.scaled(1000003);
	std::vector<int32_t> key{12345, -6789, 3, 17};
	std::vector<float> y(n), again(n);
	t.run("random", {operand(key), operand(y)}, {1, n, 0});
	t.run("random", {operand(key), operand(again)}, {1, n, 0});
	CHECK(!std::memcmp(y.data(), again.data(), n * 4));
	double worst = 0, sum = 0, squares = 0, cubes = 0, fourths = 0, product = 0;
	int64_t beyond2 = 0, beyond3 = 0, beyond4 = 0;
	for (int64_t i = 0; i < n; i++) {
		const auto block = philox_block(12345, (uint32_t)-6789, i / 4, 3, 17);
		const int pair = i % 4 / 2 * 2;
		const double r = std::sqrt(-2 * std::log(((double)block[pair] + 1) * 0x1p-32)), angle = 2 * M_PI * (double)block[pair + 1] * 0x1p-32;
		worst = std::max(worst, std::fabs(y[i] - r * (i % 2 ? std::sin(angle) : std::cos(angle))));
		const double v = y[i];
		sum += v, squares += v * v, cubes += v * v * v, fourths += v * v * v * v;
		if (i % 2) product += v * y[i - 1];
		beyond2 += std::fabs(v) > 2, beyond3 += std::fabs(v) > 3, beyond4 += std::fabs(v) > 4;
	}
	CHECK(worst <= 1e-6);
	// Five standard errors of each statistic.
	const double root = std::sqrt((double)n);
	CHECK(std::fabs(sum / n) < 5 / root);
	CHECK(std::fabs(squares / n - 1) < 5 * std::sqrt(2.0) / root);
	CHECK(std::fabs(cubes / n) < 5 * std::sqrt(15.0) / root);
	CHECK(std::fabs(fourths / n - 3) < 5 * std::sqrt(96.0) / root);
	CHECK(std::fabs(product / (n / 2)) < 5 * std::sqrt(2.0) / root);
	auto tail = [&](int64_t count, double p) { CHECK(std::fabs((double)count - p * n) < 5 * std::sqrt(p * n)); };
	tail(beyond2, 0.0455002639);
	tail(beyond3, 0.0026997961);
	tail(beyond4, 0.0000633425);
}

// Rows and prefixes: an element depends on its row's key and its position alone.
TEST(random_rows_are_independent_of_the_call) {
	std::vector<int32_t> key(40);
	for (auto& k : key) k = (int32_t)t.rng();
	const int64_t n = 777;
	std::vector<float> all(10 * n);
	t.run("random", {operand(key), operand(all)}, {10, n, 0});
	for (int r = 0; r < 10; r++) {
		std::vector<int32_t> one(key.begin() + 4 * r, key.begin() + 4 * r + 4);
		std::vector<float> y(501);
		t.run("random", {operand(one), operand(y)}, {1, 501, 0});
		CHECK(!std::memcmp(y.data(), all.data() + r * n, 501 * 4));
	}
	t.run("random", {operand(key), operand(all)}, {0, n, 0});
	t.run("random", {operand(key), operand(all)}, {10, 0, 0});
}

}  // namespace dreamdist::test
