// Why a device is not there. What `dreamdist doctor` prints and what opening the device says are the same words.
import { readFileSync } from "node:fs";
import { type BuildRecord, emulatedAddonPath } from "./loader.js";
import type { NativeInfo } from "./surface.js";

/** CUDA's version numbers: 13000 is 13.0. */
function cudaVersion(version: number): string {
	return `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
}

/** The oldest driver that runs what was built with a CUDA of this major version (NVIDIA, "CUDA Compatibility", minor version compatibility). */
const LEAST_DRIVERS: Readonly<Record<number, number>> = { 11: 450, 12: 525, 13: 580 };

/** What the CUDA runtime does not say about a machine. */
export interface CudaSurroundings {
	/** Version of the driver's kernel module, "550.54.14"; null where it is not loaded or does not say. */
	driver: string | null;
	/** CUDA_VISIBLE_DEVICES, which can hide every card. */
	visible: string | undefined;
}

/** The NVIDIA driver's version as its kernel module gives it (Linux), or null. */
export function driverVersion(): string | null {
	try {
		const text = readFileSync("/proc/driver/nvidia/version", "utf8");
		return /Kernel Module\D*?(\d+(?:\.\d+)+)/.exec(text)?.[1] ?? null;
	} catch {
		return null;
	}
}

const here = (): CudaSurroundings => ({ driver: driverVersion(), visible: process.env.CUDA_VISIBLE_DEVICES });

/** Why there is no CUDA device, or undefined where there is one. `info` is null where no addon loads. */
export function cudaReason(
	info: NativeInfo | null,
	build: BuildRecord | null,
	surroundings: CudaSurroundings = here(),
): string | undefined {
	if (info === null) return "the native engine does not load";
	if (info.cuda === null) {
		const cause = build === null ? "" : ` (${build.cuda.reason})`;
		return `the engine was built without CUDA${cause}`;
	}
	const { devices, runtime, driver, error } = info.cuda;
	if (devices > 0) return undefined;
	if (driver === 0) return "no NVIDIA driver on this machine";
	const major = Math.floor(runtime / 1000);
	if (Math.floor(driver / 1000) < major) {
		const installed = surroundings.driver === null ? "it" : `version ${surroundings.driver}`;
		const least = LEAST_DRIVERS[major];
		const needed = least === undefined ? "a newer one" : `driver ${least} or later`;
		return (
			`the NVIDIA driver is too old: ${installed} supports CUDA ${cudaVersion(driver)}, and the engine was built with ` +
			`${cudaVersion(runtime)}, which needs ${needed} (update the driver, or rebuild with an older CUDA toolkit)`
		);
	}
	if (error === "" || error.startsWith("cudaErrorNoDevice")) {
		const hidden = surroundings.visible === undefined ? "" : `; CUDA_VISIBLE_DEVICES is "${surroundings.visible}"`;
		return `the NVIDIA driver finds no card${hidden}`;
	}
	return `the NVIDIA driver does not start (${error})`;
}

/** Why the engine does not run on a card, or undefined where it does. */
export function cardReason(cuda: NonNullable<NativeInfo["cuda"]>, index: number): string | undefined {
	const card = cuda.cards[index];
	if (card === undefined) {
		const names = cuda.cards.map((_, i) => `cuda:${i}`).join(", ");
		return `there is no such card; there is ${names}`;
	}
	const [major, minor] = card.capability.split(".").map(Number) as [number, number];
	const [leastMajor, leastMinor] = cuda.leastCapability.split(".").map(Number) as [number, number];
	if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) return undefined;
	return `${card.name} is too old: it has compute capability ${card.capability}, and the kernels need ${cuda.leastCapability}`;
}

/** Why there is no emulated CUDA device, or undefined where there is one. */
export function emulatedReason(): string | undefined {
	if (emulatedAddonPath() !== null) return undefined;
	return "the emulated device is a module of the tests, built in a clone of the repository on Linux x64 only";
}
