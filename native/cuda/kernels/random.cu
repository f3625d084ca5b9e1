// random: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), a thread per block of four numbers.
//
// An element depends on its row's key and its position alone. For normals the angle's quadrant is taken off in integers, and where the
// uniform number is near 1 its logarithm is that of the exact difference from 1, so that both agree with float64 to 1e-6.
#include "common.h"
#include "table.h"

namespace dreamdist::cuda {
namespace {

enum RandomKind { kNormal, kUniform, kWords };
constexpr int kThreads = 128;

__device__ __forceinline__ void philox(uint32_t (&c)[4], uint32_t k0, uint32_t k1) {
	GPU_UNROLL
	for (int round = 0; round < 10; round++) {
		const uint32_t high0 = __umulhi(c[0], 0xd2511f53u), low0 = c[0] * 0xd2511f53u, high2 = __umulhi(c[2], 0xcd9e8d57u), low2 = c[2] * 0xcd9e8d57u;
		const uint32_t c1 = c[1], c3 = c[3];
		c[0] = high2 ^ c1 ^ k0;
		c[1] = low2;
		c[2] = high0 ^ c3 ^ k1;
		c[3] = low0;
		k0 += 0x9e3779b9u;
		k1 += 0xbb67ae85u;
	}
}

// √(−2 ln((u + 1)·2⁻³²))
__device__ __forceinline__ float radius(uint32_t u) {
	const float logarithm = u >= 0x80000000u ? log1pf(-(float)(~u) * 0x1p-32f) : logf(((float)u + 1.0f) * 0x1p-32f);
	return sqrtf(-2.0f * logarithm);
}

// The sine and cosine of 2π·u·2⁻³².
__device__ __forceinline__ void turn(uint32_t u, float& sine, float& cosine) {
	const uint32_t quadrant = (u + 0x20000000u) >> 30;
	const float angle = (float)(int32_t)(u - (quadrant << 30)) * 1.46291807926715968e-9f;  // within ±π/4
	const float s = sinf(angle), c = cosf(angle);
	sine = quadrant == 0 || quadrant == 4 ? s : quadrant == 1 ? c : quadrant == 2 ? -s : -c;
	cosine = quadrant == 0 || quadrant == 4 ? c : quadrant == 1 ? -s : quadrant == 2 ? -c : s;
}

__global__ void __launch_bounds__(kThreads) random_kernel(const int32_t* keys, uint32_t* y, int64_t rows, int64_t n, int kind) {
	const int64_t blocks = (n + 3) / 4;
	for (int64_t unit = (int64_t)blockIdx.x * kThreads + threadIdx.x; unit < rows * blocks; unit += (int64_t)gridDim.x * kThreads) {
		const int64_t row = unit / blocks, j = unit % blocks;
		const int32_t* key = keys + row * 4;
		uint32_t word[4] = {(uint32_t)j, (uint32_t)((uint64_t)j >> 32), (uint32_t)key[2], (uint32_t)key[3]};
		philox(word, (uint32_t)key[0], (uint32_t)key[1]);
		if (kind == kNormal) {
			GPU_UNROLL
			for (int pair = 0; pair < 4; pair += 2) {
				const float r = radius(word[pair]);
				float sine, cosine;
				turn(word[pair + 1], sine, cosine);
				word[pair] = gpu::bits_of_float(r * cosine);
				word[pair + 1] = gpu::bits_of_float(r * sine);
			}
		} else if (kind == kUniform) {
			GPU_UNROLL
			for (int i = 0; i < 4; i++) word[i] = gpu::bits_of_float((float)(word[i] >> 8) * 0x1p-24f);
		}
		GPU_UNROLL
		for (int i = 0; i < 4; i++)
			if (4 * j + i < n) y[row * n + 4 * j + i] = word[i];
	}
}

}  // namespace

void random(const KernelArgs& args, Context& context) {
	const int64_t rows = args.ints[0], n = args.ints[1], kind = args.ints[2];
	if (kind < kNormal || kind > kWords) refuse("random", "the kind must be 0, 1 or 2 (got " + std::to_string(kind) + ")");
	if (rows <= 0 || n <= 0) return;
	gpu::launch<random_kernel>(grid_for(rows * div_up(n, 4), kThreads), kThreads, 0, context.stream, args.ptr<const int32_t>(0), args.ptr<uint32_t>(1), rows, n, (int)kind);
}

}  // namespace dreamdist::cuda
