// LayerNorm over the last dimension and its gradients. A row stays in L1 over its passes.
//
// The mean is kept as a float32 and a remainder, and sums run over x − mean: a mean far larger than the spread costs no digits.
#include <cmath>

#include "lanes.h"
#include "table.h"

namespace dreamdist::cpu::DD_ISA {

namespace {

int64_t row_grain(int64_t width) { return width >= 2048 ? 1 : 2048 / width; }

struct Sums {
	double first = 0, second = 0;
};
// term(i, lanes, a, b) adds to two registers of sums.
template <class Term>
Sums sums_of(int64_t n, Term&& term) {
	Sums total;
	for (int64_t start = 0; start < n; start += kSumPiece) {
		vf a = zero(), b = zero();
		over(n - start < kSumPiece ? n - start : kSumPiece, [&](int64_t i, auto lanes) { term(start + i, lanes, a, b); });
		total.first += sum(a);
		total.second += sum(b);
	}
	return total;
}

// Rows per partial sum of dgamma and dbeta: at most 64 partial sums, whatever the number of threads.
int64_t rows_per_chunk(int64_t rows) {
	const int64_t share = (rows + 63) / 64;
	return share < 8 ? 8 : share;
}
constexpr int64_t kRowsInFloat = 32;  // rows added in float32 before the sum moves to double

}  // namespace

void layer_norm(const KernelArgs& args, ThreadTeam& team) {
	const int64_t rows = args.ints[0], width = args.ints[1];
	if (rows <= 0 || width <= 0) return;
	const float *gamma = args.ptr(1), *beta = args.ptr(2);
	float* stats = args.ptr(4);
	const double eps = args.floats[0];
	team.parallel_for(rows, row_grain(width), [&](int64_t begin, int64_t end, int) {
		for (int64_t r = begin; r < end; r++) {
			const float* x = args.ptr(0) + r * width;
			float* y = args.ptr(3) + r * width;
			const vf origin = set1(x[0]);
			const Sums rough = sums_of(width, [&](int64_t i, auto lanes, vf& a, vf&) { a += lanes.keep(lanes.load(x + i) - origin); });
			const float near = (float)(x[0] + rough.first / width);
			const vf center = set1(near);
			const Sums moments = sums_of(width, [&](int64_t i, auto lanes, vf& a, vf& b) {
				const vf d = lanes.keep(lanes.load(x + i) - center);
				a += d;
				b = fma(d, d, b);
			});
			const double rest = moments.first / width, variance = moments.second / width - rest * rest;
			const double inverse = 1 / std::sqrt((variance > 0 || variance != variance ? variance : 0) + eps);
			const vf factor = set1((float)inverse), offset = set1((float)(-rest * inverse));
			over(width, [&](int64_t i, auto lanes) {
				const vf normal = fma(lanes.load(x + i) - center, factor, offset);
				const vf shift = beta ? lanes.load(beta + i) : zero();
				lanes.store(y + i, gamma ? fma(normal, lanes.load(gamma + i), shift) : normal + shift);
			});
			if (stats) {
				stats[2 * r] = (float)(near + rest);
				stats[2 * r + 1] = (float)inverse;
			}
		}
	});
}

void layer_norm_grad(const KernelArgs& args, ThreadTeam& team) {
	const int64_t rows = args.ints[0], width = args.ints[1];
	if (rows <= 0 || width <= 0) return;
	const float *gamma = args.ptr(1), *stats = args.ptr(2);
	float *dx = args.ptr(4), *dgamma = args.ptr(5), *dbeta = args.ptr(6);
	const bool weights = dgamma || dbeta;
	const int64_t chunk = rows_per_chunk(rows), chunks = (rows + chunk - 1) / chunk;
	double* partial = static_cast<double*>(args.scratch);  // [chunk][dgamma, dbeta][width]

	auto input_gradient = [&](int64_t r) {
		const float *x = args.ptr(0) + r * width, *dy = args.ptr(3) + r * width;
		const vf mean = set1(stats[2 * r]), inverse = set1(stats[2 * r + 1]);
		auto scaled = [&](int64_t i, auto lanes) {
			const vf g = lanes.load(dy + i);
			return gamma ? g * lanes.load(gamma + i) : g;
		};
		const Sums s = sums_of(width, [&](int64_t i, auto lanes, vf& a, vf& b) {
			const vf g = scaled(i, lanes);  // zero where there is no element
			a += g;
			b = fma(g, (lanes.load(x + i) - mean) * inverse, b);
		});
		const vf first = set1((float)(s.first / width)), second = set1((float)(s.second / width));
		over(width, [&](int64_t i, auto lanes) {
			const vf normal = (lanes.load(x + i) - mean) * inverse;
			lanes.store(dx + r * width + i, inverse * (scaled(i, lanes) - first - normal * second));
		});
	};
	auto weight_gradient = [&](int64_t begin, int64_t end, double* sums, float* near) {
		for (int64_t i = 0; i < 2 * width; i++) sums[i] = 0;
		for (int64_t r0 = begin; r0 < end; r0 += kRowsInFloat) {
			std::memset(near, 0, 2 * width * sizeof(float));
			for (int64_t r = r0; r < end && r < r0 + kRowsInFloat; r++) {
				const float *x = args.ptr(0) + r * width, *dy = args.ptr(3) + r * width;
				const vf mean = set1(stats[2 * r]), inverse = set1(stats[2 * r + 1]);
				over(width, [&](int64_t i, auto lanes) {
					const vf g = lanes.load(dy + i);
					lanes.store(near + i, fma(g, (lanes.load(x + i) - mean) * inverse, lanes.load(near + i)));
					lanes.store(near + width + i, lanes.load(near + width + i) + g);
				});
			}
			for (int64_t i = 0; i < 2 * width; i++) sums[i] += near[i];
		}
	};
	team.parallel_for(chunks, 1, [&](int64_t begin, int64_t end, int thread) {
		float* near = weights ? static_cast<float*>(team.scratch(thread, 2 * width * sizeof(float))) : nullptr;
		for (int64_t c = begin; c < end; c++) {
			const int64_t first = c * chunk, last = first + chunk < rows ? first + chunk : rows;
			if (dx)
				for (int64_t r = first; r < last; r++) input_gradient(r);
			if (weights) weight_gradient(first, last, partial + c * 2 * width, near);
		}
	});
	if (!weights) return;
	team.parallel_for(width, 64, [&](int64_t begin, int64_t end, int) {
		for (int64_t i = begin; i < end; i++) {
			double g = 0, b = 0;
			for (int64_t c = 0; c < chunks; c++) {
				g += partial[(2 * c) * width + i];
				b += partial[(2 * c + 1) * width + i];
			}
			if (dgamma) dgamma[i] = (float)g;
			if (dbeta) dbeta[i] = (float)b;
		}
	});
}

int64_t layer_norm_grad_scratch(const KernelArgs& args, int) {
	const int64_t rows = args.ints[0], width = args.ints[1];
	if (rows <= 0 || width <= 0) return 0;
	const int64_t chunk = rows_per_chunk(rows);
	return (rows + chunk - 1) / chunk * 2 * width * (int64_t)sizeof(double);
}

}  // namespace dreamdist::cpu::DD_ISA
