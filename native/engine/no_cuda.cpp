// In binaries without any CUDA device.
#include "dreamdist/cuda.h"

namespace dreamdist {

std::optional<CudaInfo> cuda_info() { return std::nullopt; }

bool has_emulated_device() { return false; }

BackendPtr cuda_backend(const std::string& kind) { throw Error("this binary was built without the device \"" + kind + "\""); }

}  // namespace dreamdist
