// One step of learning a distribution of prompts on Stable Diffusion 2.1, by size of the pictures.
import { openDevice } from "@dreamdist/core";
import { loadPipeline } from "@dreamdist/models";
import { floorSeconds, ratesOf } from "../cards.mjs";
import { learningStep } from "../learning-step.mjs";
import { median, secondsOf } from "../numbers.mjs";

// TFLOP of a step with K = 32, S = 4, one picture and cached moments of the autoencoder.
const FULL = [
	{ size: 768, tflop: 22.0 },
	{ size: 512, tflop: 9.6 },
];
const QUICK = [{ size: 64, tflop: null }];
const PROMPTS = { prompts: 32, vectors: 4, samples: 4, batch: 1 };
const QUICK_PROMPTS = { prompts: 4, vectors: 2, samples: 2, batch: 1 };

/** The kernels that take most of a run. */
function shares(profile) {
	const byKernel = new Map();
	for (const { kernel, microseconds } of profile) byKernel.set(kernel, (byKernel.get(kernel) ?? 0) + microseconds);
	const total = [...byKernel.values()].reduce((a, b) => a + b, 0);
	return [...byKernel]
		.sort((a, b) => b[1] - a[1])
		.slice(0, 6)
		.map(([kernel, time]) => `${kernel} ${((100 * time) / total).toFixed(0)} %`)
		.join(", ");
}

export async function run(report, { device: kind, quick, facts, seconds }) {
	const until = performance.now() + seconds * 1000;
	const device = await openDevice(kind);
	const rates = ratesOf(facts.card);
	const free = device.native.freeBytes;
	const pipe = await loadPipeline(facts.model, { device });
	for (const { size, tflop } of quick ? QUICK : FULL) {
		const name = `learning step, ${quick ? "tiny" : "SD 2.1"}, ${size} px, K ${quick ? 4 : 32}, f32`;
		const { program, state, inputs } = await learningStep(pipe, { ...(quick ? QUICK_PROMPTS : PROMPTS), size });
		let result = await program.run(inputs(1));
		const times = [];
		const wanted = quick ? 2 : 10;
		for (let step = 2; step < wanted + 3 && performance.now() < until - 3000; step++) {
			const time = await secondsOf(async () => {
				result = await program.run(inputs(step));
			});
			if (step > 2 || quick) times.push(time);
		}
		report.check(
			`${name}: loss and gradient are finite`,
			Number.isFinite(result.loss[0]) && Number.isFinite(result.gradientNorm[0]),
		);
		if (times.length === 0) {
			report.note(`${name}: no time was left to measure it`);
			continue;
		}
		const planned = device.memory;
		const plan = planned.weights + planned.state + planned.arena;
		const used = free > 0 ? free - device.native.freeBytes : null;
		if (used !== null)
			report.check(
				`${name}: memory as planned`,
				used <= plan * 1.03 + 64 * 2 ** 20,
				`${(used / 1e9).toFixed(2)} GB used, ${(plan / 1e9).toFixed(2)} GB planned`,
			);
		const floor = tflop === null ? null : floorSeconds(rates, "f32", tflop * 1e12, 0);
		report.row({
			id: `step.${size}.f32`,
			name,
			value: median(times) * 1000,
			unit: "ms",
			floor: floor === null ? null : floor / median(times),
			detail: `${program.kernelCalls} kernels, ${(plan / 1e9).toFixed(1)} GB; ${shares(await program.profile(inputs(1)))}`,
		});
		program.dispose();
		state.dispose();
	}
	pipe.dispose();
	device.dispose();
}
