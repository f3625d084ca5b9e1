#include "dreamdist/isa.h"

namespace dreamdist {

namespace cpu {
#if DD_HAVE_GENERIC
namespace generic { extern const KernelTable kTable; }
#endif
#if DD_HAVE_AVX2
namespace avx2 { extern const KernelTable kTable; }
#endif
#if DD_HAVE_AVX512
namespace avx512 { extern const KernelTable kTable; }
#endif
#if DD_HAVE_NEON
namespace neon { extern const KernelTable kTable; }
#endif
}  // namespace cpu

const CpuSupport& cpu_support() {
	static const CpuSupport support = [] {
		CpuSupport found;
		auto add = [&](const KernelTable& table, bool usable) {
			found.built.push_back(table.name);
			if (usable) found.usable.push_back(&table);
		};
#if DD_HAVE_AVX512
		add(cpu::avx512::kTable, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
									 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"));
#endif
#if DD_HAVE_AVX2
		add(cpu::avx2::kTable, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"));
#endif
#if DD_HAVE_NEON
		add(cpu::neon::kTable, true);
#endif
#if DD_HAVE_GENERIC
		add(cpu::generic::kTable, true);
#endif
		return found;
	}();
	return support;
}

const KernelTable& kernel_table(const std::string& isa) {
	const CpuSupport& support = cpu_support();
	if (isa.empty() || isa == "auto") return *support.usable.front();
	std::string names;
	for (const KernelTable* table : support.usable) {
		if (isa == table->name) return *table;
		names += (names.empty() ? "" : ", ") + std::string(table->name);
	}
	throw Error("the CPU instruction set \"" + isa + "\" can't be used here; choose one of: auto, " + names);
}

}  // namespace dreamdist
