// The emulated device as a backend: its memory is the host's, and a launch has ended when it returns.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "../context.h"
#include "../kernels/table.h"
#include "dreamdist/cuda.h"

namespace dreamdist {
namespace cuda {
namespace {

// Throws what kernels have reported, and forgets it.
void throw_fault(Fault& fault) {
	if (!fault.claimed) return;
	const Fault found = fault;
	fault = {};
	throw CallError(found.call, describe(found));
}

Fault* new_fault() { return new (emulated::allocate(sizeof(Fault))) Fault; }

std::atomic<bool> is_open = false;

class EmulatedBackend final : public Backend {
public:
	EmulatedBackend() {
		if (is_open.exchange(true)) throw Error("the emulated device is open already; a process has one");
		if (const char* bytes = std::getenv("DD_EMULATED_MEMORY")) capacity_ = std::atoll(bytes);
		context_.fault = new_fault();
	}
	~EmulatedBackend() override {
		emulated::release(context_.fault);
		is_open = false;
	}
	const KernelTable& table() const override { return kTable; }
	int64_t free_bytes() const override { return capacity_ ? std::max<int64_t>(capacity_ - used_, 1) : 0; }

	// JavaScript's thread allocates while the worker runs kernels; the emulator locks its list of buffers.
	uint8_t* allocate(int64_t bytes) override {
		if (used_.fetch_add(bytes) + bytes > capacity_ && capacity_) {
			used_ -= bytes;
			throw OutOfMemory("the emulated device has no " + std::to_string(bytes) + " bytes left: " + std::to_string(free_bytes()) + " are free", bytes, free_bytes());
		}
		void* memory = emulated::allocate(size_t(bytes));
		std::memset(memory, 0, size_t(bytes));
		return static_cast<uint8_t*>(memory);
	}
	void release(uint8_t* memory, int64_t bytes) override {
		emulated::release(memory);
		used_ -= bytes;
	}
	void write(void* to, const void* from, int64_t bytes) override { std::memcpy(to, from, bytes); }
	void read(void* to, const void* from, int64_t bytes) override { std::memcpy(to, from, bytes); }
	void fill(void* to, int byte, int64_t bytes) override { std::memset(to, byte, bytes); }
	void pack(const PackerInfo* packer, const void* source, DType type, std::span<const int64_t> ints, int64_t source_bytes, void* to, int64_t, ThreadTeam& team) override {
		if (packer) packer->pack(source, type, ints, to, team);
		else std::memcpy(to, source, source_bytes);
	}
	void* context() override { return &context_; }
	void finish() override { throw_fault(*context_.fault); }

private:
	Context context_;
	// DD_EMULATED_MEMORY: how much memory it has, for tests of what happens without; 0: as the machine.
	int64_t capacity_ = 0;
	std::atomic<int64_t> used_ = 0;
};

}  // namespace

Context& standalone_context() {
	static Context context = [] {
		Context made;
		made.fault = new_fault();
		return made;
	}();
	return context;
}
void finish_standalone() { throw_fault(*standalone_context().fault); }

}  // namespace cuda

std::optional<CudaInfo> cuda_info() { return std::nullopt; }

bool has_emulated_device() { return true; }

BackendPtr cuda_backend(const std::string& kind) {
	if (kind != "cuda-emulated") throw Error("this binary was built without the device \"" + kind + "\"; it has the emulated one");
	return std::make_shared<cuda::EmulatedBackend>();
}

}  // namespace dreamdist
