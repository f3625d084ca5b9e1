// A persistent team of threads owned by one device worker.
//
// The calling thread is member 0; the others wait (spinning briefly, then sleeping) for the next parallel section. Work is cut into
// the same contiguous pieces whatever the timing, so two runs with one thread count give the same bits.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <condition_variable>
#include <thread>
#include <vector>

namespace dreamdist {

class ThreadTeam {
public:
	explicit ThreadTeam(int threads);
	~ThreadTeam();
	ThreadTeam(const ThreadTeam&) = delete;
	ThreadTeam& operator=(const ThreadTeam&) = delete;

	int size() const { return threads_; }

	// Calls body(begin, end, thread) once per member with a contiguous share of [0, count), shares rounded to multiples of `grain`.
	// Returns when all are done; the first exception of any member is rethrown here. Must not be nested.
	template <class Body>
	void parallel_for(int64_t count, int64_t grain, Body&& body) {
		if (count <= 0) return;
		const int64_t grains = (count + grain - 1) / grain;
		if (threads_ == 1 || grains == 1) return body(int64_t{0}, count, 0);
		auto share = [&](int thread) {
			const int64_t begin = grains * thread / threads_ * grain;
			const int64_t end = std::min(count, grains * (thread + 1) / threads_ * grain);
			if (begin < end) body(begin, end, thread);
		};
		run_all([](void* context, int thread) { (*static_cast<decltype(share)*>(context))(thread); }, &share);
	}

	// Calls body(index, thread) for every index in [0, count); members take the next index when free (for uneven pieces of work
	// whose results do not depend on who computes them).
	template <class Body>
	void parallel_dynamic(int64_t count, Body&& body) {
		if (count <= 0) return;
		if (threads_ == 1 || count == 1) {
			for (int64_t i = 0; i < count; i++) body(i, 0);
			return;
		}
		std::atomic<int64_t> next{0};
		auto take = [&](int thread) {
			for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) body(i, thread);
		};
		run_all([](void* context, int thread) { (*static_cast<decltype(take)*>(context))(thread); }, &take);
	}

	// Scratch memory of one member, at least `bytes` long, 64-byte aligned, contents undefined, valid until the member's next call.
	// Kept and grown; kernels keep it under kScratchBudget so that the plan's fixed part covers it.
	void* scratch(int thread, int64_t bytes);
	static constexpr int64_t kScratchBudget = 8 << 20;

private:
	using Section = void (*)(void*, int);
	void run_all(Section section, void* context);
	void member(int thread);

	int threads_;
	std::vector<std::thread> members_;
	struct alignas(64) Slot {
		void* memory = nullptr;
		int64_t bytes = 0;
		std::exception_ptr error;
	};
	std::vector<Slot> slots_;
	alignas(64) std::atomic<uint64_t> generation_{0};
	alignas(64) std::atomic<int> running_{0};
	std::atomic<int> sleepers_{0};
	std::mutex mutex_;
	std::condition_variable wake_;
	Section section_ = nullptr;
	void* context_ = nullptr;
	bool stop_ = false;
};

}  // namespace dreamdist
