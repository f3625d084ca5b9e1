// A sampler on the device with a formula in place of the network.
import {
	ArgumentError,
	coefficientTable,
	type DeviceSamplerState,
	HISTORY_SLOTS,
	mul,
	reshape,
	type SamplingPlan,
	STEP_COEFFICIENTS,
	samplingStep,
	type Value,
} from "@dreamdist/core";
import type { VerifyRunner } from "./case.js";

/**
 * @param noise unit normal noise to start from
 * @param model the network's output from its (scaled) input and t/1000
 * @returns the latents after every step, one after another
 */
export async function sampleTrajectory(
	runner: VerifyRunner,
	plan: SamplingPlan,
	noise: Float32Array,
	model: (x: Value, time: Value) => Value,
): Promise<Float32Array> {
	if (plan.addsNoise) throw new ArgumentError("samplers that add noise of their own can't be compared");
	const { device } = runner;
	const size = noise.length;
	const shape = [1, size];
	const state: DeviceSamplerState = {
		latents: await device.tensor(shape, { name: "latents", data: noise.map((x) => x * plan.initNoiseSigma) }),
		history: await Promise.all(
			Array.from({ length: HISTORY_SLOTS }, (_, i) => device.tensor(shape, { name: `history ${i}` })),
		),
	};
	const program = await device.compile((graph) => ({
		latents: samplingStep(graph, state, {
			predict: (x, timesteps) => model(x, mul(reshape(timesteps, [1, 1]), 1e-3)),
			guided: false,
			noise: null,
		}),
	}));
	try {
		const table = coefficientTable(plan);
		const trajectory = new Float32Array(plan.steps.length * size);
		for (let step = 0; step < plan.steps.length; step++) {
			const row = step * STEP_COEFFICIENTS.count;
			const coefficients = table.subarray(row, row + STEP_COEFFICIENTS.count);
			const { latents } = await program.run({ coefficients }, runner.options);
			runner.launches += program.kernelCalls;
			trajectory.set(latents, step * size);
		}
		return trajectory;
	} finally {
		program.dispose();
		for (const tensor of [state.latents, ...state.history]) tensor.dispose();
	}
}
