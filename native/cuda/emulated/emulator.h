// The emulated device: one block at a time, its threads as fibers on the calling thread.
//
// It runs kernels for their meaning, not their speed, and looks for mistakes: shared memory starts as NaN, asynchronous copies land as
// late as they may, memory ends at inaccessible pages, threads that meet at different places are reported, and where kernels are
// compiled with -fsanitize=thread (libtsan is not linked) every load and store is checked for races (race_check.cpp).
// All state is global and one process has one emulated device. These files are never compiled with -fsanitize=thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "language.h"

namespace dreamdist::emulated {

// ---- Settings and counters

enum class Order { forward, reverse, random };
struct Settings {
	Order order = Order::forward;      // of lanes, warps and blocks
	uint64_t seed = 1;                 // for Order::random
	bool strict_exit = true;           // a thread that returned while others wait at a barrier is an error
	bool race_check = false;           // complete only for kernels compiled with -fsanitize=thread
	bool blocks_may_meet = false;      // race check: plain accesses of different blocks to the same place are not reported
	int timeout_seconds = 60;          // CPU time of one launch
	size_t shared_limit = 227 * 1024;  // bytes a block may have: 227 KiB on sm_90, 163 KiB on sm_80, 99 KiB on sm_86 and sm_89
};
extern Settings settings;

// The fault that GPU_MUTANT(n) plants; 0: none.
extern int mutant;

// Of the last launch.
struct Counters {
	uint64_t blocks, switches, barriers, collectives, mma, ldmatrix, ldmatrix_conflicts, async_copies;
};
extern Counters counters;
// Launches of this process.
extern uint64_t launches;

const char* context_switch_kind();

// ---- Memory

// Device memory: a mapping of its own between inaccessible pages, its end flush with the next (to 16 bytes), filled with 0xff.
void* allocate(size_t bytes);
void release(void* memory);
// Whether `p` points into memory from allocate().
bool is_allocated(const void* p);
// Whether the emulator itself is at work on this thread: what is allocated then is its own.
bool keeping_books();

// ---- What launches and kernels call, through gpu_emulated.h

struct Site {
	const char* file;
	int line;
};
enum class Reduce { count, all, any };
enum class Shuffle { index, up, down, exclusive_or };

void run(const char* signature, dim3 grid, dim3 block, size_t shared_bytes, void (*body)(void*), void* context);
// Ends the launch with an error; called inside a kernel.
[[noreturn]] void fail(const std::string& message);
void check_alignment(const void* p, size_t alignment, const char* what);

void* shared_static(const void* key, size_t bytes, size_t alignment);
unsigned char* shared_dynamic();
void barrier(Site site);
int barrier_reduce(int value, Reduce kind, Site site);
void sync_warp(unsigned mask, Site site);
uint32_t shuffle(unsigned mask, uint32_t value, Shuffle kind, int argument, int width, Site site);
uint32_t ballot(unsigned mask, int predicate, Site site);
void copy_async16(void* to, const void* from, bool valid = true);
void copy_async16_part(void* to, const void* from, int bytes);
void copy_async4(void* to, const void* from, bool valid = true);
void copy_async_commit();
void copy_async_wait(int pending);
void ldmatrix(uint32_t (&r)[4], const void* row, bool transpose, Site site);
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, bool is_f16, Site site);
void mma_m16n8k8(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Site site);
// Fibers are never preempted, so plain operations are atomic; they live here to be told apart from plain accesses.
float atomic_add(float* p, float value);
int atomic_add(int* p, int value);
int atomic_min(int* p, int value);
int atomic_compare_and_swap(int* p, int expected, int value);

}  // namespace dreamdist::emulated
