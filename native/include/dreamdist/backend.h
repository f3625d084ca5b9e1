// What a kind of device is made of: its memory and its kernels. The CPU's is cpu_backend(); the others implement the same interface.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <span>

#include "dreamdist/kernels.h"

namespace dreamdist {

// A failure that a kernel found in its data after it was queued, with the call it belongs to.
struct CallError : Error {
	CallError(int32_t call, const std::string& message) : Error(message), call(call) {}
	int32_t call;
};

// What a backend keeps of a program between runs, e.g. a captured graph; dropped when the program's addresses change.
struct Recording {
	virtual ~Recording() = default;
};

// Bytes to be read from the device.
struct Transfer {
	void* to;
	const void* from;
	int64_t bytes;
};

// The device has no memory left. `bytes` were asked for, `free_bytes` are there (-1: not known).
struct OutOfMemory : Error {
	OutOfMemory(const std::string& message, int64_t bytes, int64_t free_bytes) : Error(message), bytes(bytes), free_bytes(free_bytes) {}
	int64_t bytes, free_bytes;
};

class Backend {
public:
	virtual ~Backend() = default;
	virtual const KernelTable& table() const = 0;
	// Free memory now, in bytes; 0: ask the system.
	virtual int64_t free_bytes() const { return 0; }

	// From any thread. Memory is zero when it is allocated; throws OutOfMemory where there is none left.
	virtual uint8_t* allocate(int64_t bytes) = 0;
	virtual void release(uint8_t* memory, int64_t bytes) = 0;

	// On the device's worker, in order; write returns when `from` may be reused, read when `to` holds the bytes.
	virtual void attach() {}  // once, before everything else there
	virtual void write(void* to, const void* from, int64_t bytes) = 0;
	virtual void read(void* to, const void* from, int64_t bytes) = 0;
	virtual void fill(void* to, int byte, int64_t bytes) = 0;
	// Makes a packed weight, by `packer` or as stored.
	virtual void pack(const PackerInfo* packer, const void* source, DType type, std::span<const int64_t> ints, int64_t source_bytes, void* to, int64_t bytes, ThreadTeam& team) = 0;
	// Whether calls of a kernel go to the Hopper family where their shapes allow it, and how many have gone there.
	virtual bool uses_hopper(std::string_view /*kernel*/) const { return false; }
	virtual int64_t hopper_launches() const { return 0; }
	// What kernels are given as KernelArgs::context.
	virtual void* context() { return nullptr; }
	// Runs `calls`, which queues all kernels of a program; may keep what it queues in `recording` and repeat that the next time.
	virtual void run(std::unique_ptr<Recording>& /*recording*/, const std::function<void()>& calls) { calls(); }
	// Waits for what is queued. Throws what failed meanwhile; CallError where the call is known.
	virtual void finish() {}
	// The same, and what the transfers name has been read by then: small ones travel behind the kernels without a wait of their own.
	virtual void finish(std::span<const Transfer> reads) {
		finish();
		for (const Transfer& one : reads) read(one.to, one.from, one.bytes);
	}
	// How long what `call` queues takes, in microseconds; waits for it. `cold`: with other data in the caches than the call's.
	virtual double time(const std::function<void()>& call, bool cold) {
		if (cold) flush_caches();
		const auto start = std::chrono::steady_clock::now();
		call();
		finish();
		return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
	}

protected:
	virtual void flush_caches() {}  // an emulated device has none
};
using BackendPtr = std::shared_ptr<Backend>;

// The CPU with the kernels of one instruction set.
BackendPtr cpu_backend(const KernelTable& table);

}  // namespace dreamdist
