// Gathers what `dreamdist doctor` reports.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { arch, availableParallelism, cpus, platform, release } from "node:os";
import { openDevice } from "@dreamdist/core";
import {
	AddonNotFoundError,
	type BuildRecord,
	glibcVersion,
	isMusl,
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
		/** Threads the engine works with (null where it does not open), and what decides their number. */
		threads: number | null;
		threadsFrom: string;
		/** The instruction sets of the engine: in use, usable here (best first), compiled in. Null where it does not load. */
		instructionSets: { inUse: string | null; usable: string[]; built: string[] } | null;
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
	const glibc = glibcVersion();
	if (glibc !== null) return `glibc ${glibc}`;
	return isMusl() ? "musl" : null;
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

/** The CPU device as the settings of this environment make it, or the sentence that refuses them. */
async function tryOpen(): Promise<{ isa: string; threads: number } | { refusal: string }> {
	try {
		const device = await openDevice("cpu");
		const { isa, threads } = device;
		device.dispose();
		return { isa, threads };
	} catch (error) {
		return { refusal: error instanceof Error ? error.message : String(error) };
	}
}

/** Looks at this machine and this installation. Loads the engine and opens the CPU device; computes nothing. */
export async function gatherReport(options: Pick<CommonOptions, "device" | "dtype">): Promise<DoctorReport> {
	const loaded = tryLoad();
	const info = "info" in loaded ? loaded.info : null;
	const addon = "addon" in loaded ? loaded.addon : null;
	const cpu = addon === null ? null : await tryOpen();
	const opened = cpu !== null && "isa" in cpu ? cpu : null;
	const devices = describeDevices({ info, build: addon?.build ?? null, dtype: options.dtype });
	const device = requestedDevice(devices, options.device);
	const problems: string[] = [];
	if ("error" in loaded) problems.push("The native engine does not load; what was tried stands under engine.");
	else if (!device.available) problems.push(`The device ${options.device} is not available: ${device.reason}.`);
	if (cpu !== null && "refusal" in cpu)
		problems.push(`The CPU device does not open: ${cpu.refusal.replace(/[.]$/, "")}.`);
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
			threads: opened?.threads ?? null,
			threadsFrom: process.env.DD_NUM_THREADS ? "DD_NUM_THREADS" : "the cores available",
			instructionSets: info === null ? null : { inUse: opened?.isa ?? null, ...info.cpu },
		},
		memory: readMemory(),
		devices,
		device,
		problems,
	};
}
