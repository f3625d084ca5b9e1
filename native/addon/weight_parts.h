// Where a weight's bytes are before it is packed: in one or several pieces of files and arrays.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "dreamdist/file_mapping.h"

namespace dreamdist::addon {

// One of the places that a weight's bytes come from.
struct WeightPart {
	const uint8_t* data;
	int64_t bytes;
	std::shared_ptr<FileMapping> mapping;  // none: an array, which the call keeps
	int64_t offset;
};

// The parts as one piece that starts at a multiple of the element's size, as packers need it: as they are where possible, else copied.
class OnePiece {
public:
	OnePiece(const std::vector<WeightPart>& parts, int64_t alignment) {
		if (parts.size() == 1 && reinterpret_cast<uintptr_t>(parts[0].data) % alignment == 0) {
			data_ = parts[0].data;
			return;
		}
		int64_t bytes = 0;
		for (const WeightPart& part : parts) bytes += part.bytes;
		copy_.reset(new uint8_t[bytes]);
		uint8_t* to = copy_.get();
		for (const WeightPart& part : parts) to = std::copy_n(part.data, part.bytes, to);
		data_ = copy_.get();
	}
	const uint8_t* data() const { return data_; }

private:
	std::unique_ptr<uint8_t[]> copy_;
	const uint8_t* data_;
};

}  // namespace dreamdist::addon
