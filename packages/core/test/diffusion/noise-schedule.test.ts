import { describe, expect, test } from "vitest";
import {
	createNoiseSchedule,
	mixNoise,
	type NoiseSchedule,
	PREDICTION_TYPES,
	type PredictionType,
	readSchedulerConfig,
} from "../../src/diffusion/index.js";

function schedule(predictionType: PredictionType, extra: object = {}): NoiseSchedule {
	const json = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: "scaled_linear", ...extra };
	return createNoiseSchedule(readSchedulerConfig(json, { overrides: { sampler: "ddim", predictionType } }));
}

describe("Stable Diffusion's schedule", () => {
	const { alphasCumprod, snr } = schedule("v_prediction");
	test.each([
		[0, 0.99914998],
		[1, 0.99829602],
		[500, 0.27633247],
		[981, 0.0057755],
		[999, 0.0046601],
	])("has ᾱ of timestep %i at %f", (t, expected) => {
		expect(alphasCumprod[t]).toBeCloseTo(expected, 8);
	});
	test("has its noise levels", () => {
		const sigma = (t: number): number => 1 / Math.sqrt(snr(t));
		expect(sigma(0)).toBeCloseTo(0.0291675, 6);
		expect(sigma(999)).toBeCloseTo(14.6146469, 4);
		expect(snr(146)).toBeGreaterThan(5);
		expect(snr(147)).toBeLessThan(5);
	});
});

test("noise, velocity and sample determine each other", () => {
	const { noisy, velocity } = schedule("v_prediction");
	for (const t of [0, 17, 500, 999]) {
		const [sample, noise] = [Float32Array.of(0.3, -2), Float32Array.of(1.5, 0.25)];
		const x = mixNoise([noisy(t)], sample, noise);
		const v = mixNoise([velocity(t)], sample, noise);
		const { sample: a, noise: s } = noisy(t);
		for (const i of [0, 1]) {
			expect(a * x[i]! - s * v[i]!).toBeCloseTo(sample[i]!, 5);
			expect(a * v[i]! + s * x[i]!).toBeCloseTo(noise[i]!, 5);
		}
	}
});

test("each row of a batch takes its own timestep", () => {
	const mixed = mixNoise(
		[
			{ sample: 1, noise: 0 },
			{ sample: 2, noise: 10 },
		],
		Float32Array.of(1, 2, 3, 4),
		Float32Array.of(5, 6, 7, 8),
	);
	expect([...mixed]).toEqual([1, 2, 76, 88]);
	expect(() => mixNoise([{ sample: 1, noise: 0 }], new Float32Array(3), new Float32Array(4))).toThrow(/3 .* 4/);
	expect(() =>
		mixNoise(new Array(2).fill({ sample: 1, noise: 0 }), new Float32Array(3), new Float32Array(3)),
	).toThrow();
});

test("the target is what the model predicts", () => {
	expect(schedule("epsilon").target(500)).toEqual({ sample: 0, noise: 1 });
	expect(schedule("sample").target(500)).toEqual({ sample: 1, noise: 0 });
	const v = schedule("v_prediction");
	expect(v.target(500)).toEqual(v.velocity(500));
});

describe("min-SNR weights", () => {
	// Each prediction's error is the clean sample's error times a factor; equal weights on the clean sample must come out.
	test.each(PREDICTION_TYPES)("weigh the clean sample's error alike when %s is predicted", (type) => {
		const { snr, lossWeight } = schedule(type);
		const errorFactor = { epsilon: (r: number) => r, v_prediction: (r: number) => r + 1, sample: () => 1 }[type];
		for (const t of [0, 100, 147, 500, 999]) {
			expect(lossWeight(t, 5) * errorFactor(snr(t))).toBeCloseTo(Math.min(snr(t), 5), 6);
		}
	});
	test("keep the official code's formula on request", () => {
		const { lossWeight, snr } = schedule("v_prediction");
		const weights = Array.from({ length: 1000 }, (_, t) => lossWeight(t, 5, "min-snr-epsilon"));
		expect(weights.indexOf(1)).toBe(147);
		expect(weights[10]).toBeCloseTo(5 / snr(10), 9);
		expect(weights.reduce((sum, w) => sum + w, 0) / 1000).toBeCloseTo(0.917, 3);
	});
	test("are finite without signal and refuse a bad gamma", () => {
		const zero = { rescale_betas_zero_snr: true };
		expect(schedule("v_prediction", zero).lossWeight(999, 5)).toBe(0);
		expect(schedule("v_prediction", zero).lossWeight(999, 5, "min-snr-epsilon")).toBe(1);
		expect(() => schedule("epsilon").lossWeight(0, 0)).toThrow(/gamma must be above 0/);
	});
});

test("zero terminal SNR keeps the first timestep and empties the last", () => {
	const plain = schedule("v_prediction").alphasCumprod;
	const rescaled = schedule("v_prediction", { rescale_betas_zero_snr: true }).alphasCumprod;
	expect(rescaled[0]).toBeCloseTo(plain[0]!, 6);
	expect(rescaled[999]).toBe(0);
	expect(rescaled.every((a, t) => t === 0 || a < rescaled[t - 1]!)).toBe(true);
});

test("betas of other kinds", () => {
	const alphas = (json: object) =>
		createNoiseSchedule(readSchedulerConfig(json, { overrides: { sampler: "ddim" } })).alphasCumprod;
	const ramp = alphas({ trained_betas: [0.1, 0.2, 0.5] });
	expect([...ramp].map((a) => Number(a.toFixed(6)))).toEqual([0.9, 0.72, 0.36]);
	const linear = alphas({});
	expect(linear[0]).toBeCloseTo(0.9999, 7);
	expect(linear[999]).toBeCloseTo(4.0358304e-5, 11);
	expect(alphas({ beta_schedule: "squaredcos_cap_v2" })[999]).toBeCloseTo(2.428735e-9, 14);
});

test.each([-1, 1000, 0.5, Number.NaN])("timestep %s is refused", (t) => {
	expect(() => schedule("epsilon").noisy(t)).toThrow(/not an integer from 0 to 999/);
	expect(() => schedule("epsilon").target(t)).toThrow(/not an integer from 0 to 999/);
});
