// The Hopper family: kernels of sm_90a for products, convolutions and attention in 16 bits, taken where DD_HOPPER asks for them instead of those
// of sm_80, and where a shape allows it. What a call does not allow is said by name (why_not), from its sizes and addresses.
//
// No card has run them yet, so they are not the default; a card that is to use them is tested with them first (engine/self_test.cpp).
#pragma once
#include <cstdlib>
#include <string>
#include <string_view>

#include "hopper_conv_plan.h"
#include "hopper_plan.h"
#include "tensor_epilogue.h"

namespace dreamdist::cuda::hopper {

// Whether this binary has the kernels and DD_HOPPER asks for that of `family` ("matmul", …): 1 for all, or names separated by commas.
inline bool wanted([[maybe_unused]] std::string_view family) {
#ifdef DD_HAVE_HOPPER
	static const std::string names = [] {
		const char* value = std::getenv("DD_HOPPER");
		const std::string text = value ? value : "";
		return text == "" || text == "0" ? "" : "," + text + ",";
	}();
	return names == ",1," || names.find("," + std::string(family) + ",") != std::string::npos;
#else
	return false;
#endif
}

// False, and said on stderr once for each reason, where `why` gives one.
bool takes(const char* kernel, const char* why);

// A product of matrices: the left one's K is contiguous.
struct MatmulCall {
	DType type = DType::bf16;
	const void *a = nullptr, *b = nullptr;
	MatmulSizes sizes;
	TensorEpilogue epilogue;
	TileChoice choice;
	void* scratch = nullptr;
};
// Queues it, or returns false where the kernels of sm_80 have to.
bool matmul(const MatmulCall&, Context&);

struct ConvCall {
	DType type = DType::bf16;
	const void *x1 = nullptr, *x2 = nullptr, *weight = nullptr;  // what is read: pictures, or the output's gradient
	ConvSizes sizes;
	TensorEpilogue epilogue;   // forward
	InputGradients gradients;  // backward
	TileChoice choice;
	void* scratch = nullptr;
};
bool conv2d(const char* kernel, const ConvCall&, Context&);

}  // namespace dreamdist::cuda::hopper
