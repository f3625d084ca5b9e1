// Launches: blocks one after another, a block's threads as fibers, and the places where they wait for each other.
#include <cstdio>
#include <cstdlib>
#include <map>

#include "dreamdist/types.h"
#include "state.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

#if defined(__x86_64__) && !defined(DD_UCONTEXT)
asm(R"(
.text
.globl dreamdist_switch_stack
.hidden dreamdist_switch_stack
.type dreamdist_switch_stack,@function
dreamdist_switch_stack:
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp,(%rdi)
	movq %rsi,%rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret
.size dreamdist_switch_stack,.-dreamdist_switch_stack
)");
#endif

namespace dreamdist::emulated {

Settings settings;
int mutant = 0;
Counters counters;
uint64_t launches = 0;

std::vector<Fiber> fibers;
Fiber* current = nullptr;
Warp warps[kMaxWarps];
int current_warp = 0;
bool in_kernel = false, failed = false;
std::string failure;
sigjmp_buf leave_kernel;

namespace {

FiberContext launcher;
uint32_t ready_warps;
int threads, warp_count, living, arrived, exited;
Site barrier_site;
void (*kernel_body)(void*);
void* kernel_context;
uint64_t random_state;
unsigned overtaking;  // of 64, drawn per block: how often a warp may be overtaken at a collective
int reduced, reduce_result, reduce_arrived;

uint64_t next_random() {
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

int pick_bit(uint32_t mask) {
	if (settings.order == Order::forward) return __builtin_ctz(mask);
	if (settings.order == Order::reverse) return 31 - __builtin_clz(mask);
	for (unsigned k = next_random() % __builtin_popcount(mask); k; k--) mask &= mask - 1;
	return __builtin_ctz(mask);
}

// Back to the launcher, never to return here.
[[noreturn]] void give_up(const std::string& message) {
	if (!failed) {
		failed = true;
		failure = message;
	}
	Fiber* fiber = current;
	current = nullptr;
	switch_context(fiber->context, launcher);
	std::abort();
}

std::string deadlock() {
	std::map<std::string, int> places;
	for (int i = 0; i < threads; i++) {
		const Fiber& fiber = fibers[i];
		if (fiber.wait == Wait::exited) places["have returned"]++;
		else places[(fiber.wait == Wait::barrier ? "at the block barrier " : "at the warp collective ") + describe(fiber.site)]++;
	}
	std::string text = "deadlock:";
	for (auto& [place, count] : places) text += " " + std::to_string(count) + " threads " + place + ";";
	return text;
}

// Leaves the current fiber, whose state says why, for the next one that can run; stays in the warp while it has such lanes.
void switch_to_next(bool choose_warp) {
	if (choose_warp || !warps[current_warp].ready) {
		if (!ready_warps) {
			if (living) give_up(deadlock());
			Fiber* fiber = current;
			current = nullptr;
			switch_context(fiber->context, launcher);
			return;
		}
		current_warp = pick_bit(ready_warps);
	}
	Fiber* next = &fibers[current_warp * 32 + pick_bit(warps[current_warp].ready)];
	Fiber* previous = current;
	if (next == previous) return;
	counters.switches++;
	current = next;
	switch_context(previous->context, next->context);
	threadIdx = current->thread;
}

void stop_lane(const Fiber& fiber) {
	Warp& warp = warps[fiber.warp];
	warp.ready &= ~(1u << fiber.lane);
	if (!warp.ready) ready_warps &= ~(1u << fiber.warp);
}
void wake_lanes(int warp, uint32_t mask) {
	if (!mask) return;
	warps[warp].ready |= mask;
	ready_warps |= 1u << warp;
}

void fiber_main() {
	threadIdx = current->thread;
	kernel_body(kernel_context);
	Fiber& fiber = *current;
	if (!fiber.copies.empty()) fail("a thread returned with asynchronous copies that it had not waited for");
	fiber.wait = Wait::exited;
	living--;
	exited++;
	warps[fiber.warp].exited |= 1u << fiber.lane;
	stop_lane(fiber);
	if (arrived && settings.strict_exit) fail("a thread returned while others wait at __syncthreads " + describe(barrier_site));
	switch_to_next(false);
	std::abort();
}

void begin_fibers() {
	for (int i = 0; i < warp_count; i++) {
		const int lanes = threads - i * 32;
		const uint32_t all = lanes >= 32 ? 0xffffffffu : (1u << lanes) - 1;
		warps[i] = {all, 0, 0, all, next_warp_epoch()};
		ready_warps |= 1u << i;
	}
	for (int i = 0; i < threads; i++) {
		Fiber& fiber = fibers[i];
		fiber.thread = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
		fiber.index = i;
		fiber.warp = i / 32;
		fiber.lane = i % 32;
		fiber.wait = Wait::running;
		fiber.copies.clear();
		fiber.group = 0;
		// Staggered, so that equal frames do not fall into the same cache sets.
		fiber.context.make(fiber.stack_top - i * 64 % 4096, kStackBytes - 4096, fiber_main);
	}
}

void run_block(uint32_t index) {
	counters.blocks++;
	race_begin_block(index);
	arrived = exited = reduce_arrived = 0;
	living = threads;
	ready_warps = 0;
	poison_shared();
	begin_fibers();
	constexpr unsigned kOvertaking[4] = {0, 1, 8, 40};
	if (settings.order == Order::random) overtaking = kOvertaking[next_random() & 3];
	current_warp = pick_bit(ready_warps);
	current = &fibers[current_warp * 32 + pick_bit(warps[current_warp].ready)];
	if (!sigsetjmp(leave_kernel, 1)) switch_context(launcher, current->context);
}

// The kernel's name out of __PRETTY_FUNCTION__: "… [with auto Kernel = name<64>; Arguments = {…}]" (clang: "[Kernel = &name<64>, …]").
std::string kernel_name(const char* signature) {
	std::string text = signature;
	const size_t at = text.find("Kernel = ");
	if (at == std::string::npos) return text;
	text = text.substr(at + 9);
	if (!text.empty() && text[0] == '&') text = text.substr(1);
	int depth = 0;
	for (size_t i = 0; i < text.size(); i++) {
		if (text[i] == '<') depth++;
		if (text[i] == '>') depth--;
		if (depth == 0 && (text[i] == ';' || text[i] == ',' || text[i] == ']')) return text.substr(0, i);
	}
	return text;
}

void make_fibers(int count) {
	while ((int)fibers.size() < count) {
		Fiber fiber;
		fiber.stack_low = map_guarded(kStackBytes) + kPage;
		fiber.stack_top = fiber.stack_low + kStackBytes;
		fibers.push_back(std::move(fiber));
	}
}

}  // namespace

const char* context_switch_kind() { return switch_kind(); }

std::string where(const Fiber& fiber) {
	char text[160];
	std::snprintf(text, sizeof text, "block (%u,%u,%u) thread (%u,%u,%u) [warp %d lane %d]", blockIdx.x, blockIdx.y, blockIdx.z, fiber.thread.x,
				  fiber.thread.y, fiber.thread.z, fiber.warp, fiber.lane);
	return text;
}
std::string describe(Site site) {
	const char* slash = std::strrchr(site.file, '/');
	return std::string(slash ? slash + 1 : site.file) + ":" + std::to_string(site.line);
}

void fail(const std::string& message) { give_up(message + " at " + where(*current)); }

void check_alignment(const void* p, size_t alignment, const char* what) {
	if (reinterpret_cast<uintptr_t>(p) & (alignment - 1)) fail(std::string(what) + ": misaligned address");
}

void barrier(Site site) {
	check_time();
	Fiber& fiber = *current;
	if (exited && settings.strict_exit) fail("__syncthreads after other threads returned, " + describe(site));
	if (!arrived) barrier_site = site;
	else if (!same_site(barrier_site, site)) fail("threads meet at different barriers " + describe(barrier_site) + " and " + describe(site));
	fiber.wait = Wait::barrier;
	fiber.site = site;
	stop_lane(fiber);
	if (++arrived == threads - (settings.strict_exit ? 0 : exited)) {
		arrived = 0;
		race_block_barrier();
		counters.barriers++;
		for (int i = 0; i < warp_count; i++) {
			wake_lanes(i, warps[i].all & ~warps[i].exited);
			warps[i].epoch = next_warp_epoch();
		}
		switch_to_next(true);
	} else switch_to_next(false);
	fiber.wait = Wait::running;
}

int barrier_reduce(int value, Reduce kind, Site site) {
	if (!reduce_arrived) reduced = kind == Reduce::all;
	if (kind == Reduce::count) reduced += value != 0;
	else if (kind == Reduce::all) reduced = reduced && value;
	else reduced = reduced || value;
	if (++reduce_arrived == threads) {
		reduce_result = reduced;
		reduce_arrived = 0;
	}
	barrier(site);
	return reduce_result;
}

void collective(CollectiveBody body, uint32_t mask, void* argument, const char* what, Site site) {
	check_time();
	Fiber& fiber = *current;
	Warp& warp = warps[fiber.warp];
	const uint32_t bit = 1u << fiber.lane;
	auto at = [&] { return std::string(what) + " " + describe(site); };
	mask &= warp.all;  // lanes that a last, partial warp lacks do not count
	if (!(mask & bit)) fail(at() + ": the calling lane is not in the mask");
	if (mask & warp.exited) fail(at() + ": the mask names lanes that have returned");
	if (const uint32_t others = warp.waiting & mask) {
		const Fiber& other = fibers[fiber.warp * 32 + __builtin_ctz(others)];
		if (other.body != body || other.mask != mask || !same_site(other.site, site))
			fail(at() + ": the warp's lanes diverge, lane " + std::to_string(other.lane) + " is at " + describe(other.site));
	}
	fiber.body = body;
	fiber.mask = mask;
	fiber.argument = argument;
	fiber.site = site;
	fiber.wait = Wait::collective;
	warp.waiting |= bit;
	stop_lane(fiber);
	if ((warp.waiting & mask) == mask) {
		void* arguments[32];
		for (uint32_t rest = mask; rest; rest &= rest - 1) {
			const int lane = __builtin_ctz(rest);
			arguments[lane] = fibers[fiber.warp * 32 + lane].argument;
		}
		body(arguments, mask);
		counters.collectives++;
		warp.waiting &= ~mask;
		wake_lanes(fiber.warp, mask);
		switch_to_next(settings.order == Order::random && next_random() % 64 < overtaking);
	} else switch_to_next(false);
	fiber.wait = Wait::running;
}

void run(const char* signature, dim3 grid, dim3 block, size_t shared_bytes, void (*body)(void*), void* context) {
	install_handlers();
	auto refuse = [&](const std::string& message) { throw Error("kernel " + kernel_name(signature) + ": " + message); };
	if (in_kernel) refuse("launched inside a kernel");
	const size_t block_threads = size_t(block.x) * block.y * block.z, blocks = size_t(grid.x) * grid.y * grid.z;
	if (!block_threads || block_threads > kMaxThreads || block.z > 64) refuse("invalid block size");
	if (!blocks || grid.y > 65535 || grid.z > 65535 || grid.x > 0x7fffffffu) refuse("invalid grid size");
	if (shared_bytes > settings.shared_limit) refuse("too much dynamic shared memory");
	make_fibers(int(block_threads));
	counters = {};
	launches++;
	threads = int(block_threads);
	warp_count = (threads + 31) / 32;
	blockDim = block;
	gridDim = grid;
	kernel_body = body;
	kernel_context = context;
	race_begin_launch();
	reset_statics();
	dynamic_bytes = (shared_bytes + 15) / 16 * 16;
	dynamic_shared = shared + kSharedBytes - dynamic_bytes;
	if (settings.order == Order::random) {
		random_state = settings.seed * 0x9E3779B97F4A7C15ull | 1;
		for (int i = 0; i < 4; i++) next_random();
	}
	const size_t shift = settings.order == Order::random ? next_random() % blocks : 0;
	expired = 0;
	arm_watchdog(settings.timeout_seconds);
	failed = false;
	in_kernel = true;
	for (size_t b = 0; b < blocks && !failed; b++) {
		const size_t index = settings.order == Order::reverse ? blocks - 1 - b : (b + shift) % blocks;
		blockIdx = {unsigned(index % grid.x), unsigned(index / grid.x % grid.y), unsigned(index / grid.x / grid.y)};
		run_block(uint32_t(index));
	}
	in_kernel = false;
	current = nullptr;
	arm_watchdog(0);
	if (failed) refuse(failure);
}

}  // namespace dreamdist::emulated
