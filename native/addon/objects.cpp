#include "objects.h"

#include <cmath>
#include <cstring>

#include "dreamdist/cuda.h"
#include "dreamdist/finite.h"
#include "dreamdist/isa.h"
#include "dreamdist/self_test.h"
#include "weight_parts.h"

namespace dreamdist::addon {

namespace {

[[noreturn]] void bad(Napi::Env env, const std::string& message) { throw Napi::TypeError::New(env, "dreamdist native: " + message); }

AddonData& data_of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

int64_t count(Napi::Env env, const Napi::Value& value, const char* what) {
	const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
	if (!(number >= 0 && number <= 9007199254740991.0 && number == std::floor(number))) bad(env, std::string(what) + " must be a whole number that is not negative");
	return (int64_t)number;
}
int64_t count(const Napi::CallbackInfo& info, size_t index, const char* what) { return count(info.Env(), info[index], what); }
DType dtype(const Napi::CallbackInfo& info, size_t index) {
	const int64_t code = count(info, index, "dtype");
	if (code > 3) bad(info.Env(), "unknown dtype code");
	return (DType)code;
}
template <class T>
T* unwrap(Napi::Env env, Napi::Value value, Napi::FunctionReference& type, const char* what) {
	if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(type.Value())) bad(env, std::string("expected a ") + what);
	return T::Unwrap(value.As<Napi::Object>());
}
struct Bytes {
	uint8_t* data;
	int64_t size;
};
Bytes bytes_of_array(Napi::Env env, Napi::Value value, const char* what) {
	if (!value.IsTypedArray()) bad(env, std::string(what) + " must be a typed array");
	auto array = value.As<Napi::TypedArray>();
	return {static_cast<uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset(), (int64_t)array.ByteLength()};
}
std::vector<int64_t> integers(Napi::Env env, Napi::Value value) {
	if (!value.IsArray()) bad(env, "ints must be an array");
	auto array = value.As<Napi::Array>();
	std::vector<int64_t> out(array.Length());
	for (uint32_t i = 0; i < array.Length(); i++) out[i] = array.Get(i).ToNumber().Int64Value();
	return out;
}
BufferPtr buffer_of(Napi::Env env, Napi::Value value) {
	auto* shell = unwrap<JsBuffer>(env, value, data_of(env).buffer, "Buffer");
	if (!shell->buffer) bad(env, "the buffer was disposed");
	return shell->buffer;
}

}  // namespace

// ---- Buffer

Napi::Function JsBuffer::define(Napi::Env env) {
	return DefineClass(env, "NativeBuffer", {InstanceAccessor<&JsBuffer::bytes>("bytes"), InstanceMethod<&JsBuffer::dispose>("dispose")});
}
// Made by NativeDevice.allocate; one that JavaScript makes itself is empty.
JsBuffer::JsBuffer(const Napi::CallbackInfo& info) : Napi::ObjectWrap<JsBuffer>(info) {}
Napi::Value JsBuffer::bytes(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), buffer ? (double)buffer->bytes() : 0); }
Napi::Value JsBuffer::dispose(const Napi::CallbackInfo& info) {
	buffer.reset();
	return info.Env().Undefined();
}

// ---- FileMapping

Napi::Function JsMapping::define(Napi::Env env) {
	return DefineClass(env, "NativeFileMapping", {InstanceAccessor<&JsMapping::bytes>("bytes"), InstanceMethod<&JsMapping::dispose>("dispose")});
}
JsMapping::JsMapping(const Napi::CallbackInfo& info) : Napi::ObjectWrap<JsMapping>(info) {
	if (!info[0].IsString()) bad(info.Env(), "path must be a string");
	try {
		mapping = std::make_shared<FileMapping>(info[0].As<Napi::String>().Utf8Value());
	} catch (const Error& error) {
		throw Napi::Error::New(info.Env(), error.what());
	}
}
Napi::Value JsMapping::bytes(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), mapping ? (double)mapping->bytes() : 0); }
Napi::Value JsMapping::dispose(const Napi::CallbackInfo& info) {
	mapping.reset();
	return info.Env().Undefined();
}

// ---- AbortFlag

Napi::Function JsAbortFlag::define(Napi::Env env) { return DefineClass(env, "NativeAbortFlag", {InstanceMethod<&JsAbortFlag::raise>("raise")}); }
Napi::Value JsAbortFlag::raise(const Napi::CallbackInfo& info) {
	raised = true;
	if (auto running = request.lock()) running->abort.store(true);
	return info.Env().Undefined();
}

// ---- Program

Napi::Function JsProgram::define(Napi::Env env) { return DefineClass(env, "NativeProgram", {InstanceMethod<&JsProgram::dispose>("dispose")}); }
JsProgram::JsProgram(const Napi::CallbackInfo& info) : Napi::ObjectWrap<JsProgram>(info) {}
JsProgram::~JsProgram() { let_go(); }
void JsProgram::let_go() {
	if (!program) return;
	program.reset();
	if (auto alive = device.lock(); alive && !alive->stopping()) {
		try {
			alive->release(planned);
		} catch (const Error&) {
			// The device is going away, and its arena with it.
		}
	}
}
Napi::Value JsProgram::dispose(const Napi::CallbackInfo& info) {
	let_go();
	return info.Env().Undefined();
}

// ---- Device

Napi::Function JsDevice::define(Napi::Env env) {
	return DefineClass(env, "NativeDevice",
					   {InstanceAccessor<&JsDevice::isa>("isa"), InstanceAccessor<&JsDevice::threads>("threads"),
						InstanceAccessor<&JsDevice::arena_bytes>("arenaBytes"), InstanceAccessor<&JsDevice::free_bytes>("freeBytes"), InstanceAccessor<&JsDevice::kernels>("kernels"),
						InstanceMethod<&JsDevice::allocate>("allocate"), InstanceMethod<&JsDevice::write>("write"),
						InstanceMethod<&JsDevice::read>("read"), InstanceMethod<&JsDevice::packed_bytes>("packedBytes"),
						InstanceMethod<&JsDevice::pack>("pack"), InstanceMethod<&JsDevice::scratch_bytes>("scratchBytes"), InstanceMethod<&JsDevice::choices>("choices"),
						InstanceMethod<&JsDevice::create_program>("createProgram"), InstanceMethod<&JsDevice::run>("run"),
						InstanceMethod<&JsDevice::self_test>("selfTest"), InstanceMethod<&JsDevice::prepare>("prepare"), InstanceMethod<&JsDevice::idle>("idle"), InstanceMethod<&JsDevice::dispose>("dispose")});
}

// new NativeDevice(isa, threads, kind = "cpu"): the instruction set is the CPU's; kind: "cpu", "cuda:N" or "cuda-emulated".
JsDevice::JsDevice(const Napi::CallbackInfo& info) : Napi::ObjectWrap<JsDevice>(info) {
	const std::string isa = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "";
	const std::string kind = info[2].IsString() ? info[2].As<Napi::String>().Utf8Value() : "cpu";
	const int threads = (int)count(info, 1, "threads");
	try {
		device_ = std::make_shared<Device>(kind == "cpu" ? cpu_backend(kernel_table(isa)) : cuda_backend(kind), threads);
	} catch (const Error& error) {
		throw Napi::Error::New(info.Env(), error.what());
	}
	data_of(info.Env()).completions.watch(device_);
}
Device& JsDevice::alive(Napi::Env env) {
	if (!device_) throw Napi::Error::New(env, "the device was disposed");
	return *device_;
}
Napi::Value JsDevice::isa(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), alive(info.Env()).table().name); }
Napi::Value JsDevice::threads(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), alive(info.Env()).threads()); }
Napi::Value JsDevice::arena_bytes(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), device_ ? (double)device_->arena_bytes() : 0); }
Napi::Value JsDevice::free_bytes(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), (double)alive(info.Env()).backend().free_bytes()); }
Napi::Value JsDevice::kernels(const Napi::CallbackInfo& info) {
	auto table = alive(info.Env()).table().kernels;
	auto names = Napi::Array::New(info.Env(), table.size());
	for (uint32_t i = 0; i < table.size(); i++) names.Set(i, Napi::String::New(info.Env(), table[i].name));
	return names;
}

// allocate(bytes): NativeBuffer
Napi::Value JsDevice::allocate(const Napi::CallbackInfo& info) {
	Napi::Env env = info.Env();
	const int64_t bytes = count(info, 0, "bytes");
	Device& device = alive(env);
	auto object = data_of(env).buffer.New({});
	try {
		JsBuffer::Unwrap(object)->buffer = device.allocate(bytes);
	} catch (const OutOfMemory& error) {
		auto failure = Napi::Error::New(env, error.what());
		failure.Set("code", Napi::String::New(env, "MEMORY"));
		throw failure;
	} catch (const Error& error) {
		throw Napi::Error::New(env, error.what());
	}
	return object;
}

// write(buffer, byteOffset, typedArray): Promise<void>; the array's contents are taken now.
Napi::Value JsDevice::write(const Napi::CallbackInfo& info) {
	Napi::Env env = info.Env();
	auto buffer = buffer_of(env, info[0]);
	const int64_t offset = count(info, 1, "byteOffset");
	const Bytes source = bytes_of_array(env, info[2], "data");
	if (offset + source.size > buffer->bytes()) bad(env, "write past the end of the buffer");
	auto copy = std::make_shared<std::vector<uint8_t>>(source.data, source.data + source.size);
	Device& device = alive(env);
	Backend* backend = &device.backend();
	return data_of(env).completions.submit(
		env, device,
		[=] {
			if (!copy->empty()) backend->write(buffer->data() + offset, copy->data(), (int64_t)copy->size());
		},
		{});
}

// read(buffer, byteOffset, typedArray): Promise<void>; fills the array.
Napi::Value JsDevice::read(const Napi::CallbackInfo& info) {
	Napi::Env env = info.Env();
	auto buffer = buffer_of(env, info[0]);
	const int64_t offset = count(info, 1, "byteOffset");
	const Bytes target = bytes_of_array(env, info[2], "data");
	if (offset + target.size > buffer->bytes()) bad(env, "read past the end of the buffer");
	std::vector<Napi::ObjectReference> keep;
	keep.push_back(Napi::Persistent(info[2].As<Napi::Object>()));
	Device& device = alive(env);
	Backend* backend = &device.backend();
	return data_of(env).completions.submit(
		env, device,
		[=] {
			if (target.size > 0) backend->read(target.data, buffer->data() + offset, target.size);
		},
		std::move(keep));
}

// packedBytes(packer, dtype, ints): number
Napi::Value JsDevice::packed_bytes(const Napi::CallbackInfo& info) {
	Napi::Env env = info.Env();
	const PackerInfo* packer = alive(env).table().find_packer(info[0].ToString().Utf8Value());
	if (!packer) bad(env, "unknown packer " + info[0].ToString().Utf8Value());
	auto ints = integers(env, info[2]);
	return Napi::Number::New(env, (double)packer->bytes(dtype(info, 1), ints));
}

// pack(packer | null, dtype, ints, parts: {source: FileMapping | typed array, byteOffset, bytes}[], into: Buffer): Promise<void>
// The parts follow one another.
Napi::Value JsDevice::pack(const Napi::CallbackInfo& info) {
	Napi::Env env = info.Env();
	Device& device = alive(env);
	const PackerInfo* packer = info[0].IsNull() ? nullptr : device.table().find_packer(info[0].ToString().Utf8Value());
	if (!packer && !info[0].IsNull()) bad(env, "unknown packer " + info[0].ToString().Utf8Value());
	const DType type = dtype(info, 1);
	auto ints = integers(env, info[2]);
	if (!info[3].IsArray()) bad(env, "the parts of a weight must be an array");
	auto list = info[3].As<Napi::Array>();
	std::vector<WeightPart> parts;
	std::vector<Napi::ObjectReference> keep;
	int64_t bytes = 0;
	for (uint32_t i = 0; i < list.Length(); i++) {
		if (!list.Get(i).IsObject()) bad(env, "the parts of a weight must be objects");
		auto part = list.Get(i).As<Napi::Object>();
		const int64_t offset = count(env, part.Get("byteOffset"), "byteOffset"), size = count(env, part.Get("bytes"), "bytes");
		Napi::Value source = part.Get("source");
		if (source.IsTypedArray()) {
			const Bytes array = bytes_of_array(env, source, "source");
			if (offset + size > array.size) bad(env, "the source array is too short");
			parts.push_back({array.data + offset, size, nullptr, offset});
			keep.push_back(Napi::Persistent(source.As<Napi::Object>()));
		} else {
			auto mapping = unwrap<JsMapping>(env, source, data_of(env).mapping, "FileMapping")->mapping;
			if (!mapping) bad(env, "the file mapping was disposed");
			if (offset + size > mapping->bytes()) bad(env, "the file is too short");
			parts.push_back({mapping->data() + offset, size, mapping, offset});
		}
		bytes += size;
	}
	auto buffer = buffer_of(env, info[4]);
	if (buffer->bytes() < (packer ? packer->bytes(type, ints) : bytes)) bad(env, "the packed weight does not fit its buffer");
	Device* worker = &device;
	return data_of(env).completions.submit(
		env, device,
		[=] {
			int64_t bad = 0;
			for (const WeightPart& part : parts) bad += count_non_finite(part.data, type, part.bytes / bytes_of(type), worker->team());
			if (bad > 0) throw Error(std::to_string(bad) + " of its values are infinite or not a number");
			if (bytes > 0) {
				const OnePiece whole(parts, bytes_of(type));
				worker->backend().pack(packer, whole.data(), type, ints, bytes, buffer->data(), buffer->bytes(), worker->team());
			}
			for (const WeightPart& part : parts)
				if (part.mapping) part.mapping->forget(part.offset, part.bytes);
		},
		std::move(keep));
}

// choices(kernel, ints, dtypes): number[]; dtypes as their codes, −1 where an operand is absent.
Napi::Value JsDevice::choices(const Napi::CallbackInfo& info) {
	Napi::Env env = info.Env();
	Device& device = alive(env);
	const KernelInfo* kernel = device.table().find(info[0].ToString().Utf8Value());
	if (!kernel) bad(env, "unknown kernel " + info[0].ToString().Utf8Value());
	const auto ints = integers(env, info[1]);
	const auto types = integers(env, info[2]);
	if ((kernel->ints >= 0 && (int)ints.size() != kernel->ints) || (kernel->operands >= 0 && (int)types.size() != kernel->operands))
		bad(env, std::string(kernel->name) + " takes other numbers of integers and operands");
	static char present;  // never read
	std::vector<Operand> operands;
	for (int64_t type : types) operands.push_back(type < 0 ? Operand{} : Operand{&present, (DType)type});
	std::vector<TileChoice> found;
	if (kernel->choices) kernel->choices({operands, ints, {}}, found);
	auto result = Napi::Array::New(env, found.size());
	for (uint32_t i = 0; i < found.size(); i++) result.Set(i, Napi::Number::New(env, found[i].code()));
	return result;
}

// scratchBytes(kernel, ints, choice = 0): number
Napi::Value JsDevice::scratch_bytes(const Napi::CallbackInfo& info) {
	Napi::Env env = info.Env();
	Device& device = alive(env);
	const KernelInfo* kernel = device.table().find(info[0].ToString().Utf8Value());
	if (!kernel) bad(env, "unknown kernel " + info[0].ToString().Utf8Value());
	auto ints = integers(env, info[1]);
	KernelArgs args{{}, ints, {}};
	if (info.Length() > 2) args.choice = TileChoice(info[2].ToNumber().Int32Value());
	return Napi::Number::New(env, kernel->scratch_bytes ? (double)kernel->scratch_bytes(args, device.threads()) : 0);
}

// createProgram({kernels: string[], labels: string[], code: Float64Array, slots: Float64Array, buffers: NativeBuffer[],
//                inputs: Float64Array, outputs: Float64Array, arenaBytes, commit})
// code, per call: kernel, scratchOffset, nSlots, slots…, nInts, ints…, nFloats, floats…; slots: buffer|-1, byteOffset, dtype, bytes;
// inputs and outputs: byteOffset, bytes.
Napi::Value JsDevice::create_program(const Napi::CallbackInfo& info) {
	Napi::Env env = info.Env();
	Device& device = alive(env);
	if (!info[0].IsObject()) bad(env, "createProgram takes a description");
	auto description = info[0].As<Napi::Object>();
	auto numbers = [&](const char* key) {
		auto value = description.Get(key);
		if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) bad(env, std::string(key) + " must be a Float64Array");
		auto array = value.As<Napi::Float64Array>();
		return std::vector<double>(array.Data(), array.Data() + array.ElementLength());
	};
	auto list = [&](const char* key) {
		if (!description.Get(key).IsArray()) bad(env, std::string(key) + " must be an array");
		return description.Get(key).As<Napi::Array>();
	};
	ProgramSpec spec;
	spec.arena_bytes = (int64_t)description.Get("arenaBytes").ToNumber().DoubleValue();
	spec.commit = description.Get("commit").ToNumber().Int32Value();
	auto buffers = list("buffers");
	for (uint32_t i = 0; i < buffers.Length(); i++) spec.buffers.push_back(buffer_of(env, buffers.Get(i)));
	const auto slots = numbers("slots");
	for (size_t i = 0; i + 3 < slots.size(); i += 4) {
		const Slot slot{(int32_t)slots[i], (int64_t)slots[i + 1], (DType)(int32_t)slots[i + 2]};
		if (slot.buffer >= (int32_t)spec.buffers.size()) bad(env, "a slot names a missing buffer");
		const int64_t room = slot.buffer < 0 ? spec.arena_bytes : spec.buffers[slot.buffer]->bytes();
		if (slot.offset < 0 || slots[i + 3] < 0 || slot.offset + (int64_t)slots[i + 3] > room) bad(env, "slot " + std::to_string(i / 4) + " reaches outside its memory");
		spec.slots.push_back(slot);
	}
	auto regions = [&](const char* key, std::vector<Region>& out) {
		const auto values = numbers(key);
		for (size_t i = 0; i + 1 < values.size(); i += 2) {
			const Region region{(int64_t)values[i], (int64_t)values[i + 1]};
			if (region.offset < 0 || region.bytes < 0 || region.offset + region.bytes > spec.arena_bytes) bad(env, std::string(key) + ": a region reaches outside the arena");
			out.push_back(region);
		}
	};
	regions("inputs", spec.inputs);
	regions("outputs", spec.outputs);
	std::vector<const KernelInfo*> kernels;
	auto names = list("kernels");
	for (uint32_t i = 0; i < names.Length(); i++) {
		const std::string name = names.Get(i).ToString().Utf8Value();
		kernels.push_back(device.table().find(name));
		if (!kernels.back()) bad(env, "this device has no kernel " + name);
	}
	auto labels = list("labels");
	const auto code = numbers("code");
	size_t at = 0;
	auto take = [&]() -> double {
		if (at >= code.size()) bad(env, "the program's code is cut short");
		return code[at++];
	};
	auto take_count = [&]() -> size_t {
		const double n = take();
		if (!(n >= 0 && n <= (double)(code.size() - at))) bad(env, "the program's code is damaged");
		return (size_t)n;
	};
	while (at < code.size()) {
		Call call;
		const double kernel = take();
		if (!(kernel >= 0 && kernel < (double)kernels.size())) bad(env, "the program's code is damaged");
		call.kernel = kernels[(size_t)kernel];
		call.scratch_offset = (int64_t)take();
		call.choice = TileChoice((int32_t)take());
		for (size_t n = take_count(); n > 0; n--) {
			const int32_t slot = (int32_t)take();
			if (slot >= (int32_t)spec.slots.size()) bad(env, "a call names a missing slot");
			call.slots.push_back(slot);
		}
		for (size_t n = take_count(); n > 0; n--) call.ints.push_back((int64_t)take());
		for (size_t n = take_count(); n > 0; n--) call.floats.push_back(take());
		if (call.kernel->operands >= 0 && (int)call.slots.size() != call.kernel->operands)
			bad(env, std::string(call.kernel->name) + " takes " + std::to_string(call.kernel->operands) + " operands, not " + std::to_string(call.slots.size()));
		if (call.kernel->ints >= 0 && (int)call.ints.size() != call.kernel->ints)
			bad(env, std::string(call.kernel->name) + " takes " + std::to_string(call.kernel->ints) + " integers, not " + std::to_string(call.ints.size()));
		KernelArgs args{{}, call.ints, call.floats};
		args.choice = call.choice;
		const int64_t scratch = call.kernel->scratch_bytes ? call.kernel->scratch_bytes(args, device.threads()) : 0;
		if (scratch && (call.scratch_offset < 0 || call.scratch_offset + scratch > spec.arena_bytes)) bad(env, "a call's scratch reaches outside the arena");
		const uint32_t index = (uint32_t)spec.calls.size();
		call.label = index < labels.Length() ? labels.Get(index).ToString().Utf8Value() : call.kernel->name;
		spec.calls.push_back(std::move(call));
	}
	auto object = data_of(env).program.New({});
	auto* shell = JsProgram::Unwrap(object);
	shell->planned = spec.arena_bytes;
	shell->device = device_;
	device.reserve(spec.arena_bytes);
	shell->program = std::make_shared<Program>(std::move(spec));
	return object;
}

// run(program, inputs: TypedArray[], outputs: (TypedArray|null)[], abortFlag | null, poison, profile: Float64Array | null, cold): Promise<void>
Napi::Value JsDevice::run(const Napi::CallbackInfo& info) {
	Napi::Env env = info.Env();
	Device& device = alive(env);
	auto* shell = unwrap<JsProgram>(env, info[0], data_of(env).program, "Program");
	if (!shell->program) bad(env, "the program was disposed");
	auto request = std::make_shared<RunRequest>();
	request->program = shell->program;
	const ProgramSpec& spec = request->program->spec;
	std::vector<Napi::ObjectReference> keep;
	if (!info[1].IsArray() || !info[2].IsArray()) bad(env, "run takes arrays of inputs and outputs");
	auto inputs = info[1].As<Napi::Array>(), outputs = info[2].As<Napi::Array>();
	if (inputs.Length() != spec.inputs.size() || outputs.Length() != spec.outputs.size()) bad(env, "the number of inputs or outputs differs from the program's");
	for (uint32_t i = 0; i < inputs.Length(); i++) {
		const Bytes array = bytes_of_array(env, inputs.Get(i), "an input");
		if (array.size != spec.inputs[i].bytes) bad(env, "input " + std::to_string(i) + " has " + std::to_string(array.size) + " bytes, expected " + std::to_string(spec.inputs[i].bytes));
		request->inputs.emplace_back(array.data, array.data + array.size);
	}
	for (uint32_t i = 0; i < outputs.Length(); i++) {
		Napi::Value value = outputs.Get(i);
		if (value.IsNull() || value.IsUndefined()) {
			request->outputs.push_back(nullptr);
			continue;
		}
		const Bytes array = bytes_of_array(env, value, "an output");
		if (array.size != spec.outputs[i].bytes) bad(env, "output " + std::to_string(i) + " has " + std::to_string(array.size) + " bytes, expected " + std::to_string(spec.outputs[i].bytes));
		request->outputs.push_back(array.data);
		keep.push_back(Napi::Persistent(value.As<Napi::Object>()));
	}
	if (info[3].IsObject()) {
		auto* flag = unwrap<JsAbortFlag>(env, info[3], data_of(env).abort_flag, "AbortFlag");
		flag->request = request;
		if (flag->raised) request->abort = true;
	}
	request->poison = info[4].ToBoolean();
	request->cold = info[6].ToBoolean();
	if (info[5].IsTypedArray()) {
		const Bytes array = bytes_of_array(env, info[5], "profile");
		if (array.size < (int64_t)(spec.calls.size() * sizeof(double))) bad(env, "the profile array is too short");
		request->profile = reinterpret_cast<double*>(array.data);
		keep.push_back(Napi::Persistent(info[5].As<Napi::Object>()));
	}
	Device* worker = &device;
	return data_of(env).completions.submit(env, device, [worker, request] { worker->execute(*request); }, std::move(keep));
}

// selfTest(): Promise<void>; rejects with the name of the first kernel that does not compute what the CPU computes.
Napi::Value JsDevice::self_test(const Napi::CallbackInfo& info) {
	Device* worker = &alive(info.Env());
	return data_of(info.Env()).completions.submit(
		info.Env(), *worker,
		[worker] {
			const BackendPtr reference = cpu_backend(kernel_table("auto"));
			dreamdist::self_test(worker->backend(), *reference, worker->team());
		},
		{});
}

// prepare(program): Promise<void>; the arena is large enough for it then, or the promise rejects with the code "MEMORY".
Napi::Value JsDevice::prepare(const Napi::CallbackInfo& info) {
	Napi::Env env = info.Env();
	Device* worker = &alive(env);
	auto* shell = unwrap<JsProgram>(env, info[0], data_of(env).program, "Program");
	if (!shell->program) bad(env, "the program was disposed");
	return data_of(env).completions.submit(env, *worker, [worker, program = shell->program] { worker->prepare(*program); }, {});
}

// idle(): Promise<void>, resolved when everything queued before it is done.
Napi::Value JsDevice::idle(const Napi::CallbackInfo& info) {
	return data_of(info.Env()).completions.submit(info.Env(), alive(info.Env()), [] {}, {});
}
Napi::Value JsDevice::dispose(const Napi::CallbackInfo& info) {
	if (device_) device_->shutdown();
	device_.reset();
	return info.Env().Undefined();
}

}  // namespace dreamdist::addon
