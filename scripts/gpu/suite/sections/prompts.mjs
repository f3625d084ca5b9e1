// Learning a distribution and generating from it, on the device and on the CPU, with a small model of random weights.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { openDevice, PictureSampler } from "@dreamdist/core";
import { initModel, loadPipeline } from "@dreamdist/models";
import { deviceOptions } from "../arithmetic.mjs";
import { learningStep } from "../learning-step.mjs";
import { noise, relativeError } from "../numbers.mjs";

const STEPS = 3;
const SIZE = 64;
// AdamW's first steps divide small gradients by themselves, so that the change of the tokens is less exact than a gradient.
const BOUNDS = { losses: 1e-4, "change of the tokens": 2e-2, latents: 1e-3, picture: 1e-3 };

/** Where steps follow on each other, low precision may be this much further off than rounding every op's result is. */
const TIMES_NAIVE = 3;

async function results(pipe) {
	const learning = await learningStep(pipe, { prompts: 3, vectors: 2, samples: 2, batch: 1, size: SIZE });
	const before = Float32Array.from(await learning.state.tokens.read());
	const losses = [];
	for (let step = 1; step <= STEPS; step++) losses.push((await learning.program.run(learning.inputs(step))).loss[0]);
	const after = await learning.state.tokens.read();
	learning.program.dispose();
	learning.state.dispose();
	const sampler = await PictureSampler.create(pipe, { size: [SIZE, SIZE], steps: STEPS, guidance: 5 });
	const { length, width } = pipe.textEncoder;
	const request = { features: noise(length * width, 3), noise: sampler.noise(0, 0), seed: 0, index: 0 };
	const [latents] = await sampler.latents([request], noise(length * width, 4));
	const picture = await sampler.decode(latents);
	sampler.dispose();
	return { losses, "change of the tokens": before.map((x, i) => after[i] - x), latents, picture };
}

const kindOf = (name) => (name === "latents" || name === "picture" ? "generate" : "prompt_train");

const percent = (error) => error.toExponential(2);

export async function run(report, { device: kind, work, dtypes }) {
	const model = join(work, "tiny");
	const compute = async (name, options) => {
		const device = await openDevice(name, options);
		if (!existsSync(model)) await initModel(model, { config: "tiny", seed: 1, device });
		const pipe = await loadPipeline(model, { device });
		const found = await results(pipe);
		pipe.dispose();
		device.dispose();
		return found;
	};
	// The device under test first: the emulated one must be what this process loads.
	const found = {};
	for (const dtype of new Set(["f32", ...dtypes])) found[dtype] = await compute(kind, deviceOptions(dtype));
	const wanted = await compute("cpu", {});
	for (const [name, bound] of Object.entries(BOUNDS)) {
		const error = relativeError(found.f32[name], wanted[name]);
		const check = `${kindOf(name)} in f32: ${name} as on the CPU`;
		report.check(check, error <= bound, `${percent(error)} (at most ${percent(bound)})`);
	}
	for (const dtype of Object.keys(found)) {
		if (dtype === "f32") continue;
		const naive = await compute("cpu", { ...deviceOptions(dtype), unfused: true });
		for (const name of Object.keys(BOUNDS)) {
			const error = relativeError(found[dtype][name], wanted[name]);
			const bound = TIMES_NAIVE * relativeError(naive[name], wanted[name]);
			const check = `${kindOf(name)} in ${dtype}: ${name} as far off as a naive computation`;
			report.check(check, error <= bound, `${percent(error)} (at most ${percent(bound)})`);
		}
	}
}
