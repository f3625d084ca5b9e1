// Which instruction sets this binary has and this machine can run.
#pragma once
#include <string>
#include <vector>

#include "dreamdist/kernels.h"

namespace dreamdist {

struct CpuSupport {
	std::vector<const KernelTable*> usable;  // best first
	std::vector<std::string> built;          // names of all in this binary
};
const CpuSupport& cpu_support();

// The table of the named instruction set ("" or "auto": the best usable one). Throws Error naming the choices when it can't run here.
const KernelTable& kernel_table(const std::string& isa);

}  // namespace dreamdist
