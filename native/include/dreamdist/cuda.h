// The CUDA devices of this binary: real ones (built with nvcc), the emulated one (a module of the tests), or none.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "dreamdist/backend.h"

namespace dreamdist {

struct CudaDeviceInfo {
	std::string name;
	int major = 0, minor = 0;  // compute capability
	double total_bytes = 0;
};

struct CudaInfo {
	int runtime = 0;  // version of the runtime this binary carries, e.g. 13000
	int driver = 0;   // newest runtime the driver supports; 0: no driver
	int least_major = 0, least_minor = 0;  // the oldest compute capability that this binary has kernels for
	std::string error;  // why there are no devices; empty if there are
	std::vector<CudaDeviceInfo> cards;
};

// What the CUDA runtime finds on this machine; nothing in binaries built without CUDA.
std::optional<CudaInfo> cuda_info();

// Whether this binary has the emulated device.
bool has_emulated_device();

// The backend of "cuda:N" or "cuda-emulated". Throws Error where this binary or this machine does not have it.
BackendPtr cuda_backend(const std::string& kind);

}  // namespace dreamdist
