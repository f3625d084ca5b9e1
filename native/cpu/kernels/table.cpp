#include "table.h"

#define DD_STRING2(x) #x
#define DD_STRING(x) DD_STRING2(x)

namespace dreamdist::cpu::DD_ISA {

namespace {
const KernelInfo kKernels[] = {
	{"pointwise", -1, -1, pointwise},
	{"copy", 2, -1, copy},
	{"reduce", 2, -1, reduce, reduce_scratch},
	{"matmul", 6, 16, matmul},
	{"conv2d", 8, 17, conv2d, conv2d_scratch},
	{"conv2d_input_grad", 4, 17, conv2d_input_grad, conv2d_input_grad_scratch},
	{"conv2d_weight_grad", 4, 17, conv2d_weight_grad},
	{"attention", 5, 14, attention, attention_scratch},
	{"attention_grad", 9, 16, attention_grad, attention_grad_scratch},
	{"group_norm", 6, 6, group_norm, group_norm_scratch},
	{"group_norm_grad", 10, 6, group_norm_grad, group_norm_grad_scratch},
	{"layer_norm", 5, 2, layer_norm},
	{"layer_norm_grad", 7, 2, layer_norm_grad, layer_norm_grad_scratch},
	{"softmax", 2, 3, softmax},
	{"softmax_grad", 3, 3, softmax_grad},
	{"gather", 3, 3, gather},
	{"scatter_add", 3, 3, scatter_add},
	{"pool2d", 2, 13, pool2d},
	{"pool2d_grad", 3, 13, pool2d_grad},
	{"random", 2, 3, random},
	{"adamw", 5, 1, adamw},
	{"sgd", 4, 2, sgd},
};
const PackerInfo kPackers[] = {
	{"matmul", matmul_packed_bytes, matmul_pack},
	{"conv2d", conv2d_packed_bytes, conv2d_pack},
};
}  // namespace

const KernelTable kTable{DD_STRING(DD_ISA), kKernels, kPackers};

}  // namespace dreamdist::cpu::DD_ISA
