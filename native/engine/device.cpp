#include "dreamdist/device.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

namespace dreamdist {

Buffer::Buffer(BackendPtr backend, int64_t bytes) : backend_(std::move(backend)), bytes_(bytes) {
	if (bytes > 0) data_ = backend_->allocate(bytes);
}

Buffer::~Buffer() {
	if (data_) backend_->release(data_, bytes_);
}

// ---- Device

namespace {
// How long the worker looks for the next run before it sleeps: a script that awaits each step pays no wake-up.
constexpr auto kSpin = std::chrono::microseconds(50);
}  // namespace

Device::Device(BackendPtr backend, int threads) : backend_(std::move(backend)), threads_(std::max(1, threads)) {
	worker_ = std::thread([this] { loop(); });
}

Device::~Device() { shutdown(); }

void Device::shutdown() {
	{
		std::lock_guard lock(mutex_);
		if (stopping_.exchange(true)) {
			if (!worker_.joinable()) return;
		}
		pending_.fetch_add(1);
	}
	wake_.notify_all();
	if (worker_.joinable()) worker_.join();
	// Whoever waits for what was still queued is told, or would wait for ever.
	std::deque<Job> dropped;
	{
		std::lock_guard lock(mutex_);
		dropped.swap(queue_);
	}
	for (Job& job : dropped) job.done("the device was disposed", Failure::aborted);
}

void Device::submit(std::function<void()> work, Done done) {
	{
		std::lock_guard lock(mutex_);
		if (stopping_) throw Error("the device was disposed");
		queue_.push_back({std::move(work), std::move(done)});
		pending_.fetch_add(1, std::memory_order_release);
	}
	wake_.notify_one();
}

void Device::loop() {
	// The team's member 0 is this thread, and scratch is touched first by the member that uses it.
	team_ = std::make_unique<ThreadTeam>(threads_);
	backend_->attach();
	for (;;) {
		const auto until = std::chrono::steady_clock::now() + kSpin;
		while (pending_.load(std::memory_order_acquire) == 0 && std::chrono::steady_clock::now() < until) {
#if defined(__x86_64__)
			__builtin_ia32_pause();
#endif
		}
		Job job;
		{
			std::unique_lock lock(mutex_);
			wake_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
			if (stopping_) break;
			job = std::move(queue_.front());
			queue_.pop_front();
			pending_.fetch_sub(1, std::memory_order_relaxed);
		}
		std::string error;
		Failure kind = Failure::none;
		try {
			job.work();
		} catch (const Aborted& stop) {
			error = stop.what();
			kind = Failure::aborted;
		} catch (const OutOfMemory& failure) {
			error = failure.what();
			kind = Failure::memory;
		} catch (const std::bad_alloc&) {
			error = "the system has no memory left for this run";
			kind = Failure::memory;
		} catch (const std::exception& failure) {
			error = failure.what();
			kind = Failure::device;
		}
		job.done(std::move(error), kind);
	}
	team_.reset();
}

void Device::reserve(int64_t bytes) {
	std::lock_guard lock(mutex_);
	plans_.push_back(bytes);
}

void Device::release(int64_t bytes) {
	submit(
		[this, bytes] {
			int64_t largest = 0;
			{
				std::lock_guard lock(mutex_);
				auto found = std::find(plans_.begin(), plans_.end(), bytes);
				if (found != plans_.end()) plans_.erase(found);
				for (int64_t plan : plans_) largest = std::max(largest, plan);
			}
			if (arena_ && arena_->bytes() > largest) arena_.reset();
		},
		[](std::string, Failure) {});
}

// The memory that programs share, at least this large. It moves when a larger plan comes; programs then find their operands anew.
uint8_t* Device::arena_of(int64_t bytes) {
	if (!arena_ || arena_->bytes() < bytes) {
		int64_t largest = bytes;
		{
			std::lock_guard lock(mutex_);
			for (int64_t plan : plans_) largest = std::max(largest, plan);
		}
		arena_.reset();
		arena_ = std::make_unique<Buffer>(backend_, std::max<int64_t>(largest, 64));
	}
	return arena_->data();
}

void Device::execute(RunRequest& request) {
	Program& program = *request.program;
	const ProgramSpec& spec = program.spec;
	uint8_t* base = arena_of(spec.arena_bytes);
	if (program.base_ != base) {
		program.operands_.clear();
		for (const Call& call : spec.calls)
			for (int32_t slot : call.slots) {
				if (slot < 0) program.operands_.push_back({});
				else {
					const Slot& s = spec.slots[slot];
					program.operands_.push_back({(s.buffer < 0 ? base : spec.buffers[s.buffer]->data()) + s.offset, s.dtype});
				}
			}
		program.base_ = base;
		program.recording_.reset();
	}
	if (request.poison) backend_->fill(base, 0xff, spec.arena_bytes);
	for (size_t i = 0; i < spec.inputs.size(); i++) backend_->write(base + spec.inputs[i].offset, request.inputs[i].data(), spec.inputs[i].bytes);
	try {
		// Times of single calls can't be taken of a recording.
		if (request.profile) run_calls(request, base);
		else {
			if (stopped(request)) throw Aborted();
			backend_->run(program.recording_, [&] { run_calls(request, base); });
		}
		std::vector<Transfer> reads;
		for (size_t i = 0; i < spec.outputs.size(); i++)
			if (request.outputs[i]) reads.push_back({request.outputs[i], base + spec.outputs[i].offset, spec.outputs[i].bytes});
		backend_->finish(reads);
	} catch (const CallError& error) {
		throw Error(spec.calls[error.call].label + ": " + error.what());
	}
}

bool Device::stopped(const RunRequest& request) const { return request.abort.load(std::memory_order_relaxed) || stopping(); }

void Device::run_calls(RunRequest& request, uint8_t* base) {
	const ProgramSpec& spec = request.program->spec;
	const Operand* operands = request.program->operands_.data();
	for (size_t i = 0; i < spec.calls.size(); i++) {
		const Call& call = spec.calls[i];
		if ((int32_t)i < spec.commit && stopped(request)) throw Aborted();
		KernelArgs args{{operands, call.slots.size()}, call.ints, call.floats, base + call.scratch_offset, backend_->context(), (int32_t)i, call.choice};
		try {
			if (request.profile) request.profile[i] = backend_->time([&] { call.kernel->run(args, *team_); }, request.cold);
			else call.kernel->run(args, *team_);
		} catch (const CallError&) {
			throw;
		} catch (const Error& error) {
			throw Error(call.label + ": " + error.what());
		}
		operands += call.slots.size();
	}
}

}  // namespace dreamdist
