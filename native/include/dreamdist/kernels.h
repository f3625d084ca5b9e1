// What a kernel is, and the table every backend fills.
//
// A program is a flat list of kernel calls. A call names a kernel and carries operands (typed pointers, resolved when the program is
// bound), integers and floats; docs/kernels.md lists, per kernel, what each position means. Both backends have the same names.
#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "dreamdist/thread_team.h"
#include "dreamdist/types.h"

namespace dreamdist {

struct Operand {
	void* data = nullptr;  // null: the optional operand is absent
	DType dtype = DType::f32;
	template <class T = float>
	T* as() const { return static_cast<T*>(data); }
	explicit operator bool() const { return data != nullptr; }
};

// How a product is cut where that was measured rather than estimated: the tile of a block, and into how many parts its sum is cut. A number
// that holds all three, so that it can be written down; 0: the kernel's own estimate.
struct TileChoice {
	int rows = 0, columns = 0, parts = 0;
	constexpr TileChoice() = default;
	constexpr TileChoice(int rows, int columns, int parts) : rows(rows), columns(columns), parts(parts) {}
	constexpr explicit TileChoice(int32_t code) : rows(code >> 20), columns(code >> 8 & 0xfff), parts(code & 0xff) {}
	constexpr int32_t code() const { return rows << 20 | columns << 8 | parts; }
	constexpr bool is(int r, int c) const { return rows == r && columns == c; }
};

struct KernelArgs {
	std::span<const Operand> operands;
	std::span<const int64_t> ints;
	std::span<const double> floats;
	void* scratch = nullptr;  // scratch_bytes() long, 64-byte aligned, contents undefined
	void* context = nullptr;  // what the backend gives its own kernels (a stream); null on the CPU
	int32_t call = 0;         // which call of the program this is, for failures found after the kernel was queued
	TileChoice choice = {};   // for kernels that have choices

	Operand at(size_t index) const { return index < operands.size() ? operands[index] : Operand{}; }
	template <class T = float>
	T* ptr(size_t index) const { return at(index).as<T>(); }
};

struct KernelInfo {
	const char* name;
	int operands;  // how many operands a call carries; -1: any number
	int ints;      // how many integers; -1: any number
	void (*run)(const KernelArgs&, ThreadTeam&);
	// Shared scratch a call needs, from its integers alone (operand pointers are not resolved yet); null: none.
	int64_t (*scratch_bytes)(const KernelArgs&, int threads) = nullptr;
	// The choices that are worth measuring for a call, from its integers and its operands' types (a present operand's pointer is not null);
	// null: there is one way only.
	void (*choices)(const KernelArgs&, std::vector<TileChoice>&) = nullptr;
};

// Rearranges a weight as stored into the layout one kernel family reads. The packed bytes keep the weight's storage type.
struct PackerInfo {
	const char* name;
	int64_t (*bytes)(DType, std::span<const int64_t> ints);
	void (*pack)(const void* source, DType, std::span<const int64_t> ints, void* packed, ThreadTeam&);
};

struct KernelTable {
	const char* name;  // the instruction set or device
	std::span<const KernelInfo> kernels;
	std::span<const PackerInfo> packers;
	const KernelInfo* find(std::string_view kernel) const {
		for (auto& info : kernels)
			if (kernel == info.name) return &info;
		return nullptr;
	}
	const PackerInfo* find_packer(std::string_view packer) const {
		for (auto& info : packers)
			if (packer == info.name) return &info;
		return nullptr;
	}
};

}  // namespace dreamdist
