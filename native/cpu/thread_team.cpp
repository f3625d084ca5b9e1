#include "dreamdist/thread_team.h"

#include <chrono>
#include <cstdlib>
#include <new>

namespace dreamdist {

namespace {
inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	asm volatile("yield");
#endif
}
// How long a member spins for the next section before it sleeps: longer than the gap between two kernels, far shorter than a frame.
constexpr auto kSpin = std::chrono::microseconds(60);
}  // namespace

ThreadTeam::ThreadTeam(int threads) : threads_(threads < 1 ? 1 : threads), slots_(threads_) {
	for (int i = 1; i < threads_; i++) members_.emplace_back([this, i] { member(i); });
}

ThreadTeam::~ThreadTeam() {
	{
		std::lock_guard lock(mutex_);
		stop_ = true;
		generation_.fetch_add(1, std::memory_order_release);
	}
	wake_.notify_all();
	for (auto& thread : members_) thread.join();
	for (auto& slot : slots_) std::free(slot.memory);
}

void* ThreadTeam::scratch(int thread, int64_t bytes) {
	Slot& slot = slots_[thread];
	if (slot.bytes < bytes) {
		std::free(slot.memory);
		slot.memory = nullptr;
		slot.bytes = 0;
		const int64_t rounded = (bytes + 4095) / 4096 * 4096;
		slot.memory = std::aligned_alloc(64, rounded);
		if (!slot.memory) throw std::bad_alloc();
		slot.bytes = rounded;
	}
	return slot.memory;
}

void ThreadTeam::run_all(Section section, void* context) {
	section_ = section;
	context_ = context;
	running_.store(threads_ - 1, std::memory_order_relaxed);
	generation_.fetch_add(1, std::memory_order_seq_cst);
	if (sleepers_.load(std::memory_order_seq_cst) > 0) {
		std::lock_guard lock(mutex_);
		wake_.notify_all();
	}
	try {
		section(context, 0);
	} catch (...) {
		slots_[0].error = std::current_exception();
	}
	for (int spins = 0; running_.load(std::memory_order_acquire) > 0; spins++) {
		if (spins < 4096) relax();
		else std::this_thread::yield();  // more threads than cores: let the others finish
	}
	std::exception_ptr first;
	for (auto& slot : slots_) {
		if (slot.error && !first) first = slot.error;
		slot.error = nullptr;
	}
	if (first) std::rethrow_exception(first);
}

void ThreadTeam::member(int thread) {
	uint64_t seen = 0;
	for (;;) {
		const auto until = std::chrono::steady_clock::now() + kSpin;
		for (int spins = 0; generation_.load(std::memory_order_acquire) == seen; spins++) {
			relax();
			if ((spins & 63) == 63 && std::chrono::steady_clock::now() > until) {
				std::unique_lock lock(mutex_);
				sleepers_.fetch_add(1, std::memory_order_seq_cst);
				wake_.wait(lock, [&] { return generation_.load(std::memory_order_seq_cst) != seen; });
				sleepers_.fetch_sub(1, std::memory_order_relaxed);
			}
		}
		seen = generation_.load(std::memory_order_acquire);
		if (stop_) return;
		try {
			section_(context_, thread);
		} catch (...) {
			slots_[thread].error = std::current_exception();
		}
		running_.fetch_sub(1, std::memory_order_release);
	}
}

}  // namespace dreamdist
