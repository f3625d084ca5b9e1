// One step of learning a distribution of prompts on Stable Diffusion 2.1, by size of the pictures.
import { openDevice } from "@dreamdist/core";
import { loadPipeline } from "@dreamdist/models";
import { deviceOptions, storageOf } from "../arithmetic.mjs";
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

/** What is measured: sizes, and a step's prompts. */
export const ofStep = (quick) => (quick ? { sizes: QUICK, prompts: QUICK_PROMPTS } : { sizes: FULL, prompts: PROMPTS });

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

/** Times a step of one size; what it finds goes into the report. `tuned`: what the row's name says besides. */
export async function measureStep(report, pipe, { size, tflop, dtype, quick, rates, until, tuned = "" }) {
	const { device } = pipe;
	const name = `learning step, ${quick ? "tiny" : "SD 2.1"}, ${size} px, K ${quick ? 4 : 32}, ${dtype}${tuned}`;
	const { program, state, inputs } = await learningStep(pipe, { ...(quick ? QUICK_PROMPTS : PROMPTS), size });
	try {
		let result = await program.run(inputs(1));
		const times = [];
		const wanted = quick ? 0 : 10;
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
		if (times.length === 0) return report.note(`${name}: no time was left to measure it`);
		const planned = device.memory;
		const plan = planned.weights + planned.state + planned.arena;
		const floor = tflop === null ? null : floorSeconds(rates, dtype, tflop * 1e12, 0);
		report.row({
			id: `step.${size}.${dtype}${tuned && ".tuned"}`,
			name,
			value: median(times) * 1000,
			unit: "ms",
			floor: floor === null ? null : floor / median(times),
			detail: `${program.kernelCalls} kernels, ${(plan / 1e9).toFixed(1)} GB; ${shares(await program.profile(inputs(1)))}`,
		});
		return { name, plan };
	} finally {
		program.dispose();
		state.dispose();
	}
}

export async function run(report, { device: kind, quick, facts, seconds, dtypes }) {
	const until = performance.now() + seconds * 1000;
	const rates = ratesOf(facts.card);
	for (const dtype of dtypes) {
		const device = await openDevice(kind, deviceOptions(dtype));
		const free = device.native.freeBytes;
		const pipe = await loadPipeline(facts.model, { device, dtype: storageOf(dtype) });
		for (const one of quick ? QUICK : FULL) {
			if (performance.now() > until - 5000) {
				report.note(`${one.size} px in ${dtype}: no time was left to measure it`);
				continue;
			}
			const measured = await measureStep(report, pipe, { ...one, dtype, quick, rates, until });
			if (!measured || free === 0) continue;
			// The arena is still there; what the runtime keeps for itself is not part of a plan.
			const used = free - device.native.freeBytes;
			report.check(
				`${measured.name}: memory as planned`,
				used <= measured.plan * 1.03 + 64 * 2 ** 20,
				`${(used / 1e9).toFixed(2)} GB used, ${(measured.plan / 1e9).toFixed(2)} GB planned`,
			);
		}
		pipe.dispose();
		device.dispose();
	}
}
