// The devices of the engine: which are there, and for each that is not, the reason.
import { type BuildRecord, cardReason, cudaReason, emulatedReason, type NativeInfo } from "@dreamdist/native-cuda";
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

function cpuDetail(info: NativeInfo, dtype: DType | undefined): string {
	const storage = dtype === undefined ? "weights in f32, bf16 or f16" : `weights in ${dtype}`;
	return `${info.cpu.usable.join(", ")}; ${storage}, computes in f32`;
}

/** All devices that --device can name on this machine. */
export function describeDevices(question: DeviceQuestion): DeviceReport[] {
	const { info, build, dtype } = question;
	const cpu: DeviceReport =
		info === null
			? { name: "cpu", available: false, reason: "the native engine does not load" }
			: { name: "cpu", available: true, detail: cpuDetail(info, dtype) };
	const reason = cudaReason(info, build);
	const cuda = info?.cuda ?? null;
	const cards: DeviceReport[] =
		reason !== undefined || cuda === null
			? [{ name: "cuda", available: false, reason: reason ?? "the engine was built without CUDA" }]
			: cuda.cards.map(({ name, capability, totalBytes }, index) => {
					const refused = cardReason(cuda, index);
					if (refused !== undefined) return { name: `cuda:${index}`, available: false, reason: refused };
					const detail = `${name}, compute capability ${capability}, ${(totalBytes / 1e9).toFixed(0)} GB`;
					return { name: `cuda:${index}`, available: true, detail };
				});
	const noEmulated = emulatedReason();
	const emulated: DeviceReport =
		noEmulated === undefined
			? {
					name: "cuda-emulated",
					available: true,
					detail: "runs the CUDA kernels on this processor, slowly, to test them",
				}
			: { name: "cuda-emulated", available: false, reason: noEmulated };
	return [cpu, ...cards, emulated];
}

/** The device that --device asks for; `auto` is the CPU. */
export function requestedDevice(devices: readonly DeviceReport[], wanted: string): DeviceReport {
	const named = (name: string) => devices.find((device) => device.name === name);
	if (wanted === "auto") return named("cpu")!;
	const found = named(wanted === "cuda" ? "cuda:0" : wanted) ?? (wanted.startsWith("cuda") ? named("cuda") : undefined);
	if (found !== undefined) return found;
	const cards = devices.filter(({ name }) => name.startsWith("cuda:")).map(({ name }) => name);
	return { name: wanted, available: false, reason: `there is no such card; there is ${cards.join(", ")}` };
}
