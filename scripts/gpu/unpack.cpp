// Unpacks the GPU kit where there is nothing but a POSIX shell: `unpack ARCHIVE FOLDER` reads a tar archive in LZMA's .lzma format and
// writes its files. Linked statically, it needs no library of the machine. The decoder follows the LZMA specification (the format of
// `xz --format=lzma`), the rest POSIX.1-1988's ustar.
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

[[noreturn]] void stop(const char* what, const char* name) {
	fprintf(stderr, "unpack: %s: %s\n", name, what);
	exit(1);
}

// ---- LZMA

const char* archive_name = "";

using Probability = uint16_t;
constexpr Probability kHalf = 1024;

// Reads bits that were coded with adaptive probabilities.
class RangeDecoder {
public:
	RangeDecoder(const uint8_t* at, const uint8_t* end) : at_(at), end_(end) {
		next();  // always zero
		for (int i = 0; i < 4; i++) code_ = code_ << 8 | next();
	}
	unsigned bit(Probability& probability) {
		const uint32_t bound = (range_ >> 11) * probability;
		unsigned result;
		if (code_ < bound) {
			range_ = bound;
			probability += (2048 - probability) >> 5;
			result = 0;
		} else {
			range_ -= bound;
			code_ -= bound;
			probability -= probability >> 5;
			result = 1;
		}
		normalize();
		return result;
	}
	// Bits of even odds, the highest first.
	uint32_t direct(int count) {
		uint32_t result = 0;
		for (; count > 0; count--) {
			range_ >>= 1;
			const unsigned one = code_ >= range_;
			if (one) code_ -= range_;
			normalize();
			result = result << 1 | one;
		}
		return result;
	}
	// A number of `bits` bits by a tree of probabilities, the highest or the lowest bit first.
	unsigned tree(Probability* probabilities, int bits) {
		unsigned node = 1;
		for (int i = 0; i < bits; i++) node = node << 1 | bit(probabilities[node]);
		return node - (1u << bits);
	}
	unsigned reverse_tree(Probability* probabilities, int bits) {
		unsigned node = 1, result = 0;
		for (int i = 0; i < bits; i++) {
			const unsigned one = bit(probabilities[node]);
			node = node << 1 | one;
			result |= one << i;
		}
		return result;
	}

private:
	uint8_t next() {
		if (at_ == end_) stop("the archive is cut short", archive_name);
		return *at_++;
	}
	void normalize() {
		if (range_ >= 1u << 24) return;
		range_ <<= 8;
		code_ = code_ << 8 | next();
	}
	const uint8_t *at_, *end_;
	uint32_t range_ = 0xffffffff, code_ = 0;
};

void reset(Probability* probabilities, size_t count) {
	for (size_t i = 0; i < count; i++) probabilities[i] = kHalf;
}

class LengthDecoder {
public:
	LengthDecoder() { reset(&choice_[0], sizeof(*this) / sizeof(Probability)); }
	unsigned decode(RangeDecoder& in, unsigned position_state) {
		if (!in.bit(choice_[0])) return in.tree(low_[position_state], 3);
		if (!in.bit(choice_[1])) return 8 + in.tree(middle_[position_state], 3);
		return 16 + in.tree(high_, 8);
	}

private:
	Probability choice_[2], low_[16][8], middle_[16][8], high_[256];
};

struct Bytes {
	uint8_t* data = nullptr;
	size_t size = 0, room = 0;
	void push(uint8_t byte) {
		if (size == room) {
			room = room ? room * 2 : 1 << 24;
			data = static_cast<uint8_t*>(realloc(data, room));
			if (!data) stop("there is not enough memory to unpack", archive_name);
		}
		data[size++] = byte;
	}
};

constexpr int kStates = 12;

// All probabilities start even; the numbers below are the format's.
struct Model {
	Probability is_match[kStates][16], is_repeat[kStates], is_repeat0[kStates], is_repeat1[kStates], is_repeat2[kStates], is_repeat0_long[kStates][16];
	Probability slot[4][64], position[115], align[16];
	Model() { reset(&is_match[0][0], sizeof(*this) / sizeof(Probability)); }
};

uint32_t decode_distance(RangeDecoder& in, Model& model, unsigned length) {
	const unsigned slot = in.tree(model.slot[length < 3 ? length : 3], 6);
	if (slot < 4) return slot;
	const int bits = int(slot >> 1) - 1;
	const uint32_t base = (2 | (slot & 1)) << bits;
	if (slot < 14) return base + in.reverse_tree(model.position + (base - slot), bits);
	return base + (in.direct(bits - 4) << 4) + in.reverse_tree(model.align, 4);
}

Bytes decompress(const uint8_t* file, size_t size) {
	constexpr size_t kHeader = 13;
	if (size < kHeader + 5 || file[0] >= 9 * 5 * 5) stop("this is no .lzma archive", archive_name);
	const unsigned lc = file[0] % 9, lp = file[0] / 9 % 5, pb = file[0] / 45;
	uint64_t expected = 0;  // all ones: the stream says where it ends
	for (int i = 7; i >= 0; i--) expected = expected << 8 | file[5 + i];
	const size_t literal_count = size_t(0x300) << (lc + lp);
	auto* literals = static_cast<Probability*>(malloc(literal_count * sizeof(Probability)));
	if (!literals) stop("there is not enough memory to unpack", archive_name);
	reset(literals, literal_count);
	RangeDecoder in(file + kHeader, file + size);
	static Model model;
	static LengthDecoder match_length, repeat_length;
	model = Model();
	match_length = LengthDecoder();
	repeat_length = LengthDecoder();
	Bytes out;
	uint32_t distance[4] = {};
	unsigned state = 0;
	while (out.size != expected) {
		const unsigned position_state = out.size & ((1u << pb) - 1);
		if (!in.bit(model.is_match[state][position_state])) {
			const unsigned before = out.size ? out.data[out.size - 1] : 0;
			Probability* probabilities = literals + size_t(0x300) * (((out.size & ((1u << lp) - 1)) << lc) + (before >> (8 - lc)));
			unsigned symbol = 1;
			if (state >= 7) {
				unsigned match = out.data[out.size - distance[0] - 1];
				while (symbol < 0x100) {
					const unsigned expected_bit = match >> 7 & 1;
					match <<= 1;
					const unsigned bit = in.bit(probabilities[((1 + expected_bit) << 8) + symbol]);
					symbol = symbol << 1 | bit;
					if (bit != expected_bit) break;
				}
			}
			while (symbol < 0x100) symbol = symbol << 1 | in.bit(probabilities[symbol]);
			out.push(uint8_t(symbol));
			state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
			continue;
		}
		unsigned length;
		if (in.bit(model.is_repeat[state])) {
			if (!in.bit(model.is_repeat0[state])) {
				if (!in.bit(model.is_repeat0_long[state][position_state])) {
					if (distance[0] >= out.size) stop("the archive is damaged", archive_name);
					state = state < 7 ? 9 : 11;
					out.push(out.data[out.size - distance[0] - 1]);
					continue;
				}
			} else {
				const int which = !in.bit(model.is_repeat1[state]) ? 1 : !in.bit(model.is_repeat2[state]) ? 2 : 3;
				const uint32_t chosen = distance[which];
				for (int i = which; i > 0; i--) distance[i] = distance[i - 1];
				distance[0] = chosen;
			}
			length = repeat_length.decode(in, position_state);
			state = state < 7 ? 8 : 11;
		} else {
			for (int i = 3; i > 0; i--) distance[i] = distance[i - 1];
			length = match_length.decode(in, position_state);
			state = state < 7 ? 7 : 10;
			distance[0] = decode_distance(in, model, length);
			if (distance[0] == 0xffffffff) {
				if (expected != ~uint64_t(0)) stop("the archive is damaged", archive_name);
				break;
			}
		}
		if (distance[0] >= out.size) stop("the archive is damaged", archive_name);
		for (unsigned i = 0; i < length + 2; i++) out.push(out.data[out.size - distance[0] - 1]);
	}
	free(literals);
	return out;
}

// ---- tar

uint64_t octal(const uint8_t* field, int length) {
	uint64_t value = 0;
	for (int i = 0; i < length && field[i] >= '0' && field[i] <= '7'; i++) value = value * 8 + (field[i] - '0');
	return value;
}

bool checksum_holds(const uint8_t* header) {
	uint64_t sum = 0;
	for (int i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? ' ' : header[i];
	return sum == octal(header + 148, 8);
}

void make_parents(char* path) {
	for (char* slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(path, 0755) != 0 && errno != EEXIST) stop(strerror(errno), path);
		*slash = '/';
	}
}

void write_file(const char* path, const uint8_t* data, size_t size, bool executable) {
	const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, executable ? 0755 : 0644);
	if (file < 0) stop(strerror(errno), path);
	for (size_t at = 0; at < size;) {
		const ssize_t written = write(file, data + at, size - at);
		if (written < 0 && errno == EINTR) continue;
		if (written <= 0) stop(strerror(errno), path);
		at += size_t(written);
	}
	if (close(file) != 0) stop(strerror(errno), path);
}

void extract(const Bytes& tar, const char* folder) {
	size_t at = 0;
	while (at + 512 <= tar.size && tar.data[at]) {
		const uint8_t* header = tar.data + at;
		const uint64_t size = octal(header + 124, 12);
		if (!checksum_holds(header) || size > tar.size - at - 512) stop("the archive is damaged", archive_name);
		char path[4096];
		const int length = snprintf(path, sizeof(path), "%s/%.155s%s%.100s", folder, header + 345, header[345] ? "/" : "", header);
		if (length >= int(sizeof(path)) || strstr(path + strlen(folder), "/../")) stop("the archive has a name that is not allowed", archive_name);
		if (header[156] == '0' || header[156] == 0) {
			make_parents(path);
			write_file(path, tar.data + at + 512, size, octal(header + 100, 8) & 0100);
		} else if (header[156] != '5') stop("the archive has an entry that is neither a file nor a folder", archive_name);
		at += 512 + (size + 511) / 512 * 512;
	}
}

}  // namespace

int main(int count, char** arguments) {
	if (count != 3) {
		fprintf(stderr, "usage: unpack ARCHIVE FOLDER\n");
		return 2;
	}
	archive_name = arguments[1];
	const int file = open(archive_name, O_RDONLY);
	struct stat about;
	if (file < 0 || fstat(file, &about) != 0) stop(strerror(errno), archive_name);
	if (about.st_size == 0) stop("the archive is empty", archive_name);
	void* contents = mmap(nullptr, size_t(about.st_size), PROT_READ, MAP_PRIVATE, file, 0);
	if (contents == MAP_FAILED) stop(strerror(errno), archive_name);
	const Bytes tar = decompress(static_cast<const uint8_t*>(contents), size_t(about.st_size));
	extract(tar, arguments[2]);
	return 0;
}
