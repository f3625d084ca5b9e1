// A CUDA runtime without a card, for tests of the backend's host side: streams are queues, and what is put into them happens as late as the
// documentation allows, when somebody waits. A buffer that is used again too early therefore shows as wrong bytes.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace fake {

// Puts work into a stream, as a kernel's launch does; recorded while the stream is captured.
void launch(cudaStream_t stream, std::function<void()> work);

struct Counts {
	int waits = 0;     // for a stream or an event
	int captures = 0;  // of a graph
	int graph_launches = 0;
	int live = 0;  // allocations, streams, events and graphs that exist
};
extern Counts counts;

// Memory of the card in bytes; allocations beyond it fail.
extern int64_t capacity;

// What the machine is: the versions that the runtime gives (13000 is 13.0; a driver of 0: none), and the cards, by compute capability
// (ten times it: 90).
struct Machine {
	int driver = 13000, runtime = 13000;
	std::vector<int> cards = {90};
};
extern Machine machine;

// The first thing that a card would not have allowed, or that nobody could rely on; empty: none.
extern std::string violation;

}  // namespace fake
