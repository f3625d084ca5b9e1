// What the CUDA runtime finds on this machine. Compiled only into builds with CUDA.
#pragma once
#include <string>
#include <vector>

namespace dreamdist {

struct CudaDeviceInfo {
	std::string name;
	int major = 0, minor = 0;  // compute capability
	double total_bytes = 0;
};

struct CudaInfo {
	int runtime = 0;  // version of the runtime this binary carries, e.g. 13000
	int driver = 0;   // newest runtime the driver supports; 0: no driver
	std::string error;  // why there are no devices; empty if there are
	std::vector<CudaDeviceInfo> cards;
};

CudaInfo cuda_info();

}  // namespace dreamdist
