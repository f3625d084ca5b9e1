// Shared and global memory of the emulated device, and what happens when a kernel leaves them.
#include <csignal>
#include <cstdio>
#include <ctime>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dreamdist/types.h"
#include "state.h"

namespace dreamdist::emulated {

volatile sig_atomic_t expired = 0;
char *shared = nullptr, *dynamic_shared = nullptr;
size_t dynamic_bytes = 0, static_bytes = 0;

namespace {

struct StaticArray {
	const void* key;
	size_t offset, bytes;
};
std::vector<StaticArray> statics;
// Buffers come and go on other threads while a kernel runs; a kernel itself never allocates.
constexpr size_t kSpareBytes = 16 << 20, kSpareCount = 32;
struct Registry {
	std::mutex mutex;
	std::map<const char*, Mapping> mappings;      // by lowest address
	Mapping* latest = nullptr;                    // found last
	std::map<size_t, std::vector<char*>> spare;   // small mappings to use again, by length
};
Registry& registry() {
	static Registry& made = *new Registry;  // never destroyed: memory may be released while the process exits
	return made;
}

thread_local bool inside = false;
struct Inside {
	Inside() { inside = true; }
	~Inside() { inside = false; }
};

size_t pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// ---- Faults. Handlers act only on the thread that runs a kernel; everything else goes to whoever handled it before.

struct sigaction previous_fault[2], previous_timer;
thread_local bool is_launcher = false;
timer_t watchdog;
thread_local bool has_watchdog = false;

[[noreturn]] void leave(const std::string& message) {
	failed = true;
	failure = message + " at " + where(*current);
	current = nullptr;
	siglongjmp(leave_kernel, 1);
}

void pass_on(const struct sigaction& previous, int signal, siginfo_t* info, void* context) {
	if (previous.sa_flags & SA_SIGINFO) previous.sa_sigaction(signal, info, context);
	else if (previous.sa_handler == SIG_DFL) ::signal(signal, SIG_DFL);  // it comes again, with the default action
	else if (previous.sa_handler != SIG_IGN) previous.sa_handler(signal);
}

void on_fault(int signal, siginfo_t* info, void* context) {
	if (!is_launcher || !in_kernel || !current) return pass_on(previous_fault[signal == SIGBUS], signal, info, context);
	const char* address = static_cast<char*>(info->si_addr);
	char text[200];
	if (address >= current->stack_low - kPage && address < current->stack_low)
		std::snprintf(text, sizeof text, "a thread's stack overflows (%zu KiB)", kStackBytes / 1024);
	else if (address >= shared + kSharedBytes && address < shared + kSharedBytes + kPage)
		std::snprintf(text, sizeof text, "shared memory access %ld bytes past the end", long(address - shared - kSharedBytes) + 1);
	else if (const Mapping* mapping = find_mapping(address))
		std::snprintf(text, sizeof text, "global access out of bounds: offset %ld of a buffer of %zu bytes", long(address - mapping->memory), mapping->bytes);
	else std::snprintf(text, sizeof text, "invalid global access at %p", static_cast<const void*>(address));
	leave(text);
}

std::string out_of_time() { return "no end after " + std::to_string(settings.timeout_seconds) + " s of CPU time (spinning?)"; }

void on_timer(int signal, siginfo_t* info, void* context) {
	if (!is_launcher || !in_kernel || !current) return pass_on(previous_timer, signal, info, context);
	// The emulator may be at work for this thread, holding a lock or in the middle of an allocation: it notices at its next entry
	// (check_time). Who has not entered it a second later spins in the kernel's own code, which can be left anywhere.
	if (expired) leave(out_of_time());
	expired = 1;
	arm_watchdog(1);
}

}  // namespace

// ---- Global memory

Mapping* find_mapping(const char* p) {
	Registry& r = registry();
	std::lock_guard lock(r.mutex);
	if (r.latest && p >= r.latest->low && p < r.latest->low + r.latest->length) return r.latest;
	auto found = r.mappings.upper_bound(p);
	if (found == r.mappings.begin()) return nullptr;
	Mapping& mapping = (--found)->second;
	if (p >= mapping.low + mapping.length) return nullptr;
	return r.latest = &mapping;
}

char* map_guarded(size_t bytes) {
	const size_t body = pages(bytes), length = body + 2 * kPage;
	void* low = mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (low == MAP_FAILED) throw Error("the system refused " + std::to_string(bytes >> 20) + " MiB of memory");
	if (mprotect(static_cast<char*>(low) + kPage, body, PROT_READ | PROT_WRITE)) {
		munmap(low, length);
		throw Error("the system refused " + std::to_string(bytes >> 20) + " MiB of memory");
	}
	return static_cast<char*>(low);
}

void* allocate(size_t bytes) {
	const size_t rounded = bytes ? (bytes + 15) / 16 * 16 : 16, length = pages(rounded) + 2 * kPage;
	const Inside mark;
	Registry& r = registry();
	std::lock_guard lock(r.mutex);
	char* low = nullptr;
	if (auto& kept = r.spare[length]; !kept.empty()) {
		low = kept.back();
		kept.pop_back();
	} else low = map_guarded(rounded);
	char* memory = low + length - kPage - rounded;
	std::memset(memory, 0xff, rounded);
	r.mappings[low] = {low, length, memory, bytes, {}};
	return memory;
}

void release(void* memory) {
	Mapping* mapping = find_mapping(static_cast<char*>(memory));
	if (!mapping || mapping->memory != memory) throw Error("released memory that the emulated device does not have");
	char* low = mapping->low;
	const size_t length = mapping->length;
	const Inside mark;
	Registry& r = registry();
	std::lock_guard lock(r.mutex);
	if (r.latest == mapping) r.latest = nullptr;
	r.mappings.erase(low);
	if (auto& kept = r.spare[length]; length <= kSpareBytes && kept.size() < kSpareCount) kept.push_back(low);
	else munmap(low, length);
}

bool keeping_books() { return inside || in_kernel; }
bool is_allocated(const void* p) { return find_mapping(static_cast<const char*>(p)) != nullptr; }

// ---- Shared memory

void* shared_static(const void* key, size_t bytes, size_t alignment) {
	for (const StaticArray& array : statics)
		if (array.key == key) return shared + array.offset;
	const size_t offset = (static_bytes + 16 + alignment - 1) / alignment * alignment;  // with a gap before it
	static_bytes = offset + bytes;
	if (shared + static_bytes > dynamic_shared) fail("the static shared arrays do not fit");
	std::memset(shared + offset, 0xff, bytes);
	statics.push_back({key, offset, bytes});
	return shared + offset;
}

unsigned char* shared_dynamic() { return reinterpret_cast<unsigned char*>(dynamic_shared); }

void reset_statics() {
	statics.clear();
	static_bytes = 0;
}

void poison_shared() {
	// 0xffff is NaN in f32, bf16 and f16.
	std::memset(dynamic_shared, 0xff, dynamic_bytes);
	std::memset(shared, 0xff, static_bytes);
}

// ---- Handlers

void install_handlers() {
	if (!shared) {
		shared = map_guarded(kSharedBytes) + kPage;
		struct sigaction fault = {}, timer = {};
		fault.sa_sigaction = on_fault;
		timer.sa_sigaction = on_timer;
		fault.sa_flags = timer.sa_flags = SA_SIGINFO | SA_ONSTACK;
		sigaction(SIGSEGV, &fault, &previous_fault[0]);
		sigaction(SIGBUS, &fault, &previous_fault[1]);
		sigaction(SIGVTALRM, &timer, &previous_timer);
	}
	if (is_launcher) return;
	is_launcher = true;
	// A fiber's own stack may be what overflowed, so handlers of this thread run on another; it lives as long as the process.
	stack_t alternate = {};
	alternate.ss_size = 64 * 1024;
	alternate.ss_sp = map_guarded(alternate.ss_size) + kPage;
	sigaltstack(&alternate, nullptr);
}

void end_out_of_time() {
	expired = 0;
	fail(out_of_time());
}

void arm_watchdog(int seconds) {
	// Counts the CPU time of this thread and signals this thread: a process has others.
	if (!has_watchdog) {
		sigevent event = {};
		event.sigev_notify = SIGEV_THREAD_ID;
		event.sigev_signo = SIGVTALRM;
		event._sigev_un._tid = pid_t(syscall(SYS_gettid));
		if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &watchdog)) throw Error("the emulated device could not make its watchdog");
		has_watchdog = true;
	}
	itimerspec time = {};
	time.it_value.tv_sec = seconds;
	timer_settime(watchdog, 0, &time, nullptr);
}

}  // namespace dreamdist::emulated
