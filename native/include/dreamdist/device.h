// A device: memory, programs over it, and one worker that runs them in order.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "dreamdist/backend.h"
#include "dreamdist/kernels.h"

namespace dreamdist {

// Device memory with a life of its own: state, packed weights. Zero when made.
class Buffer {
public:
	Buffer(BackendPtr backend, int64_t bytes);
	~Buffer();
	Buffer(const Buffer&) = delete;
	Buffer& operator=(const Buffer&) = delete;
	uint8_t* data() const { return data_; }
	int64_t bytes() const { return bytes_; }

private:
	BackendPtr backend_;
	uint8_t* data_ = nullptr;
	int64_t bytes_ = 0;
};
using BufferPtr = std::shared_ptr<Buffer>;

// Where an operand lives: in the arena all programs of a device share, or in a buffer of its own.
struct Slot {
	int32_t buffer = -1;  // index into ProgramSpec::buffers; -1: the arena
	int64_t offset = 0;   // bytes
	DType dtype = DType::f32;
};

struct Call {
	const KernelInfo* kernel = nullptr;
	std::vector<int32_t> slots;  // -1: absent operand
	std::vector<int64_t> ints;
	std::vector<double> floats;
	int64_t scratch_offset = 0;  // bytes into the arena
	TileChoice choice = {};
	std::string label;           // what the user called it, for errors
};

struct Region {
	int64_t offset = 0, bytes = 0;  // in the arena
};

// Which form of programs and objects the addon takes: surface.ts of @dreamdist/native-cuda names the same number. Whoever changes the form, a kernel's
// operands or its integers, counts both up, so that an addon that was not built again is refused by name.
constexpr int ADDON_INTERFACE = 1;

struct ProgramSpec {
	std::vector<BufferPtr> buffers;
	std::vector<Slot> slots;
	std::vector<Call> calls;
	std::vector<Region> inputs, outputs;
	int64_t arena_bytes = 0;
	int32_t commit = 0;  // index of the first call that writes state: from there on a run is no longer stopped
};

class Device;

class Program {
public:
	Program(ProgramSpec spec) : spec(std::move(spec)) {}
	const ProgramSpec spec;

private:
	friend class Device;
	std::vector<Operand> operands_;  // of all calls, one after another, resolved against base_
	uint8_t* base_ = nullptr;
	std::unique_ptr<Recording> recording_;
};
using ProgramPtr = std::shared_ptr<Program>;

struct RunRequest {
	ProgramPtr program;
	std::vector<std::vector<uint8_t>> inputs;  // one per region
	std::vector<uint8_t*> outputs;             // one per region; null: not wanted
	double* profile = nullptr;                 // microseconds per call, if wanted
	bool cold = false;                         // each call of a profile finds caches that hold other data
	bool poison = false;                       // fill the arena with NaN first
	std::atomic<bool> abort{false};
};

// Why work failed; `none`: it did not.
enum class Failure { none, device, aborted, memory };

class Device {
public:
	// `threads`: of the CPU's team, which computes on the CPU and packs weights for every device.
	Device(BackendPtr backend, int threads);
	~Device();

	const KernelTable& table() const { return backend_->table(); }
	Backend& backend() { return *backend_; }
	// From any thread.
	BufferPtr allocate(int64_t bytes) { return std::make_shared<Buffer>(backend_, bytes); }
	int threads() const { return threads_; }

	// Queues work for the worker; `done` is called there with an empty string or the error's sentence.
	using Done = std::function<void(std::string error, Failure kind)>;
	void submit(std::function<void()> work, Done done);
	// The work of one run; called on the worker. Throws.
	void execute(RunRequest& request);
	ThreadTeam& team() { return *team_; }
	// Makes the arena large enough for a program now rather than in its first run. On the worker. Throws OutOfMemory.
	void prepare(const Program& program) { arena_of(program.spec.arena_bytes); }
	// The arena is as large as the largest plan of the programs alive.
	void reserve(int64_t bytes);
	void release(int64_t bytes);
	int64_t arena_bytes() const { return arena_ ? arena_->bytes() : 0; }
	// Stops taking work, asks runs to stop and waits for the worker. Queued work is dropped.
	void shutdown();
	bool stopping() const { return stopping_.load(std::memory_order_relaxed); }

private:
	void loop();
	struct Job {
		std::function<void()> work;
		Done done;
	};
	uint8_t* arena_of(int64_t bytes);
	bool stopped(const RunRequest& request) const;
	void run_calls(RunRequest& request, uint8_t* base);
	const BackendPtr backend_;
	const int threads_;
	std::unique_ptr<ThreadTeam> team_;
	std::unique_ptr<Buffer> arena_;
	std::vector<int64_t> plans_;
	std::mutex mutex_;
	std::condition_variable wake_;
	std::deque<Job> queue_;
	std::atomic<int> pending_{0};
	std::atomic<bool> stopping_{false};
	std::thread worker_;
};

}  // namespace dreamdist
