#include "objects.h"

namespace dreamdist::addon {
namespace {

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
	auto* data = new AddonData(env);
	env.SetInstanceData(data);
	// Runs before the environment tears its objects down: the workers stop while what they write to is still there.
	env.AddCleanupHook([data] { data->completions.close(); });
	auto add = [&](const char* name, Napi::Function type, Napi::FunctionReference& reference) {
		reference = Napi::Persistent(type);
		exports.Set(name, type);
	};
	add("NativeDevice", JsDevice::define(env), data->device);
	add("NativeBuffer", JsBuffer::define(env), data->buffer);
	add("NativeProgram", JsProgram::define(env), data->program);
	add("NativeFileMapping", JsMapping::define(env), data->mapping);
	add("NativeAbortFlag", JsAbortFlag::define(env), data->abort_flag);
	exports.Set("interface", Napi::Number::New(env, ADDON_INTERFACE));
	exports.Set("info", Napi::Function::New(env, info));
	return exports;
}

}  // namespace
}  // namespace dreamdist::addon

static Napi::Object Init(Napi::Env env, Napi::Object exports) { return dreamdist::addon::initialise(env, exports); }
NODE_API_MODULE(dreamdist, Init)
