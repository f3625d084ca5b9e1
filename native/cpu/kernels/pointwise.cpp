// pointwise: a fused chain of elementwise instructions, run by a small register machine.
//
// The shape is collapsed once for all operands and cut into blocks of about a thousand elements. A register holds one block in L1, and an
// instruction is dispatched once per block, so interpretation costs a few percent at most. Contiguous f32 inputs are registers where they
// lie and the last instruction writes straight to the output: a lone add moves no byte twice. Inputs that look the same in every block
// (scalars, a bias repeated over rows) are laid out once per thread.
//
// Blocks of a short last dimension ("narrow") are whole rows of it; those of a long one ("wide") are pieces of a row.
#include <cstddef>

#include "convert.h"
#include "pointwise_ops.h"
#include "strided.h"
#include "table.h"

namespace dreamdist::cpu::DD_ISA {

namespace {

constexpr int kMaxOperands = 32;  // inputs, and outputs
constexpr int kMaxRegisters = 32;
constexpr int kNever = 1 << 30;

struct PointwisePlan {
	int inputs, outputs, instructions, rank, registers;
	const Instruction* code;
	const int64_t* outRegister;
	int64_t shape[kMaxRank];
	int64_t strides[2 * kMaxOperands][kMaxRank];  // inputs, then outputs
	Operand operands[2 * kMaxOperands];

	bool wide;
	int64_t rows, cols;        // cols: the last dimension; rows: all others
	int64_t blockRows, blockCols, segments, blocks, capacity;

	bool direct[kMaxOperands];            // the input is read where it lies
	bool repeats[kMaxOperands];           // its register may be kept from block to block
	int64_t period[kMaxOperands];         // narrow: rows after which the input repeats
	int directOutput[kMaxOperands];       // the instruction that writes output j in place, or -1
	bool streams[kMaxOperands];           // the output is written around the caches
	int writes[kMaxRegisters];            // instructions that write each register
	int lastWriter[kMaxRegisters];

	bool flat(int operand) const {
		int64_t expected = 1;
		for (int d = rank - 1; d >= 0; d--) {
			if (strides[operand][d] != expected) return false;
			expected *= shape[d];
		}
		return true;
	}
	bool in_place(int operand) const {
		if (operands[operand].dtype != DType::f32) return false;
		return wide ? strides[operand][rank - 1] == 1 : flat(operand);
	}
};

void check_register(int64_t index) {
	if (index < 0 || index >= kMaxRegisters) throw_call_error("pointwise", "a register must be between 0 and 31", index);
}

// Reads the integers. Returns false when there is nothing to do.
bool parse(const KernelArgs& args, PointwisePlan& p) {
	const int64_t* ints = args.ints.data();
	const int64_t rank = ints[0], inputs = ints[1], outputs = ints[2], instructions = ints[3];
	if (rank < 0 || rank > kMaxRank) throw_call_error("pointwise", "the rank must be between 0 and 8", rank);
	if (inputs < 0 || inputs > kMaxOperands) throw_call_error("pointwise", "at most 32 inputs are allowed", inputs);
	if (outputs < 0 || outputs > kMaxOperands) throw_call_error("pointwise", "at most 32 outputs are allowed", outputs);
	const int64_t operands = inputs + outputs;
	if (operands != (int64_t)args.operands.size()) throw_call_error("pointwise", "the operands must be the inputs and the outputs", args.operands.size());
	p.inputs = inputs;
	p.outputs = outputs;
	p.instructions = instructions;
	ints += 4;
	for (int d = 0; d < rank; d++) p.shape[d] = ints[d];
	ints += rank;
	for (int i = 0; i < operands; i++, ints += rank) {
		p.operands[i] = args.operands[i];
		for (int d = 0; d < rank; d++) p.strides[i][d] = ints[d];
	}
	p.code = reinterpret_cast<const Instruction*>(ints);
	p.outRegister = ints + 4 * instructions;
	if (product(p.shape, rank) == 0) return false;
	p.rank = collapse(rank, p.shape, p.strides, operands);
	if (p.rank == 0) {
		p.rank = 1;
		p.shape[0] = 1;
		for (int i = 0; i < operands; i++) p.strides[i][0] = 1;
	}
	return true;
}

// How the index space is cut into blocks.
void cut(PointwisePlan& p) {
	p.capacity = p.registers <= 8 ? 1024 : p.registers <= 16 ? 512 : 256;
	p.cols = p.shape[p.rank - 1];
	p.rows = product(p.shape, p.rank - 1);
	p.wide = p.cols > p.capacity / 2;
	if (p.wide) {
		p.segments = div_up(p.cols, p.capacity);
		p.blockCols = div_up(div_up(p.cols, p.segments), kLanes) * kLanes;
		p.segments = div_up(p.cols, p.blockCols);
		p.blockRows = 1;
		p.blocks = p.rows * p.segments;
	} else {
		p.segments = 1;
		p.blockCols = p.cols;
		p.blockRows = min64(p.rows, p.capacity / p.cols);
		p.blocks = div_up(p.rows, p.blockRows);
	}
}

// Which registers lie in memory, which are kept, and which outputs are written in place.
void analyse(PointwisePlan& p) {
	int lastRead[kMaxRegisters];
	p.registers = p.inputs;
	for (int r = 0; r < kMaxRegisters; r++) {
		p.writes[r] = 0;
		p.lastWriter[r] = -1;
		lastRead[r] = -1;
	}
	auto touch = [&](int64_t r) {
		check_register(r);
		if (r >= p.registers) p.registers = r + 1;
	};
	for (int k = 0; k < p.instructions; k++) {
		const Instruction& i = p.code[k];
		if (i.op < 0 || i.op >= kOpCount) throw_call_error("pointwise", "unknown instruction", i.op);
		touch(i.dst);
		if (reads_a(i.op)) {
			touch(i.a);
			lastRead[i.a] = k;
		}
		if (reads_b(i.op)) {
			touch(i.b);
			lastRead[i.b] = k;
		}
		if (reads_dst(i.op)) lastRead[i.dst] = k;
		p.writes[i.dst]++;
		p.lastWriter[i.dst] = k;
	}
	for (int j = 0; j < p.outputs; j++) {
		touch(p.outRegister[j]);
		if (p.lastWriter[p.outRegister[j]] < 0) lastRead[p.outRegister[j]] = kNever;
	}
	cut(p);
	for (int i = 0; i < p.inputs; i++) {
		bool aliased = false;
		for (int j = 0; j < p.outputs; j++) aliased |= p.operands[p.inputs + j].data == p.operands[i].data;
		// An input handed on to an output unchanged is stored after other outputs, which may lie on top of it.
		p.direct[i] = p.in_place(i) && !(aliased && lastRead[i] == kNever);
		p.repeats[i] = !p.direct[i] && !aliased && p.writes[i] == 0;
		p.period[i] = 1;
		int d = 0;
		while (d < p.rank - 1 && p.strides[i][d] == 0) d++;
		for (; d < p.rank - 1; d++) p.period[i] *= p.shape[d];
	}
	bool taken[kMaxRegisters] = {};
	for (int j = 0; j < p.outputs; j++) {
		const int r = p.outRegister[j], k = p.lastWriter[r];
		bool ok = k >= 0 && !taken[r] && p.in_place(p.inputs + j);
		p.streams[j] = p.in_place(p.inputs + j) && p.rows * p.cols * (int64_t)sizeof(float) >= kStreamBytes;
		for (int i = 0; i < p.inputs; i++)
			if (p.operands[i].data == p.operands[p.inputs + j].data) {
				if (lastRead[i] > k) ok = false;
				p.streams[j] = false;  // its lines are in the cache already
			}
		// Where computing is the cost, a copy out of a register would only add to it.
		if (ok && !is_cheap(p.code[k].op)) p.streams[j] = false;
		// What goes around the caches must not be read again; other outputs that share the register read it too.
		if (p.streams[j] && ok) {
			ok = lastRead[r] <= k;
			for (int other = 0; other < p.outputs; other++) ok = ok && (other == j || p.outRegister[other] != r);
		}
		p.directOutput[j] = ok ? k : -1;
		taken[r] |= ok;
	}
}

void fill(float* dst, float value, int64_t n) {
	for (int64_t i = 0; i < n; i += kLanes) store(dst + i, set1(value));  // registers are whole vectors long
}

// One thread's registers and its place in the index space.
class Machine {
public:
	Machine(const PointwisePlan& plan, std::span<const double> immediates, float* memory) : p_(plan), immediates_(immediates), memory_(memory) {
		for (int i = 0; i < p_.inputs; i++) keptLength_[i] = 0;
		for (int k = 0; k < p_.instructions; k++)
			if (constant(k)) fill(own(p_.code[k].dst), (float)immediates_[p_.code[k].a], p_.capacity);
	}

	void run(int64_t block) {
		place(block);
		for (int r = 0; r < p_.registers; r++) at_[r] = r < p_.inputs ? nullptr : own(r);
		for (int k = 0; k < p_.instructions; k++) step(k);
		for (int j = 0; j < p_.outputs; j++) ready(p_.outRegister[j]);
		for (int j = 0; j < p_.outputs; j++)
			if (p_.directOutput[j] < 0) write(j);
	}

private:
	float* own(int64_t r) const { return memory_ + r * p_.capacity; }
	bool constant(int k) const {
		const Instruction& i = p_.code[k];
		if (i.op != kImm || i.dst < p_.inputs || p_.writes[i.dst] != 1) return false;
		for (int j = 0; j < p_.outputs; j++)
			if (p_.directOutput[j] == k) return false;
		return true;
	}

	void place(int64_t block) {
		int64_t row = block;
		col_ = 0;
		if (p_.wide) {
			row = block / p_.segments;
			col_ = block % p_.segments * p_.blockCols;
			rows_ = 1;
			cols_ = min64(p_.blockCols, p_.cols - col_);
		} else {
			row = block * p_.blockRows;
			rows_ = min64(p_.blockRows, p_.rows - row);
			cols_ = p_.cols;
		}
		row_ = row;
		n_ = rows_ * cols_;
		for (int d = p_.rank - 2; d > 0; d--) {
			index_[d] = row % p_.shape[d];
			row /= p_.shape[d];
		}
		index_[0] = row;  // unused at rank 1
	}
	int64_t offset(int operand) const {
		int64_t sum = col_ * p_.strides[operand][p_.rank - 1];
		for (int d = 0; d < p_.rank - 1; d++) sum += index_[d] * p_.strides[operand][d];
		return sum;
	}

	// Calls f(offset, column stride, first element in the block, elements) for each run of the block along the last dimension.
	template <class F>
	void runs(int operand, F&& f) const {
		const int64_t stride = p_.strides[operand][p_.rank - 1];
		int64_t start = offset(operand);
		if (p_.wide || p_.rank == 1 || p_.flat(operand)) return f(start, stride, int64_t{0}, n_);
		int64_t index[kMaxRank];
		for (int d = 0; d < p_.rank - 1; d++) index[d] = index_[d];
		const int last = p_.rank - 2;
		const int64_t rowStride = p_.strides[operand][last];
		for (int64_t row = 0; row < rows_;) {
			const int64_t together = min64(rows_ - row, p_.shape[last] - index[last]);
			for (int64_t k = 0; k < together; k++) f(start + k * rowStride, stride, (row + k) * cols_, cols_);
			row += together;
			index[last] += together;
			start += together * rowStride;
			for (int d = last; d > 0 && index[d] == p_.shape[d]; d--) {
				start += p_.strides[operand][d - 1] - p_.shape[d] * p_.strides[operand][d];
				index[d] = 0;
				index[d - 1]++;
			}
		}
	}

	// The register as it is now, loading an input the first time it is read.
	const float* ready(int64_t r) {
		if (at_[r]) return at_[r];
		if (p_.direct[r]) return at_[r] = p_.operands[r].as<float>() + offset(r);
		float* to = own(r);
		at_[r] = to;
		const int64_t key = p_.wide ? offset(r) : row_ % p_.period[r];
		if (p_.repeats[r] && keptLength_[r] >= n_ && kept_[r] == key) return to;
		with_storage(p_.operands[r].dtype, [&]<class X>(X) {
			const auto* data = p_.operands[r].as<const typename X::Element>();
			runs(r, [&](int64_t from, int64_t stride, int64_t first, int64_t n) { convert_run<X, F32>(data + from, stride, to + first, 1, n); });
		});
		kept_[r] = key;
		keptLength_[r] = n_;
		return to;
	}

	void step(int k) {
		const Instruction& i = p_.code[k];
		if (constant(k)) return;
		Target dst{own(i.dst), false};
		for (int j = 0; j < p_.outputs; j++)
			if (p_.directOutput[j] == k) dst = {p_.operands[p_.inputs + j].as<float>() + offset(p_.inputs + j), p_.streams[j]};
		if (i.op == kImm) {
			const float value = (float)immediates_[i.a];
			for (int64_t e = 0; e < n_; e++) dst.data[e] = value;
		} else {
			const float* old = reads_dst(i.op) ? ready(i.dst) : nullptr;
			const float* a = ready(i.a);
			const float* b = reads_b(i.op) ? ready(i.b) : nullptr;
			execute(i.op, dst, old, a, b, n_);
		}
		at_[i.dst] = dst.data;
	}

	void write(int j) {
		const int operand = p_.inputs + j;
		const float* from = at_[p_.outRegister[j]];
		if (p_.streams[j]) return stream_run(p_.operands[operand].as<float>() + offset(operand), from, n_);
		with_storage(p_.operands[operand].dtype, [&]<class Y>(Y) {
			auto* data = p_.operands[operand].as<typename Y::Element>();
			runs(operand, [&](int64_t to, int64_t stride, int64_t first, int64_t n) { convert_run<F32, Y>(from + first, 1, data + to, stride, n); });
		});
	}

	const PointwisePlan& p_;
	std::span<const double> immediates_;
	float* memory_;
	const float* at_[kMaxRegisters];
	int64_t kept_[kMaxOperands], keptLength_[kMaxOperands];
	int64_t row_, rows_, col_, cols_, n_;
	int64_t index_[kMaxRank];
};

}  // namespace

void pointwise(const KernelArgs& args, ThreadTeam& team) {
	PointwisePlan plan;
	if (!parse(args, plan)) return;
	analyse(plan);
	const int64_t work = plan.rows * plan.cols * max64(1, plan.instructions);
	team.parallel_for(plan.blocks, work < kSerialWork ? plan.blocks : 1, [&](int64_t begin, int64_t end, int thread) {
		auto* memory = static_cast<float*>(team.scratch(thread, plan.registers * plan.capacity * (int64_t)sizeof(float)));
		Machine machine(plan, args.floats, memory);
		for (int64_t block = begin; block < end; block++) machine.run(block);
		if (work >= kSerialWork) finish_stream();
	});
}

}  // namespace dreamdist::cpu::DD_ISA
