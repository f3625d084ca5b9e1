// The JavaScript classes over the engine: thin shells that check arguments and hold a shared pointer.
#pragma once
#include <napi.h>

#include <memory>

#include "completion.h"
#include "dreamdist/device.h"
#include "dreamdist/file_mapping.h"

namespace dreamdist::addon {

class JsBuffer : public Napi::ObjectWrap<JsBuffer> {
public:
	static Napi::Function define(Napi::Env env);
	explicit JsBuffer(const Napi::CallbackInfo& info);
	void Finalize(Napi::BasicEnv) override { buffer.reset(); }
	BufferPtr buffer;

private:
	Napi::Value bytes(const Napi::CallbackInfo& info);
	Napi::Value dispose(const Napi::CallbackInfo& info);
};

class JsMapping : public Napi::ObjectWrap<JsMapping> {
public:
	static Napi::Function define(Napi::Env env);
	explicit JsMapping(const Napi::CallbackInfo& info);
	std::shared_ptr<FileMapping> mapping;

private:
	Napi::Value bytes(const Napi::CallbackInfo& info);
	Napi::Value dispose(const Napi::CallbackInfo& info);
};

class JsProgram : public Napi::ObjectWrap<JsProgram> {
public:
	static Napi::Function define(Napi::Env env);
	explicit JsProgram(const Napi::CallbackInfo& info);
	~JsProgram() override;
	ProgramPtr program;
	std::weak_ptr<Device> device;
	int64_t planned = 0;

private:
	Napi::Value dispose(const Napi::CallbackInfo& info);
	void let_go();
};

class JsDevice : public Napi::ObjectWrap<JsDevice> {
public:
	static Napi::Function define(Napi::Env env);
	explicit JsDevice(const Napi::CallbackInfo& info);

private:
	std::shared_ptr<Device> device_;
	Device& alive(Napi::Env env);
	Napi::Value isa(const Napi::CallbackInfo& info);
	Napi::Value threads(const Napi::CallbackInfo& info);
	Napi::Value kernels(const Napi::CallbackInfo& info);
	Napi::Value allocate(const Napi::CallbackInfo& info);
	Napi::Value write(const Napi::CallbackInfo& info);
	Napi::Value read(const Napi::CallbackInfo& info);
	Napi::Value packed_bytes(const Napi::CallbackInfo& info);
	Napi::Value pack(const Napi::CallbackInfo& info);
	Napi::Value scratch_bytes(const Napi::CallbackInfo& info);
	Napi::Value choices(const Napi::CallbackInfo& info);
	Napi::Value create_program(const Napi::CallbackInfo& info);
	Napi::Value run(const Napi::CallbackInfo& info);
	Napi::Value self_test(const Napi::CallbackInfo& info);
	Napi::Value prepare(const Napi::CallbackInfo& info);
	Napi::Value idle(const Napi::CallbackInfo& info);
	Napi::Value free_bytes(const Napi::CallbackInfo& info);
	Napi::Value arena_bytes(const Napi::CallbackInfo& info);
	Napi::Value dispose(const Napi::CallbackInfo& info);
};

// A flag JavaScript can raise to stop a run before its next kernel.
class JsAbortFlag : public Napi::ObjectWrap<JsAbortFlag> {
public:
	static Napi::Function define(Napi::Env env);
	explicit JsAbortFlag(const Napi::CallbackInfo& info) : Napi::ObjectWrap<JsAbortFlag>(info) {}
	std::weak_ptr<RunRequest> request;
	bool raised = false;

private:
	Napi::Value raise(const Napi::CallbackInfo& info);
};

Napi::Value info(const Napi::CallbackInfo& call);

}  // namespace dreamdist::addon
