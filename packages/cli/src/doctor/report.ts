// Gathers what `dreamdist doctor` reports.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { arch, availableParallelism, cpus, platform, release } from "node:os";
import {
	AddonNotFoundError,
	type BuildRecord,
	type LoadedAddon,
	loadAddon,
	type NativeInfo,
	type NativeModule,
	readMemory,
	type SystemMemory,
} from "@dreamdist/native-cuda";
import type { CommonOptions } from "../common-options.js";
import { type DeviceReport, describeDevices, requestedDevice } from "./devices.js";

export interface DoctorReport {
	/** The engine loads and the device asked for is available. */
	ok: boolean;
	versions: { dreamdist: string; packages: Record<string, string>; node: string; system: string; libc: string | null };
	engine:
		| {
				loaded: true;
				path: string;
				origin: LoadedAddon["origin"];
				compiler: string;
				buildType: string;
				cuda: boolean;
				build: BuildRecord | null;
		  }
		| { loaded: false; error: string };
	processor: {
		model: string;
		cores: number;
		/** Threads the engine works with, and what decided their number. */
		threads: number;
		threadsFrom: string;
		/** The instruction sets of the engine: in use, usable here (best first), compiled in. Null where it does not load. */
		instructionSets: { inUse: string; usable: string[]; built: string[] } | null;
	};
	memory: SystemMemory;
	devices: DeviceReport[];
	/** What --device stands for on this machine. */
	device: DeviceReport;
	/** What is wrong, a sentence each. */
	problems: string[];
}

const PACKAGES = ["@dreamdist/cli", "@dreamdist/models", "@dreamdist/core", "@dreamdist/native-cuda"];
const require = createRequire(import.meta.url);

function packageVersion(name: string): string {
	const path =
		name === "@dreamdist/cli"
			? new URL("../../package.json", import.meta.url)
			: require.resolve(`${name}/package.json`);
	return (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
}

function systemName(): string {
	let name = "";
	try {
		name = /^PRETTY_NAME="?(.*?)"?$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "";
	} catch {
		// Not every system has the file.
	}
	return `${name || platform()} (${platform()} ${release()}, ${arch()})`;
}

function libcName(): string | null {
	if (platform() !== "linux" || process.report === undefined) return null;
	Object.assign(process.report, { excludeNetwork: true });
	const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
	return header?.glibcVersionRuntime ? `glibc ${header.glibcVersionRuntime}` : "musl";
}

function tryLoad(): { addon: LoadedAddon; info: NativeInfo } | { error: string } {
	try {
		const addon = loadAddon();
		return { addon, info: (addon.exports as NativeModule).info() };
	} catch (error) {
		if (error instanceof AddonNotFoundError) return { error: error.message };
		throw error;
	}
}

function describeThreads(): { threads: number; threadsFrom: string; problem?: string } {
	const cores = availableParallelism();
	const wish = process.env.DD_NUM_THREADS;
	if (!wish) return { threads: cores, threadsFrom: "the cores available" };
	if (/^[1-9]\d*$/.test(wish)) return { threads: Number(wish), threadsFrom: "DD_NUM_THREADS" };
	return {
		threads: cores,
		threadsFrom: "the cores available",
		problem: `DD_NUM_THREADS=${wish} is not a whole number above 0.`,
	};
}

function describeInstructionSets(info: NativeInfo): {
	sets: DoctorReport["processor"]["instructionSets"];
	problem?: string;
} {
	const { usable, built } = info.cpu;
	const best = usable[0] ?? "none";
	const forced = process.env.DD_CPU_ISA;
	if (!forced || forced === "auto") return { sets: { inUse: best, usable, built } };
	if (usable.includes(forced)) return { sets: { inUse: forced, usable, built } };
	const problem = `DD_CPU_ISA=${forced} cannot be used on this machine; choose one of ${usable.join(", ")}.`;
	return { sets: { inUse: best, usable, built }, problem };
}

/** Looks at this machine and this installation. Loads the engine, computes nothing. */
export function gatherReport(options: Pick<CommonOptions, "device" | "dtype">): DoctorReport {
	const loaded = tryLoad();
	const info = "info" in loaded ? loaded.info : null;
	const addon = "addon" in loaded ? loaded.addon : null;
	const { threads, threadsFrom, problem: threadProblem } = describeThreads();
	const instructionSets = info === null ? { sets: null } : describeInstructionSets(info);
	const devices = describeDevices({ info, build: addon?.build ?? null, dtype: options.dtype });
	const device = requestedDevice(devices, options.device);
	const problems = [threadProblem, instructionSets.problem].filter((problem) => problem !== undefined);
	if ("error" in loaded) problems.push("The native engine does not load; what was tried stands under engine.");
	else if (!device.available) problems.push(`The device ${options.device} is not available: ${device.reason}.`);
	return {
		ok: problems.length === 0,
		versions: {
			dreamdist: packageVersion("@dreamdist/cli"),
			packages: Object.fromEntries(PACKAGES.map((name) => [name, packageVersion(name)])),
			node: process.version,
			system: systemName(),
			libc: libcName(),
		},
		engine:
			addon === null || info === null
				? { loaded: false, error: "error" in loaded ? loaded.error : "" }
				: {
						loaded: true,
						path: addon.path,
						origin: addon.origin,
						compiler: info.compiler,
						buildType: info.buildType,
						cuda: info.cuda !== null,
						build: addon.build,
					},
		processor: {
			model: cpus()[0]?.model ?? "unknown",
			cores: availableParallelism(),
			threads,
			threadsFrom,
			instructionSets: instructionSets.sets,
		},
		memory: readMemory(),
		devices,
		device,
		problems,
	};
}
