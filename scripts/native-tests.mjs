// Builds and runs the engine's own tests (native/test and native/cuda/test), which need neither Node-API nor the packages.
//   node scripts/native-tests.mjs                              on every instruction set of this machine and on the emulated CUDA device; the
//                                                              backend of cards on a runtime without a card
//   node scripts/native-tests.mjs --sanitize address,undefined
//   node scripts/native-tests.mjs --arch aarch64               cross-compiled, under qemu-user
// Other arguments go to the CPU's test program alone (--filter NAME, --isa NAME, --threads N, --list). The last line is the total.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findNvcc, missingMessage, missingParts, which } from "../packages/native-cuda/scripts/toolchain.mjs";
import { addCounts, CANNOT_RUN, countLine, parseCounts } from "./counts.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function stop(message, code = 1) {
	console.error(message);
	process.exit(code);
}

/** Runs a program with our terminal; ends this process when it fails. */
function run(command, args) {
	const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
	if (error) stop(`${command} could not be started: ${error.message}.`);
	if (status !== 0) stop(signal ? `${command} was ended by ${signal}.` : `${command} failed.`, status ?? 1);
}

/** Runs a test program and returns the counts of its last line. One that ends without them counts as a failure. */
function runTests(command, args, env) {
	const { status, stdout } = spawnSync(command, args, {
		cwd: root,
		stdio: ["inherit", "pipe", "inherit"],
		encoding: "utf8",
		maxBuffer: 2 ** 28,
		env: { ...process.env, ...env },
	});
	process.stdout.write(stdout ?? "");
	const counts = parseCounts(stdout ?? "") || { passed: 0, failed: 0, skipped: 0 };
	return status !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

/** Takes `--name value` out of a list of arguments. */
function takeOption(args, name) {
	const index = args.indexOf(name);
	if (index < 0) return undefined;
	const [, value] = args.splice(index, 2);
	if (value === undefined) stop(`${name} needs a value.`, 2);
	return value;
}

/** What --quick compiles under a sanitizer. */
function quickInstructionSets() {
	if (process.arch !== "x64") return [];
	const flags = existsSync("/proc/cpuinfo") ? readFileSync("/proc/cpuinfo", "utf8") : "";
	const has = (...names) => names.every((name) => new RegExp(`^flags.*\\b${name}\\b`, "m").test(flags));
	if (has("avx512f", "avx512bw", "avx512dq", "avx512vl")) return ["generic", "avx512"];
	return has("avx2", "fma", "f16c") ? ["generic", "avx2"] : ["generic"];
}

/** The build of one variant: its folder, CMake's settings, and what the test program is run with. */
function chooseVariant(sanitizers, arch) {
	if (arch !== undefined) {
		const compiler = which(`${arch}-linux-gnu-g++`);
		const emulator = which(`qemu-${arch}`) || which(`qemu-${arch}-static`);
		if (compiler === undefined || emulator === undefined) {
			stop(`The ${arch} build needs ${arch}-linux-gnu-g++ and qemu-user.`, CANNOT_RUN);
		}
		const defines = { CMAKE_SYSTEM_NAME: "Linux", CMAKE_SYSTEM_PROCESSOR: arch, CMAKE_CXX_COMPILER: compiler };
		return { folder: `build-${arch}`, defines, launcher: [emulator, "-L", `/usr/${arch}-linux-gnu`] };
	}
	if (sanitizers !== undefined) {
		return { folder: `build-${sanitizers.replaceAll(",", "-")}`, defines: { DD_SANITIZE: sanitizers }, launcher: [] };
	}
	// The emulator switches stacks itself, which the sanitizers can't follow.
	const emulated = process.platform === "linux" && process.arch === "x64";
	return { folder: "build-native", defines: {}, launcher: [], emulated };
}

/** The host's side of the backend for cards, compiled by nvcc, on a runtime without a card. */
function backendTests() {
	if (findNvcc() === undefined) {
		console.log("Skipped: there is no nvcc to compile the backend of cards with.");
		return { passed: 0, failed: 0, skipped: 1 };
	}
	const folder = "build-cuda-tests";
	const settings = ["-DCMAKE_BUILD_TYPE=Release", "-DDD_CUDA=ON", "-DDD_CUDA_ARCHS=80"];
	run("cmake", ["-S", "native", "-B", folder, ...generator, ...settings]);
	run("cmake", ["--build", folder, "--target", "cuda_backend_tests", "--parallel", String(availableParallelism())]);
	return runTests(join(root, folder, "cuda", "test", "backend", "cuda_backend_tests"), ["--threads", "1"], {});
}

// The emulator itself, and the CUDA kernels on it; then with every load and store checked for races, which takes several times as
// long: the test that calls every kernel, and for each family with shared memory the cases of awkward shapes.
const RACE_CHECKED = [
	"self_test",
	"attention_edges",
	"norm_group",
	"conv2d_random",
	"matmul_random_small",
	"half_layouts",
	"half_shapes_of_the_networks",
	"gather",
	"pool_random",
];
const EMULATED_TESTS = [
	["emulator_plain_tests"],
	["emulator_race_tests"],
	["kernels_plain_tests"],
	...RACE_CHECKED.map((cases) => ["kernels_race_tests", "--filter", cases]),
];

const args = process.argv.slice(2);
const sanitizers = takeOption(args, "--sanitize");
const variant = chooseVariant(sanitizers, takeOption(args, "--arch"));
const missing = missingParts();
if (missing.length > 0) stop(missingMessage(missing));

const folder = join(root, variant.folder);
const onlyCpu = args.length > 0;
const emulatedTests = variant.emulated && !onlyCpu ? EMULATED_TESTS : [];
const defines = {
	CMAKE_BUILD_TYPE: "Release",
	DD_CUDA: "OFF",
	DD_EMULATED: variant.emulated ? "ON" : "OFF",
	DD_ONLY_ISAS: sanitizers !== undefined && args.includes("--quick") ? quickInstructionSets().join(";") : "",
	...variant.defines,
};
const generator = which("ninja") ? ["-G", "Ninja"] : [];
run("cmake", [
	"-S",
	"native",
	"-B",
	folder,
	...generator,
	...Object.entries(defines).map(([key, value]) => `-D${key}=${value}`),
]);
const hopperTests = onlyCpu ? [] : ["hopper_tests"];
const targets = ["engine_tests", ...hopperTests, ...new Set(emulatedTests.map(([name]) => name))];
run("cmake", ["--build", folder, "--target", ...targets, "--parallel", String(availableParallelism())]);
const [program, ...programArgs] = [...variant.launcher, join(folder, "test", "engine_tests"), ...args];
const sanitizerOptions = { ASAN_OPTIONS: "detect_leaks=1", UBSAN_OPTIONS: "print_stacktrace=1" };
let total = runTests(program, programArgs, sanitizerOptions);
// What can be known of the Hopper kernels without a card.
for (const name of hopperTests) {
	console.log(name);
	const [command, ...before] = [...variant.launcher, join(folder, "cuda", "test", "hopper", name)];
	total = addCounts(total, runTests(command, before, sanitizerOptions));
}
for (const [name, ...options] of emulatedTests) {
	console.log([name, ...options].join(" "));
	total = addCounts(total, runTests(join(folder, "cuda", "test", name), options, {}));
}
if (variant.emulated && !onlyCpu) total = addCounts(total, backendTests());
if (!args.includes("--list")) console.log(countLine(total));
process.exitCode = total.failed === 0 ? 0 : 1;
