#include "completion.h"

namespace dreamdist::addon {

Completions::Completions(Napi::Env env) {
	channel_ = Channel::New(env, "dreamdist", 0, 1, this);
	channel_.Unref(env);
}

Napi::Value Completions::submit(Napi::Env env, Device& device, std::function<void()> work, std::vector<Napi::ObjectReference> keep) {
	const uint64_t ticket = next_++;
	auto deferred = Napi::Promise::Deferred::New(env);
	auto inbox = inbox_;
	Channel channel = channel_;
	try {
		device.submit(std::move(work), [inbox, channel, ticket](std::string error, Failure kind) {
			std::lock_guard lock(inbox->mutex);
			if (inbox->closed) return;
			inbox->done.push_back({ticket, std::move(error), kind});
			channel.NonBlockingCall();
		});
	} catch (const Error& error) {
		deferred.Reject(Napi::Error::New(env, error.what()).Value());
		return deferred.Promise();
	}
	if (pending_.empty()) channel_.Ref(env);  // work in flight keeps the process alive
	pending_.emplace(ticket, Pending{deferred, std::move(keep)});
	return deferred.Promise();
}

void Completions::deliver(Napi::Env env, Napi::Function, Completions* self, void*) {
	if (!env || !self) return;
	std::vector<Done> done;
	{
		std::lock_guard lock(self->inbox_->mutex);
		done.swap(self->inbox_->done);
	}
	for (auto& one : done) self->finish(env, std::move(one));
}

void Completions::finish(Napi::Env env, Done done) {
	auto found = pending_.find(done.ticket);
	if (found == pending_.end()) return;
	auto deferred = found->second.deferred;
	pending_.erase(found);
	if (pending_.empty()) channel_.Unref(env);
	if (done.error.empty()) return deferred.Resolve(env.Undefined());
	auto error = Napi::Error::New(env, done.error);
	error.Set("code", Napi::String::New(env, done.kind == Failure::aborted ? "ABORTED" : done.kind == Failure::memory ? "MEMORY" : "DEVICE"));
	deferred.Reject(error.Value());
}

void Completions::close() {
	if (closed_) return;
	closed_ = true;
	{
		std::lock_guard lock(inbox_->mutex);
		inbox_->closed = true;
	}
	for (auto& weak : devices_)
		if (auto device = weak.lock()) device->shutdown();
	pending_.clear();
	channel_.Abort();
}

}  // namespace dreamdist::addon
