// Builds the addon with cmake-js and puts it, with a record of how it was built, into bin/<platform>-<arch>/.
//   node scripts/build-native.mjs [--build-dir DIR] [--output DIR]
// Environment: DD_CUDA=AUTO|ON|OFF, DD_CUDA_ARCHS, DD_ONEDNN=ON, CXX, CUDACXX. Needs no network.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { findNvcc, hasNvidiaDriver, missingMessage, missingParts } from "./toolchain.mjs";

const packageRoot = dirname(dirname(fileURLToPath(import.meta.url)));
const repositoryRoot = dirname(dirname(packageRoot));
const ADDON = "dreamdist.node";
// The emulated CUDA device: for the repository's own tests, where its sources and its one platform are.
const EMULATED_ADDON = "dreamdist-emulated.node";

function stop(message) {
	console.error(message);
	process.exit(1);
}

function readOptions() {
	try {
		const { values } = parseArgs({
			options: {
				"build-dir": { type: "string", default: join(packageRoot, "build") },
				output: { type: "string", default: join(packageRoot, "bin", `${process.platform}-${process.arch}`) },
			},
		});
		return { buildDir: resolve(values["build-dir"]), output: resolve(values.output) };
	} catch (error) {
		return stop(`build-native: ${error.message}`);
	}
}

/** What to tell CMake about CUDA, and why. AUTO builds it only where it can be compiled and could run. */
function chooseCuda() {
	const wish = (process.env.DD_CUDA || "AUTO").toUpperCase();
	if (!["AUTO", "ON", "OFF"].includes(wish)) stop(`DD_CUDA=${process.env.DD_CUDA} is none of AUTO, ON and OFF.`);
	const nvcc = findNvcc();
	if (wish === "OFF") return { value: "OFF", reason: "DD_CUDA=OFF" };
	if (wish === "ON") {
		if (nvcc === undefined) stop("DD_CUDA=ON, but nvcc is neither on PATH nor in $CUDA_HOME/bin nor in /usr/local/cuda/bin.");
		return { value: "ON", nvcc, reason: "DD_CUDA=ON" };
	}
	if (nvcc === undefined) return { value: "OFF", reason: "no nvcc when it was built" };
	if (!hasNvidiaDriver()) return { value: "OFF", reason: "no NVIDIA driver when it was built" };
	return { value: "AUTO", nvcc, reason: "nvcc and an NVIDIA driver found" };
}

function cmakeJs(options, defines) {
	const program = createRequire(import.meta.url).resolve("cmake-js/bin/cmake-js");
	const jobs = String(Math.min(availableParallelism(), 16));
	const common = ["-d", packageRoot, "-O", options.buildDir, "-p", jobs];
	for (const [name, value] of Object.entries(defines)) common.push(`--CD${name}=${value}`);
	// `build` alone would keep the options and the list of sources that the folder was first configured with, and `compile`
	// answers any error with a second, full build that buries the first error.
	for (const step of ["configure", "build"]) {
		const { status } = spawnSync(process.execPath, [program, step, ...common], { stdio: "inherit", cwd: packageRoot });
		if (status !== 0) stop("The native build failed; its first error stands above.");
	}
}

/** A shared library links with symbols missing; only loading it shows that it is complete. */
function checkLoads(file) {
	const script = "try { require(process.argv[1]) } catch (error) { console.error(error.message); process.exit(1) }";
	const { status, signal, stderr } = spawnSync(process.execPath, ["-e", script, file], { encoding: "utf8" });
	if (status !== 0) stop(`The addon was built, but it does not load: ${signal || stderr.trim()}`);
}

/** The variables of a CMake cache, or of a file that CMake wrote with set(NAME "value"). */
function cmakeVariables(text) {
	const cache = [...text.matchAll(/^(\w+):\w+=(.*)$/gm)];
	const assignments = [...text.matchAll(/^set\((\w+) "(.*)"\)$/gm)];
	return Object.fromEntries([...cache, ...assignments].map((match) => [match[1], match[2]]));
}

function readIfThere(file) {
	return existsSync(file) ? readFileSync(file, "utf8") : "";
}

/** How the build in a folder was configured, read from what CMake left there. */
function describeBuild(buildDir, cuda) {
	const cache = cmakeVariables(readIfThere(join(buildDir, "CMakeCache.txt")));
	const cmake = ["MAJOR", "MINOR", "PATCH"].map((part) => cache[`CMAKE_CACHE_${part}_VERSION`]).join(".");
	const language = (name) => cmakeVariables(readIfThere(join(buildDir, "CMakeFiles", cmake, `CMake${name}Compiler.cmake`)));
	const cxx = language("CXX");
	const nvcc = language("CUDA");
	const commands = JSON.parse(readIfThere(join(buildDir, "compile_commands.json")) || "[]");
	const sample = commands.find(({ file }) => /addon/.test(file)) || commands[0];
	const words = sample === undefined ? [] : sample.command.split(/\s+/);
	const flags = [...new Set(words.filter((word) => /^-(O|std|f|m)/.test(word)))].join(" ");
	return {
		version: JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")).version,
		date: new Date().toISOString(),
		platform: process.platform,
		arch: process.arch,
		compiler: `${cxx.CMAKE_CXX_COMPILER_ID} ${cxx.CMAKE_CXX_COMPILER_VERSION}`,
		flags,
		cmake,
		generator: cache.CMAKE_GENERATOR,
		buildType: cache.CMAKE_BUILD_TYPE,
		oneDnn: cache.DD_ONEDNN === "ON",
		cuda: {
			requested: (process.env.DD_CUDA || "AUTO").toUpperCase(),
			reason: cuda.reason,
			compiler: nvcc.CMAKE_CUDA_COMPILER_VERSION ? `nvcc ${nvcc.CMAKE_CUDA_COMPILER_VERSION}` : null,
		},
	};
}

/** Checks that a module that was built loads, and renames it into place: a process that has the old one mapped keeps its own file. */
function place(name, options) {
	const built = ["Release", "native/Release", ".", "native", "native/addon"]
		.map((folder) => join(options.buildDir, folder, name))
		.find((file) => existsSync(file));
	if (built === undefined) return stop(`The build in ${options.buildDir} made no ${name}.`);
	checkLoads(built);
	const target = join(options.output, name);
	cpSync(built, `${target}.new`);
	renameSync(`${target}.new`, target);
	return target;
}

function main() {
	const options = readOptions();
	const missing = missingParts();
	if (missing.length > 0) stop(missingMessage(missing));
	// Inside the repository the sources are ../../native; a copy left by an interrupted `pnpm pack` must not win over them.
	if (existsSync(join(repositoryRoot, "pnpm-workspace.yaml"))) rmSync(join(packageRoot, "native"), { recursive: true, force: true });
	const cuda = chooseCuda();
	console.log(`CUDA: ${cuda.value === "OFF" ? "left out" : "compiled"} (${cuda.reason}).`);
	const emulated =
		process.platform === "linux" &&
		process.arch === "x64" &&
		existsSync(join(repositoryRoot, "pnpm-workspace.yaml")) &&
		process.env.DD_EMULATED !== "OFF";
	const defines = {
		DD_CUDA: cuda.value,
		DD_EMULATED: emulated ? "ON" : "OFF",
		CMAKE_EXPORT_COMPILE_COMMANDS: "ON",
		DD_ONEDNN: process.env.DD_ONEDNN || "OFF",
	};
	if (process.env.DD_CUDA_ARCHS) defines.DD_CUDA_ARCHS = process.env.DD_CUDA_ARCHS;
	cmakeJs(options, defines);

	mkdirSync(options.output, { recursive: true });
	if (emulated) place(EMULATED_ADDON, options);
	else rmSync(join(options.output, EMULATED_ADDON), { force: true });
	const target = place(ADDON, options);
	writeFileSync(join(options.output, "build.json"), `${JSON.stringify(describeBuild(options.buildDir, cuda), null, "\t")}\n`);
	console.log(`Built ${target}`);
}

main();
