// The test that a card has to pass before it is used: a device without faults passes, and each fault planted into a kernel is named.
#include "../../test/harness.h"
#include "../emulated/emulator.h"
#include "dreamdist/cuda.h"
#include "dreamdist/self_test.h"

namespace dreamdist::test {
namespace {

// Plain loops in place of the CPU's kernels would only repeat native/test: what is looked for here are differences, so the reference is the
// emulated device itself without a fault.
struct Unharmed final : Backend {
	BackendPtr device;
	explicit Unharmed(BackendPtr device) : device(std::move(device)) {}
	const KernelTable& table() const override { return device->table(); }
	uint8_t* allocate(int64_t bytes) override { return device->allocate(bytes); }
	void release(uint8_t* memory, int64_t bytes) override { device->release(memory, bytes); }
	void write(void* to, const void* from, int64_t bytes) override {
		planted_ = emulated::mutant ? emulated::mutant : planted_;
		emulated::mutant = 0;
		device->write(to, from, bytes);
	}
	void read(void* to, const void* from, int64_t bytes) override {
		device->read(to, from, bytes);
		emulated::mutant = planted_;
	}
	void fill(void* to, int byte, int64_t bytes) override { device->fill(to, byte, bytes); }
	void pack(const PackerInfo*, const void*, DType, std::span<const int64_t>, int64_t, void*, int64_t, ThreadTeam&) override {}
	void* context() override { return device->context(); }
	void finish() override { device->finish(); }

private:
	int planted_ = 0;
};

struct Mutant {
	int number;
	const char* kernel;
	const char* fault;
};
const Mutant kMutants[] = {
	{101, "matmul", "no wait for the copies of a stage"},
	{102, "matmul", "no barrier before a stage is used"},
	{103, "matmul", "a row past the end is read"},
	{104, "conv2d", "the picture's bottom edge off by one"},
	{105, "conv2d", "no barrier after the pixels' table is written"},
	{111, "attention", "no barrier after the wait for the keys"},
	{112, "attention", "key mask off by one"},
	{113, "attention", "causal mask off by one"},
	{114, "attention", "result not rescaled"},
	{115, "attention", "no barrier before the values are replaced"},
	{121, "attention_grad", "no barrier after the weights are written"},
	{122, "attention_grad", "no barrier before the keys are replaced"},
	{132, "matmul", "16 bits: no barrier before a stage is used"},
	{135, "matmul", "16 bits: a row past the end is read"},
	{136, "matmul_tf32", "operands are cut off instead of rounded to tf32"},
	{141, "conv2d", "16 bits: the picture's bottom edge off by one"},
	{142, "conv2d_input_grad", "16 bits: positions of the smaller classes that are not there"},
	{152, "attention", "16 bits: no barrier before the keys are used"},
	{153, "attention", "16 bits: key mask off by one"},
	{154, "attention", "16 bits: causal mask off by one"},
	{162, "attention_grad", "16 bits: no barrier before the queries are used"},
	{164, "attention_grad", "16 bits: no barrier before the keys are used"},
};

}  // namespace

TEST(self_test_passes_without_faults) {
	const BackendPtr device = cuda_backend("cuda-emulated");
	Unharmed reference(device);
	self_test(*device, reference, t.team);
}

TEST(self_test_names_the_kernel_with_a_fault) {
	const BackendPtr device = cuda_backend("cuda-emulated");
	Unharmed reference(device);
	for (const Mutant& mutant : kMutants) {
		// A missing barrier shows in one order of threads or the other.
		std::string found;
		for (auto order : {emulated::Order::forward, emulated::Order::reverse}) {
			emulated::settings.order = order;
			emulated::mutant = mutant.number;
			try {
				self_test(*device, reference, t.team);
			} catch (const Error& error) {
				found = error.what();
			}
		}
		emulated::mutant = 0;
		emulated::settings.order = emulated::Order::forward;
		if (found.find("its kernel " + std::string(mutant.kernel) + " ") == std::string::npos)
			fail(__FILE__, __LINE__, "mutant " + std::to_string(mutant.number) + " (" + mutant.fault + "): " + (found.empty() ? "not noticed" : found));
	}
}

}  // namespace dreamdist::test
