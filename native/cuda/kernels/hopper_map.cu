// Tensor maps through the driver's entry point, asked for when the first is made: the addon is not linked with libcuda, so that it loads
// where there is no driver.
#include "hopper_map.h"

#include <cuda.h>

#include <cstdio>
#include <mutex>
#include <set>
#include <string>

#include "hopper.h"

namespace dreamdist::cuda::hopper {
namespace {

#if CUDART_VERSION >= 12000

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
							CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
static_assert(sizeof(CUtensorMap) == sizeof(TensorMap));

Encode find_encoder() {
	void* found = nullptr;
	cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
	const cudaError_t status = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result);
#else
	const cudaError_t status = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault, &result);
#endif
	if (status != cudaSuccess || result != cudaDriverEntryPointSuccess || !found) {
		cudaGetLastError();
		throw Error("this driver has no cuTensorMapEncodeTiled, which DD_HOPPER=1 needs (CUDA 12.0 or later); unset DD_HOPPER");
	}
	return reinterpret_cast<Encode>(found);
}

#endif

}  // namespace

TensorMap make_map(const TensorBox& box, DType type, const void* base) {
	if (const char* why = box.problem((uint64_t)base)) throw Error(std::string("a tensor map: ") + why);
	TensorMap map = {};
#if CUDART_VERSION >= 12000
	static const Encode encode = find_encoder();
	CUtensorMap made;
	cuuint64_t extents[TensorBox::kMost], strides[TensorBox::kMost];
	cuuint32_t boxes[TensorBox::kMost], steps[TensorBox::kMost];
	for (int d = 0; d < box.rank; d++) {
		extents[d] = box.extent[d];
		if (d > 0) strides[d - 1] = box.stride[d];
		boxes[d] = box.box[d] * box.step[d];  // TMA counts the elements that it passes over
		steps[d] = box.step[d];
	}
	const CUresult status = encode(&made, type == DType::bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16, (cuuint32_t)box.rank, const_cast<void*>(base), extents, strides,
								   boxes, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, box.swizzle == Swizzle::bytes128 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_64B,
								   CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
	if (status != CUDA_SUCCESS) throw Error("the driver refuses a tensor map (error " + std::to_string((int)status) + "); unset DD_HOPPER to run the sm_80 kernels");
	memcpy(&map, &made, sizeof map);
#else
	throw Error("this binary was built with a toolkit before CUDA 12.0 and has no Hopper kernels");
#endif
	return map;
}

bool takes(const char* kernel, const char* why) {
	if (!why) return true;
	static std::mutex lock;
	static std::set<std::string> said;
	std::lock_guard<std::mutex> guard(lock);
	const std::string line = std::string("DD_HOPPER: ") + kernel + " runs the kernel of sm_80: " + why;
	if (said.insert(line).second) fprintf(stderr, "%s\n", line.c_str());
	return false;
}

}  // namespace dreamdist::cuda::hopper
