#include "onednn.h"

#include "bench.h"

#if !DD_ONEDNN
namespace dreamdist::bench {
std::vector<std::function<void()>> onednn_matmul(int64_t, int64_t, int64_t, int) { return {}; }
std::vector<std::function<void()>> onednn_conv(const ConvProblem&, bool, int) { return {}; }
}  // namespace dreamdist::bench
#else

#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <random>
#include <string>
#include <unordered_map>

extern "C" void omp_set_num_threads(int) __attribute__((weak));  // where oneDNN runs on OpenMP

namespace dreamdist::bench {

namespace {

using dnnl::memory;
using Tag = memory::format_tag;

dnnl::engine& engine() {
	static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
	return cpu;
}

memory::desc describe(const memory::dims& dims, Tag tag) { return memory::desc(dims, memory::data_type::f32, tag); }

// A tensor in the same kind of memory as our kernels' operands.
struct Tensor {
	std::shared_ptr<Floats> values;
	memory view;
};

// Plain random numbers, so that no arithmetic meets subnormals.
Tensor filled(const memory::desc& layout) {
	auto values = std::make_shared<Floats>(layout.get_size() / sizeof(float));
	std::mt19937 rng(1);
	std::uniform_real_distribution<float> uniform(-1, 1);
	for (float& value : *values) value = uniform(rng);
	return {values, memory(layout, engine(), values->data())};
}

std::function<void()> ready(const dnnl::primitive& primitive, const std::unordered_map<int, Tensor>& tensors) {
	auto stream = std::make_shared<dnnl::stream>(engine());
	std::unordered_map<int, memory> arguments;
	for (auto& [role, tensor] : tensors) arguments.emplace(role, tensor.view);
	return [primitive, stream, tensors, arguments]() mutable {
		primitive.execute(*stream, arguments);
		stream->wait();
	};
}

void use_threads(int threads) {
	if (omp_set_num_threads) omp_set_num_threads(threads);
}

void add_conv(std::vector<std::function<void()>>& found, const ConvProblem& p, bool input_grad, Tag pictures) {
	const memory::dims src{p.N, p.C, p.H, p.W}, weights{p.O, p.C, p.kernel, p.kernel}, dst{p.N, p.O, p.OH(), p.OW()};
	const memory::dims strides{p.stride, p.stride}, before{p.pad, p.pad};
	const memory::dims after{(p.OH() - 1) * p.stride + p.kernel - p.H - p.pad, (p.OW() - 1) * p.stride + p.kernel - p.W - p.pad};
	const auto src_md = describe(src, pictures), weights_md = describe(weights, Tag::any), dst_md = describe(dst, pictures);
	const auto direct = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
	const dnnl::convolution_forward::primitive_desc forward(engine(), dnnl::prop_kind::forward_inference, direct, src_md, weights_md, dst_md, strides, before, after);
#else
	const dnnl::convolution_forward::primitive_desc forward(
		dnnl::convolution_forward::desc(dnnl::prop_kind::forward_inference, direct, src_md, weights_md, dst_md, strides, before, after), engine());
#endif
	if (!input_grad) {
		found.push_back(ready(dnnl::convolution_forward(forward), {{DNNL_ARG_SRC, filled(forward.src_desc())},
																   {DNNL_ARG_WEIGHTS, filled(forward.weights_desc())},
																   {DNNL_ARG_DST, filled(forward.dst_desc())}}));
		return;
	}
#if DNNL_VERSION_MAJOR >= 3
	const dnnl::convolution_backward_data::primitive_desc backward(engine(), direct, src_md, weights_md, dst_md, strides, before, after, forward);
#else
	const dnnl::convolution_backward_data::primitive_desc backward(
		dnnl::convolution_backward_data::desc(direct, src_md, weights_md, dst_md, strides, before, after), engine(), forward);
#endif
	found.push_back(ready(dnnl::convolution_backward_data(backward), {{DNNL_ARG_DIFF_SRC, filled(backward.diff_src_desc())},
																	  {DNNL_ARG_WEIGHTS, filled(backward.weights_desc())},
																	  {DNNL_ARG_DIFF_DST, filled(backward.diff_dst_desc())}}));
}

}  // namespace

std::vector<std::function<void()>> onednn_conv(const ConvProblem& problem, bool input_grad, int threads) {
	use_threads(threads);
	std::vector<std::function<void()>> found;
	for (Tag pictures : {Tag::nhwc, Tag::any}) add_conv(found, problem, input_grad, pictures);
	return found;
}

std::vector<std::function<void()>> onednn_matmul(int64_t M, int64_t K, int64_t N, int threads) {
	use_threads(threads);
	std::vector<std::function<void()>> found;
	const auto a = describe({M, K}, Tag::ab), b = describe({K, N}, Tag::any), c = describe({M, N}, Tag::ab);
#if DNNL_VERSION_MAJOR >= 3
	const dnnl::matmul::primitive_desc product(engine(), a, b, c);
#else
	const dnnl::matmul::primitive_desc product(dnnl::matmul::desc(a, b, c), engine());
#endif
	found.push_back(ready(dnnl::matmul(product), {{DNNL_ARG_SRC, filled(product.src_desc())},
												  {DNNL_ARG_WEIGHTS, filled(product.weights_desc())},
												  {DNNL_ARG_DST, filled(product.dst_desc())}}));
	// The same product as a 1 × 1 convolution over M pixels, often the faster of the two.
	add_conv(found, {1, M, 1, K, N, 1, 1, 0}, false, Tag::nhwc);
	return found;
}

}  // namespace dreamdist::bench
#endif
