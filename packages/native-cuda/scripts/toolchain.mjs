// What the native build needs from the system: which parts are missing, the one command that installs them here, and a
// fingerprint of the parts that are there. Depends on Node alone: it runs before anything is installed.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";

/** The CMake version that CMakeLists.txt asks for. */
export const MINIMUM_CMAKE = "3.20";

/** Standard output of a program, trimmed, or undefined where it does not run or fails. */
function output(command, args, input) {
	const result = spawnSync(command, args, { encoding: "utf8", input, windowsHide: true });
	return result.status === 0 ? result.stdout.trim() : undefined;
}

function isFile(path) {
	return existsSync(path) && statSync(path).isFile();
}

/** The full path of a program on PATH, or undefined. */
export function which(name, env = process.env) {
	const suffixes = process.platform === "win32" ? (env.PATHEXT || ".EXE;.CMD;.BAT").split(";") : [""];
	for (const folder of (env.PATH || env.Path || "").split(delimiter)) {
		for (const suffix of suffixes) {
			const file = join(folder, name + suffix);
			if (folder !== "" && isFile(file)) return file;
		}
	}
	return undefined;
}

function cmakeProblem() {
	const match = /version (\d+)\.(\d+)/.exec(output("cmake", ["--version"]) || "");
	if (match === null) return { part: "cmake", problem: "CMake is missing" };
	const [major, minor] = [Number(match[1]), Number(match[2])];
	const [needMajor, needMinor] = MINIMUM_CMAKE.split(".").map(Number);
	if (major > needMajor || (major === needMajor && minor >= needMinor)) return undefined;
	return {
		part: "cmake",
		tooOld: true,
		problem: `CMake ${major}.${minor} is too old`,
		remedy: `CMake ${MINIMUM_CMAKE} or later (https://cmake.org/download)`,
	};
}

/** The C++ compilers to try, in CMake's order. */
function compilerCandidates(env = process.env) {
	return env.CXX ? [env.CXX.split(" ")] : [["c++"], ["g++"], ["clang++"]];
}

/** The version line of the C++ compiler that CMake will use, or undefined. */
export function compilerVersion() {
	for (const [command, ...args] of compilerCandidates()) {
		const version = output(command, [...args, "--version"]);
		if (version !== undefined) return version.split("\n")[0];
	}
	return undefined;
}

function visualStudio() {
	const base = process.env["ProgramFiles(x86)"] || "C:\\Program Files (x86)";
	const finder = join(base, "Microsoft Visual Studio", "Installer", "vswhere.exe");
	const component = "Microsoft.VisualStudio.Component.VC.Tools.x86.x64";
	return output(finder, ["-latest", "-products", "*", "-requires", component, "-property", "installationVersion"]);
}

const CPP20_PROBE =
	"#include <span>\n#include <thread>\nint main() { return static_cast<int>(std::span<int>().size()); }\n";

function compilerProblem() {
	const missing = { part: "compiler", problem: "a C++ compiler is missing" };
	if (process.platform === "win32") return visualStudio() ? undefined : missing;
	const version = compilerVersion();
	if (version === undefined) {
		return process.env.CXX
			? {
					part: "compiler",
					tooOld: true,
					problem: `CXX=${process.env.CXX} does not run`,
					remedy: "a CXX that runs, or none",
				}
			: missing;
	}
	const works = compilerCandidates().some(
		([command, ...args]) =>
			output(command, [...args, "-std=c++20", "-fsyntax-only", "-x", "c++", "-"], CPP20_PROBE) !== undefined,
	);
	if (works) return undefined;
	return {
		part: "compiler",
		tooOld: true,
		problem: `the C++ compiler (${version}) does not compile C++20`,
		remedy: "GCC 11 or Clang 14 or later with its standard library (CXX=… chooses the compiler)",
	};
}

function makeProblem() {
	if (process.platform === "win32" || which("ninja") || which("make")) return undefined;
	return { part: "make", problem: "make is missing" };
}

/** The parts of the toolchain that are missing or too old: { part, problem, tooOld?, remedy? }[]. */
export function missingParts() {
	return [cmakeProblem(), compilerProblem(), makeProblem()].filter((problem) => problem !== undefined);
}

// One row per package manager. Installing what is already there is harmless, so each command names everything.
const INSTALLERS = {
	"apt-get": { families: ["debian", "ubuntu"], command: "apt-get update && apt-get install -y cmake g++ make" },
	dnf: { families: ["fedora", "rhel", "centos", "amzn"], command: "dnf install -y cmake gcc-c++ make" },
	yum: { families: ["fedora", "rhel", "centos", "amzn"], command: "yum install -y cmake gcc-c++ make" },
	microdnf: { families: ["fedora", "rhel", "centos"], command: "microdnf install -y cmake gcc-c++ make" },
	zypper: { families: ["suse", "opensuse"], command: "zypper --non-interactive install cmake gcc-c++ make" },
	pacman: { families: ["arch"], command: "pacman -Sy --needed --noconfirm cmake gcc make" },
	apk: { families: ["alpine"], command: "apk add cmake g++ make" },
};

/** The words of ID and ID_LIKE in /etc/os-release: the distribution and those it derives from. */
function distributionFamilies() {
	let text = "";
	try {
		text = readFileSync("/etc/os-release", "utf8");
	} catch {}
	const words = [...text.matchAll(/^(?:ID|ID_LIKE)="?([^"\n]*)"?$/gm)].flatMap((match) => match[1].split(/\s+/));
	return words.filter((word) => word !== "");
}

/**
 * The one command that installs CMake and a C++ compiler on this system, or undefined where there is no known package
 * manager. The parameters describe the system; they default to this one.
 */
export function installCommand({
	platform = process.platform,
	families = distributionFamilies(),
	has = (name) => which(name) !== undefined,
	isRoot = process.getuid !== undefined && process.getuid() === 0,
} = {}) {
	if (platform === "darwin") return has("brew") ? "xcode-select --install; brew install cmake" : undefined;
	if (platform === "win32") {
		if (!has("winget")) return undefined;
		const workload = "--wait --passive --add Microsoft.VisualStudio.Workload.VCTools --includeRecommended";
		const tools = `winget install --id Microsoft.VisualStudio.2022.BuildTools -e --override "${workload}"`;
		return `winget install --id Kitware.CMake -e ; ${tools}`;
	}
	const present = Object.keys(INSTALLERS).filter(has);
	const name =
		present.find((key) => INSTALLERS[key].families.some((family) => families.includes(family))) || present[0];
	if (name === undefined) return has("brew") ? "brew install cmake gcc make" : undefined;
	const { command } = INSTALLERS[name];
	if (isRoot) return command;
	const asRoot = ["sudo", "doas"].find(has);
	return asRoot === undefined ? `su -c '${command}'` : `${asRoot} sh -c '${command}'`;
}

/** The message for a user whose system lacks `missing` (from missingParts): what, and the command that installs it. */
export function missingMessage(missing, system) {
	const problems = missing.map(({ problem }) => problem);
	const last = problems.pop();
	const sentence = `dreamdist compiles its engine on this machine, but ${problems.length ? `${problems.join(", ")} and ${last}` : last}.`;
	// Where a part is there but too old, the system's package manager has no newer one.
	const remedies = missing.flatMap(({ remedy }) => (remedy === undefined ? [] : [remedy]));
	const old = remedies.length ? ` Needed: ${remedies.join("; ")}.` : "";
	if (missing.every(({ tooOld }) => tooOld)) return sentence + old;
	const command = installCommand(system);
	if (command === undefined) {
		return `${sentence} Install CMake ${MINIMUM_CMAKE} or later and a C++20 compiler (GCC or Clang) with make, then run the command again.${old}`;
	}
	return `${sentence}${old} This installs what is missing; then run your command again:\n\n    ${command}\n`;
}

/** The path of nvcc ($CUDACXX, PATH, then the usual folders), or undefined. */
export function findNvcc(env = process.env) {
	if (env.CUDACXX) return isFile(env.CUDACXX) ? env.CUDACXX : which(env.CUDACXX, env);
	const onPath = which("nvcc", env);
	if (onPath !== undefined) return onPath;
	const name = process.platform === "win32" ? "nvcc.exe" : "nvcc";
	const folders = [env.CUDA_PATH, env.CUDA_HOME, "/usr/local/cuda", "/opt/cuda"];
	return folders.flatMap((folder) => (folder ? [join(folder, "bin", name)] : [])).find(isFile);
}

/** Whether an NVIDIA driver is installed (a card need not be there). */
export function hasNvidiaDriver() {
	if (process.platform === "win32") return which("nvidia-smi") !== undefined;
	if (existsSync("/proc/driver/nvidia/version") || existsSync("/dev/nvidiactl") || existsSync("/dev/dxg")) return true;
	const folders = [
		"/usr/lib/x86_64-linux-gnu",
		"/usr/lib/aarch64-linux-gnu",
		"/usr/lib64",
		"/usr/lib",
		"/usr/lib/wsl/lib",
	];
	return folders.some((folder) => existsSync(join(folder, "libcuda.so.1")));
}

/**
 * A hash of everything outside the repository that decides what the native build makes. turbo cannot see it, and a cache
 * restored on another machine would otherwise hand over that machine's binary.
 */
export function toolchainFingerprint() {
	const nvcc = findNvcc();
	const parts = [
		process.platform,
		process.arch,
		process.platform === "win32" ? visualStudio() : compilerVersion(),
		output("cmake", ["--version"]),
		nvcc === undefined ? "no nvcc" : output(nvcc, ["--version"]),
		hasNvidiaDriver() ? "driver" : "no driver",
	];
	return createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 16);
}
