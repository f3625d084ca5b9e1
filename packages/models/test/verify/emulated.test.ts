// The checks that need no files, on the emulated CUDA device: stored numbers, and parity with the CPU. vitest runs a file in a process of
// its own, which the emulated device needs.
import { type Device, openDevice } from "@dreamdist/core";
import { emulatedAddonPath, emulatedReason } from "@dreamdist/native-cuda";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyBuiltIn } from "../../src/index.js";

const absent = emulatedAddonPath() === null;
if (absent) console.log(`Skipped: ${emulatedReason()}.`);

describe.skipIf(absent)("verify on the emulated CUDA device", () => {
	let device: Device;
	beforeAll(async () => {
		device = await openDevice("cuda-emulated", { threads: 1 });
	});
	afterAll(() => device.dispose());

	it("passes the built-in checks", async () => {
		const report = await verifyBuiltIn(device);
		expect(report.cases.filter(({ pass }) => !pass)).toEqual([]);
		expect(report.device).toContain("cuda-emulated");
		expect(report.cases.some(({ kind }) => kind === "parity")).toBe(true);
	});
});
