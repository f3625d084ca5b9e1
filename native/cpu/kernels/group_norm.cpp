// GroupNorm (+SiLU) on NHWC pictures given as one tensor or two side by side, and its gradients.
//
// A picture is cut into chunks of rows (pixels); the cut depends on the shape alone, so the numbers do not depend on the thread count.
// First pass: per chunk and channel two sums, in float32 over short pieces and in double beyond. Then per group, from its channels
// wherever they lie, what each channel is shifted and scaled with. Last pass: every element once, chunks in reverse order, so that
// it starts on what the first pass left in the cache.
//
// A mean far larger than the spread costs no digits: sums run over differences from the piece's first element, pieces are joined in double
// (Chan et al. 1979), and the mean is applied as a float32 and a remainder.
#include <cmath>
#include <type_traits>

#include "exp2.h"
#include "lanes.h"
#include "table.h"

namespace dreamdist::cpu::DD_ISA {

namespace {

constexpr int64_t kPiece = 64;  // rows added in float32 before the sums move to double

// channels are divisible by groups (the graph sees to it).
struct Shape {
	int64_t pictures, rows, c1, c2, groups, channels, per_group = 0, chunk = 0, chunks = 0;
	bool silu;
	explicit Shape(const KernelArgs& args)
		: pictures(args.ints[0]), rows(args.ints[1]), c1(args.ints[2]), c2(args.ints[3]), groups(args.ints[4]), channels(c1 + c2),
		  silu(args.ints[5] == 2) {
		if (empty()) return;
		per_group = channels / groups;
		chunk = (rows + 31) / 32;
		chunk = chunk < 32 ? 32 : chunk > 512 ? 512 : chunk;
		chunks = (rows + chunk - 1) / chunk;
	}
	bool empty() const { return pictures <= 0 || rows <= 0 || channels <= 0 || groups <= 0; }
	int64_t tasks() const { return pictures * chunks; }
	int64_t rows_of(int64_t task) const {
		const int64_t left = rows - task % chunks * chunk;
		return left < chunk ? left : chunk;
	}
	// The first element of a task in a tensor of `width` channels.
	int64_t start_of(int64_t task, int64_t width) const { return (task / chunks * rows + task % chunks * chunk) * width; }
};

// Shared scratch: double sums[task][2][channels], then float coefficients[picture][count][channels].
struct Scratch {
	double* sums;
	float* coefficients;
	int64_t per_picture, channels, chunks;
	Scratch(const Shape& s, int count, void* memory)
		: sums(static_cast<double*>(memory)), coefficients(reinterpret_cast<float*>(sums + s.tasks() * 2 * s.channels)),
		  per_picture(count * s.channels), channels(s.channels), chunks(s.chunks) {}
	static int64_t bytes(const Shape& s, int count) { return s.tasks() * 2 * s.channels * 8 + s.pictures * count * s.channels * 4; }
	double* task(int64_t index) const { return sums + index * 2 * channels; }
	float* picture(int64_t n) const { return coefficients + n * per_picture; }
	// Adds up a channel's sums over a picture's chunks, into the first chunk's place; returns that place.
	double* total(int64_t n, int64_t c) const {
		double* first = task(n * chunks) + c;
		for (int64_t k = 1; k < chunks; k++) {
			first[0] += first[k * 2 * channels];
			first[channels] += first[(k * 2 + 1) * channels];
		}
		return first;
	}
};

// body(part, its width, its first channel) for each of the two tensors that has channels.
template <class Body>
void each_part(const Shape& s, Body&& body) {
	if (s.c1 > 0) body(0, s.c1, int64_t{0});
	if (s.c2 > 0) body(1, s.c2, s.c1);
}

// Per channel of `rows` rows: Σ (x − base) into sums[channel], Σ (x − base)² into sums[stride + channel], base being another row.
void moments(const float* x, const float* base, int64_t width, int64_t rows, double* sums, int64_t stride) {
	for (int64_t r0 = 0; r0 < rows; r0 += kPiece) {
		const int64_t n = rows - r0 < kPiece ? rows - r0 : kPiece;
		const float* piece = x + r0 * width;
		auto join = [&](int64_t c, int64_t count, const float* a, const float* b) {
			for (int64_t i = 0; i < count; i++) {
				const double mean = a[i] / (double)n, away = (double)piece[c + i] - base[c + i] + mean;
				sums[c + i] += n * away;
				sums[stride + c + i] += b[i] - a[i] * mean + n * away * away;
			}
		};
		constexpr int kWide = 4;
		int64_t c = 0;
		for (; c + kWide * kLanes <= width; c += kWide * kLanes) {
			vf origin[kWide], a[kWide], b[kWide];
#pragma GCC unroll 4
			for (int v = 0; v < kWide; v++) {
				origin[v] = load(piece + c + v * kLanes);
				a[v] = b[v] = zero();
			}
			for (int64_t r = 1; r < n; r++)
#pragma GCC unroll 4
				for (int v = 0; v < kWide; v++) {
					const vf d = load(piece + r * width + c + v * kLanes) - origin[v];
					a[v] += d;
					b[v] = fma(d, d, b[v]);
				}
			float first[kWide * kLanes], second[kWide * kLanes];
#pragma GCC unroll 4
			for (int v = 0; v < kWide; v++) {
				store(first + v * kLanes, a[v]);
				store(second + v * kLanes, b[v]);
			}
			join(c, kWide * kLanes, first, second);
		}
		over(width - c, [&](int64_t i, auto lanes) {
			const vf origin = lanes.load(piece + c + i);
			vf a = zero(), b = zero();
			for (int64_t r = 1; r < n; r++) {
				const vf d = lanes.load(piece + r * width + c + i) - origin;
				a += d;
				b = fma(d, d, b);
			}
			float first[kLanes], second[kLanes];
			store(first, a);
			store(second, b);
			join(c + i, width - c - i < kLanes ? width - c - i : kLanes, first, second);
		});
	}
}

// One row: y = act((x − mean) · factor + offset).
template <bool Silu>
void normalise(const float* x, int64_t width, const float* mean, const float* factor, const float* offset, float* y) {
	over(width, [&](int64_t c, auto lanes) {
		const vf z = fma(lanes.load(x + c) - lanes.load(mean + c), lanes.load(factor + c), lanes.load(offset + c));
		lanes.store(y + c, Silu ? silu_short(z) : z);
	});
}

// The gradient at the normalised value: dy · act'(z).
template <bool Silu>
inline vf through_activation(vf dy, vf z) {
	if (!Silu) return dy;
	const vf s = sigmoid_short(z);
	return dy * s * fma(z, set1(1.0f) - s, set1(1.0f));
}

// Per channel of `rows` rows, with g = dy · act'((x − mean) · factor + offset): Σ g and Σ g (x − mean).
template <bool Silu>
void gradient_sums(const float* x, const float* dy, int64_t width, int64_t pitch, int64_t rows, const float* mean, const float* factor, const float* offset,
				   double* sums, int64_t stride) {
	for (int64_t r0 = 0; r0 < rows; r0 += kPiece) {
		const int64_t n = rows - r0 < kPiece ? rows - r0 : kPiece;
		auto columns = [&]<int Wide>(std::integral_constant<int, Wide>, int64_t c, auto lanes) {
			vf m[Wide], f[Wide], o[Wide], a[Wide], b[Wide];
#pragma GCC unroll 4
			for (int v = 0; v < Wide; v++) {
				m[v] = lanes.load(mean + c + v * kLanes);
				f[v] = lanes.load(factor + c + v * kLanes);
				o[v] = lanes.load(offset + c + v * kLanes);
				a[v] = b[v] = zero();
			}
			for (int64_t r = r0; r < r0 + n; r++)
#pragma GCC unroll 4
				for (int v = 0; v < Wide; v++) {
					const int64_t at = c + v * kLanes;
					const vf d = lanes.load(x + r * width + at) - m[v];
					const vf g = through_activation<Silu>(lanes.load(dy + r * pitch + at), fma(d, f[v], o[v]));
					a[v] += g;
					b[v] = fma(g, d, b[v]);
				}
			float first[Wide * kLanes], second[Wide * kLanes];
#pragma GCC unroll 4
			for (int v = 0; v < Wide; v++) {
				store(first + v * kLanes, a[v]);
				store(second + v * kLanes, b[v]);
			}
			for (int64_t i = 0; i < Wide * kLanes && c + i < width; i++) {
				sums[c + i] += first[i];
				sums[stride + c + i] += second[i];
			}
		};
		constexpr int kWide = kLanes == 16 ? 4 : 2;  // as many as stay in registers
		int64_t c = 0;
		for (; c + kWide * kLanes <= width; c += kWide * kLanes) columns(std::integral_constant<int, kWide>{}, c, WholeRegister{});
		over(width - c, [&](int64_t i, auto lanes) { columns(std::integral_constant<int, 1>{}, c + i, lanes); });
	}
}

// One row: dx = g · factor + (x − mean) · slope + level, g as above; slope and level belong to the channel's group.
template <bool Silu>
void input_gradient(const float* x, const float* dy, int64_t width, const float* mean, const float* factor, const float* offset, const float* slope,
					const float* level, float* dx) {
	over(width, [&](int64_t c, auto lanes) {
		const vf d = lanes.load(x + c) - lanes.load(mean + c), f = lanes.load(factor + c);
		const vf g = through_activation<Silu>(lanes.load(dy + c), fma(d, f, lanes.load(offset + c)));
		lanes.store(dx + c, fma(g, f, fma(d, lanes.load(slope + c), lanes.load(level + c))));
	});
}

}  // namespace

void group_norm(const KernelArgs& args, ThreadTeam& team) {
	const Shape s(args);
	if (s.empty()) return;
	const float *inputs[2] = {args.ptr(0), args.ptr(1)}, *gamma = args.ptr(2), *beta = args.ptr(3);
	float *y = args.ptr(4), *stats = args.ptr(5);
	const double eps = args.floats[0];
	const Scratch scratch(s, 3, args.scratch);
	const int64_t C = s.channels;

	team.parallel_for(s.tasks(), 1, [&](int64_t begin, int64_t end, int) {
		for (int64_t task = begin; task < end; task++) {
			double* sums = scratch.task(task);
			for (int64_t i = 0; i < 2 * C; i++) sums[i] = 0;
			each_part(s, [&](int part, int64_t width, int64_t first) {
				const float* picture = inputs[part] + task / s.chunks * s.rows * width;
				moments(inputs[part] + s.start_of(task, width), picture, width, s.rows_of(task), sums + first, C);
			});
		}
	});

	// Per group: mean and variance from its channels' means and spreads.
	team.parallel_for(s.pictures * s.groups, 1, [&](int64_t begin, int64_t end, int) {
		for (int64_t at = begin; at < end; at++) {
			const int64_t n = at / s.groups, c0 = at % s.groups * s.per_group, c1 = c0 + s.per_group;
			const double* total = scratch.task(n * s.chunks);
			auto mean_of = [&](int64_t c) {
				const float base = c < s.c1 ? inputs[0][n * s.rows * s.c1 + c] : inputs[1][n * s.rows * s.c2 + c - s.c1];
				return base + total[c] / s.rows;
			};
			double mean = 0, spread = 0;
			for (int64_t c = c0; c < c1; c++) {
				scratch.total(n, c);
				mean += mean_of(c);
			}
			mean /= s.per_group;
			for (int64_t c = c0; c < c1; c++) {
				const double away = mean_of(c) - mean, own = total[C + c] - total[c] * total[c] / s.rows;
				spread += (own < 0 ? 0 : own) + s.rows * away * away;
			}
			const double inverse = 1 / std::sqrt(spread / ((double)s.rows * s.per_group) + eps);
			const float near = (float)mean;
			float* means = scratch.picture(n);
			for (int64_t c = c0; c < c1; c++) {
				const double factor = inverse * (gamma ? gamma[c] : 1);
				means[c] = near;
				means[C + c] = (float)factor;
				means[2 * C + c] = (float)((beta ? beta[c] : 0) - (mean - near) * factor);
			}
			if (stats) {
				stats[2 * at] = near;
				stats[2 * at + 1] = (float)inverse;
			}
		}
	});

	team.parallel_for(s.tasks(), 1, [&](int64_t begin, int64_t end, int) {
		for (int64_t task = end - 1; task >= begin; task--) {
			const float *means = scratch.picture(task / s.chunks), *factors = means + C, *offsets = factors + C;
			float* out = y + s.start_of(task, C);
			for (int64_t r = 0; r < s.rows_of(task); r++)
				each_part(s, [&](int part, int64_t width, int64_t first) {
					const float* x = inputs[part] + s.start_of(task, width) + r * width;
					(s.silu ? normalise<true> : normalise<false>)(x, width, means + first, factors + first, offsets + first, out + r * C + first);
				});
		}
	});
}

void group_norm_grad(const KernelArgs& args, ThreadTeam& team) {
	const Shape s(args);
	float *dx[2] = {args.ptr(6), args.ptr(7)}, *dgamma = args.ptr(8), *dbeta = args.ptr(9);
	if (s.empty() || !(dx[0] || dx[1] || dgamma || dbeta)) return;
	const float *inputs[2] = {args.ptr(0), args.ptr(1)}, *gamma = args.ptr(2), *beta = args.ptr(3), *stats = args.ptr(4), *dy = args.ptr(5);
	const Scratch scratch(s, 5, args.scratch);  // mean, factor, offset, slope, level
	const int64_t C = s.channels;

	team.parallel_for(s.pictures * s.groups, 1, [&](int64_t begin, int64_t end, int) {
		for (int64_t at = begin; at < end; at++) {
			float* means = scratch.picture(at / s.groups);
			for (int64_t c = at % s.groups * s.per_group, last = c + s.per_group; c < last; c++) {
				means[c] = stats[2 * at];
				means[C + c] = stats[2 * at + 1] * (gamma ? gamma[c] : 1);
				means[2 * C + c] = beta ? beta[c] : 0;
			}
		}
	});
	team.parallel_for(s.tasks(), 1, [&](int64_t begin, int64_t end, int) {
		for (int64_t task = begin; task < end; task++) {
			const float *means = scratch.picture(task / s.chunks), *factors = means + C, *offsets = factors + C;
			double* sums = scratch.task(task);
			for (int64_t i = 0; i < 2 * C; i++) sums[i] = 0;
			each_part(s, [&](int part, int64_t width, int64_t first) {
				(s.silu ? gradient_sums<true> : gradient_sums<false>)(inputs[part] + s.start_of(task, width), dy + s.start_of(task, C) + first, width, C,
																	  s.rows_of(task), means + first, factors + first, offsets + first, sums + first, C);
			});
		}
	});

	// Per group, with xhat = (x − mean)·inverse: dx = inverse · (γ g − mean(γ g) − xhat · mean(γ g xhat)).
	team.parallel_for(s.pictures * s.groups, 1, [&](int64_t begin, int64_t end, int) {
		for (int64_t at = begin; at < end; at++) {
			const int64_t n = at / s.groups, c0 = at % s.groups * s.per_group, c1 = c0 + s.per_group;
			const double inverse = stats[2 * at + 1], count = (double)s.rows * s.per_group;
			double plain = 0, against = 0;
			for (int64_t c = c0; c < c1; c++) {
				double* total = scratch.total(n, c);
				total[C] *= inverse;  // Σ g xhat
				plain += (gamma ? gamma[c] : 1) * total[0];
				against += (gamma ? gamma[c] : 1) * total[C];
			}
			float* slopes = scratch.picture(n) + 3 * C;
			for (int64_t c = c0; c < c1; c++) {
				slopes[c] = (float)(-inverse * inverse * against / count);
				slopes[C + c] = (float)(-inverse * plain / count);
			}
		}
	});
	if (dgamma || dbeta)
		team.parallel_for(C, 64, [&](int64_t begin, int64_t end, int) {
			for (int64_t c = begin; c < end; c++) {
				double g = 0, b = 0;
				for (int64_t n = 0; n < s.pictures; n++) {
					b += scratch.task(n * s.chunks)[c];
					g += scratch.task(n * s.chunks)[C + c];
				}
				if (dgamma) dgamma[c] = (float)g;
				if (dbeta) dbeta[c] = (float)b;
			}
		});
	if (!dx[0] && !dx[1]) return;
	team.parallel_for(s.tasks(), 1, [&](int64_t begin, int64_t end, int) {
		for (int64_t task = end - 1; task >= begin; task--) {
			const float *means = scratch.picture(task / s.chunks), *factors = means + C, *offsets = factors + C, *slopes = offsets + C, *levels = slopes + C;
			for (int64_t r = 0; r < s.rows_of(task); r++)
				each_part(s, [&](int part, int64_t width, int64_t first) {
					if (!dx[part]) return;
					const int64_t at = s.start_of(task, width) + r * width;
					(s.silu ? input_gradient<true> : input_gradient<false>)(inputs[part] + at, dy + s.start_of(task, C) + r * C + first, width, means + first,
																			factors + first, offsets + first, slopes + first, levels + first, dx[part] + at);
				});
		}
	});
}

int64_t group_norm_scratch(const KernelArgs& args, int) {
	const Shape s(args);
	return s.empty() ? 0 : Scratch::bytes(s, 3);
}

int64_t group_norm_grad_scratch(const KernelArgs& args, int) {
	const Shape s(args);
	return s.empty() ? 0 : Scratch::bytes(s, 5);
}

}  // namespace dreamdist::cpu::DD_ISA
