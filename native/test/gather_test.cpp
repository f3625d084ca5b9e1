// gather and scatter_add: exact against the definition, repeatable, and indices out of range refused before anything is written.
#include "strided_tensors.h"

namespace dreamdist::test {
namespace {

std::vector<int32_t> random_indices(Context& t, int64_t n, int64_t rows) {
	std::vector<int32_t> index(n);
	for (auto& i : index) i = (int32_t)t.integer(0, rows - 1);
	return index;
}

}  // namespace

TEST(gather_rows) {
	for (DType dtype : {DType::f32, DType::f16, DType::bf16})
		for (int64_t C : {1, 3, 17, 64, 1024})
			for (int64_t n : {0, 1, 5, 400}) {
				const int64_t rows = 37;
				Tensor table(dtype, rows * C, {1});
				for (int64_t i = 0; i < rows * C; i++) table.set(i, (double)t.integer(-1000, 1000) / 64);
				auto index = random_indices(t, n, rows);
				std::vector<float> y(n * C + 1, -7.0f);
				t.run("gather", {table.operand(), operand(index), operand(y)}, {n, rows, C});
				for (int64_t i = 0; i < n; i++)
					for (int64_t c = 0; c < C; c++) CHECK(y[i * C + c] == (float)table.get(index[i] * C + c));
				CHECK(y.back() == -7.0f);
			}
}

TEST(scatter_add_rows) {
	for (int64_t rows : {1, 5, 300})
		for (int64_t C : {1, 3, 17, 64, 1024})
			for (int64_t n : {0, 1, 77, 1500}) {
				auto index = random_indices(t, n, rows);
				auto src = t.normal(n * C);
				std::vector<float> y(rows * C, NAN), again(rows * C, NAN);
				std::vector<double> want(rows * C, 0), magnitude(rows * C, 0);
				for (int64_t i = 0; i < n; i++)
					for (int64_t c = 0; c < C; c++) {
						want[index[i] * C + c] += src[i * C + c];
						magnitude[index[i] * C + c] += std::fabs(src[i * C + c]);
					}
				t.run("scatter_add", {operand(index), operand(src), operand(y)}, {n, rows, C});
				EXPECT_CLOSE(y.data(), want, magnitude, 1e-6, "scatter_add");
				t.run("scatter_add", {operand(index), operand(src), operand(again)}, {n, rows, C});
				CHECK(!std::memcmp(y.data(), again.data(), y.size() * 4));
			}
}

TEST(gather_names_an_index_out_of_range) {
	for (int32_t bad : {-1, 5, INT32_MAX, INT32_MIN}) {
		std::vector<int32_t> index{0, 4, bad, 1};
		std::vector<float> table(20), y(16, 3.0f), sums(20, 3.0f);
		auto message = [&](auto&& call) {
			try {
				call();
			} catch (const Error& error) {
				return std::string(error.what());
			}
			return std::string();
		};
		const auto gather = message([&] { t.run("gather", {operand(table), operand(index), operand(y)}, {4, 5, 4}); });
		const auto scatter = message([&] { t.run("scatter_add", {operand(index), operand(y), operand(sums)}, {4, 5, 4}); });
		for (const auto& text : {gather, scatter}) CHECK(text.find("index " + std::to_string(bad) + " (at position 2) is outside [0, 5)") != std::string::npos);
		for (float value : y) CHECK(value == 3.0f);
		for (float value : sums) CHECK(value == 3.0f);
	}
}

}  // namespace dreamdist::test
