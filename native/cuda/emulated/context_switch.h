// Switching between fibers: a few instructions on x86-64, ucontext elsewhere (or with DD_UCONTEXT; about five times slower).
#pragma once
#include <cstddef>

#if defined(__x86_64__) && !defined(DD_UCONTEXT)

// Saves the callee-saved registers of the System V ABI on the stack that is left. Kernels never change mxcsr or the x87 control word.
extern "C" void dreamdist_switch_stack(void** save, void* load);

namespace dreamdist::emulated {
struct FiberContext {
	void* stack_pointer = nullptr;
	void make(char* stack_top, size_t /*stack_bytes*/, void (*entry)()) {
		void** top = reinterpret_cast<void**>(stack_top);
		*--top = nullptr;  // the entry never returns; this keeps the ABI's alignment there
		*--top = reinterpret_cast<void*>(entry);
		for (int i = 0; i < 6; i++) *--top = nullptr;
		stack_pointer = top;
	}
};
inline void switch_context(FiberContext& from, FiberContext& to) { dreamdist_switch_stack(&from.stack_pointer, to.stack_pointer); }
inline const char* switch_kind() { return "x86-64"; }
}  // namespace dreamdist::emulated

#else
#include <ucontext.h>

namespace dreamdist::emulated {
struct FiberContext {
	ucontext_t context;
	void make(char* stack_top, size_t stack_bytes, void (*entry)()) {
		getcontext(&context);
		context.uc_stack.ss_sp = stack_top - stack_bytes;
		context.uc_stack.ss_size = stack_bytes;
		context.uc_link = nullptr;
		makecontext(&context, entry, 0);
	}
};
inline void switch_context(FiberContext& from, FiberContext& to) { swapcontext(&from.context, &to.context); }
inline const char* switch_kind() { return "ucontext"; }
}  // namespace dreamdist::emulated

#endif
