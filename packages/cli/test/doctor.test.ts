import { type BuildRecord, cardReason, cudaReason, emulatedAddonPath, type NativeInfo } from "@dreamdist/native-cuda";
import { afterEach, describe, expect, it, vi } from "vitest";
import { describeDevices, requestedDevice } from "../src/doctor/devices.js";
import { renderReport } from "../src/doctor/render.js";
import { type DoctorReport, gatherReport } from "../src/doctor/report.js";

const build = { cuda: { requested: "AUTO", reason: "no nvcc when it was built", compiler: null } } as BuildRecord;
const cpuOnly: NativeInfo = {
	compiler: "GNU 12.2.0",
	buildType: "Release",
	napi: 9,
	cpu: { usable: ["avx2", "generic"], built: ["avx512", "avx2", "generic"] },
	emulated: false,
	cuda: null,
};

function withCuda(cuda: Partial<NonNullable<NativeInfo["cuda"]>>): NativeInfo {
	return {
		...cpuOnly,
		cuda: { devices: 0, cards: [], runtime: 13000, driver: 13000, error: "", leastCapability: "8.0", ...cuda },
	};
}

afterEach(() => vi.unstubAllEnvs());

describe("why there is no CUDA device", () => {
	const bare = { driver: null, visible: undefined };
	const noDevice = "cudaErrorNoDevice: no CUDA-capable device is detected";
	it.each([
		["no engine", null, bare, "the native engine does not load"],
		["built without CUDA", cpuOnly, bare, "the engine was built without CUDA (no nvcc when it was built)"],
		["no driver", withCuda({ driver: 0 }), bare, "no NVIDIA driver on this machine"],
		[
			"an old driver",
			withCuda({ driver: 12040 }),
			{ ...bare, driver: "550.54.14" },
			"the NVIDIA driver is too old: version 550.54.14 supports CUDA 12.4, and the engine was built with 13.0, " +
				"which needs driver 580 or later (update the driver, or rebuild with an older CUDA toolkit)",
		],
		[
			"an old driver that does not give its version",
			withCuda({ driver: 11080, runtime: 12060 }),
			bare,
			"the NVIDIA driver is too old: it supports CUDA 11.8, and the engine was built with 12.6, " +
				"which needs driver 525 or later (update the driver, or rebuild with an older CUDA toolkit)",
		],
		["no card", withCuda({ error: noDevice }), bare, "the NVIDIA driver finds no card"],
		[
			"hidden cards",
			withCuda({ error: noDevice }),
			{ ...bare, visible: "-1" },
			'the NVIDIA driver finds no card; CUDA_VISIBLE_DEVICES is "-1"',
		],
		[
			"a driver that does not start",
			withCuda({ error: "cudaErrorSystemNotReady: system not yet initialized" }),
			bare,
			"the NVIDIA driver does not start (cudaErrorSystemNotReady: system not yet initialized)",
		],
		["a card", withCuda({ devices: 1 }), bare, undefined],
		["a newer toolkit of the driver's major version", withCuda({ devices: 1, runtime: 13020 }), bare, undefined],
	])("%s", (_, info, surroundings, reason) => {
		expect(cudaReason(info, build, surroundings)).toBe(reason);
	});
});

const card = { name: "NVIDIA H200", capability: "9.0", totalBytes: 150e9 };

describe("devices", () => {
	it("refuse a card that is too old, and that alone", () => {
		const cuda = withCuda({ devices: 3 }).cuda!;
		const capability = (...all: string[]) => ({ ...cuda, cards: all.map((one) => ({ ...card, capability: one })) });
		expect(cardReason(capability("7.5"), 0)).toContain(
			"is too old: it has compute capability 7.5, and the kernels need 8.0",
		);
		for (const fine of ["8.0", "8.6", "9.0", "10.0", "12.0"]) expect(cardReason(capability(fine), 0)).toBeUndefined();
		expect(cardReason(capability("9.0", "9.0"), 5)).toBe("there is no such card; there is cuda:0, cuda:1");
	});

	it("lists the CPU, each card, and the emulated device, with a reason where one is not available", () => {
		const old = { ...card, name: "NVIDIA T4", capability: "7.5" };
		const devices = describeDevices({ info: withCuda({ devices: 2, cards: [card, old] }), build });
		expect(devices.map(({ name }) => name)).toEqual(["cpu", "cuda:0", "cuda:1", "cuda-emulated"]);
		const available = devices.filter(({ available }) => available).map(({ name }) => name);
		expect(available.filter((name) => name !== "cuda-emulated")).toEqual(["cpu", "cuda:0"]);
		expect(devices[1]?.detail).toBe("NVIDIA H200, compute capability 9.0, 150 GB");
		expect(devices[2]?.reason).toBe("NVIDIA T4 is too old: it has compute capability 7.5, and the kernels need 8.0");
		for (const device of devices) expect(device.available ? device.detail : device.reason).toBeTruthy();
	});

	it("resolve what --device asks for", () => {
		const cards = [
			{ name: "cpu", available: true },
			{ name: "cuda:0", available: true },
			{ name: "cuda:1", available: true },
		];
		expect(requestedDevice(cards, "auto").name).toBe("cpu");
		expect(requestedDevice(cards, "cuda").name).toBe("cuda:0");
		expect(requestedDevice(cards, "cuda:1").name).toBe("cuda:1");
		expect(requestedDevice(cards, "cpu").name).toBe("cpu");
		expect(requestedDevice(cards, "cuda:5")).toMatchObject({
			available: false,
			reason: expect.stringContaining("cuda:1"),
		});
		const none = describeDevices({ info: cpuOnly, build });
		expect(requestedDevice(none, "auto").name).toBe("cpu");
		expect(requestedDevice(none, "cuda:1")).toMatchObject({
			available: false,
			reason: expect.stringContaining("without CUDA"),
		});
		expect(requestedDevice(none, "cuda-emulated").available).toBe(emulatedAddonPath() !== null);
	});
});

describe("the report", () => {
	it("describes this machine and this installation", async () => {
		const report = await gatherReport({ device: "cpu" });
		expect(report).toMatchObject({
			ok: true,
			problems: [],
			versions: { node: process.version },
			device: { name: "cpu" },
		});
		expect(report.engine).toMatchObject({ loaded: true, origin: "local build" });
		expect(report.processor.instructionSets?.usable).toContain(report.processor.instructionSets?.inUse);
		expect(report.processor.threads).toBeGreaterThan(0);
		expect(JSON.parse(JSON.stringify(report))).toEqual(report);
	});

	it("reports the settings that the engine would use", async () => {
		vi.stubEnv("DD_CPU_ISA", "generic");
		vi.stubEnv("DD_NUM_THREADS", "3");
		const { processor } = await gatherReport({ device: "cpu" });
		expect(processor.instructionSets?.inUse).toBe("generic");
		expect(processor).toMatchObject({ threads: 3, threadsFrom: "DD_NUM_THREADS" });
	});

	it.each([
		["DD_CPU_ISA", "sse9"],
		["DD_NUM_THREADS", "many"],
	])("is not ok with %s=%s, and names it", async (name, value) => {
		vi.stubEnv(name, value);
		const { ok, problems } = await gatherReport({ device: "cpu" });
		expect(ok).toBe(false);
		expect(problems).toEqual([expect.stringContaining(value)]);
	});

	it("is not ok without the device asked for", async () => {
		const { ok, problems } = await gatherReport({ device: "cuda:99" });
		expect(ok).toBe(false);
		expect(problems).toEqual([expect.stringContaining("cuda:99 is not available")]);
	});

	it("reads as text, with the reason of each missing device", async () => {
		const report = await gatherReport({ device: "auto", dtype: "bf16" });
		const text = renderReport(report);
		expect(text).toContain(process.version);
		expect(text).toContain("weights in bf16");
		for (const { name, reason } of report.devices) {
			expect(text).toContain(name);
			if (reason !== undefined) expect(text).toContain(reason);
		}
	});

	it("shows why no engine loads", async () => {
		const report: DoctorReport = {
			...(await gatherReport({ device: "cpu" })),
			ok: false,
			engine: { loaded: false, error: "no addon\n- build it" },
			problems: ["The native engine does not load."],
		};
		report.processor.instructionSets = null;
		const text = renderReport(report);
		expect(text).toMatch(/no addon\n\s+- build it/);
		expect(text).toContain("The native engine does not load.");
	});
});
