// A file seen as read-only memory. Weights are packed straight from it; dropping it lets the pages go.
#pragma once
#include <cstdint>
#include <string>

namespace dreamdist {

class FileMapping {
public:
	explicit FileMapping(const std::string& path);  // throws Error naming the file
	~FileMapping();
	FileMapping(const FileMapping&) = delete;
	FileMapping& operator=(const FileMapping&) = delete;
	const uint8_t* data() const { return data_; }
	int64_t bytes() const { return bytes_; }
	// Tells the system that this range is not needed any more.
	void forget(int64_t offset, int64_t bytes) const;

private:
	const uint8_t* data_ = nullptr;
	int64_t bytes_ = 0;
#if defined(_WIN32)
	void* file_ = nullptr;
	void* mapping_ = nullptr;
#endif
};

}  // namespace dreamdist
