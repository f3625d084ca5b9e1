// The backend of real cards (backend.cu, compiled by nvcc) on a runtime without a card: staging, graphs, results, faults, memory.
#include <cstring>
#include <numeric>

#include "../../../test/harness.h"
#include "../../context.h"
#include "../../kernels/table.h"
#include "dreamdist/cuda.h"
#include "dreamdist/device.h"
#include "fake_cudart.h"

namespace dreamdist {
namespace cuda {
namespace {

// y[i] = x[i] + 1. A negative number is a fault, as an index out of range is.
void add_one(const KernelArgs& args, Context& context) {
	const Operand x = args.at(0), y = args.at(1);
	const int64_t count = args.ints[0];
	const int call = args.call;
	fake::launch(context.stream, [=, fault = context.fault] {
		for (int64_t i = 0; i < count; i++) {
			const float value = x.as<const float>()[i];
			if (value < 0 && !fault->claimed) *fault = {1, 0, call, int(i), int(value), 5};
			y.as<float>()[i] = value + 1;
		}
	});
}

const KernelInfo kKernels[] = {{"add_one", 2, 1, run<add_one>}};

}  // namespace

const KernelTable kTable{"fake card", kKernels, {}};

}  // namespace cuda

const CpuSupport& cpu_support() {
	static const CpuSupport support{{&cuda::kTable}, {cuda::kTable.name}};
	return support;
}

}  // namespace dreamdist

namespace dreamdist::test {
namespace {

// y = x + 1 in one call, over `count` numbers.
ProgramPtr program_of(int64_t count, int64_t outputs_from = -1) {
	ProgramSpec spec;
	const int64_t bytes = (count * 4 + 63) / 64 * 64;
	spec.slots = {{-1, 0, DType::f32}, {-1, bytes, DType::f32}};
	Call call;
	call.kernel = &cuda::kTable.kernels[0];
	call.slots = {0, 1};
	call.ints = {count};
	call.label = "network.add";
	spec.calls = {call};
	spec.inputs = {{0, count * 4}};
	spec.outputs = {{bytes, count * 4}};
	if (outputs_from >= 0) spec.outputs.push_back({bytes + outputs_from * 4, (count - outputs_from) * 4});
	spec.arena_bytes = 2 * bytes;
	spec.commit = 1;
	return std::make_shared<Program>(std::move(spec));
}

std::vector<float> execute(Device& device, const ProgramPtr& program, float first, double* profile = nullptr, bool cold = false) {
	const int64_t count = program->spec.inputs[0].bytes / 4;
	std::vector<float> x(count), y(count, -7);
	std::iota(x.begin(), x.end(), first);
	RunRequest request;
	request.program = program;
	request.inputs = {std::vector<uint8_t>((uint8_t*)x.data(), (uint8_t*)(x.data() + count))};
	request.outputs = {(uint8_t*)y.data()};
	request.outputs.resize(program->spec.outputs.size(), nullptr);
	request.profile = profile;
	request.cold = cold;
	device.execute(request);
	return y;
}

// The backend is used by the test's thread alone, as a device's worker does.
struct Card {
	BackendPtr backend = cuda_backend("cuda:0");
	Device device{backend, 1};
	~Card() { device.shutdown(); }
};

TEST(backend_staging_keeps_bytes_apart) {
	Card card;
	std::vector<std::vector<uint8_t>> wanted;
	std::vector<uint8_t*> memory;
	// Many small pieces, and some that are larger than a buffer; what they came from is spoiled at once.
	for (int i = 0; i < 400; i++) {
		const int64_t bytes = i % 100 == 50 ? 19'000'001 : t.integer(1, 90'000);
		std::vector<uint8_t> data(bytes);
		for (int64_t j = 0; j < bytes; j++) data[j] = uint8_t(j * 31 + i);
		wanted.push_back(data);
		memory.push_back(card.backend->allocate(bytes));
		card.backend->write(memory.back(), data.data(), bytes);
		std::memset(data.data(), 0xee, bytes);
		if (i % 37 == 0) card.backend->finish();
		if (i % 53 == 0) {
			std::vector<uint8_t> back(wanted[i / 2].size());
			card.backend->read(back.data(), memory[i / 2], (int64_t)back.size());
			CHECK(back == wanted[i / 2]);
		}
	}
	for (size_t i = 0; i < wanted.size(); i++) {
		std::vector<uint8_t> back(wanted[i].size());
		card.backend->read(back.data(), memory[i], (int64_t)back.size());
		CHECK(back == wanted[i]);
		card.backend->release(memory[i], (int64_t)wanted[i].size());
	}
	CHECK(fake::violation.empty());
}

TEST(backend_memory_is_zero_when_allocated) {
	Card card;
	uint8_t* memory = card.backend->allocate(5000);
	std::vector<uint8_t> back(5000, 1);
	card.backend->read(back.data(), memory, 5000);
	for (uint8_t byte : back) CHECK(byte == 0);
	card.backend->release(memory, 5000);
}

TEST(backend_repeats_a_program_as_a_graph) {
	Card card;
	const ProgramPtr program = program_of(1000);
	const auto before = fake::counts;
	for (int run = 0; run < 5; run++) {
		const auto y = execute(card.device, program, float(run * 10));
		for (int i = 0; i < 1000; i++) CHECK(y[i] == float(run * 10 + i + 1));
	}
	CHECK(fake::counts.captures - before.captures == 1);
	CHECK(fake::counts.graph_launches - before.graph_launches == 4);
	CHECK(fake::violation.empty());
}

TEST(backend_waits_once_a_run) {
	Card card;
	const ProgramPtr program = program_of(1000);
	for (int run = 0; run < 2; run++) execute(card.device, program, 0);
	const int before = fake::counts.waits;
	execute(card.device, program, 3);
	CHECK(fake::counts.waits - before == 1);
}

TEST(backend_reads_results_larger_than_its_pinned_memory) {
	Card card;
	const int64_t count = 3'000'000;
	const ProgramPtr program = program_of(count);
	const auto y = execute(card.device, program, 1);
	for (int64_t i = 0; i < count; i++) CHECK(y[i] == float(1 + i) + 1);
	CHECK(fake::violation.empty());
}

TEST(backend_graphs_follow_an_arena_that_grows) {
	Card card;
	const ProgramPtr small = program_of(100), large = program_of(50'000);
	for (int run = 0; run < 3; run++) CHECK(execute(card.device, small, 5)[99] == 105);
	CHECK(execute(card.device, large, 5)[49'999] == 50'005);
	const auto before = fake::counts;
	for (int run = 0; run < 3; run++) CHECK(execute(card.device, small, 6)[99] == 106);
	CHECK(fake::counts.captures - before.captures == 1);
	CHECK(fake::violation.empty());
}

TEST(backend_reports_a_fault_with_its_call_and_goes_on) {
	Card card;
	const ProgramPtr program = program_of(10);
	for (int run = 0; run < 3; run++) {
		std::string message;
		try {
			execute(card.device, program, -4);
		} catch (const Error& error) {
			message = error.what();
		}
		CHECK(message == "network.add: gather: index -4 (at position 0) is outside [0, 5)");
		CHECK(execute(card.device, program, 1)[9] == 11);
	}
}

TEST(backend_times_calls_by_the_cards_clock) {
	Card card;
	const ProgramPtr program = program_of(10);
	for (bool cold : {false, true}) {
		double microseconds = -1;
		CHECK(execute(card.device, program, 2, &microseconds, cold)[9] == 12);
		// The fake clock counts what a stream has done: the kernel, and the event after it.
		CHECK(microseconds == 2000);
	}
	CHECK(fake::violation.empty());
}

TEST(backend_says_what_is_free_when_memory_ends) {
	Card card;
	fake::capacity = card.backend->free_bytes() == 0 ? 0 : fake::capacity;
	const int64_t everything = fake::capacity;
	fake::capacity = everything - card.backend->free_bytes() + (10 << 20);
	std::string message;
	int64_t free = -2;
	try {
		card.backend->allocate(11 << 20);
	} catch (const OutOfMemory& error) {
		message = error.what();
		free = error.free_bytes;
	}
	fake::capacity = everything;
	CHECK(message == "the card has no 11 MiB left: 10 MiB are free");
	CHECK(free == 10 << 20);
}

TEST(backend_leaves_nothing_behind) {
	const int before = fake::counts.live;
	{
		Card card;
		const ProgramPtr program = program_of(100);
		for (int run = 0; run < 3; run++) execute(card.device, program, 1);
		double microseconds;
		execute(card.device, program, 1, &microseconds, true);
	}
	CHECK(fake::counts.live == before);
	CHECK(fake::violation.empty());
}

// What `dreamdist doctor` tells apart (packages/native-cuda/src/devices.ts turns it into sentences).
TEST(info_tells_why_there_is_no_card) {
	auto found = [](fake::Machine machine) {
		fake::machine = machine;
		const CudaInfo info = *cuda_info();
		fake::machine = {};
		return info;
	};
	const CudaInfo no_driver = found({0, 13000, {}});
	CHECK(no_driver.driver == 0 && no_driver.cards.empty());
	const CudaInfo old_driver = found({12040, 13000, {90}});
	CHECK(old_driver.driver == 12040 && old_driver.runtime == 13000 && old_driver.cards.empty());
	CHECK(old_driver.error.rfind("cudaErrorInsufficientDriver: ", 0) == 0);
	const CudaInfo no_card = found({13010, 13000, {}});
	CHECK(no_card.driver == 13010 && no_card.cards.empty() && no_card.error.rfind("cudaErrorNoDevice: ", 0) == 0);
	const CudaInfo cards = found({13000, 13000, {75, 0, 90}});
	CHECK(cards.error.empty() && cards.cards.size() == 3 && cards.least_major == 8 && cards.least_minor == 0);
	CHECK(cards.cards[0].major == 7 && cards.cards[0].minor == 5);
	CHECK(cards.cards[1].name == "a card that does not answer" && cards.cards[1].major == 0);
	CHECK(cards.cards[2].name == "a fake card" && cards.cards[2].major == 9 && cards.cards[2].total_bytes == double(int64_t(1) << 34));
}

}  // namespace
}  // namespace dreamdist::test
