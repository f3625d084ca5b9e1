// Element types and small shared vocabulary of the engine.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

namespace dreamdist {

enum class DType : int32_t { f32 = 0, f16 = 1, bf16 = 2, i32 = 3 };

inline int64_t bytes_of(DType type) { return type == DType::f16 || type == DType::bf16 ? 2 : 4; }
inline const char* name_of(DType type) {
	switch (type) {
		case DType::f32: return "f32";
		case DType::f16: return "f16";
		case DType::bf16: return "bf16";
		case DType::i32: return "i32";
	}
	return "?";
}

// Every failure the engine reports. `what()` is one sentence for the user.
struct Error : std::runtime_error {
	using std::runtime_error::runtime_error;
};
// A run that its caller asked to stop.
struct Aborted : Error {
	Aborted() : Error("the run was aborted") {}
};

}  // namespace dreamdist
