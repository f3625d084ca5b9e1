import { type Device, openDevice } from "@dreamdist/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyBuiltIn } from "../../src/index.js";
import { GOLDEN_NETWORKS } from "../../src/verify/golden.js";

describe("built-in verification", () => {
	let device: Device;
	beforeAll(async () => {
		device = await openDevice("cpu", { threads: 2 });
	});
	afterAll(() => device.dispose());

	it("passes against the reference libraries' numbers and the float64 interpreter", async () => {
		const seen: string[] = [];
		const report = await verifyBuiltIn(device, { onCase: ({ name }) => seen.push(name) });
		expect(report.cases.filter(({ pass }) => !pass)).toEqual([]);
		expect(seen).toEqual([
			"text_encoder",
			"unet",
			"vae",
			"noise_schedule",
			"samplers",
			"text_encoder_gradient",
			"unet_gradients",
		]);
		expect([report.passed, report.failed]).toEqual([7, 0]);
		expect(report.launches).toBeGreaterThan(500);
		expect(report.device).toContain("cpu");
	});

	it("has the reference's number of tensors", () => {
		const counts = Object.entries(GOLDEN_NETWORKS).map(([name, make]) => [name, make().weights.tensors.size]);
		expect(Object.fromEntries(counts)).toEqual({ text_encoder: 52, unet: 684, vae: 244 });
	});

	it("stops when it is aborted", async () => {
		const controller = new AbortController();
		const running = verifyBuiltIn(device, { signal: controller.signal, onCase: () => controller.abort() });
		await expect(running).rejects.toThrow("abort");
	});
});
