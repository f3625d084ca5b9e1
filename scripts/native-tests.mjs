// Builds and runs the engine's own tests (native/test), which need neither Node-API nor the packages.
//   node scripts/native-tests.mjs                              on every instruction set that this machine can run
//   node scripts/native-tests.mjs --sanitize address,undefined
//   node scripts/native-tests.mjs --arch aarch64               cross-compiled, under qemu-user
// Other arguments go to the test program (--filter NAME, --isa NAME, --threads N, --list).
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { missingMessage, missingParts, which } from "../packages/native-cuda/scripts/toolchain.mjs";
import { CANNOT_RUN } from "./counts.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function stop(message, code = 1) {
	console.error(message);
	process.exit(code);
}

/** Runs a program with our terminal; ends this process when it fails. */
function run(command, args, env = process.env) {
	const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: "inherit", env });
	if (error) stop(`${command} could not be started: ${error.message}.`);
	if (status !== 0) stop(signal ? `${command} was ended by ${signal}.` : `${command} failed.`, status ?? 1);
}

/** Takes `--name value` out of a list of arguments. */
function takeOption(args, name) {
	const index = args.indexOf(name);
	if (index < 0) return undefined;
	const [, value] = args.splice(index, 2);
	if (value === undefined) stop(`${name} needs a value.`, 2);
	return value;
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
	return { folder: "build-native", defines: {}, launcher: [] };
}

const args = process.argv.slice(2);
const sanitizers = takeOption(args, "--sanitize");
const variant = chooseVariant(sanitizers, takeOption(args, "--arch"));
const missing = missingParts();
if (missing.length > 0) stop(missingMessage(missing));

const folder = join(root, variant.folder);
const defines = { CMAKE_BUILD_TYPE: "Release", DD_CUDA: "OFF", ...variant.defines };
const generator = which("ninja") ? ["-G", "Ninja"] : [];
run("cmake", [
	"-S",
	"native",
	"-B",
	folder,
	...generator,
	...Object.entries(defines).map(([key, value]) => `-D${key}=${value}`),
]);
run("cmake", ["--build", folder, "--target", "engine_tests", "--parallel", String(availableParallelism())]);
const [program, ...programArgs] = [...variant.launcher, join(folder, "test", "engine_tests"), ...args];
run(program, programArgs, { ...process.env, ASAN_OPTIONS: "detect_leaks=1", UBSAN_OPTIONS: "print_stacktrace=1" });
