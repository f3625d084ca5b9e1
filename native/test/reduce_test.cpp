// reduce against float64: random kept and reduced dimensions, the fast paths' shapes, long sums, NaN, empty spaces.
#include "strided_tensors.h"

namespace dreamdist::test {
namespace {

struct Reference {
	std::vector<double> want, magnitude;
};

Reference reference(const Tensor& x, int op, const std::vector<int64_t>& kept, const std::vector<int64_t>& keptStrides, const std::vector<int64_t>& reduced,
					const std::vector<int64_t>& reducedStrides, double scale) {
	Reference r;
	std::vector<double> values(x.count());
	for (int64_t i = 0; i < x.count(); i++) values[i] = x.get(i);
	const auto inner = offsets_of(reduced, reducedStrides);
	for (const int64_t start : offsets_of(kept, keptStrides)) {
		double value = op == 1 ? -HUGE_VAL : op == 3 ? HUGE_VAL : 0, size = 0;
		for (const int64_t offset : inner) {
			const double e = values[x.base + start + offset];
			switch (op) {
				case 0: value += e, size += std::fabs(e); break;
				case 1: value = e > value || std::isnan(e) ? e : value; break;
				case 2: value += e * e, size += e * e; break;
				case 3: value = e < value || std::isnan(e) ? e : value; break;
				case 4: value += std::fabs(e), size += std::fabs(e); break;
			}
		}
		r.want.push_back(scale * value);
		r.magnitude.push_back(scale * size);
	}
	return r;
}

std::vector<float> run_reduce(Context& t, Tensor& x, int op, const std::vector<int64_t>& kept, const std::vector<int64_t>& keptStrides,
							  const std::vector<int64_t>& reduced, const std::vector<int64_t>& reducedStrides, double scale) {
	std::vector<int64_t> ints{op, (int64_t)kept.size(), (int64_t)reduced.size()};
	for (auto* part : {&kept, &keptStrides, &reduced, &reducedStrides}) ints.insert(ints.end(), part->begin(), part->end());
	std::vector<float> y(count_of(kept) + 1, -777.0f);
	t.run("reduce", {x.operand(), operand(y)}, ints, {scale});
	CHECK(y.back() == -777.0f);
	return y;
}

void check_reduce(Context& t, Tensor& x, int op, const std::vector<int64_t>& kept, const std::vector<int64_t>& keptStrides,
				  const std::vector<int64_t>& reduced, const std::vector<int64_t>& reducedStrides, double scale) {
	const auto y = run_reduce(t, x, op, kept, keptStrides, reduced, reducedStrides, scale);
	const Reference r = reference(x, op, kept, keptStrides, reduced, reducedStrides, scale);
	EXPECT_CLOSE(y.data(), r.want, r.magnitude, op == 1 || op == 3 ? 1e-7 : 1e-6, "reduce op " + std::to_string(op));
	const auto again = run_reduce(t, x, op, kept, keptStrides, reduced, reducedStrides, scale);
	CHECK(!std::memcmp(y.data(), again.data(), y.size() * 4));
}

// x contiguous of `shape`; dimensions with `isReduced` go.
void check_axes(Context& t, DType dtype, const std::vector<int64_t>& shape, const std::vector<bool>& isReduced, int op) {
	std::vector<int64_t> strides(shape.size());
	int64_t next = 1;
	for (int d = (int)shape.size() - 1; d >= 0; d--) {
		strides[d] = next;
		next *= shape[d];
	}
	Tensor x(dtype, next, strides);
	std::normal_distribution<double> normal(0, 1);
	for (int64_t i = 0; i < next; i++) x.set(i, dtype == DType::i32 ? (double)t.integer(-9, 9) : normal(t.rng));
	std::vector<int64_t> kept, keptStrides, reduced, reducedStrides;
	for (size_t d = 0; d < shape.size(); d++) {
		(isReduced[d] ? reduced : kept).push_back(shape[d]);
		(isReduced[d] ? reducedStrides : keptStrides).push_back(strides[d]);
	}
	check_reduce(t, x, op, kept, keptStrides, reduced, reducedStrides, 1.0 / 3);
}

}  // namespace

TEST(reduce_random_layouts) {
	for (int i = 0; i < t.scaled(500); i++) {
		const auto shape = random_shape(t, 6, 30000);
		Tensor x = random_tensor(t, random_dtype(t), shape, true);
		std::vector<int64_t> kept, keptStrides, reduced, reducedStrides;
		for (size_t d = 0; d < shape.size(); d++) {
			const bool keep = t.integer(0, 1);
			(keep ? kept : reduced).push_back(shape[d]);
			(keep ? keptStrides : reducedStrides).push_back(x.strides[d]);
		}
		check_reduce(t, x, (int)t.integer(0, 4), kept, keptStrides, reduced, reducedStrides, t.integer(0, 1) ? 1 : 0.25);
	}
}

TEST(reduce_axes) {
	for (int op = 0; op < 5; op++) {
		for (DType dtype : {DType::f32, DType::bf16}) {
			if (t.quick && (dtype == DType::bf16) != (op % 2)) continue;
			check_axes(t, dtype, {100003}, {true}, op);
			check_axes(t, dtype, {7, 4099}, {false, true}, op);
			check_axes(t, dtype, {5000, 37}, {true, false}, op);
			check_axes(t, dtype, {3001, 320}, {true, false}, op);
			check_axes(t, dtype, {40, 2500}, {true, false}, op);
			check_axes(t, dtype, {3, 1000, 64}, {false, true, false}, op);
			check_axes(t, dtype, {2, 500, 32, 10}, {false, true, false, true}, op);  // group statistics
			check_axes(t, dtype, {70001, 3}, {true, false}, op);
			check_axes(t, dtype, {30001, 1, 2}, {true, false, false}, op);
			check_axes(t, dtype, {20000, 4}, {false, true}, op);
			check_axes(t, dtype, {11, 13, 17, 19}, {true, false, true, false}, op);
			check_axes(t, dtype, {2, 3, 257, 5}, {true, false, true, false}, op);
		}
	}
}

// Ten million positive numbers, where a single f32 accumulator would stop counting.
TEST(reduce_long_positive_sums) {
	const int64_t n = t.scaled(10000000);
	Tensor x(DType::f32, n, {1});
	auto* values = reinterpret_cast<float*>(x.bytes.data());
	std::uniform_real_distribution<float> uniform(0, 1);
	double sum = 0;
	for (int64_t i = 0; i < n; i++) sum += values[i] = 0.1f + 0.01f * uniform(t.rng);
	auto expect = [&](float got, double want) { CHECK(std::fabs(got - want) <= 1e-6 * want); };
	expect(run_reduce(t, x, 0, {}, {}, {n}, {1}, 1)[0], sum);
	std::fill(values, values + n, 0.1f);
	expect(run_reduce(t, x, 0, {}, {}, {n}, {1}, 1)[0], (double)0.1f * n);
	const auto columns = run_reduce(t, x, 0, {10}, {1}, {n / 10}, {10}, 1);
	const auto pairs = run_reduce(t, x, 0, {1000}, {1}, {n / 1000}, {1000}, 1);
	for (int c = 0; c < 10; c++) expect(columns[c], (double)0.1f * n / 10);
	for (int c = 0; c < 1000; c++) expect(pairs[c], (double)0.1f * n / 1000);
}

TEST(reduce_passes_nan) {
	for (int op = 0; op < 5; op++)
		for (int64_t n : {1, 5, 64, 1000, 5000})
			for (bool columns : {false, true}) {
				Tensor x(DType::f32, n * 20, {1});
				for (int64_t i = 0; i < n * 20; i++) x.set(i, (double)t.integer(-5, 5));
				const int64_t row = t.integer(0, 19), position = t.integer(0, n - 1);
				x.set(columns ? position * 20 + row : row * n + position, std::nan(""));
				const auto y = columns ? run_reduce(t, x, op, {20}, {1}, {n}, {20}, 1) : run_reduce(t, x, op, {20}, {n}, {n}, {1}, 1);
				for (int i = 0; i < 20; i++) CHECK(std::isnan(y[i]) == (i == row));
			}
}

TEST(reduce_empty) {
	Tensor x(DType::f32, 4, {1});
	CHECK(run_reduce(t, x, 0, {2, 2}, {2, 1}, {0}, {1}, 1)[3] == 0);
	CHECK(run_reduce(t, x, 1, {2}, {1}, {3, 0}, {1, 1}, 1)[1] == -HUGE_VALF);
	CHECK(run_reduce(t, x, 3, {}, {}, {0}, {1}, 1)[0] == HUGE_VALF);
	run_reduce(t, x, 0, {0}, {1}, {4}, {1}, 1);
}

}  // namespace dreamdist::test
