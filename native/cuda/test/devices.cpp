// The devices that native/test's cases run on in this binary: the emulated one. Everything a case allocates is device memory: a mapping of
// its own that ends at an inaccessible page, known to the race check.
#include <cstdlib>
#include <new>

#include "../emulated/emulator.h"
#include "../kernels/table.h"
#include "dreamdist/isa.h"

namespace {
bool started = false;  // what is allocated before main is the harness's own
}

namespace dreamdist {

const CpuSupport& cpu_support() {
	static const CpuSupport support = [] {
		started = true;
		emulated::settings.race_check = DD_RACE;
		CpuSupport found;
		found.usable = {&cuda::kTable};
		found.built = {cuda::kTable.name};
		return found;
	}();
	return support;
}

}  // namespace dreamdist

namespace {

void* allocate(size_t bytes) {
	// Small things are strings and the like; a mapping for each would take all the time.
	if (!started || dreamdist::emulated::keeping_books() || bytes < 16) return std::malloc(bytes ? bytes : 1);
	return dreamdist::emulated::allocate(bytes);
}
void release(void* memory) {
	if (!dreamdist::emulated::keeping_books() && memory && dreamdist::emulated::is_allocated(memory)) dreamdist::emulated::release(memory);
	else std::free(memory);
}

}  // namespace

void* operator new(size_t bytes) { return allocate(bytes); }
void* operator new[](size_t bytes) { return allocate(bytes); }
void* operator new(size_t bytes, std::align_val_t) { return allocate(bytes); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, size_t) noexcept { release(memory); }
void operator delete[](void* memory, size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { release(memory); }
