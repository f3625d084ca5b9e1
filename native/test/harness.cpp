#include "harness.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace dreamdist::test {

namespace {
struct Case {
	const char* name;
	Body body;
};
std::vector<Case>& cases() {
	static std::vector<Case> all;
	return all;
}
struct Failure {
	std::string message;
};
struct Skipped {
	std::string reason;
};
}  // namespace

Register::Register(const char* name, Body body) { cases().push_back({name, std::move(body)}); }

void fail(const char* file, int line, const std::string& message) {
	throw Failure{std::string(file) + ":" + std::to_string(line) + ": " + message};
}

void skip(const std::string& reason) { throw Skipped{reason}; }

void Context::run(const char* kernel, std::vector<Operand> operands, std::vector<int64_t> ints, std::vector<double> floats) {
	const KernelInfo* info = table.find(kernel);
	if (!info) fail(__FILE__, __LINE__, std::string("no kernel ") + kernel);
	if (info->operands >= 0 && (int)operands.size() != info->operands) fail(__FILE__, __LINE__, std::string(kernel) + ": operand count");
	if (info->ints >= 0 && (int)ints.size() != info->ints) fail(__FILE__, __LINE__, std::string(kernel) + ": int count");
	KernelArgs args{operands, ints, floats};
	const int64_t bytes = info->scratch_bytes ? info->scratch_bytes(args, team.size()) : 0;
	void* scratch = bytes ? ::operator new(bytes, std::align_val_t(64)) : nullptr;
	if (scratch) std::memset(scratch, 0xff, bytes);
	args.scratch = scratch;
	try {
		info->run(args, team);
	} catch (...) {
		::operator delete(scratch, std::align_val_t(64));
		throw;
	}
	::operator delete(scratch, std::align_val_t(64));
}

std::vector<uint8_t> Context::pack(const char* packer, const void* source, DType dtype, std::vector<int64_t> ints) {
	const PackerInfo* info = table.find_packer(packer);
	if (!info) fail(__FILE__, __LINE__, std::string("no packer ") + packer);
	std::vector<uint8_t> packed(info->bytes(dtype, ints), 0xff);
	info->pack(source, dtype, ints, packed.data(), team);
	return packed;
}

std::vector<float> Context::normal(int64_t count, float scale) {
	std::normal_distribution<float> distribution(0, scale);
	std::vector<float> values(count);
	for (float& value : values) value = distribution(rng);
	return values;
}

void expect_close(const float* got, const std::vector<double>& want, const std::vector<double>& magnitude, double bound, const std::string& what,
				  const char* file, int line) {
	double error = 0, norm = 0, size = 0;
	for (size_t i = 0; i < want.size(); i++) {
		if (!std::isfinite(want[i])) {
			const bool same = std::isnan(want[i]) ? std::isnan(got[i]) : (double)got[i] == want[i];
			if (!same) fail(file, line, what + ": element " + std::to_string(i) + " is " + std::to_string(got[i]) + ", expected " + std::to_string(want[i]));
			continue;
		}
		if (!std::isfinite(got[i])) fail(file, line, what + ": element " + std::to_string(i) + " is " + std::to_string(got[i]));
		error += (got[i] - want[i]) * (got[i] - want[i]);
		norm += want[i] * want[i];
		size += magnitude[i] * magnitude[i];
	}
	const double limit = bound * std::sqrt(std::max(norm, size));
	if (std::sqrt(error) > limit)
		fail(file, line, what + ": error " + std::to_string(std::sqrt(error) / std::sqrt(std::max(norm, size)) * 1e6) + "e-6 exceeds " + std::to_string(bound * 1e6) + "e-6");
}

}  // namespace dreamdist::test

int main(int argc, char** argv) {
	using namespace dreamdist;
	using namespace dreamdist::test;
	std::string only_isa, filter;
	int threads = 2;
	bool quick = false, times = false;
	for (int i = 1; i < argc; i++) {
		auto is = [&](const char* flag) { return !std::strcmp(argv[i], flag); };
		if (is("--list")) {
			for (auto& c : cases()) std::printf("%s\n", c.name);
			return 0;
		}
		if (is("--quick") || is("--times")) {
			(is("--quick") ? quick : times) = true;
			continue;
		}
		if (i + 1 >= argc) return std::fprintf(stderr, "%s needs a value\n", argv[i]), 2;
		if (is("--isa")) only_isa = argv[++i];
		else if (is("--threads")) threads = std::atoi(argv[++i]);
		else if (is("--filter")) filter = argv[++i];
		else return std::fprintf(stderr, "unknown option %s\n", argv[i]), 2;
	}
	int passed = 0, failed = 0, skipped = 0;
	if (only_isa == "auto") only_isa = cpu_support().usable.front()->name;
	for (const KernelTable* table : cpu_support().usable) {
		if (!only_isa.empty() && only_isa != table->name) continue;
		ThreadTeam team(threads);
		for (auto& c : cases()) {
			if (std::string(c.name).find(filter) == std::string::npos) continue;
			Context context{*table, team, std::mt19937(20231222), quick};
			const auto start = std::chrono::steady_clock::now();
			try {
				c.body(context);
				passed++;
			} catch (const Skipped& one) {
				skipped++;
				std::printf("SKIPPED %s [%s]: %s\n", c.name, table->name, one.reason.c_str());
			} catch (const Failure& failure) {
				failed++;
				std::printf("FAIL %s [%s]: %s\n", c.name, table->name, failure.message.c_str());
			} catch (const std::exception& error) {
				failed++;
				std::printf("FAIL %s [%s]: threw %s\n", c.name, table->name, error.what());
			}
			if (times) std::printf("%6.2f s  %s [%s]\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), c.name, table->name);
		}
	}
	std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
	return failed || !passed ? 1 : 0;
}
