#include "fake_cudart.h"

#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <vector>

namespace fake {

Counts counts;
int64_t capacity = int64_t(1) << 40;
std::string violation;
Machine machine;

namespace {

using Work = std::function<void()>;

void violate(const std::string& what) {
	if (violation.empty()) violation = what;
}

struct Stream {
	std::deque<Work> queue;
	bool capturing = false;
	std::vector<Work> captured;
};
struct Event {
	Stream* stream = nullptr;  // where it was last recorded
	std::shared_ptr<bool> reached;
	double at = 0;
};
struct Graph {
	std::vector<Work> work;
};

std::map<const char*, size_t>& allocations() {
	static std::map<const char*, size_t> all;
	return all;
}
int64_t allocated = 0;
double clock_now = 0;
Stream* capturing = nullptr;

Stream& of(cudaStream_t stream) {
	static Stream legacy;
	return stream ? *reinterpret_cast<Stream*>(stream) : legacy;
}

void enqueue(cudaStream_t handle, Work work) {
	Stream& stream = of(handle);
	if (stream.capturing) stream.captured.push_back(std::move(work));
	else stream.queue.push_back(std::move(work));
}

void drain(Stream& stream, const bool* until = nullptr) {
	while (!stream.queue.empty() && !(until && *until)) {
		Work work = std::move(stream.queue.front());
		stream.queue.pop_front();
		clock_now += 1;
		work();
	}
}

// Whether memory of the card is all of [p, p + bytes).
bool on_card(const void* p, size_t bytes) {
	const char* at = static_cast<const char*>(p);
	auto found = allocations().upper_bound(at);
	if (found == allocations().begin()) return false;
	--found;
	return at + bytes <= found->first + found->second;
}

cudaError_t forbidden(const char* what) {
	if (!capturing) return cudaSuccess;
	violate(std::string(what) + " while a stream is captured");
	return cudaErrorStreamCaptureUnsupported;
}

}  // namespace

void launch(cudaStream_t stream, std::function<void()> work) { enqueue(stream, std::move(work)); }

}  // namespace fake

using namespace fake;

extern "C" {

cudaError_t cudaRuntimeGetVersion(int* version) {
	*version = machine.runtime;
	return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
	*version = machine.driver;
	return cudaSuccess;
}
// Without a driver the runtime calls it too old as well.
cudaError_t cudaGetDeviceCount(int* count) {
	*count = 0;
	if (machine.driver / 1000 < machine.runtime / 1000) return cudaErrorInsufficientDriver;
	if (machine.cards.empty()) return cudaErrorNoDevice;
	*count = int(machine.cards.size());
	return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int card) {
	if (machine.cards[card] == 0) return cudaErrorUnknown;
	std::memset(properties, 0, sizeof(*properties));
	std::strcpy(properties->name, "a fake card");
	properties->major = machine.cards[card] / 10;
	properties->minor = machine.cards[card] % 10;
	properties->totalGlobalMem = size_t(1) << 34;
	return cudaSuccess;
}
const char* cudaGetErrorName(cudaError_t error) {
	return error == cudaErrorInsufficientDriver ? "cudaErrorInsufficientDriver" : error == cudaErrorNoDevice ? "cudaErrorNoDevice" : "cudaErrorUnknown";
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t error) { return error == cudaErrorMemoryAllocation ? "out of memory" : "an error of the fake runtime"; }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
	*value = 1 << 20;
	return cudaSuccess;
}

cudaError_t cudaMalloc(void** p, size_t bytes) {
	if (cudaError_t error = forbidden("cudaMalloc")) return error;
	if (allocated + int64_t(bytes) > capacity) return cudaErrorMemoryAllocation;
	*p = std::malloc(bytes ? bytes : 1);
	std::memset(*p, 0xab, bytes);
	allocations()[static_cast<char*>(*p)] = bytes;
	allocated += int64_t(bytes);
	counts.live++;
	return cudaSuccess;
}
cudaError_t cudaFree(void* p) {
	if (!p) return cudaSuccess;
	auto found = allocations().find(static_cast<char*>(p));
	if (found == allocations().end()) violate("cudaFree of what is no allocation");
	else {
		allocated -= int64_t(found->second);
		allocations().erase(found);
		counts.live--;
	}
	std::free(p);
	return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
	*free = size_t(capacity - allocated);
	*total = size_t(capacity);
	return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned) {
	*p = std::malloc(bytes);
	std::memset(*p, 0xcd, bytes);
	counts.live++;
	return cudaSuccess;
}
cudaError_t cudaMallocHost(void** p, size_t bytes) { return cudaHostAlloc(p, bytes, 0); }
cudaError_t cudaFreeHost(void* p) {
	std::free(p);
	counts.live--;
	return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
	if (kind != cudaMemcpyHostToDevice && kind != cudaMemcpyDeviceToHost) violate("a copy of an unexpected kind");
	if (!on_card(kind == cudaMemcpyHostToDevice ? to : from, bytes)) violate("a copy outside the card's memory");
	enqueue(stream, [=] { std::memcpy(to, from, bytes); });
	return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* p, int byte, size_t bytes, cudaStream_t stream) {
	if (!on_card(p, bytes)) violate("filling memory outside the card's");
	enqueue(stream, [=] { std::memset(p, byte, bytes); });
	return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
	*stream = reinterpret_cast<cudaStream_t>(new Stream);
	counts.live++;
	return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
	delete &of(stream);
	counts.live--;
	return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
	if (of(stream).capturing) return forbidden("cudaStreamSynchronize");
	counts.waits++;
	drain(of(stream));
	return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
	*event = reinterpret_cast<cudaEvent_t>(new Event);
	counts.live++;
	return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
	delete reinterpret_cast<Event*>(event);
	counts.live--;
	return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream) {
	auto* event = reinterpret_cast<Event*>(handle);
	event->stream = &of(stream);
	event->reached = std::make_shared<bool>(false);
	enqueue(stream, [event, reached = event->reached] {
		*reached = true;
		event->at = clock_now;
	});
	return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
	auto* event = reinterpret_cast<Event*>(handle);
	counts.waits++;
	if (event->reached && !*event->reached) drain(*event->stream, event->reached.get());
	return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
	auto *a = reinterpret_cast<Event*>(from), *b = reinterpret_cast<Event*>(to);
	if (!a->reached || !*a->reached || !b->reached || !*b->reached) return cudaErrorNotReady;
	*milliseconds = float(b->at - a->at);
	return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
	of(stream).capturing = true;
	capturing = &of(stream);
	counts.captures++;
	return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
	Stream& captured = of(stream);
	captured.capturing = false;
	capturing = nullptr;
	*graph = reinterpret_cast<cudaGraph_t>(new Graph{std::move(captured.captured)});
	captured.captured.clear();
	counts.live++;
	return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
	delete reinterpret_cast<Graph*>(graph);
	counts.live--;
	return cudaSuccess;
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
	*executable = reinterpret_cast<cudaGraphExec_t>(new Graph(*reinterpret_cast<Graph*>(graph)));
	counts.live++;
	return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
	delete reinterpret_cast<Graph*>(executable);
	counts.live--;
	return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
	counts.graph_launches++;
	for (const auto& work : reinterpret_cast<Graph*>(executable)->work) enqueue(stream, work);
	return cudaSuccess;
}

// What nvcc adds to every object file.
void** __cudaRegisterFatBinary(void*) { return nullptr; }
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
}
