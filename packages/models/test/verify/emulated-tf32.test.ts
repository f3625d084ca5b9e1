// The checks that need no files, with products in tf32 on the emulated CUDA device, measured by the naive computation on the CPU. vitest
// runs a file in a process of its own, which the emulated device needs.
import { type Device, openDevice } from "@dreamdist/core";
import { emulatedAddonPath, emulatedReason } from "@dreamdist/native-cuda";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyBuiltIn } from "../../src/index.js";

const absent = emulatedAddonPath() === null;
if (absent) console.log(`Skipped: ${emulatedReason()}.`);

describe.skipIf(absent)("verify in tf32 on the emulated CUDA device", () => {
	let device: Device;
	let yardstick: Device;
	beforeAll(async () => {
		device = await openDevice("cuda-emulated", { threads: 1, tf32: true });
		yardstick = await openDevice("cpu", { threads: 1, tf32: true, unfused: true });
	});
	afterAll(() => {
		yardstick.dispose();
		device.dispose();
	});

	it("is at most twice as far off as the naive computation", async () => {
		const report = await verifyBuiltIn(device, { yardstick });
		expect(report.cases.filter(({ pass }) => !pass)).toEqual([]);
		expect(report.device).toContain("tf32");
		// The networks' errors are those of tf32: f32 would be far within its bounds.
		expect(report.cases.filter(({ error }) => error !== null && error > 1e-4).length).toBeGreaterThan(2);
	});
});
