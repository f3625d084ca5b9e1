import { describe, expect, test } from "vitest";
import { parseSchedulerJson, readSchedulerConfig, SAMPLER_NAMES } from "../../src/diffusion/index.js";
import { DreamdistError } from "../../src/errors.js";

/** As in Stable Diffusion 2.1's repository. */
const SD21 = {
	_class_name: "DDIMScheduler",
	_diffusers_version: "0.8.0",
	beta_end: 0.012,
	beta_schedule: "scaled_linear",
	beta_start: 0.00085,
	clip_sample: false,
	num_train_timesteps: 1000,
	prediction_type: "v_prediction",
	set_alpha_to_one: false,
	skip_prk_steps: true,
	steps_offset: 1,
	trained_betas: null,
};

test("reads Stable Diffusion 2.1's file", () => {
	expect(readSchedulerConfig(SD21)).toMatchObject({
		sampler: "ddim",
		trainTimesteps: 1000,
		betaStart: 0.00085,
		betaSchedule: "scaled_linear",
		trainedBetas: null,
		predictionType: "v_prediction",
		timestepSpacing: "leading",
		stepsOffset: 1,
		setAlphaToOne: false,
		clipSample: null,
	});
});

describe("another sampler than the file's", () => {
	test("takes what is written and its own defaults for the rest", () => {
		const euler = readSchedulerConfig(SD21, { overrides: { sampler: "euler" } });
		expect(euler).toMatchObject({ sampler: "euler", timestepSpacing: "linspace", predictionType: "v_prediction" });
		const written = { ...SD21, timestep_spacing: "trailing" };
		expect(readSchedulerConfig(written, { overrides: { sampler: "unipc" } }).timestepSpacing).toBe("trailing");
		const ddpm = readSchedulerConfig({ ...SD21, clip_sample: undefined }, { overrides: { sampler: "ddpm" } });
		expect(ddpm.clipSample).toBe(1);
	});
	test("reads neither the other class's values nor its class name", () => {
		const lms = { ...SD21, _class_name: "LMSDiscreteScheduler", use_exponential_sigmas: true, order: 3 };
		expect(readSchedulerConfig(lms, { overrides: { sampler: "ddim" } }).sampler).toBe("ddim");
	});
	test.each(SAMPLER_NAMES)("may be %s", (sampler) => {
		const config = readSchedulerConfig(SD21, { overrides: { sampler } });
		expect(config.sampler).toBe(sampler.replace("_karras", ""));
		expect(config.useKarrasSigmas).toBe(sampler.endsWith("_karras"));
	});
	test("may be named by its class", () => {
		const config = readSchedulerConfig(SD21, { overrides: { sampler: "PNDMScheduler" } });
		expect(config).toMatchObject({ sampler: "pndm", setAlphaToOne: false });
	});
});

test("overrides win over the file", () => {
	const config = readSchedulerConfig(SD21, {
		overrides: {
			sampler: "euler",
			timestepSpacing: "trailing",
			useKarrasSigmas: true,
			predictionType: "epsilon",
			rescaleBetasZeroSnr: true,
			stepsOffset: 3,
		},
	});
	expect(config).toMatchObject({
		timestepSpacing: "trailing",
		useKarrasSigmas: true,
		predictionType: "epsilon",
		rescaleBetasZeroSnr: true,
		stepsOffset: 3,
	});
});

test("latents are not clipped and start at timestep 1", () => {
	const old = { _class_name: "DDIMScheduler", beta_start: 0.00085, beta_end: 0.012 };
	expect(readSchedulerConfig(old)).toMatchObject({ clipSample: 1, stepsOffset: 0 });
	expect(readSchedulerConfig(old, { latents: true })).toMatchObject({ clipSample: null, stepsOffset: 1 });
	expect(readSchedulerConfig(old, { latents: true, overrides: { stepsOffset: 0 } }).stepsOffset).toBe(0);
});

test("the end of the last step depends on whose defaults are meant", () => {
	const solver = { overrides: { sampler: "dpmsolver++2m" } };
	expect(readSchedulerConfig(SD21, solver).finalSigmas).toBe("zero");
	expect(readSchedulerConfig(SD21, { ...solver, defaults: "diffusers-0.24" }).finalSigmas).toBe("sigma_min");
	const euler = { overrides: { sampler: "euler" }, defaults: "diffusers-0.24" } as const;
	expect(readSchedulerConfig(SD21, euler).finalSigmas).toBe("zero");
});

test("takes the constants that Python writes", () => {
	const text =
		'{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, "_note": "NaN \\"Infinity"}';
	const json = parseSchedulerJson(text, "x.json");
	expect(json).toMatchObject({ lambda_min_clipped: Number.NEGATIVE_INFINITY, _note: 'NaN "Infinity' });
	expect(readSchedulerConfig(json).sampler).toBe("dpmsolver++2m");
});

describe("refusals name the key", () => {
	const source = "m/scheduler/scheduler_config.json";
	test.each<[string, object, string | undefined, RegExp]>([
		[
			"class",
			{ _class_name: "LMSDiscreteScheduler" },
			undefined,
			/"_class_name" is "LMSDiscreteScheduler".*ddim, ddpm/,
		],
		["no class", { _class_name: undefined }, undefined, /"_class_name" is missing/],
		["a sampler's short name as class", { _class_name: "ddim" }, undefined, /"_class_name" is "ddim"/],
		["unknown key", { beta_wiggle: 2 }, undefined, /"beta_wiggle" is not a known key/],
		["beta schedule", { beta_schedule: "sigmoid" }, undefined, /"beta_schedule" is "sigmoid".*scaled_linear/],
		["type", { num_train_timesteps: "1000" }, undefined, /"num_train_timesteps" is "1000"/],
		["prediction", { prediction_type: "flow_prediction" }, undefined, /"prediction_type"/],
		["spacing", { timestep_spacing: "even" }, undefined, /"timestep_spacing" is "even"/],
		["thresholding", { thresholding: true }, undefined, /"thresholding" is true/],
		["learned variance", { variance_type: "learned" }, "ddpm", /"variance_type" is "learned"/],
		["runge-kutta", { skip_prk_steps: false }, "pndm", /"skip_prk_steps" must be true/],
		["pndm of samples", { prediction_type: "sample" }, "pndm", /"prediction_type" is "sample"/],
		["pndm without signal", { rescale_betas_zero_snr: true }, "pndm", /"rescale_betas_zero_snr"/],
		["algorithm", { algorithm_type: "sde-dpmsolver++" }, "dpmsolver++2m", /"algorithm_type" is "sde-dpmsolver\+\+"/],
		["solver", { solver_type: "heun" }, "dpmsolver++2m", /"solver_type" is "heun".*"midpoint"/],
		["order", { solver_order: 3 }, "unipc", /"solver_order" is 3/],
		["clipping", { lambda_min_clipped: -5.1 }, "dpmsolver++2m", /"lambda_min_clipped" is -5.1/],
		["sigmas", { use_beta_sigmas: true }, "euler", /"use_beta_sigmas" is true/],
		["a bound", { sigma_min: 0.1 }, "euler", /"sigma_min" is 0.1/],
		["betas", { trained_betas: [0.1, 0.2] }, undefined, /"trained_betas" has 2 values for 1000/],
	])("%s", (_, change, sampler, message) => {
		const read = () => readSchedulerConfig({ ...SD21, ...change }, { overrides: { sampler }, source });
		expect(read).toThrow(message);
		expect(read).toThrow(new RegExp(`^${source}: "`));
		expect(read).toThrow(DreamdistError);
	});

	test("in overrides", () => {
		const read = (overrides: object) => () => readSchedulerConfig(SD21, { overrides });
		expect(read({ sampler: "magic" })).toThrow(/Unknown sampler "magic". The samplers are ddim, /);
		expect(read({ useKarrasSigmas: true })).toThrow(/ddim sampler has no option "use_karras_sigmas"/);
		expect(read({ useKarrasSigmas: false })).not.toThrow();
		expect(read({ timestepSpacing: "even" })).toThrow(/Sampler option "timestep_spacing" is "even"/);
	});

	test("in files that are not configurations", () => {
		expect(() => readSchedulerConfig([])).toThrow(/not a JSON object/);
		expect(() => parseSchedulerJson('{"a": ', source)).toThrow(/^m\/scheduler.* is not valid JSON/);
	});
});
