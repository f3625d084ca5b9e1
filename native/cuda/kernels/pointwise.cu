// pointwise: a fused chain of elementwise instructions in one pass over memory.
//
// The chain comes with the launch and is interpreted: an instruction is decoded once per thread for kEach elements, so that up to a
// dozen instructions hide behind the memory traffic. Registers lie in shared memory ([register][thread], conflict-free): an array
// indexed at run time would go to local memory. A thread has read all inputs of an element before it writes its outputs (in place).
// Where the innermost dimension is a multiple of kEach and dense in all operands (or the same for all of it), a thread's elements are
// neighbours: one offset for all of them, and accesses of 8 or 16 bytes.
#include "activation.h"
#include "strided.h"
#include "table.h"
#include "typed.h"

namespace dreamdist::cuda {
namespace {

constexpr int kThreads = 128, kEach = 4, kMaxRegisters = 32, kMaxOperands = 24, kPointwiseRank = 6, kMaxInstructions = 256, kMaxImmediates = 128;

enum PointwiseOp : uint8_t {
	kMov, kImm, kAdd, kSub, kMul, kDiv, kMaxOp, kMinOp, kNeg, kAbs, kExp, kLog, kSqrt, kRsqrt, kReciprocal, kSigmoid, kTanh, kErf, kSin, kCos,
	kSiluOp, kGeluOp, kQuickGeluOp, kReluOp, kSiluGrad, kGeluGrad, kQuickGeluGrad, kReluGrad, kGt, kGe, kEq, kSelect, kSquare, kSign, kPow, kFloor, kFma,
	kOpCount
};

struct Instruction {
	uint8_t op, dst, a, b;
};
struct Chain {  // the launch's argument: at most 4 KB
	int64_t count;
	int rank, inputs, outputs, instructions;
	int neighbours;  // whether a thread's elements are
	uint32_t shape[kPointwiseRank];
	int32_t strides[kMaxOperands][kPointwiseRank];
	void* data[kMaxOperands];
	uint8_t type[kMaxOperands];
	uint8_t out_register[kMaxOperands];
	Instruction code[kMaxInstructions];
	float immediates[kMaxImmediates];
};
static_assert(sizeof(Chain) <= 4000);

__device__ __forceinline__ float evaluate(int op, float old, float a, float b) {
	switch (op) {
		case kAdd: return a + b;
		case kSub: return a - b;
		case kMul: return a * b;
		case kDiv: return a / b;
		case kMaxOp: return a != a || a > b ? a : b;
		case kMinOp: return a != a || a < b ? a : b;
		case kNeg: return -a;
		case kAbs: return fabsf(a);
		case kExp: return expf(a);
		case kLog: return logf(a);
		case kSqrt: return sqrtf(a);
		case kRsqrt: return 1.0f / sqrtf(a);
		case kReciprocal: return 1.0f / a;
		case kSigmoid: return sigmoid(a);
		case kTanh: return tanhf(a);
		case kErf: return erff(a);
		case kSin: return sinf(a);
		case kCos: return cosf(a);
		case kSiluOp: return silu(a);
		case kGeluOp: return gelu(a);
		case kQuickGeluOp: return quick_gelu(a);
		case kReluOp: return relu(a);
		case kSiluGrad: return a * silu_slope(b);
		case kGeluGrad: return a * gelu_slope(b);
		case kQuickGeluGrad: return a * quick_gelu_slope(b);
		case kReluGrad: return b > 0 ? a : 0.0f;
		case kGt: return a > b ? 1.0f : 0.0f;
		case kGe: return a >= b ? 1.0f : 0.0f;
		case kEq: return a == b ? 1.0f : 0.0f;
		case kSelect: return old != 0 ? a : b;
		case kSquare: return a * a;
		case kSign: return a > 0 ? 1.0f : a < 0 ? -1.0f : a;
		case kPow: return powf(a, b);
		case kFloor: return floorf(a);
		case kFma: return fmaf(a, b, old);
		default: return a;
	}
}

// Four neighbouring elements, aligned.
__device__ __forceinline__ float4 load4(const void* data, int type, int64_t at) {
	if (type == (int)DType::f32) return gpu::load_float4(static_cast<const float*>(data) + at);
	if (type == (int)DType::i32) {
		const uint4 raw = gpu::load128(static_cast<const int32_t*>(data) + at);
		return make_float4((float)(int32_t)raw.x, (float)(int32_t)raw.y, (float)(int32_t)raw.z, (float)(int32_t)raw.w);
	}
	const uint16_t* from = static_cast<const uint16_t*>(data) + at;
	gpu::check_alignment(from, 8, "load4");
	const float2 raw = *reinterpret_cast<const float2*>(from);
	const bool is_f16 = type == (int)DType::f16;
	const float2 low = is_f16 ? unpack2<gpu::f16>(gpu::bits_of_float(raw.x)) : unpack2<gpu::bf16>(gpu::bits_of_float(raw.x));
	const float2 high = is_f16 ? unpack2<gpu::f16>(gpu::bits_of_float(raw.y)) : unpack2<gpu::bf16>(gpu::bits_of_float(raw.y));
	return make_float4(low.x, low.y, high.x, high.y);
}
__device__ __forceinline__ void store4(void* data, int type, int64_t at, float4 v) {
	if (type == (int)DType::f32) {
		float* to = static_cast<float*>(data) + at;
		gpu::check_alignment(to, 16, "store4");
		*reinterpret_cast<float4*>(to) = v;
	} else if (type == (int)DType::i32) {
		gpu::store128(static_cast<int32_t*>(data) + at, make_uint4((unsigned)(int32_t)v.x, (unsigned)(int32_t)v.y, (unsigned)(int32_t)v.z, (unsigned)(int32_t)v.w));
	} else {
		uint16_t* to = static_cast<uint16_t*>(data) + at;
		gpu::check_alignment(to, 8, "store4");
		const bool is_f16 = type == (int)DType::f16;
		const uint32_t low = is_f16 ? gpu::pack2<gpu::f16>(v.x, v.y) : gpu::pack2<gpu::bf16>(v.x, v.y), high = is_f16 ? gpu::pack2<gpu::f16>(v.z, v.w) : gpu::pack2<gpu::bf16>(v.z, v.w);
		*reinterpret_cast<float2*>(to) = make_float2(gpu::float_of_bits(low), gpu::float_of_bits(high));
	}
}

__global__ void __launch_bounds__(kThreads) pointwise_kernel(Chain chain) {
	GPU_DYNAMIC_SHARED(shared);
	float4* registers = reinterpret_cast<float4*>(shared) + threadIdx.x;
	auto cell = [&](int index) { return reinterpret_cast<float*>(registers + index * kThreads); };
	for (int64_t first = (int64_t)blockIdx.x * kThreads * kEach; first < chain.count; first += (int64_t)gridDim.x * kThreads * kEach) {
		uint32_t linear[kEach];
		GPU_UNROLL
		for (int e = 0; e < kEach; e++) linear[e] = uint32_t(first) + (chain.neighbours ? threadIdx.x * kEach + e : e * kThreads + threadIdx.x);
		const bool there = linear[0] < chain.count;  // neighbours are there together
		auto offset = [&](int operand, uint32_t index) {
			int64_t at = 0;
			GPU_NO_UNROLL
			for (int d = chain.rank - 1; d >= 0; d--) {
				const uint32_t rest = d > 0 ? index / chain.shape[d] : 0;
				at += (int64_t)(index - rest * chain.shape[d]) * chain.strides[operand][d];
				index = rest;
			}
			return at;
		};
		GPU_NO_UNROLL
		for (int i = 0; i < chain.inputs; i++) {
			if (chain.neighbours) {
				const int64_t at = there ? offset(i, linear[0]) : 0;
				float4 v = make_float4(0, 0, 0, 0);
				if (there && chain.strides[i][chain.rank - 1] != 0) v = load4(chain.data[i], chain.type[i], at);
				else if (there) {
					const float value = load_as_float(chain.data[i], chain.type[i], at);
					v = make_float4(value, value, value, value);
				}
				registers[i * kThreads] = v;
				continue;
			}
			GPU_UNROLL
			for (int e = 0; e < kEach; e++)
				cell(i)[e] = linear[e] < chain.count ? load_as_float(chain.data[i], chain.type[i], offset(i, linear[e])) : 0.0f;
		}
		GPU_NO_UNROLL
		for (int k = 0; k < chain.instructions; k++) {
			const Instruction instruction = chain.code[k];
			if (instruction.op == kImm) {
				const float value = chain.immediates[instruction.a];
				registers[instruction.dst * kThreads] = make_float4(value, value, value, value);
				continue;
			}
			const float4 a = registers[instruction.a * kThreads], b = registers[instruction.b * kThreads];
			float4 result = a;
			if (instruction.op == kSelect || instruction.op == kFma) result = registers[instruction.dst * kThreads];
			result.x = evaluate(instruction.op, result.x, a.x, b.x);
			result.y = evaluate(instruction.op, result.y, a.y, b.y);
			result.z = evaluate(instruction.op, result.z, a.z, b.z);
			result.w = evaluate(instruction.op, result.w, a.w, b.w);
			registers[instruction.dst * kThreads] = result;
		}
		GPU_NO_UNROLL
		for (int j = 0; j < chain.outputs; j++) {
			const int operand = chain.inputs + j;
			if (chain.neighbours) {
				if (there) store4(chain.data[operand], chain.type[operand], offset(operand, linear[0]), registers[chain.out_register[j] * kThreads]);
				continue;
			}
			GPU_UNROLL
			for (int e = 0; e < kEach; e++)
				if (linear[e] < chain.count) store_from_float(chain.data[operand], chain.type[operand], offset(operand, linear[e]), cell(chain.out_register[j])[e]);
		}
	}
}

}  // namespace

void pointwise(const KernelArgs& args, Context& context) {
	const int64_t* ints = args.ints.data();
	const int64_t rank = ints[0], inputs = ints[1], outputs = ints[2], instructions = ints[3], operands = inputs + outputs;
	auto check = [](bool good, const std::string& what) {
		if (!good) refuse("pointwise", what);
	};
	check(rank >= 0 && rank <= kMaxRank, "the rank must be between 0 and 8");
	check(inputs >= 0 && outputs >= 0 && operands <= kMaxOperands, "at most 24 inputs and outputs are allowed");
	check(operands == (int64_t)args.operands.size(), "the operands must be the inputs and the outputs");
	check(instructions >= 0 && instructions <= kMaxInstructions, "at most 256 instructions are allowed");
	check((int64_t)args.floats.size() <= kMaxImmediates, "at most 128 immediates are allowed");
	ints += 4;
	int64_t shape[kMaxRank], strides[kMaxOperands][kMaxRank];
	for (int d = 0; d < rank; d++) shape[d] = *ints++;
	for (int i = 0; i < operands; i++)
		for (int d = 0; d < rank; d++) strides[i][d] = *ints++;
	Chain chain = {};
	int registers = (int)inputs;
	auto register_index = [&](int64_t index) {
		check(index >= 0 && index < kMaxRegisters, "a register must be between 0 and 31");
		registers = std::max(registers, (int)index + 1);
		return (uint8_t)index;
	};
	for (int k = 0; k < instructions; k++, ints += 4) {
		check(ints[0] >= 0 && ints[0] < kOpCount, "unknown op code " + std::to_string(ints[0]));
		Instruction& to = chain.code[k];
		to.op = (uint8_t)ints[0];
		to.dst = register_index(ints[1]);
		if (to.op == kImm) {
			check(ints[2] >= 0 && ints[2] < (int64_t)args.floats.size(), "an immediate that is not there");
			to.a = (uint8_t)ints[2];
		} else {
			to.a = register_index(ints[2]);
			// Ops of one operand have no meaning for b: it need not be a register.
			const bool binary = (to.op >= kAdd && to.op <= kMinOp) || (to.op >= kSiluGrad && to.op <= kSelect) || to.op == kPow || to.op == kFma;
			to.b = binary ? register_index(ints[3]) : to.a;
		}
	}
	for (int j = 0; j < outputs; j++) chain.out_register[j] = register_index(ints[j]);
	for (size_t i = 0; i < args.floats.size(); i++) chain.immediates[i] = (float)args.floats[i];
	chain.count = product(shape, (int)rank);
	if (chain.count == 0) return;
	check(chain.count < (int64_t(1) << 32) - kThreads * kEach, "the tensor has too many elements");
	chain.rank = collapse((int)rank, shape, strides, (int)operands);
	check(chain.rank <= kPointwiseRank, "more than 6 dimensions that can't be merged");
	chain.inputs = (int)inputs;
	chain.outputs = (int)outputs;
	chain.instructions = (int)instructions;
	for (int d = 0; d < chain.rank; d++) chain.shape[d] = (uint32_t)shape[d];
	for (int i = 0; i < operands; i++) {
		chain.data[i] = args.operands[i].data;
		chain.type[i] = (uint8_t)args.operands[i].dtype;
		for (int d = 0; d < chain.rank; d++) {
			check(std::abs(strides[i][d]) < (int64_t(1) << 31), "a stride is too large");
			chain.strides[i][d] = (int32_t)strides[i][d];
		}
	}
	// A dense operand's other strides and its first element must be multiples too; outputs are dense.
	const int inner = chain.rank - 1;
	chain.neighbours = chain.rank > 0 && shape[inner] % kEach == 0;
	for (int i = 0; i < operands && chain.neighbours; i++) {
		const bool repeated = strides[i][inner] == 0 && i < inputs;
		chain.neighbours = repeated || (strides[i][inner] == 1 && reinterpret_cast<uintptr_t>(chain.data[i]) % (kEach * bytes_of(args.operands[i].dtype)) == 0);
		for (int d = 0; d < inner && !repeated; d++) chain.neighbours = chain.neighbours && strides[i][d] % kEach == 0;
	}
	gpu::launch<pointwise_kernel>(grid_for(chain.count, kThreads * kEach), kThreads, size_t(std::max(registers, 1)) * kThreads * 16, context.stream, chain);
}

}  // namespace dreamdist::cuda
