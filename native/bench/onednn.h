// The same dense work in oneDNN, the yardstick of the dense rows. Built in only with DD_ONEDNN=ON.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

namespace dreamdist::bench {

struct ConvProblem {
	int64_t N, H, W, C, O, kernel, stride, pad;
	int64_t OH() const { return (H + 2 * pad - kernel) / stride + 1; }
	int64_t OW() const { return (W + 2 * pad - kernel) / stride + 1; }
	double flops() const { return 2.0 * N * OH() * OW() * C * O * kernel * kernel; }
};

// Each way oneDNN has of doing the work, ready to run on memory of its own with weights reordered beforehand to the layout it prefers;
// the fastest of them is the yardstick. Empty in a build without oneDNN.
std::vector<std::function<void()>> onednn_matmul(int64_t M, int64_t K, int64_t N, int threads);
std::vector<std::function<void()>> onednn_conv(const ConvProblem& problem, bool input_grad, int threads);

}  // namespace dreamdist::bench
