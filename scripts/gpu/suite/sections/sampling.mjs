// Sampling a picture with guidance, and decoding it.
import { openDevice, PictureSampler } from "@dreamdist/core";
import { loadPipeline } from "@dreamdist/models";
import { deviceOptions, storageOf } from "../arithmetic.mjs";
import { floorSeconds, ratesOf } from "../cards.mjs";
import { noise, secondsOf } from "../numbers.mjs";

// TFLOP of the UNet for two rows (with and without the text), and of the decoder.
const FULL = [
	{ size: 768, unet: 4.3, decoder: 5.75 },
	{ size: 512, unet: 1.61, decoder: 2.52 },
];
const QUICK = [{ size: 64, unet: null, decoder: null }];

export async function run(report, { device: kind, quick, facts, seconds, dtypes }) {
	const until = performance.now() + seconds * 1000;
	for (const dtype of dtypes) {
		const device = await openDevice(kind, deviceOptions(dtype));
		const pipe = await loadPipeline(facts.model, { device, dtype: storageOf(dtype) });
		for (const one of quick ? QUICK : FULL) {
			if (performance.now() > until - 5000) report.note(`${one.size} px in ${dtype}: no time was left to measure it`);
			else await measureSampling(report, pipe, { ...one, dtype, quick, rates: ratesOf(facts.card) });
		}
		pipe.dispose();
		device.dispose();
	}
}

async function measureSampling(report, pipe, { size, unet, decoder, dtype, quick, rates }) {
	const { length, width } = pipe.textEncoder;
	const sampler = await PictureSampler.create(pipe, { size: [size, size], steps: quick ? 2 : 10, guidance: 7.5 });
	const request = { features: noise(length * width, 3), noise: sampler.noise(0, 0), seed: 0, index: 0 };
	const unconditional = noise(length * width, 4);
	const ends = [];
	const onStep = () => ends.push(performance.now());
	const [latents] = await sampler.latents([request], unconditional, { onStep });
	// The first steps load kernels and capture the graph.
	const kept = quick ? 0 : 2;
	const perStep = (ends.at(-1) - ends[kept]) / 1000 / (ends.length - 1 - kept);
	await sampler.decode(latents);
	let picture;
	const decoding = await secondsOf(async () => {
		picture = await sampler.decode(latents);
	});
	report.check(
		`${size} px in ${dtype}: latents and picture are finite`,
		latents.every(Number.isFinite) && picture.every(Number.isFinite),
	);
	const model = quick ? "tiny" : "SD 2.1";
	const share = (tflop, time) =>
		tflop === null || rates === null ? null : floorSeconds(rates, dtype, tflop * 1e12, 0) / time;
	report.row({
		id: `sampling.${size}.${dtype}`,
		name: `sampling step with guidance, ${model}, ${size} px, ${dtype}`,
		value: perStep * 1000,
		unit: "ms",
		floor: share(unet, perStep),
	});
	report.row({
		id: `decode.${size}.${dtype}`,
		name: `decoding, ${model}, ${size} px, ${dtype}`,
		value: decoding * 1000,
		unit: "ms",
		floor: share(decoder, decoding),
	});
	sampler.dispose();
}
