// The devices of the engine: which are there, and for each that is not, the reason.
import type { BuildRecord, NativeInfo } from "@dreamdist/native-cuda";
import type { DType } from "../common-options.js";

export interface DeviceReport {
	/** As --device takes it. */
	name: string;
	available: boolean;
	/** What the device is; absent where it is not available. */
	detail?: string;
	/** Why it is not available. */
	reason?: string;
}

export interface DeviceQuestion {
	/** Null where no addon loads. */
	info: NativeInfo | null;
	build: BuildRecord | null;
	/** The storage type that the user asked about. */
	dtype?: DType | undefined;
}

/** CUDA's version numbers: 13000 is 13.0. */
function cudaVersion(version: number): string {
	return `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
}

function cpuDetail(info: NativeInfo, dtype: DType | undefined): string {
	const storage = dtype === undefined ? "weights in f32, bf16 or f16" : `weights in ${dtype}`;
	return `${info.cpu.usable.join(", ")}; ${storage}, computes in f32`;
}

/** Why there is no CUDA device, or undefined where there is one. */
export function cudaReason({ info, build }: DeviceQuestion): string | undefined {
	if (info === null) return "the native engine does not load";
	if (info.cuda === null) {
		const cause = build === null ? "" : ` (${build.cuda.reason})`;
		return `the engine was built without CUDA${cause}`;
	}
	const { devices, runtime, driver, error } = info.cuda;
	if (devices > 0) return undefined;
	if (driver === 0) return "no NVIDIA driver on this machine";
	if (Math.floor(driver / 1000) < Math.floor(runtime / 1000)) {
		const versions = `it supports CUDA ${cudaVersion(driver)}, and the engine was built with ${cudaVersion(runtime)}`;
		return `the NVIDIA driver is too old: ${versions} (update the driver, or rebuild with an older CUDA toolkit)`;
	}
	return `the NVIDIA driver finds no card${error ? ` (${error})` : ""}`;
}

/** All devices that --device can name on this machine. */
export function describeDevices(question: DeviceQuestion): DeviceReport[] {
	const { info, dtype } = question;
	const cpu: DeviceReport =
		info === null
			? { name: "cpu", available: false, reason: "the native engine does not load" }
			: { name: "cpu", available: true, detail: cpuDetail(info, dtype) };
	const reason = cudaReason(question);
	const cards: DeviceReport[] =
		reason === undefined
			? (info?.cuda?.cards ?? []).map(({ name, capability, totalBytes }, index) => ({
					name: `cuda:${index}`,
					available: false,
					// The driver sees it; nothing of the engine runs on it.
					reason: `${name} (compute capability ${capability}, ${(totalBytes / 1e9).toFixed(0)} GB) is there, but this version computes on the CPU only`,
				}))
			: [{ name: "cuda", available: false, reason }];
	const emulated: DeviceReport = {
		name: "cuda-emulated",
		available: false,
		reason: "the emulated device is a module of the tests and is not built here",
	};
	return [cpu, ...cards, emulated];
}

/** The device that --device asks for; `auto` is the first card, else the CPU. */
export function requestedDevice(devices: readonly DeviceReport[], wanted: string): DeviceReport {
	const named = (name: string) => devices.find((device) => device.name === name);
	if (wanted === "auto")
		return devices.find(({ name, available }) => available && name.startsWith("cuda:")) ?? named("cpu")!;
	const found = named(wanted === "cuda" ? "cuda:0" : wanted) ?? (wanted.startsWith("cuda") ? named("cuda") : undefined);
	if (found !== undefined) return found;
	const cards = devices.filter(({ name }) => name.startsWith("cuda:")).map(({ name }) => name);
	return { name: wanted, available: false, reason: `there is no such card; there is ${cards.join(", ")}` };
}
