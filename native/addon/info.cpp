#include "dreamdist/cuda.h"
#include "dreamdist/isa.h"
#include "objects.h"

namespace dreamdist::addon {

// info(): how this binary was built and what this machine offers it.
Napi::Value info(const Napi::CallbackInfo& call) {
	Napi::Env env = call.Env();
	const CpuSupport& support = cpu_support();
	auto names = [&](auto& list, auto name) {
		auto array = Napi::Array::New(env, list.size());
		for (uint32_t i = 0; i < list.size(); i++) array.Set(i, Napi::String::New(env, name(list[i])));
		return array;
	};
	auto cpu = Napi::Object::New(env);
	cpu.Set("usable", names(support.usable, [](const KernelTable* table) { return std::string(table->name); }));
	cpu.Set("built", names(support.built, [](const std::string& name) { return name; }));
	auto result = Napi::Object::New(env);
	result.Set("compiler", Napi::String::New(env, DD_COMPILER));
	result.Set("buildType", Napi::String::New(env, DD_BUILD_TYPE));
	result.Set("napi", Napi::Number::New(env, NAPI_VERSION));
	result.Set("cpu", cpu);
	result.Set("emulated", Napi::Boolean::New(env, has_emulated_device()));
	const std::optional<CudaInfo> info = cuda_info();
	if (!info) {
		result.Set("cuda", env.Null());
		return result;
	}
	const CudaInfo& found = *info;
	auto cuda = Napi::Object::New(env);
	auto cards = Napi::Array::New(env, found.cards.size());
	for (uint32_t i = 0; i < found.cards.size(); i++) {
		auto device = Napi::Object::New(env);
		device.Set("name", Napi::String::New(env, found.cards[i].name));
		device.Set("capability", Napi::String::New(env, std::to_string(found.cards[i].major) + "." + std::to_string(found.cards[i].minor)));
		device.Set("totalBytes", Napi::Number::New(env, found.cards[i].total_bytes));
		cards.Set(i, device);
	}
	cuda.Set("cards", cards);
	cuda.Set("devices", Napi::Number::New(env, (double)found.cards.size()));
	cuda.Set("runtime", Napi::Number::New(env, found.runtime));
	cuda.Set("driver", Napi::Number::New(env, found.driver));
	cuda.Set("leastCapability", Napi::String::New(env, std::to_string(found.least_major) + "." + std::to_string(found.least_minor)));
	cuda.Set("error", Napi::String::New(env, found.error));
	result.Set("cuda", cuda);
	return result;
}

}  // namespace dreamdist::addon
