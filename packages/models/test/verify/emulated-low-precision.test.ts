// The checks that need no files, with activations in bf16 or products in tf32 on the emulated CUDA device, measured by the naive computation on the CPU. vitest
// runs a file in a process of its own, which the emulated device needs.
import { type Device, type DeviceOptions, openDevice } from "@dreamdist/core";
import { emulatedAddonPath, emulatedReason } from "@dreamdist/native-cuda";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyBuiltIn } from "../../src/index.js";

const absent = emulatedAddonPath() === null;
if (absent) console.log(`Skipped: ${emulatedReason()}.`);

const kinds: readonly { name: string; options: DeviceOptions; least: number }[] = [
	{ name: "bf16", options: { activations: "bf16" }, least: 1e-3 },
	{ name: "tf32", options: { tf32: true }, least: 1e-4 },
];

describe.skipIf(absent).each(kinds)("verify in $name on the emulated CUDA device", ({ name, options, least }) => {
	let device: Device;
	let yardstick: Device;
	beforeAll(async () => {
		device = await openDevice("cuda-emulated", { threads: 1, ...options });
		yardstick = await openDevice("cpu", { threads: 1, ...options, unfused: true });
	});
	afterAll(() => {
		yardstick.dispose();
		device.dispose();
	});

	it("is at most twice as far off as the naive computation", async () => {
		const report = await verifyBuiltIn(device, { yardstick });
		expect(report.cases.filter(({ pass }) => !pass)).toEqual([]);
		expect(report.device).toContain(name);
		// The networks' errors are those of the precision: f32 would be far within its bounds.
		expect(report.cases.filter(({ error }) => error !== null && error > least).length).toBeGreaterThan(2);
	});
});
