// From the device's worker back to the JavaScript thread.
//
// What JavaScript owns while work is in flight (promises, typed arrays) stays in a table on its own thread; the worker only knows a
// ticket. So a worker thread that is terminated mid-run leaves nothing to release on the wrong thread.
#pragma once
#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "dreamdist/device.h"

namespace dreamdist::addon {

class Completions {
public:
	explicit Completions(Napi::Env env);

	// Queues `work` on the device and returns its promise: it resolves with undefined, or rejects with the error's sentence (code
	// "ABORTED", "MEMORY" or "DEVICE"). `keep` stays alive until then.
	Napi::Value submit(Napi::Env env, Device& device, std::function<void()> work, std::vector<Napi::ObjectReference> keep);
	// Called before the environment goes away.
	void close();
	void watch(std::weak_ptr<Device> device) { devices_.push_back(std::move(device)); }

private:
	struct Pending {
		Napi::Promise::Deferred deferred;
		std::vector<Napi::ObjectReference> keep;
	};
	struct Done {
		uint64_t ticket;
		std::string error;
		Failure kind;
	};
	static void deliver(Napi::Env env, Napi::Function, Completions* self, void*);
	void finish(Napi::Env env, Done done);

	using Channel = Napi::TypedThreadSafeFunction<Completions, void, deliver>;
	Channel channel_;
	std::unordered_map<uint64_t, Pending> pending_;
	uint64_t next_ = 0;
	bool closed_ = false;
	std::vector<std::weak_ptr<Device>> devices_;
	struct Inbox {
		std::mutex mutex;
		std::vector<Done> done;
		bool closed = false;
	};
	std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
};

struct AddonData {
	explicit AddonData(Napi::Env env) : completions(env) {}
	Completions completions;
	Napi::FunctionReference device, buffer, program, mapping, abort_flag;
};

}  // namespace dreamdist::addon
