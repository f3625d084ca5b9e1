// What measuring the products' tiles on this card gains over the kernels' own estimates, and the step with the tiles that won.
import { join } from "node:path";
import { measuredOnDevice, openDevice, tunableCalls, tune } from "@dreamdist/core";
import { loadPipeline } from "@dreamdist/models";
import { deviceOptions, storageOf } from "../arithmetic.mjs";
import { ratesOf } from "../cards.mjs";
import { learningStep } from "../learning-step.mjs";
import { measureStep, ofStep } from "./step.mjs";

/** Of the time, for measuring choices; the rest is for the step. */
const SHARE = 0.6;
const MOST_NAMED = 8;

export async function run(report, { device: kind, quick, facts, seconds, dtypes, work }) {
	const started = performance.now();
	const dtype = dtypes[0];
	const device = await openDevice(kind, { ...deviceOptions(dtype), tuning: join(work, "tuning") });
	const pipe = await loadPipeline(facts.model, { device, dtype: storageOf(dtype) });
	const { sizes, prompts } = ofStep(quick);
	const [one] = sizes;
	const calls = await tunableCalls(device, async () => {
		const { program, state } = await learningStep(pipe, { ...prompts, size: one.size });
		program.dispose();
		state.dispose();
	});
	// What takes longest first, as time may run out.
	calls.sort((a, b) => b.uses - a.uses);
	const stop = new AbortController();
	const timer = setTimeout(() => stop.abort(), seconds * 1000 * SHARE);
	const found = [];
	try {
		await tune(device, quick ? calls.slice(0, 1) : calls, {
			measure: measuredOnDevice(quick ? 0 : 5),
			signal: stop.signal,
			onResult: (result) => found.push(result),
		});
	} catch (error) {
		if (!stop.signal.aborted) throw error;
		report.note(`${calls.length - found.length} of ${calls.length} shapes were left out for lack of time`);
	}
	clearTimeout(timer);
	const total = (time) => found.reduce((sum, result) => sum + result.uses * result[time], 0) / 1000;
	if (found.length > 0)
		report.row({
			id: `tuning.${dtype}`,
			name: `products of a learning step, ${one.size} px, ${dtype}, with measured tiles`,
			value: total("microseconds"),
			unit: "ms",
			floor: null,
			detail: `instead of ${total("estimated").toFixed(1)} ms by estimate`,
		});
	const gain = ({ uses, estimated, microseconds }) => uses * (estimated - microseconds);
	const best = found.filter(({ choice }) => choice !== null).sort((a, b) => gain(b) - gain(a));
	for (const { label, choice, microseconds, estimated } of best.slice(0, MOST_NAMED))
		report.note(`${label}: ${choice}, ${microseconds.toFixed(0)} µs instead of ${estimated.toFixed(0)} µs`);
	report.fact("tuned", Object.fromEntries(found.map((result, i) => [`${i} ${result.label}`, result.measured])));
	const until = started + seconds * 1000;
	await measureStep(report, pipe, { ...one, dtype, quick, rates: ratesOf(facts.card), until, tuned: ", tuned" });
	pipe.dispose();
	device.dispose();
}
