// A CUDA card as a backend: one stream, memory of its own, pinned staging for what goes to and fro, and programs captured as graphs.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "context.h"
#include "dreamdist/cuda.h"
#include "kernels/hopper.h"
#include "kernels/table.h"

namespace dreamdist {
namespace cuda {
namespace {

using gpu::check;

constexpr std::string_view kHopperFamilies[] = {"matmul", "conv2d", "conv2d_input_grad", "attention", "attention_grad"};
constexpr int64_t kStagingBytes = 8 << 20;
constexpr int64_t kResultBytes = 1 << 20;  // of a run's small outputs

std::string mebibytes(int64_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

// Pinned memory on the way to and from the card. Bytes for the card are gathered in one of two buffers, so that many small ones wait for
// nothing, and one buffer is filled while the other is on its way.
class Staging {
public:
	explicit Staging(cudaStream_t stream) : stream_(stream) {
		for (Half& half : halves_) {
			check(cudaMallocHost(&half.memory, kStagingBytes), "pinned memory");
			check(cudaEventCreateWithFlags(&half.sent, cudaEventDisableTiming), "an event");
		}
	}
	~Staging() {
		for (Half& half : halves_) {
			if (half.memory) cudaFreeHost(half.memory);
			if (half.sent) cudaEventDestroy(half.sent);
		}
	}
	Staging(const Staging&) = delete;

	void write(uint8_t* to, const uint8_t* from, int64_t bytes) {
		while (bytes > 0) {
			if (used_ == kStagingBytes) turn();
			const int64_t part = std::min(kStagingBytes - used_, bytes);
			uint8_t* room = halves_[filling_].memory + used_;
			std::memcpy(room, from, (size_t)part);
			check(cudaMemcpyAsync(to, room, (size_t)part, cudaMemcpyHostToDevice, stream_), "a copy to the card");
			used_ = std::min(kStagingBytes, (used_ + part + 15) / 16 * 16);
			to += part;
			from += part;
			bytes -= part;
		}
	}
	// The stream's order keeps what is read behind what is still to be sent from the same buffer.
	void read(uint8_t* to, const uint8_t* from, int64_t bytes) {
		for (int64_t at = 0; at < bytes; at += kStagingBytes) {
			const size_t part = (size_t)std::min(kStagingBytes, bytes - at);
			uint8_t* room = halves_[filling_].memory;
			check(cudaMemcpyAsync(room, from + at, part, cudaMemcpyDeviceToHost, stream_), "a copy from the card");
			check(cudaStreamSynchronize(stream_), "waiting for a copy from the card");
			std::memcpy(to + at, room, part);
		}
		if (bytes > 0) rewind();
	}
	// The stream has been waited for: nothing is on its way.
	void rewind() { used_ = 0; }

private:
	void turn() {
		check(cudaEventRecord(halves_[filling_].sent, stream_), "an event");
		filling_ ^= 1;
		check(cudaEventSynchronize(halves_[filling_].sent), "waiting for a copy to the card");
		used_ = 0;
	}

	cudaStream_t stream_;
	struct Half {
		uint8_t* memory = nullptr;
		cudaEvent_t sent = nullptr;
	} halves_[2];
	int filling_ = 0;
	int64_t used_ = 0;
};

// A program's launches as one graph. The first run is not captured: kernels may be loaded then, which a capture forbids.
struct Graph final : Recording {
	cudaGraphExec_t executable = nullptr;
	~Graph() override {
		if (executable) cudaGraphExecDestroy(executable);
	}
};

class CudaBackend final : public Backend {
public:
	explicit CudaBackend(int card) : card_(card) {
		use();
		check(cudaStreamCreateWithFlags(&context_.stream, cudaStreamNonBlocking), "a stream");
		check(cudaStreamCreateWithFlags(&clearing_, cudaStreamNonBlocking), "a stream");
		check(cudaMalloc(&context_.fault, sizeof(Fault)), "memory on the card");
		check(cudaMemsetAsync(context_.fault, 0, sizeof(Fault), context_.stream), "memory on the card");
		check(cudaMallocHost(&found_, sizeof(Fault)), "pinned memory");
		check(cudaMallocHost(&results_, kResultBytes), "pinned memory");
		staging_ = std::make_unique<Staging>(context_.stream);
		choose_family();
	}
	~CudaBackend() override {
		cudaSetDevice(card_);
		if (flushing_) cudaFree(flushing_);
		for (cudaEvent_t event : clock_)
			if (event) cudaEventDestroy(event);
		staging_.reset();
		if (found_) cudaFreeHost(found_);
		if (results_) cudaFreeHost(results_);
		if (context_.fault) cudaFree(context_.fault);
		if (clearing_) cudaStreamDestroy(clearing_);
		if (context_.stream) cudaStreamDestroy(context_.stream);
	}

	const KernelTable& table() const override { return kTable; }
	int64_t free_bytes() const override {
		size_t free = 0, total = 0;
		use();
		check(cudaMemGetInfo(&free, &total), "the card's free memory");
		return (int64_t)free;
	}

	uint8_t* allocate(int64_t bytes) override {
		use();
		void* memory = nullptr;
		if (cudaMalloc(&memory, (size_t)bytes) != cudaSuccess) {
			cudaGetLastError();
			const int64_t free = free_bytes();
			throw OutOfMemory("the card has no " + mebibytes(bytes) + " left: " + mebibytes(free) + " are free", bytes, free);
		}
		// Not on the worker's stream, which may be capturing.
		const cudaError_t status = cudaMemsetAsync(memory, 0, (size_t)bytes, clearing_);
		if (status != cudaSuccess) cudaFree(memory);
		check(status, "clearing memory");
		check(cudaStreamSynchronize(clearing_), "clearing memory");
		return static_cast<uint8_t*>(memory);
	}
	void release(uint8_t* memory, int64_t) override {
		cudaSetDevice(card_);
		cudaFree(memory);
	}

	void attach() override { use(); }
	void write(void* to, const void* from, int64_t bytes) override { staging_->write(static_cast<uint8_t*>(to), static_cast<const uint8_t*>(from), bytes); }
	void read(void* to, const void* from, int64_t bytes) override { staging_->read(static_cast<uint8_t*>(to), static_cast<const uint8_t*>(from), bytes); }
	void fill(void* to, int byte, int64_t bytes) override { check(cudaMemsetAsync(to, byte, (size_t)bytes, context_.stream), "filling memory"); }
	void pack(const PackerInfo* packer, const void* source, DType type, std::span<const int64_t> ints, int64_t source_bytes, void* to, int64_t bytes, ThreadTeam& team) override {
		if (!packer) return write(to, source, source_bytes);
		std::vector<uint8_t> packed((size_t)bytes);
		packer->pack(source, type, ints, packed.data(), team);
		write(to, packed.data(), bytes);
	}

	void* context() override { return &context_; }
	bool uses_hopper(std::string_view kernel) const override { return context_.hopper && hopper::wanted(kernel); }
	int64_t hopper_launches() const override { return context_.hopper_launches; }

	void run(std::unique_ptr<Recording>& recording, const std::function<void()>& calls) override {
		auto* graph = static_cast<Graph*>(recording.get());
		if (!graph) {
			calls();
			recording = std::make_unique<Graph>();
			return;
		}
		if (!graph->executable) graph->executable = capture(calls);
		check(cudaGraphLaunch(graph->executable, context_.stream), "the program's launch");
	}

	void finish() override { finish({}); }
	void finish(std::span<const Transfer> reads) override {
		int64_t used = 0;
		std::vector<uint8_t*> early;
		for (const Transfer& one : reads) {
			const bool fits = one.bytes <= kResultBytes - used;
			early.push_back(fits ? results_ + used : nullptr);
			if (!fits || one.bytes == 0) continue;
			check(cudaMemcpyAsync(early.back(), one.from, (size_t)one.bytes, cudaMemcpyDeviceToHost, context_.stream), "reading a result");
			used = std::min(kResultBytes, (used + one.bytes + 15) / 16 * 16);
		}
		check(cudaMemcpyAsync(found_, context_.fault, sizeof(Fault), cudaMemcpyDeviceToHost, context_.stream), "the run");
		check(cudaStreamSynchronize(context_.stream), "the run");
		staging_->rewind();
		if (found_->claimed) {
			check(cudaMemsetAsync(context_.fault, 0, sizeof(Fault), context_.stream), "the run");
			throw CallError(found_->call, describe(*found_));
		}
		for (size_t i = 0; i < reads.size(); i++) {
			if (early[i]) std::memcpy(reads[i].to, early[i], (size_t)reads[i].bytes);
			else read(reads[i].to, reads[i].from, reads[i].bytes);
		}
	}

	// The card's own clock. It reads the start only after the work before it, so that queueing takes no part in a kernel's time.
	double time(const std::function<void()>& call, bool cold) override {
		for (cudaEvent_t& event : clock_)
			if (!event) check(cudaEventCreate(&event), "an event");
		if (cold) flush_caches();
		check(cudaEventRecord(clock_[0], context_.stream), "an event");
		call();
		check(cudaEventRecord(clock_[1], context_.stream), "an event");
		finish();
		float milliseconds = 0;
		check(cudaEventElapsedTime(&milliseconds, clock_[0], clock_[1]), "the time of a kernel");
		return 1000.0 * milliseconds;
	}

protected:
	// Twice the L2 of other data goes through it.
	void flush_caches() override {
		if (!flushing_) {
			int l2_bytes = 0;
			check(cudaDeviceGetAttribute(&l2_bytes, cudaDevAttrL2CacheSize, card_), "the size of the card's cache");
			flushing_bytes_ = 2 * (size_t)std::max(l2_bytes, 16 << 20);
			check(cudaMalloc(&flushing_, flushing_bytes_), "memory on the card");
		}
		check(cudaMemsetAsync(flushing_, 0, flushing_bytes_, context_.stream), "filling memory");
	}

private:
	// The kernels of sm_90a run on cards of 9.0 alone, and only where they are asked for.
	void choose_family() {
		int major = 0, minor = 0;
		check(cudaDeviceGetAttribute(&context_.multiprocessors, cudaDevAttrMultiProcessorCount, card_), "the card's multiprocessors");
		if (std::none_of(std::begin(kHopperFamilies), std::end(kHopperFamilies), hopper::wanted)) return;
		check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, card_), "the card's compute capability");
		check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, card_), "the card's compute capability");
		context_.hopper = major == 9 && minor == 0;
		if (!context_.hopper) std::fprintf(stderr, "DD_HOPPER: card %d is of compute capability %d.%d, not 9.0: it runs the kernels of sm_80.\n", card_, major, minor);
	}
	void use() const { check(cudaSetDevice(card_), "choosing the card"); }

	cudaGraphExec_t capture(const std::function<void()>& calls) {
		cudaGraph_t captured = nullptr;
		check(cudaStreamBeginCapture(context_.stream, cudaStreamCaptureModeThreadLocal), "capturing the program");
		try {
			calls();
		} catch (...) {
			cudaStreamEndCapture(context_.stream, &captured);
			if (captured) cudaGraphDestroy(captured);
			cudaGetLastError();
			throw;
		}
		check(cudaStreamEndCapture(context_.stream, &captured), "capturing the program");
		cudaGraphExec_t executable = nullptr;
		const cudaError_t status = cudaGraphInstantiateWithFlags(&executable, captured, 0);
		cudaGraphDestroy(captured);
		check(status, "the program's graph");
		return executable;
	}

	const int card_;
	Context context_;
	cudaStream_t clearing_ = nullptr;
	Fault* found_ = nullptr;
	uint8_t* results_ = nullptr;  // pinned
	cudaEvent_t clock_[2] = {};
	void* flushing_ = nullptr;
	size_t flushing_bytes_ = 0;
	std::unique_ptr<Staging> staging_;
};

}  // namespace

// Calls outside a device are for tests on the emulated one, whose memory is the host's.
Context& standalone_context() { throw Error("a CUDA kernel was called without a device"); }
void finish_standalone() {}

}  // namespace cuda

BackendPtr cuda_backend(const std::string& kind) {
	if (kind.rfind("cuda:", 0) != 0) throw Error("this binary was built without the device \"" + kind + "\"");
	return std::make_shared<cuda::CudaBackend>(std::stoi(kind.substr(5)));
}

}  // namespace dreamdist
