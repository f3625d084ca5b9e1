import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
	applyStep,
	coefficientTable,
	HISTORY_SLOTS,
	modelInput,
	OPERANDS,
	PREDICTION_TYPES,
	planSampling,
	readSchedulerConfig,
	SAMPLER_CLASSES,
	SAMPLER_NAMES,
	type SamplingPlan,
	type SchedulerOverrides,
	STEP_COEFFICIENTS,
	startSampling,
	TIMESTEP_SPACINGS,
} from "../../src/diffusion/index.js";
import { relativeError } from "./shared.js";

const STABLE_DIFFUSION = {
	beta_start: 0.00085,
	beta_end: 0.012,
	beta_schedule: "scaled_linear",
	clip_sample: false,
	skip_prk_steps: true,
	set_alpha_to_one: false,
	steps_offset: 1,
};

type Model = (x: number, timestep: number) => number;
const goldenModel: Model = (x, timestep) => 0.3 * x + 0.2 * Math.cos(timestep / 100);

/** Runs a plan in float64; in call k = 1, 2, … the noise is (sin k, −½ cos k). */
function sample(plan: SamplingPlan, model: Model, start = Float64Array.of(0.7, -1.3)): Float64Array {
	const state = startSampling(plan, start);
	for (const [i, step] of plan.steps.entries()) {
		const output = modelInput(step, state.latents).map((x) => model(x, step.timestep));
		const noise = start.map((_, j) => (j === 0 ? Math.sin(i + 1) : -0.5 * Math.cos(i + 1)));
		applyStep(step, state, output, noise);
	}
	return state.latents;
}

function plan(json: object, steps: number, overrides: SchedulerOverrides, eta?: number): SamplingPlan {
	return planSampling(readSchedulerConfig(json, { overrides }), { steps, eta });
}

const fixture = (name: string): string => readFileSync(join(import.meta.dirname, "fixtures", name), "utf8");

describe("golden samples", () => {
	const setups: Record<string, SchedulerOverrides> = {
		ddim: { sampler: "ddim" },
		pndm: { sampler: "pndm" },
		euler_linspace: { sampler: "euler" },
		dpmpp2m: { sampler: "dpmsolver++2m" },
		dpmpp2m_karras: { sampler: "dpmsolver++2m_karras" },
		unipc: { sampler: "unipc" },
		ddim_trailing_zsnr: { sampler: "ddim", timestepSpacing: "trailing", rescaleBetasZeroSnr: true },
	};
	const golden = Object.entries(JSON.parse(fixture("golden.json")) as Record<string, [number, number]>);
	test.each(golden)("%s", (name, expected) => {
		const [prediction, steps, setup] = name.split(" ");
		const json = { ...STABLE_DIFFUSION, prediction_type: prediction };
		const actual = sample(plan(json, Number(steps!.slice(2)), setups[setup!]!), goldenModel);
		// The golden numbers were made in float32.
		expect(relativeError(actual, expected)).toBeLessThan(3e-6);
	});
	test("covers every setup", () => expect(golden).toHaveLength(26));
});

interface LibraryCase {
	sampler: string;
	steps: number;
	eta?: number;
	config: Record<string, unknown>;
	timesteps?: number[];
	final: [number, number];
}

describe("samples of the diffusers library", () => {
	const cases = fixture("diffusers.jsonl")
		.trim()
		.split("\n")
		.slice(1)
		.map((line) => JSON.parse(line) as LibraryCase);
	test.each(Object.keys(SAMPLER_CLASSES))("%s", (sampler) => {
		const own = cases.filter((one) => one.sampler === sampler);
		expect(own.length).toBeGreaterThan(30);
		for (const one of own) {
			const { beta_start, beta_end, beta_schedule } = STABLE_DIFFUSION;
			const json: Record<string, unknown> = { beta_start, beta_end, beta_schedule, ...one.config };
			if (json.trained_betas) json.trained_betas = Array.from({ length: 100 }, (_, i) => 0.001 + i / 10000);
			const made = plan(json, one.steps, { sampler }, one.eta);
			const label = JSON.stringify({ steps: one.steps, eta: one.eta, ...one.config });
			expect(relativeError(sample(made, goldenModel), one.final), label).toBeLessThan(2e-5);
			if (one.timesteps)
				expect(
					made.timesteps.map((t) => Number(t.toFixed(4))),
					label,
				).toEqual(one.timesteps);
		}
	});
});

/** Every sampler with every option that changes its plan. */
function* everySetup(): Generator<SchedulerOverrides> {
	for (const sampler of SAMPLER_NAMES) {
		for (const timestepSpacing of TIMESTEP_SPACINGS) {
			for (const predictionType of PREDICTION_TYPES) {
				if (sampler === "pndm" && predictionType === "sample") continue;
				yield { sampler, timestepSpacing, predictionType };
				if (sampler === "euler" || sampler === "unipc") {
					yield { sampler, timestepSpacing, predictionType, useKarrasSigmas: true };
				}
				if (sampler !== "pndm" && predictionType !== "epsilon") {
					yield { sampler, timestepSpacing, predictionType, rescaleBetasZeroSnr: true };
				}
			}
		}
	}
}

describe("any plan", () => {
	test("is finite and runs downwards for 1 to 60 steps", () => {
		const isSound = (made: SamplingPlan, calls: number): boolean =>
			made.steps.length === calls &&
			made.initNoiseSigma > 0 &&
			coefficientTable(made).every(Number.isFinite) &&
			made.timesteps.every((t, i) => t >= 0 && t <= (made.timesteps[i - 1] ?? 999));
		const unsound: object[] = [];
		for (const setup of everySetup()) {
			const config = readSchedulerConfig(STABLE_DIFFUSION, { overrides: setup });
			for (let steps = 1; steps <= 60; steps++) {
				const calls = setup.sampler === "pndm" && steps > 1 ? steps + 1 : steps;
				if (!isSound(planSampling(config, { steps }), calls)) unsound.push({ steps, ...setup });
			}
		}
		expect(unsound).toEqual([]);
	});

	test("is finite where rounding visits a timestep twice", () => {
		for (const sampler of ["dpmsolver++2m", "unipc"]) {
			const { timesteps } = plan(STABLE_DIFFUSION, 1000, { sampler });
			expect(timesteps).toHaveLength(1000);
			expect(new Set(timesteps).size).toBeLessThan(1000);
		}
	});

	test("ends at the clean sample when the model always knows it", () => {
		const clean = 0.25;
		const samplers = ["ddim", "pndm", "euler", "euler_ancestral", "ddpm", "dpmsolver++2m_karras", "unipc"];
		for (const sampler of samplers) {
			for (const steps of [1, 2, 5, 20, 50]) {
				const json = { ...STABLE_DIFFUSION, set_alpha_to_one: true };
				const made = plan(json, steps, { sampler, predictionType: "epsilon", timestepSpacing: "trailing" });
				const state = startSampling(made, Float64Array.of(0.7, -1.3));
				for (const step of made.steps) {
					// The output for which the step's estimate is the clean sample.
					const output = state.latents.map((x) => (clean - step.estimate.latents * x) / step.estimate.output);
					applyStep(step, state, output, Float64Array.of(0.3, -0.4));
				}
				expect(Math.abs(state.latents[0]! - clean), `${sampler}, ${steps} steps`).toBeLessThan(1e-9);
				expect(Math.abs(state.latents[1]! - clean), `${sampler}, ${steps} steps`).toBeLessThan(1e-9);
			}
		}
	});

	test.each([
		["dpmsolver++2m", 1, 1],
		["dpmsolver++2m", 2, 2],
		["unipc", 2, 3],
	])("of %s with solver order %i converges with order %i", (sampler, solverOrder, expected) => {
		// Data drawn from N(0, ¼): x_t = a x₀ + s ε keeps its ratio to its own standard deviation √(a²/4 + s²).
		const json = { ...STABLE_DIFFUSION, final_sigmas_type: "sigma_min", solver_order: solverOrder };
		const error = (steps: number): number => {
			const made = plan(json, steps, { sampler, predictionType: "v_prediction", useKarrasSigmas: true });
			const state = startSampling(made, Float64Array.of(0.7));
			for (const { estimate, ...step } of made.steps) {
				const [a, s] = [estimate.latents, -estimate.output];
				// The best guess of x₀ and ε is their linear regression on x_t.
				const velocity = (a * s - (s * a) / 4) / (a ** 2 / 4 + s ** 2);
				applyStep(
					{ estimate, ...step },
					state,
					state.latents.map((x) => velocity * x),
				);
			}
			const deviation = (alpha: number): number => Math.sqrt(alpha / 4 + 1 - alpha);
			const exact = (0.7 * deviation(ALPHAS[0]!)) / deviation(ALPHAS[999]!);
			return Math.abs(state.latents[0]! - exact);
		};
		const order = Math.log2(error(40) / error(80));
		expect(error(40)).toBeLessThan(0.05 / 4 ** (expected - 1));
		expect(Math.abs(order - expected)).toBeLessThan(0.3);
	});
});

const ALPHAS = (() => {
	const root = (t: number): number => Math.sqrt(0.00085) + (t / 999) * (Math.sqrt(0.012) - Math.sqrt(0.00085));
	let product = 1;
	return Array.from({ length: 1000 }, (_, t) => {
		product *= 1 - root(t) ** 2;
		return product;
	});
})();

describe("DDIM", () => {
	test("follows the exact line from noise to sample at eta 0", () => {
		const made = plan(STABLE_DIFFUSION, 50, { sampler: "ddim", predictionType: "v_prediction" });
		const [clean, noise] = [0.4, -1.1];
		const state = startSampling(made, Float64Array.of(0));
		const at = (t: number): number => Math.sqrt(ALPHAS[t]!) * clean + Math.sqrt(1 - ALPHAS[t]!) * noise;
		state.latents[0] = at(made.timesteps[0]!);
		for (const [i, step] of made.steps.entries()) {
			const alpha = ALPHAS[step.timestep]!;
			applyStep(step, state, Float64Array.of(Math.sqrt(alpha) * noise - Math.sqrt(1 - alpha) * clean));
			expect(state.latents[0]).toBeCloseTo(at(made.timesteps[i + 1] ?? 0), 5);
		}
		expect(made.addsNoise).toBe(false);
	});

	test("is DDPM at eta 1", () => {
		const json = { ...STABLE_DIFFUSION, set_alpha_to_one: true, prediction_type: "v_prediction" };
		const ddim = sample(plan(json, 20, { sampler: "ddim" }, 1), goldenModel);
		const ddpm = sample(plan(json, 20, { sampler: "ddpm" }), goldenModel);
		expect(relativeError(ddim, ddpm)).toBeLessThan(1e-9);
	});
});

test("a coefficient table holds all that a device needs", () => {
	for (const setup of everySetup()) {
		const made = plan({ ...STABLE_DIFFUSION, clip_sample: true }, 7, setup);
		const table = coefficientTable(made);
		const at = STEP_COEFFICIENTS;
		expect(table).toHaveLength(made.steps.length * at.count);
		// The recurrence again, from the table alone.
		let latents = 0.7 * made.initNoiseSigma;
		let history: number[] = new Array(HISTORY_SLOTS).fill(0);
		for (let i = 0; i < made.steps.length; i++) {
			const row = table.subarray(i * at.count, (i + 1) * at.count);
			const output = goldenModel(row[at.inputScale]! * latents, row[at.timestep]!);
			const limit = row[at.estimateLimit]!;
			const estimate = row[at.estimateLatents]! * latents + row[at.estimateOutput]! * output;
			const clamped = Math.min(Math.max(estimate, -limit), limit);
			const operands = [latents, ...history, output, clamped, Math.sin(i + 1)];
			const next = Array.from({ length: 1 + HISTORY_SLOTS }, (_, r) =>
				operands.reduce((sum, value, c) => sum + row[at.transition + r * OPERANDS + c]! * value, 0),
			);
			latents = next[0]!;
			history = next.slice(1);
		}
		const expected = sample(made, goldenModel)[0]!;
		expect(Math.abs(latents - expected), JSON.stringify(setup)).toBeLessThan(2e-5 * made.initNoiseSigma);
	}
});

describe("refusals", () => {
	const setup = (sampler: string) => readSchedulerConfig(STABLE_DIFFUSION, { overrides: { sampler } });
	test.each([0, -1, 1.5, 1001, Number.NaN])("%s steps", (steps) => {
		expect(() => planSampling(setup("ddim"), { steps })).toThrow(/steps must be an integer from 1 to 1000/);
	});
	test("timesteps past the schedule", () => {
		expect(() => planSampling(setup("ddim"), { steps: 1000 })).toThrow(/Timestep 1000 .* fewer steps/);
	});
	test("eta where it means nothing", () => {
		expect(() => planSampling(setup("euler"), { steps: 5, eta: 0 })).toThrow(/euler sampler has no eta/);
		expect(() => planSampling(setup("ddim"), { steps: 5, eta: 1.5 })).toThrow(/eta must be from 0 to 1/);
	});
	test("epsilon where there is no signal", () => {
		const config = readSchedulerConfig(STABLE_DIFFUSION, {
			overrides: { sampler: "ddim", timestepSpacing: "trailing", rescaleBetasZeroSnr: true },
		});
		expect(() => planSampling(config, { steps: 5 })).toThrow(/prediction_type v_prediction/);
	});
	test("a step without its noise or with vectors of other lengths", () => {
		const made = planSampling(setup("ddpm"), { steps: 5 });
		const state = startSampling(made, new Float32Array(2));
		expect(() => applyStep(made.steps[0]!, state, new Float32Array(2))).toThrow(/adds noise/);
		expect(() => applyStep(made.steps[0]!, state, new Float32Array(3), new Float32Array(2))).toThrow(/3 .* 2/);
	});
});
