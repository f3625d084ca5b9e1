import { createNoiseSchedule, mixNoise, readSchedulerConfig } from "@dreamdist/core";
import type { CaseKind } from "../case.js";
import { perRow } from "../layout.js";

const BOUND = 1e-5;

/** Noise levels, and what they make of a sample and noise. */
export const noiseScheduleCase: CaseKind = async (one) => {
	const { json, source } = one.attributes.config
		? { json: one.attributes.config, source: "config" }
		: await (await one.model()).scheduler();
	const schedule = createNoiseSchedule(readSchedulerConfig(json, { source, overrides: { sampler: "ddim" } }));
	const sample = await one.input("sample");
	const noise = await one.input("noise");
	const timestep = await one.input("timestep");
	const timesteps = [...perRow(timestep.data, timestep.shape, sample.shape[0]!)];
	const mixed = (mix: typeof schedule.noisy) => mixNoise(timesteps.map(mix), sample.data, noise.data);
	const results = {
		noisy: () => mixed(schedule.noisy),
		velocity: () => mixed(schedule.velocity),
		alphas_cumprod: () => schedule.alphasCumprod,
	};
	for (const [name, result] of Object.entries(results)) if (one.has(name)) await one.compare(name, result(), BOUND);
};
