import { ArgumentError, add, mul, planSampling, readSchedulerConfig, sin } from "@dreamdist/core";
import type { CaseKind } from "../case.js";
import { sampleTrajectory } from "../sample-trajectory.js";

const BOUND = 1e-4;

/** The stand-in for a network that the sets use. */
const MODEL_OUTPUT = "sin(1.3*scaled_sample + t/1000)";

/** A sampler's timesteps and every step of its trajectory, on the device. */
export const schedulerCase: CaseKind = async (one) => {
	const { config = {}, scheduler, steps, model_output: output } = one.attributes;
	if (output !== undefined && output !== MODEL_OUTPUT)
		throw new ArgumentError(`the model output ${JSON.stringify(output)} is not known; known is ${MODEL_OUTPUT}`);
	const resolved = readSchedulerConfig(config, {
		overrides: { sampler: scheduler === undefined ? undefined : String(scheduler) },
		source: "config",
		// The sets were made with that release, which ended some samplers differently.
		defaults: "diffusers-0.24",
	});
	const plan = planSampling(resolved, { steps: Number(steps) });
	if (one.has("timesteps")) await one.compare("timesteps", plan.timesteps, BOUND);
	const noise = await one.input("noise");
	const trajectory = await sampleTrajectory(one.runner, plan, noise.data, (x, time) => sin(add(mul(x, 1.3), time)));
	await one.compare("trajectory", trajectory, BOUND);
};
