#include "dreamdist/file_mapping.h"

#include "dreamdist/types.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace dreamdist {

#if defined(_WIN32)
FileMapping::FileMapping(const std::string& path) {
	const int length = MultiByteToWideChar(CP_UTF8, 0, path.c_str(), -1, nullptr, 0);
	std::wstring wide(length, 0);
	MultiByteToWideChar(CP_UTF8, 0, path.c_str(), -1, wide.data(), length);
	file_ = CreateFileW(wide.c_str(), GENERIC_READ, FILE_SHARE_READ, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
	if (file_ == INVALID_HANDLE_VALUE) throw Error("can't open " + path + " (Windows error " + std::to_string(GetLastError()) + ")");
	LARGE_INTEGER size;
	GetFileSizeEx(file_, &size);
	bytes_ = size.QuadPart;
	if (bytes_ == 0) return;
	mapping_ = CreateFileMappingW(file_, nullptr, PAGE_READONLY, 0, 0, nullptr);
	data_ = mapping_ ? static_cast<const uint8_t*>(MapViewOfFile(mapping_, FILE_MAP_READ, 0, 0, 0)) : nullptr;
	if (!data_) throw Error("can't map " + path + " into memory (Windows error " + std::to_string(GetLastError()) + ")");
}
FileMapping::~FileMapping() {
	if (data_) UnmapViewOfFile(data_);
	if (mapping_) CloseHandle(mapping_);
	if (file_ && file_ != INVALID_HANDLE_VALUE) CloseHandle(file_);
}
void FileMapping::forget(int64_t, int64_t) const {}
#else
FileMapping::FileMapping(const std::string& path) {
	const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
	if (file < 0) throw Error("can't open " + path + ": " + std::strerror(errno));
	struct stat status;
	if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
		close(file);
		throw Error("can't map " + path + ": it is not a regular file");
	}
	bytes_ = status.st_size;
	if (bytes_ > 0) {
		void* memory = mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, file, 0);
		if (memory == MAP_FAILED) {
			const std::string reason = std::strerror(errno);
			close(file);
			throw Error("can't map " + path + " into memory: " + reason);
		}
		data_ = static_cast<const uint8_t*>(memory);
	}
	close(file);
}
FileMapping::~FileMapping() {
	if (data_) munmap(const_cast<uint8_t*>(data_), bytes_);
}
void FileMapping::forget(int64_t offset, int64_t bytes) const {
	const int64_t page = sysconf(_SC_PAGESIZE), begin = (offset + page - 1) / page * page, end = (offset + bytes) / page * page;
	if (begin < end) madvise(const_cast<uint8_t*>(data_) + begin, end - begin, MADV_DONTNEED);
}
#endif

}  // namespace dreamdist
