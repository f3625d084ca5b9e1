// Learning a distribution and generating from it, on the device and on the CPU, with a small model of random weights.
import { join } from "node:path";
import { openDevice, PictureSampler } from "@dreamdist/core";
import { initModel, loadPipeline } from "@dreamdist/models";
import { learningStep } from "../learning-step.mjs";
import { noise, relativeError } from "../numbers.mjs";

const STEPS = 3;
const SIZE = 64;
// AdamW's first steps divide small gradients by themselves, so that the change of the tokens is less exact than a gradient.
const BOUNDS = { losses: 1e-4, "change of the tokens": 2e-2, latents: 1e-3, picture: 1e-3 };

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

export async function run(report, { device: kind, work }) {
	// The device under test first: the emulated one must be what this process loads.
	const device = await openDevice(kind);
	const cpu = await openDevice("cpu");
	const model = join(work, "tiny");
	await initModel(model, { config: "tiny", seed: 1, device: cpu });
	const outcomes = [];
	for (const on of [device, cpu]) {
		const pipe = await loadPipeline(model, { device: on });
		outcomes.push(await results(pipe));
		pipe.dispose();
	}
	const [found, wanted] = outcomes;
	for (const [name, bound] of Object.entries(BOUNDS)) {
		const error = relativeError(found[name], wanted[name]);
		const kindOf = name === "latents" || name === "picture" ? "generate" : "prompt_train";
		report.check(
			`${kindOf}: ${name} as on the CPU`,
			error <= bound,
			`${error.toExponential(2)} (at most ${bound.toExponential(0)})`,
		);
	}
	device.dispose();
	cpu.dispose();
}
