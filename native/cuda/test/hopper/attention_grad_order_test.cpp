// The order of both sides of the Hopper attention's gradient, without numbers: what each product reads, and when.
#include <atomic>
#include <deque>
#include <functional>
#include <thread>

#include "../../kernels/hopper_attention_grad_plan.h"
#include "model.h"

namespace dreamdist::test {
namespace {

using namespace cuda::hopper;

struct Ring {
	std::vector<Barrier> full;
	std::deque<Barrier> empty;
	std::vector<int> room;
	explicit Ring(int stages) : full(stages), room(stages, -1) {
		for (int i = 0; i < stages; i++) empty.emplace_back(2);
	}
};

struct Worker {
	Ring* rings[2];
	std::atomic<int>& problems;
	std::deque<std::function<void()>> queued = {};
	int steps[2] = {}, scores = -1, products = -1, weights = -1, gradients = -1, left = -1, added[2] = {};
	void wait(int ring, int stage, uint32_t parity) { problems += !rings[ring]->full[stage].wait(parity); }
	void wait_first(int stage, uint32_t parity) { wait(0, stage, parity); }
	void wait_second(int stage, uint32_t parity) { wait(1, stage, parity); }
	void release_first(int stage) { rings[0]->empty[stage].arrive(); }
	void release_second(int stage) { rings[1]->empty[stage].arrive(); }
	void multiply(int ring, int stage, int& result) {
		queued.push_back([=, this, &result, step = steps[ring]++] {
			problems += rings[ring]->room[stage] != step;
			result = step;
		});
	}
	void multiply_scores(int stage) { multiply(0, stage, scores); }
	void multiply_products(int stage) { multiply(1, stage, products); }
	// The left operand holds 2 · step for weights, 2 · step + 1 for gradients.
	void add(int ring, int stage, int kind) {
		queued.push_back([=, this] {
			problems += rings[ring]->room[stage] != added[kind] || left != 2 * added[kind] + kind;
			added[kind]++;
		});
	}
	void add_weights(int stage) { add(1, stage, 0); }
	void add_gradients(int stage) { add(0, stage, 1); }
	template <int Pending>
	void settle() {
		for (; queued.size() > Pending; queued.pop_front()) queued.front()();
	}
	template <class First>
	void weigh(int, First) {
		problems += scores != ++weights || First::value != (weights == 0);
	}
	void differentiate(int) { problems += products != ++gradients || weights != gradients; }
	void take_weights() { left = 2 * weights; }
	void take_gradients() { left = 2 * gradients + 1; }
};

}  // namespace

// In threads of their own, with rings of every size. Products read when they are waited for: each must find its own step.
TEST(hopper_attention_grad_neither_hangs_nor_overwrites) {
	auto run = [&]<bool Weighted>(std::bool_constant<Weighted>, int stages, int steps) {
		Ring first(stages), second(stages);
		std::atomic<int> problems = 0;
		auto wait = [&](Ring& ring) { return [&](int stage, uint32_t parity) { problems += !ring.empty[stage].wait(parity); }; };
		auto fill = [&](Ring& ring) {
			return [&](int stage, int step) {
				ring.room[stage] = step;
				ring.full[stage].arrive();
			};
		};
		auto multiplier = [&] {
			Worker worker = {{&first, &second}, problems};
			drain_grad_steps<Weighted>(stages, steps, worker);
			problems += !worker.queued.empty() || worker.added[0] != (Weighted ? steps : 0) || worker.added[1] != steps;
		};
		std::thread copier([&] { fill_steps(stages, steps, wait(first), fill(first), wait(second), fill(second)); }), one(multiplier), other(multiplier);
		copier.join();
		one.join();
		other.join();
		if (problems != 0) fail(__FILE__, __LINE__, std::to_string(problems) + " problems with " + std::to_string(stages) + " stages and " + std::to_string(steps) + " steps");
	};
	for (int stages = 1; stages <= 5; stages++)
		for (int steps : {1, 2, 3, 4, 7, 20}) {
			if (stages == 1 && steps > 1) continue;  // a step begins before the one before is given back
			run(std::true_type{}, stages, steps);
			run(std::false_type{}, stages, steps);
		}
}

}  // namespace dreamdist::test
