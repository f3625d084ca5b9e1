// What every launch of a CUDA device has at hand.
#pragma once
#include <string>

#include "dreamdist/kernels.h"
#include "gpu.h"

namespace dreamdist::cuda {

// The first failure that kernels found in their data since it was last looked at; in device memory.
struct Fault {
	int claimed = 0;  // 1 once a thread has written the rest
	int kernel = 0;   // index into kFaultKernels
	int call = 0;     // KernelArgs::call
	int position = 0, index = 0, rows = 0;
};
inline constexpr const char* kFaultKernels[] = {"gather", "scatter_add"};

struct Context {
	gpu::Stream stream = {};
	Fault* fault = nullptr;
	bool hopper = false;          // DD_HOPPER, a card of sm_90, and a binary with its kernels
	int multiprocessors = 132;
	int64_t hopper_launches = 0;  // of kernels of that family
};

// "gather: index 7 (at position 3) is outside [0, 5)".
inline std::string describe(const Fault& fault) {
	return std::string(kFaultKernels[fault.kernel]) + ": index " + std::to_string(fault.index) + " (at position " + std::to_string(fault.position) +
		   ") is outside [0, " + std::to_string(fault.rows) + ")";
}

// A context for a call outside any device (tests): waited for and checked at its end. Only the emulated device has one.
Context& standalone_context();
void finish_standalone();

// A row of the kernel table.
template <auto Launch>
void run(const KernelArgs& args, ThreadTeam&) {
	if (args.context) return Launch(args, *static_cast<Context*>(args.context));
	Launch(args, standalone_context());
	finish_standalone();
}

}  // namespace dreamdist::cuda
