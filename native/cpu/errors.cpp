#include "kernels/errors.h"

#include "dreamdist/types.h"

namespace dreamdist::cpu {

void throw_index_error(const char* kernel, int64_t position, int64_t index, int64_t rows) {
	throw Error(std::string(kernel) + ": index " + std::to_string(index) + " (at position " + std::to_string(position) + ") is outside [0, " +
				std::to_string(rows) + ")");
}

void throw_call_error(const char* kernel, const char* what, int64_t value) {
	throw Error(std::string(kernel) + ": " + what + " (got " + std::to_string(value) + ")");
}

}  // namespace dreamdist::cpu
