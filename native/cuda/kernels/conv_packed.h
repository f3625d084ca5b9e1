// A convolution's weight as tensor cores read it: [O][tap][channels rounded up to 8].
#pragma once
#include "conv_geometry.h"

namespace dreamdist::cuda {

inline int round8(int64_t channels) { return int(div_up(channels, 8) * 8); }
inline int taps_held(const Geometry& g) { return g.packed == kPackedPhases ? 4 * phase_sums(g.kh) * phase_sums(g.kw) : g.taps(); }

}  // namespace dreamdist::cuda
