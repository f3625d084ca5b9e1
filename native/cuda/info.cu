#include "dreamdist/cuda.h"

#include <cuda_runtime.h>

namespace dreamdist {

bool has_emulated_device() { return false; }

std::optional<CudaInfo> cuda_info() {
	CudaInfo info;
	info.least_major = 8;  // cp.async, ldmatrix and mma with bf16
	cudaRuntimeGetVersion(&info.runtime);
	cudaDriverGetVersion(&info.driver);  // stays 0 where no driver is installed
	int count = 0;
	const cudaError_t status = cudaGetDeviceCount(&count);
	if (status != cudaSuccess) {
		info.error = std::string(cudaGetErrorName(status)) + ": " + cudaGetErrorString(status);
		cudaGetLastError();  // the error is sticky until it is read
		return info;
	}
	for (int i = 0; i < count; i++) {
		cudaDeviceProp properties;
		if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) {
			cudaGetLastError();
			info.cards.push_back({"a card that does not answer"});  // cards keep the runtime's numbers
			continue;
		}
		info.cards.push_back({properties.name, properties.major, properties.minor, (double)properties.totalGlobalMem});
	}
	return info;
}

}  // namespace dreamdist
