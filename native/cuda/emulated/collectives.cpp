// What a warp does together: shuffles, ballots, ldmatrix and mma with the fragment layouts of the PTX ISA; and asynchronous copies.
#include "../numbers.h"
#include "state.h"

namespace dreamdist::emulated {
namespace {

void run_sync_warp(void**, uint32_t mask) {
	Warp& warp = warps[current_warp];
	// A partial mask orders nothing for the race check, to be on the safe side.
	if (mask == warp.all) warp.epoch = next_warp_epoch();
}

struct ShuffleArgument {
	uint32_t value, result;
	Shuffle kind;
	int argument, width;
};
void run_shuffle(void** arguments, uint32_t mask) {
	for (int lane = 0; lane < 32; lane++) {
		if (!(mask >> lane & 1)) continue;
		auto* a = static_cast<ShuffleArgument*>(arguments[lane]);
		const int first = lane & ~(a->width - 1), end = first + a->width;
		int source = lane;
		if (a->kind == Shuffle::index) source = first + (a->argument & (a->width - 1));
		if (a->kind == Shuffle::up && lane - a->argument >= first) source = lane - a->argument;
		if (a->kind == Shuffle::down && lane + a->argument < end) source = lane + a->argument;
		if (a->kind == Shuffle::exclusive_or && (lane ^ a->argument) < end) source = lane ^ a->argument;
		// What a lane outside the mask holds is undefined: NaN.
		a->result = mask >> source & 1 ? static_cast<ShuffleArgument*>(arguments[source])->value : 0xffffffffu;
	}
}

struct BallotArgument {
	int predicate;
	uint32_t result;
};
void run_ballot(void** arguments, uint32_t mask) {
	uint32_t result = 0;
	for (int lane = 0; lane < 32; lane++)
		if (mask >> lane & 1 && static_cast<BallotArgument*>(arguments[lane])->predicate) result |= 1u << lane;
	for (int lane = 0; lane < 32; lane++)
		if (mask >> lane & 1) static_cast<BallotArgument*>(arguments[lane])->result = result;
}

struct LdmatrixArgument {
	uint32_t* registers;
	const char* row;
};
template <bool Transpose>
void run_ldmatrix(void** arguments, uint32_t mask) {
	if (mask != 0xffffffffu) fail("ldmatrix needs a full warp");
	counters.ldmatrix++;
	const char* row[32];
	for (int lane = 0; lane < 32; lane++) {
		row[lane] = static_cast<LdmatrixArgument*>(arguments[lane])->row;
		if (reinterpret_cast<uintptr_t>(row[lane]) & 15) fail("ldmatrix: a row's address is not aligned to 16 bytes");
		if (!is_shared(row[lane]) || !is_shared(row[lane] + 15)) fail("ldmatrix: a row's address is not in shared memory");
		note_shared(row[lane], 16, Access::read);
	}
	for (int matrix = 0; matrix < 4; matrix++) {
		// Eight rows of 16 bytes over eight groups of four banks: two rows in one group wait for each other.
		int used[8] = {}, worst = 1;
		for (int r = 0; r < 8; r++) {
			const int count = ++used[reinterpret_cast<uintptr_t>(row[matrix * 8 + r]) / 16 % 8];
			worst = count > worst ? count : worst;
		}
		counters.ldmatrix_conflicts += uint64_t(worst - 1);
		for (int lane = 0; lane < 32; lane++) {
			uint32_t value;
			if (Transpose) {
				uint16_t low, high;
				std::memcpy(&low, row[matrix * 8 + (lane % 4) * 2] + (lane / 4) * 2, 2);
				std::memcpy(&high, row[matrix * 8 + (lane % 4) * 2 + 1] + (lane / 4) * 2, 2);
				value = low | uint32_t(high) << 16;
			} else std::memcpy(&value, row[matrix * 8 + lane / 4] + (lane % 4) * 4, 4);
			static_cast<LdmatrixArgument*>(arguments[lane])->registers[matrix] = value;
		}
	}
}

// ---- mma

struct MmaArgument {
	float* d;
	const uint32_t* a;
	uint32_t b0, b1;
};
typedef float float8 __attribute__((vector_size(32)));

const float* f16_values() {
	static const std::vector<float> table = [] {
		std::vector<float> values(65536);
		for (int i = 0; i < 65536; i++) values[i] = gpu::f16_value(uint16_t(i));
		return values;
	}();
	return table.data();
}
template <bool IsF16>
float element(uint32_t half, const float* table) {
	return IsF16 ? table[half & 0xffff] : gpu::float_of_bits(half << 16);
}

// c [16][8] += a [16][K] · b [K][8].
template <int K>
inline __attribute__((always_inline)) void multiply_body(const float (&a)[16][K], const float (&b)[K][8], float (&c)[16][8]) {
	float8 columns[K];
	std::memcpy(columns, b, sizeof columns);
	for (int i = 0; i < 16; i++) {
		float8 sum;
		std::memcpy(&sum, c[i], 32);
		for (int k = 0; k < K; k++) sum += a[i][k] * columns[k];
		std::memcpy(c[i], &sum, 32);
	}
}
template <int K>
using Multiply = void (*)(const float (&)[16][K], const float (&)[K][8], float (&)[16][8]);
template <int K>
void multiply_plain(const float (&a)[16][K], const float (&b)[K][8], float (&c)[16][8]) { multiply_body(a, b, c); }
#if defined(__x86_64__)
template <int K>
__attribute__((target("avx2,fma"))) void multiply_avx2(const float (&a)[16][K], const float (&b)[K][8], float (&c)[16][8]) { multiply_body(a, b, c); }
#endif
template <int K>
Multiply<K> multiply() {
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return multiply_avx2<K>;
#endif
	return multiply_plain<K>;
}

// PTX m16n8k16. a: row lane/4 (+8 in registers 1 and 3), column 2·(lane%4) (+8 in 2 and 3); b: row 2·(lane%4) (+8 in 1), column lane/4;
// d: row lane/4 (+8 in 2 and 3), column 2·(lane%4) (+1 in 1 and 3).
template <bool IsF16>
void run_mma(void** arguments, uint32_t mask) {
	if (mask != 0xffffffffu) fail("mma needs a full warp");
	static const Multiply<16> product = multiply<16>();
	static const float* const table = f16_values();
	counters.mma++;
	float a[16][16], b[16][8], c[16][8];
	for (int lane = 0; lane < 32; lane++) {
		auto* m = static_cast<MmaArgument*>(arguments[lane]);
		const int group = lane >> 2, pair = (lane & 3) * 2;
		for (int r = 0; r < 4; r++) {
			const int row = group + (r & 1) * 8, column = pair + (r >> 1) * 8;
			a[row][column] = element<IsF16>(m->a[r], table);
			a[row][column + 1] = element<IsF16>(m->a[r] >> 16, table);
			c[group + (r >> 1) * 8][pair + (r & 1)] = m->d[r];
		}
		b[pair][group] = element<IsF16>(m->b0, table);
		b[pair + 1][group] = element<IsF16>(m->b0 >> 16, table);
		b[pair + 8][group] = element<IsF16>(m->b1, table);
		b[pair + 9][group] = element<IsF16>(m->b1 >> 16, table);
	}
	product(a, b, c);
	for (int lane = 0; lane < 32; lane++) {
		auto* m = static_cast<MmaArgument*>(arguments[lane]);
		const int group = lane >> 2, pair = (lane & 3) * 2;
		for (int r = 0; r < 4; r++) m->d[r] = c[group + (r >> 1) * 8][pair + (r & 1)];
	}
}

// PTX m16n8k8 of tf32. a: row lane/4 (+8 in registers 1 and 3), column lane%4 (+4 in 2 and 3); b: row lane%4 (+4 in 1), column lane/4; d as
// above. The 13 lowest bits of an operand are ignored.
void run_mma_tf32(void** arguments, uint32_t mask) {
	if (mask != 0xffffffffu) fail("mma needs a full warp");
	static const Multiply<8> product = multiply<8>();
	counters.mma++;
	auto value = [](uint32_t bits) { return gpu::float_of_bits(bits & ~0x1fffu); };
	float a[16][8], b[8][8], c[16][8];
	for (int lane = 0; lane < 32; lane++) {
		auto* m = static_cast<MmaArgument*>(arguments[lane]);
		const int group = lane >> 2, place = lane & 3;
		for (int r = 0; r < 4; r++) {
			a[group + (r & 1) * 8][place + (r >> 1) * 4] = value(m->a[r]);
			c[group + (r >> 1) * 8][place * 2 + (r & 1)] = m->d[r];
		}
		b[place][group] = value(m->b0);
		b[place + 4][group] = value(m->b1);
	}
	product(a, b, c);
	for (int lane = 0; lane < 32; lane++) {
		auto* m = static_cast<MmaArgument*>(arguments[lane]);
		for (int r = 0; r < 4; r++) m->d[r] = c[(lane >> 2) + (r >> 1) * 8][(lane & 3) * 2 + (r & 1)];
	}
}

// Hardware may write the destination at any moment from the issue to the wait. So it is overwritten with NaN at the issue, the
// earliest moment, and gets its data at the issuing thread's wait, the latest.
void issue_copy(void* to, const void* from, int bytes, int read, const char* what) {
	Fiber& fiber = *current;
	check_alignment(to, bytes, what);
	check_alignment(from, bytes, what);
	char* target = static_cast<char*>(to);
	if (!is_shared(target) || !is_shared(target + bytes - 1)) fail(std::string(what) + ": the destination is not in shared memory");
	note_shared(target, bytes, Access::copy_issued);
	if (read) note_global(from, read, Access::read);
	std::memset(target, 0xff, bytes);
	fiber.copies.push_back({target, static_cast<const char*>(from), bytes, read, fiber.group});
	counters.async_copies++;
}

}  // namespace

void sync_warp(unsigned mask, Site site) { collective(run_sync_warp, mask, nullptr, "__syncwarp", site); }

uint32_t shuffle(unsigned mask, uint32_t value, Shuffle kind, int argument, int width, Site site) {
	ShuffleArgument a{value, 0, kind, argument, width};
	collective(run_shuffle, mask, &a, "shuffle", site);
	return a.result;
}

uint32_t ballot(unsigned mask, int predicate, Site site) {
	BallotArgument a{predicate, 0};
	collective(run_ballot, mask, &a, "ballot", site);
	return a.result;
}

void ldmatrix(uint32_t (&r)[4], const void* row, bool transpose, Site site) {
	LdmatrixArgument a{r, static_cast<const char*>(row)};
	collective(transpose ? run_ldmatrix<true> : run_ldmatrix<false>, 0xffffffffu, &a, "ldmatrix", site);
}

void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, bool is_f16, Site site) {
	MmaArgument argument{d, a, b0, b1};
	collective(is_f16 ? run_mma<true> : run_mma<false>, 0xffffffffu, &argument, "mma", site);
}

void mma_m16n8k8(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Site site) {
	MmaArgument argument{d, a, b0, b1};
	collective(run_mma_tf32, 0xffffffffu, &argument, "mma", site);
}

void copy_async16(void* to, const void* from, bool valid) { issue_copy(to, from, 16, valid ? 16 : 0, "copy_async16"); }
void copy_async16_part(void* to, const void* from, int bytes) {
	if (bytes < 0 || bytes > 16) fail("copy_async16_part: " + std::to_string(bytes) + " bytes of 16");
	issue_copy(to, from, 16, bytes, "copy_async16_part");
}
void copy_async4(void* to, const void* from, bool valid) { issue_copy(to, from, 4, valid ? 4 : 0, "copy_async4"); }
void copy_async_commit() { current->group++; }
void copy_async_wait(int pending) { land_copies(*current, current->group - 1 - pending); }

void land_copies(Fiber& fiber, int group) {
	size_t kept = 0;
	for (size_t i = 0; i < fiber.copies.size(); i++) {
		const PendingCopy copy = fiber.copies[i];
		if (copy.group > group) {
			fiber.copies[kept++] = copy;
			continue;
		}
		note_shared(copy.to, copy.bytes, Access::copy_landed);
		if (copy.read) std::memcpy(copy.to, copy.from, copy.read);
		std::memset(copy.to + copy.read, 0, copy.bytes - copy.read);
	}
	fiber.copies.resize(kept);
}

float atomic_add(float* p, float value) {
	note(p, 4, Access::atomic);
	const float old = *p;
	*p = old + value;
	return old;
}
int atomic_add(int* p, int value) {
	note(p, 4, Access::atomic);
	const int old = *p;
	*p = old + value;
	return old;
}
int atomic_min(int* p, int value) {
	note(p, 4, Access::atomic);
	const int old = *p;
	if (value < old) *p = value;
	return old;
}
int atomic_compare_and_swap(int* p, int expected, int value) {
	note(p, 4, Access::atomic);
	const int old = *p;
	if (old == expected) *p = value;
	return old;
}

}  // namespace dreamdist::emulated
