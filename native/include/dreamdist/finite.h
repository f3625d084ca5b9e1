// Looks for numbers that are infinite or not a number in weights, before anything is computed with them.
#pragma once
#include <cstdint>

#include "dreamdist/thread_team.h"
#include "dreamdist/types.h"

namespace dreamdist {

// How many of the elements are not finite; 0 for i32. `bytes` need not be aligned.
int64_t count_non_finite(const void* bytes, DType type, int64_t elements, ThreadTeam& team);

}  // namespace dreamdist
