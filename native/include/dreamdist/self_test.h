// Whether a device computes what the CPU computes: run before a card is first used.
#pragma once
#include "dreamdist/backend.h"

namespace dreamdist {

// Runs every kernel on a small, awkward shape on both backends. Throws Error naming the first kernel that differs. On the device's worker.
void self_test(Backend& backend, Backend& reference, ThreadTeam& team);

}  // namespace dreamdist
