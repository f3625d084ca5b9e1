import { describe, expect, test } from "vitest";
import { openSafetensors } from "../../src/data/safetensors/index.js";
import {
	applyStep,
	createNoiseSchedule,
	mixNoise,
	modelInput,
	planSampling,
	readSchedulerConfig,
	startSampling,
} from "../../src/diffusion/index.js";
import { referenceCases, relativeError } from "./shared.js";

const schedules = referenceCases("noise_schedule");
describe.skipIf(schedules.length === 0)("noise schedules of the reference set", () => {
	test.each(schedules)("$name", async ({ file }) => {
		const data = await openSafetensors(file);
		const json = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: "scaled_linear" };
		const schedule = createNoiseSchedule(readSchedulerConfig(json, { overrides: { sampler: "ddim" } }));
		const sample = await data.readF32("sample");
		const noise = await data.readF32("noise");
		const timesteps = [...(await data.readI32("timestep"))];

		const noisy = mixNoise(timesteps.map(schedule.noisy), sample, noise);
		const velocity = mixNoise(timesteps.map(schedule.velocity), sample, noise);
		expect(relativeError(schedule.alphasCumprod, await data.readF32("alphas_cumprod"))).toBeLessThan(1e-7);
		expect(relativeError(noisy, await data.readF32("noisy"))).toBeLessThan(1e-5);
		expect(relativeError(velocity, await data.readF32("velocity"))).toBeLessThan(1e-5);
		await data.close();
	});
});

const samplers = referenceCases("scheduler");
describe.skipIf(samplers.length === 0)("samplers of the reference set", () => {
	test.each(samplers)("$name", async (one) => {
		const data = await openSafetensors(one.file);
		const config = readSchedulerConfig(one.config, {
			overrides: { sampler: String(one.scheduler) },
			defaults: "diffusers-0.24",
		});
		const plan = planSampling(config, { steps: Number(one.steps) });
		expect(plan.timesteps).toEqual([...(await data.readF32("timesteps"))]);

		const noise = await data.readF32("noise");
		const trajectory = await data.readF32("trajectory");
		const state = startSampling(plan, noise);
		for (const [i, step] of plan.steps.entries()) {
			const output = modelInput(step, state.latents).map((x) => Math.sin(1.3 * x + step.timestep / 1000));
			applyStep(step, state, output);
			const expected = trajectory.subarray(i * noise.length, (i + 1) * noise.length);
			expect(relativeError(state.latents, expected), `step ${i + 1}`).toBeLessThan(3e-6);
		}
		await data.close();
	});
});
