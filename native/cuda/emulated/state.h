// What the emulator's files share. One OS thread at a time.
#pragma once
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include "context_switch.h"
#include "emulator.h"

namespace dreamdist::emulated {

constexpr size_t kPage = 4096, kStackBytes = 128 * 1024, kSharedBytes = 256 * 1024;
constexpr int kMaxThreads = 1024, kMaxWarps = 32;

enum class Wait : uint8_t { running, barrier, collective, exited };

struct PendingCopy {
	char* to;
	const char* from;
	int bytes, read;  // of the destination; of them from the source, zeros after
	int group;
};

using CollectiveBody = void (*)(void** arguments, uint32_t mask);

struct Fiber {
	FiberContext context;
	char *stack_low = nullptr, *stack_top = nullptr;
	uint3 thread;
	int index = 0, warp = 0, lane = 0;
	Wait wait = Wait::running;
	Site site = {nullptr, 0};  // where it waits
	CollectiveBody body = nullptr;
	uint32_t mask = 0;
	void* argument = nullptr;
	std::vector<PendingCopy> copies;
	int group = 0;  // committed groups of asynchronous copies
};

// Bit per lane.
struct Warp {
	uint32_t ready, waiting, exited, all;
	uint32_t epoch;  // advanced whenever the whole warp is synchronised
};

extern std::vector<Fiber> fibers;
extern Fiber* current;  // null outside kernels
extern Warp warps[kMaxWarps];
extern int current_warp;
extern bool in_kernel, failed;
extern std::string failure;
extern sigjmp_buf leave_kernel;

// Shared memory: [shared, shared + kSharedBytes), static arrays from the front, the dynamic part flush with the end.
extern char *shared, *dynamic_shared;
extern size_t dynamic_bytes, static_bytes;
void reset_statics();
void poison_shared();

std::string where(const Fiber& fiber);
std::string describe(Site site);
inline bool same_site(Site a, Site b) { return a.line == b.line && (a.file == b.file || !std::strcmp(a.file, b.file)); }

// A collective of the lanes in `mask`: the last one to come runs `body` over the arguments of all.
void collective(CollectiveBody body, uint32_t mask, void* argument, const char* what, Site site);
// Lets the copies of groups up to `group` land.
void land_copies(Fiber& fiber, int group);

// memory.cpp: pages, fault handlers, the watchdog.
struct GlobalCell {  // of the race check, per 2 bytes of global memory: the last write, the reads, the last atomic
	uint32_t write_epoch, write_block, read_epoch, read_block, atomic_epoch, atomic_block;
	uint16_t write_thread, read_thread, atomic_thread;
};
struct Mapping {
	char* low;
	size_t length;  // with its guard pages
	char* memory;
	size_t bytes;
	std::vector<GlobalCell> cells;
};
// The mapping whose pages hold `p`, or null.
Mapping* find_mapping(const char* p);
char* map_guarded(size_t bytes);
void install_handlers();
void arm_watchdog(int seconds);
extern volatile sig_atomic_t expired;  // the launch has run for too long
void end_out_of_time();
// At every entry from a kernel, before anything is held.
inline void check_time() {
	if (expired) end_out_of_time();
}

// race_check.cpp
enum class Access { read, write, atomic, copy_issued, copy_landed };
void note_shared(const void* p, size_t bytes, Access access);
void note_global(const void* p, size_t bytes, Access access);
void note(const void* p, size_t bytes, Access access);  // either
inline bool is_shared(const void* p) {
	const char* c = static_cast<const char*>(p);
	return c >= shared && c < shared + kSharedBytes;
}
void race_begin_launch();
void race_begin_block(uint32_t block);
void race_block_barrier();
uint32_t next_warp_epoch();

}  // namespace dreamdist::emulated
