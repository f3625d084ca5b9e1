#include "table.h"

namespace dreamdist::cuda {
namespace {

const KernelInfo kKernels[] = {
	{"pointwise", -1, -1, run<pointwise>},
	{"copy", 2, -1, run<copy>},
	{"reduce", 2, -1, run<reduce>, reduce_scratch},
	{"matmul", 6, 16, run<matmul>, matmul_scratch, matmul_choices},
	{"matmul_tf32", 6, 16, run<matmul_tf32>, matmul_tf32_scratch, matmul_tf32_choices},
	{"conv2d", 8, 17, run<conv2d>, conv2d_scratch, conv2d_choices},
	{"conv2d_tf32", 8, 17, run<conv2d_tf32>, conv2d_tf32_scratch, conv2d_tf32_choices},
	{"conv2d_input_grad", 4, 17, run<conv2d_input_grad>, conv2d_input_grad_scratch, conv2d_input_grad_choices},
	{"conv2d_input_grad_tf32", 4, 17, run<conv2d_input_grad_tf32>, conv2d_input_grad_tf32_scratch, conv2d_input_grad_tf32_choices},
	{"conv2d_weight_grad", 4, 17, run<conv2d_weight_grad>, conv2d_weight_grad_scratch, conv2d_weight_grad_choices},
	{"conv2d_weight_grad_tf32", 4, 17, run<conv2d_weight_grad_tf32>, conv2d_weight_grad_tf32_scratch, conv2d_weight_grad_tf32_choices},
	{"attention", 5, 14, run<attention>, attention_scratch},
	{"attention_grad", 9, 16, run<attention_grad>, attention_grad_scratch},
	{"group_norm", 6, 6, run<group_norm>, group_norm_scratch},
	{"group_norm_grad", 10, 6, run<group_norm_grad>, group_norm_grad_scratch},
	{"layer_norm", 5, 2, run<layer_norm>},
	{"layer_norm_grad", 7, 2, run<layer_norm_grad>, layer_norm_grad_scratch},
	{"softmax", 2, 3, run<softmax>},
	{"softmax_grad", 3, 3, run<softmax_grad>},
	{"gather", 3, 3, run<gather>},
	{"scatter_add", 3, 3, run<scatter_add>},
	{"pool2d", 2, 13, run<pool2d>},
	{"pool2d_grad", 3, 13, run<pool2d_grad>},
	{"random", 2, 3, run<random>},
	{"adamw", 5, 1, run<adamw>},
	{"sgd", 4, 2, run<sgd>},
};

const PackerInfo kPackers[] = {
	{"matmul", matmul_packed_bytes, matmul_pack},
	{"conv2d", conv2d_packed_bytes, conv2d_pack},
};

}  // namespace

const KernelTable kTable{"cuda", kKernels, kPackers};

}  // namespace dreamdist::cuda
