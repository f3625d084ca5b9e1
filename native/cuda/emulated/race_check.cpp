// Shadow memory: who touched each 2 bytes last, and whether a barrier lies between two accesses that must not race.
//
// Kernels compiled with -fsanitize=thread call the __tsan_… functions at every load and store. They are defined here, and libtsan is not
// linked. An access is ordered after an earlier one by the same thread, by a block barrier in between, or within a warp by __syncwarp
// (a shuffle orders nothing, as in CUDA's memory model). Epochs are global counters, so nothing is cleared between blocks.
#include <cstdio>

#include "state.h"

namespace dreamdist::emulated {
namespace {

constexpr uint16_t kMany = 0xffff;
constexpr uint32_t kManyBlocks = 0xffffffffu;

struct SharedCell {
	uint32_t write_epoch, write_warp_epoch, read_epoch, read_warp_epoch, atomic_epoch, atomic_warp_epoch;
	uint16_t write_thread, read_thread, atomic_thread;
	uint8_t read_warp;
	bool in_flight;
};
std::vector<SharedCell> cells(kSharedBytes / 2);
uint32_t epoch = 0, block_epoch = 0, launch_epoch = 0, warp_epoch = 0, block_index = 0;

[[noreturn]] void report_shared(const char* what, const char* p, unsigned other) {
	const bool dynamic = p >= dynamic_shared;
	char text[200];
	std::snprintf(text, sizeof text, "shared memory hazard: %s at %s+%ld, other access by thread %d", what, dynamic ? "dynamic" : "static",
				  long(p - (dynamic ? dynamic_shared : shared)), other == kMany ? -1 : int(other));
	fail(text);
}

bool ordered(uint32_t at_epoch, uint32_t at_warp_epoch, unsigned thread, const Fiber& fiber) {
	if (thread == unsigned(fiber.index) || at_epoch < epoch) return true;
	return thread != kMany && int(thread >> 5) == fiber.warp && at_warp_epoch < warps[fiber.warp].epoch;
}

void note_cell(SharedCell& cell, const char* p, Access access, Fiber& fiber) {
	const bool writes = access != Access::read;
	const uint32_t now = warps[fiber.warp].epoch;
	if (cell.in_flight && cell.write_epoch >= block_epoch && access != Access::copy_landed)
		report_shared(writes ? "write to the destination of an asynchronous copy under way" : "read of the destination of an asynchronous copy before its wait", p,
					  cell.write_thread);
	if (access != Access::atomic && cell.atomic_epoch >= block_epoch && !ordered(cell.atomic_epoch, cell.atomic_warp_epoch, cell.atomic_thread, fiber))
		report_shared(writes ? "write after atomic without a barrier" : "read after atomic without a barrier", p, cell.atomic_thread);
	if (cell.write_epoch >= block_epoch && !ordered(cell.write_epoch, cell.write_warp_epoch, cell.write_thread, fiber))
		report_shared(writes ? "write after write without a barrier" : "read after write without a barrier", p, cell.write_thread);
	if (!writes) {
		if (cell.write_epoch < block_epoch) report_shared("read of uninitialised shared memory", p, kMany);
		if (cell.read_epoch != epoch) {
			cell.read_epoch = epoch;
			cell.read_thread = uint16_t(fiber.index);
			cell.read_warp = uint8_t(fiber.warp);
		} else {
			if (cell.read_thread != fiber.index) cell.read_thread = kMany;
			if (cell.read_warp != fiber.warp) cell.read_warp = 255;
		}
		cell.read_warp_epoch = now;
		return;
	}
	if (cell.read_epoch >= block_epoch && cell.read_epoch == epoch && cell.read_thread != fiber.index && !(cell.read_warp == fiber.warp && cell.read_warp_epoch < now))
		report_shared("write after read without a barrier", p, cell.read_thread);
	if (access == Access::atomic) {
		if (cell.write_epoch < block_epoch) report_shared("atomic on uninitialised shared memory", p, kMany);
		cell.atomic_epoch = epoch;
		cell.atomic_warp_epoch = now;
		cell.atomic_thread = uint16_t(fiber.index);
	} else {
		cell.write_epoch = epoch;
		cell.write_warp_epoch = now;
		cell.write_thread = uint16_t(fiber.index);
		cell.in_flight = access == Access::copy_issued;
	}
}

// Within a launch two blocks may not touch the same place if one writes (atomics among themselves may); within a block different
// warps need a block barrier in between.
void note_cell(GlobalCell& cell, size_t offset, size_t bytes, Access access, const Fiber& fiber) {
	auto clash = [&](uint32_t at_epoch, uint32_t block, unsigned thread) {
		if (at_epoch < launch_epoch) return false;
		if (block != block_index) return !settings.blocks_may_meet;
		return at_epoch == epoch && thread != unsigned(fiber.index) && (thread == kMany || int(thread >> 5) != fiber.warp);
	};
	auto report = [&](const char* what, uint32_t block, unsigned thread) {
		char text[200];
		std::snprintf(text, sizeof text, "global memory hazard: %s at offset %zu of a buffer of %zu bytes, other access by block %d thread %d", what, offset, bytes,
					  int(block), thread == kMany ? -1 : int(thread));
		fail(text);
	};
	const bool writes = access != Access::read;
	if (access != Access::atomic && clash(cell.atomic_epoch, cell.atomic_block, cell.atomic_thread))
		report(writes ? "write after atomic" : "read after atomic", cell.atomic_block, cell.atomic_thread);
	if (clash(cell.write_epoch, cell.write_block, cell.write_thread))
		report(writes ? "write after write" : "read after write", cell.write_block, cell.write_thread);
	if (!writes) {
		if (cell.read_epoch < launch_epoch) {
			cell.read_block = block_index;
			cell.read_thread = uint16_t(fiber.index);
		} else if (cell.read_block != block_index) cell.read_block = kManyBlocks;
		else if (cell.read_epoch != epoch) cell.read_thread = uint16_t(fiber.index);
		else if (cell.read_thread != fiber.index) cell.read_thread = kMany;
		cell.read_epoch = epoch;
		return;
	}
	if (clash(cell.read_epoch, cell.read_block, cell.read_thread)) report("write after read", cell.read_block, cell.read_thread);
	if (access == Access::atomic) {
		cell.atomic_epoch = epoch;
		cell.atomic_block = block_index;
		cell.atomic_thread = uint16_t(fiber.index);
	} else {
		cell.write_epoch = epoch;
		cell.write_block = block_index;
		cell.write_thread = uint16_t(fiber.index);
	}
}

}  // namespace

uint32_t next_warp_epoch() { return ++warp_epoch; }
void race_begin_launch() { launch_epoch = epoch + 1; }
void race_begin_block(uint32_t block) {
	block_epoch = ++epoch;
	block_index = block;
}
void race_block_barrier() { epoch++; }

void note_shared(const void* memory, size_t bytes, Access access) {
	const char* p = static_cast<const char*>(memory);
	if (!settings.race_check || !current) return;
	if (p < dynamic_shared && p + bytes > shared + static_bytes) fail("shared access outside any array");
	for (size_t i = size_t(p - shared) / 2; i < (size_t(p - shared) + bytes + 1) / 2; i++) note_cell(cells[i], shared + i * 2, access, *current);
}

void note_global(const void* memory, size_t bytes, Access access) {
	const char* p = static_cast<const char*>(memory);
	if (!settings.race_check || !current || (p >= current->stack_low && p < current->stack_low + kStackBytes)) return;
	Mapping* mapping = find_mapping(p);
	if (!mapping) return;
	const size_t offset = size_t(p - mapping->memory);
	if (offset + bytes > mapping->bytes) {  // exact, where the guard page rounds up to 16 bytes
		char text[160];
		std::snprintf(text, sizeof text, "global access out of bounds: offset %zu of a buffer of %zu bytes", offset, mapping->bytes);
		fail(text);
	}
	if (mapping->cells.empty()) mapping->cells.resize((mapping->bytes + 1) / 2);
	for (size_t i = offset / 2; i < (offset + bytes + 1) / 2; i++) note_cell(mapping->cells[i], i * 2, mapping->bytes, access, *current);
}

void note(const void* memory, size_t bytes, Access access) {
	if (!settings.race_check || !current) return;
	check_time();
	if (is_shared(memory)) note_shared(memory, bytes, access);
	else note_global(memory, bytes, access);
}

namespace {
void on_read(const void* p, size_t bytes) { note(p, bytes, Access::read); }
void on_write(const void* p, size_t bytes) { note(p, bytes, Access::write); }
}  // namespace

}  // namespace dreamdist::emulated

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
#define DD_ACCESS(n)                                                                      \
	void __tsan_read##n(void* p) { dreamdist::emulated::on_read(p, n); }                  \
	void __tsan_write##n(void* p) { dreamdist::emulated::on_write(p, n); }                \
	void __tsan_volatile_read##n(void* p) { dreamdist::emulated::on_read(p, n); }         \
	void __tsan_volatile_write##n(void* p) { dreamdist::emulated::on_write(p, n); }
DD_ACCESS(1) DD_ACCESS(2) DD_ACCESS(4) DD_ACCESS(8) DD_ACCESS(16)
#undef DD_ACCESS
#define DD_UNALIGNED(n)                                                                  \
	void __tsan_unaligned_read##n(void* p) { dreamdist::emulated::on_read(p, n); }        \
	void __tsan_unaligned_write##n(void* p) { dreamdist::emulated::on_write(p, n); }
DD_UNALIGNED(2) DD_UNALIGNED(4) DD_UNALIGNED(8) DD_UNALIGNED(16)
#undef DD_UNALIGNED
void __tsan_read_range(void* p, unsigned long n) { dreamdist::emulated::on_read(p, n); }
void __tsan_write_range(void* p, unsigned long n) { dreamdist::emulated::on_write(p, n); }
}
