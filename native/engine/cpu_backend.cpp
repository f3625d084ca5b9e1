#include <cstring>
#include <vector>

#include "dreamdist/backend.h"

#if defined(_WIN32)
#include <malloc.h>
#else
#include <sys/mman.h>
#endif

namespace dreamdist {
namespace {

class CpuBackend final : public Backend {
public:
	explicit CpuBackend(const KernelTable& table) : table_(table) {}
	const KernelTable& table() const override { return table_; }

	// Pages straight from the system, so that zeroing is free and memory goes back when it is let go.
	uint8_t* allocate(int64_t bytes) override {
#if defined(_WIN32)
		auto* memory = static_cast<uint8_t*>(_aligned_malloc(bytes, 64));
		if (memory) std::memset(memory, 0, bytes);
#else
		void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		auto* memory = pages == MAP_FAILED ? nullptr : static_cast<uint8_t*>(pages);
#if defined(MADV_HUGEPAGE)
		if (memory && bytes >= (4 << 20)) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
#endif
		if (!memory) throw OutOfMemory("the system refused " + std::to_string(bytes >> 20) + " MiB of memory", bytes, -1);
		return memory;
	}
	void release(uint8_t* memory, [[maybe_unused]] int64_t bytes) override {
#if defined(_WIN32)
		_aligned_free(memory);
#else
		munmap(memory, bytes);
#endif
	}

	void write(void* to, const void* from, int64_t bytes) override { std::memcpy(to, from, bytes); }
	void read(void* to, const void* from, int64_t bytes) override { std::memcpy(to, from, bytes); }
	void fill(void* to, int byte, int64_t bytes) override { std::memset(to, byte, bytes); }
	void pack(const PackerInfo* packer, const void* source, DType type, std::span<const int64_t> ints, int64_t source_bytes, void* to, int64_t, ThreadTeam& team) override {
		if (packer) packer->pack(source, type, ints, to, team);
		else std::memcpy(to, source, source_bytes);
	}

protected:
	void flush_caches() override {
		flushing_.resize(kFlushBytes);
		std::memset(flushing_.data(), ++pattern_, flushing_.size());
	}

private:
	static constexpr size_t kFlushBytes = 64 << 20;  // larger than the caches of most processors
	const KernelTable& table_;
	std::vector<uint8_t> flushing_;
	uint8_t pattern_ = 0;
};

}  // namespace

BackendPtr cpu_backend(const KernelTable& table) { return std::make_shared<CpuBackend>(table); }

}  // namespace dreamdist
