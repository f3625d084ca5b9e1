import { describe, expect, it } from "vitest";
import {
	compileLearningStep,
	createNoiseSchedule,
	frameData,
	framePrompt,
	type InputData,
	type LearningShape,
	packFrames,
	TokenState,
	timestepScalars,
} from "../../src/index.js";
import { randomKeys } from "../../src/methods/prompts/randomness.js";
import { TestRandom } from "../random.js";
import { exactContents, interpretedDevice } from "./interpreted-device.js";
import { tinyDenoiser, tinyTextEncoder, tinyTokenizer, WIDTH } from "./tiny-networks.js";

const networks = { textEncoder: tinyTextEncoder, denoiser: tinyDenoiser };
const [K, M] = [3, 2];
const LATENTS = [2, 3, 2] as const;
const PICTURE = 12;
const SETTINGS = { lr: 0.01, clip: 1 };

function schedule(predictionType: "epsilon" | "v_prediction" = "v_prediction") {
	return createNoiseSchedule({
		trainTimesteps: 1000,
		betaStart: 0.00085,
		betaEnd: 0.012,
		betaSchedule: "scaled_linear",
		trainedBetas: null,
		rescaleBetasZeroSnr: false,
		predictionType,
	});
}

async function makeStep(
	options: Partial<LearningShape> & { classes?: number; rows?: number | null; accumulate?: number } = {},
) {
	const { classes = 1, rows = null, accumulate = 1, ...rest } = options;
	const device = interpretedDevice();
	const initial = new TestRandom(17).normals(classes * K * M * WIDTH).map((x) => 0.3 * x);
	const state = await TokenState.create(device, [classes, K, M, WIDTH], initial, { classes, rows, accumulate });
	const shape: LearningShape = {
		batch: 2,
		samples: 2,
		encodedRows: 1,
		latents: LATENTS,
		orthogonal: "paper",
		randomness: "seeded",
		scalingFactor: 0.5,
		...rest,
	};
	const program = await compileLearningStep(device, networks, state, shape);
	return { device, state, shape, program, initial };
}

const ALL_TIMESTEPS = [301, 20, 999, 640];

/** Inputs of the pictures `from` … `from + batch − 1` of a step, whatever runs they are spread over. */
function pictures(shape: LearningShape, step: number, from: number, frames = 1): Record<string, InputData> {
	const { batch, samples } = shape;
	const moments = new TestRandom(5).normals(4 * 2 * PICTURE).slice(from * 2 * PICTURE, (from + batch) * 2 * PICTURE);
	const timesteps = ALL_TIMESTEPS.slice(from, from + batch);
	return {
		moments,
		timesteps,
		scalars: timestepScalars(schedule(), timesteps),
		latentKeys: randomKeys(7, "latents", step, from, batch),
		noiseKeys: randomKeys(7, "noise", step, from, batch),
		offsetKeys: randomKeys(7, "noiseOffset", step, from, batch),
		omegaKeys: randomKeys(7, "omega", step, from * samples, batch * samples),
		noiseOffset: 0.1,
		orthogonalWeight: 0.005,
		...frameData(packFrames(new Array(frames).fill(framePrompt(tinyTokenizer, M, { prefix: [1] })), K)),
	};
}

describe("a learning step", () => {
	it("moves the vectors as AdamW does on the clipped gradient, by one program however often it runs", async () => {
		const { device, state, shape, program, initial } = await makeStep();
		const before = Float64Array.from(initial);
		for (let step = 1; step <= 3; step++) {
			const { loss, orthogonal, errors, gradientNorm } = await program.run({
				...pictures(shape, step, 0),
				...state.inputs([step], 0, SETTINGS),
			});
			expect(loss[0]).toBeCloseTo((errors[0]! + errors[1]!) / 2 + 0.005 * orthogonal[0]!, 6);
			expect(gradientNorm[0]).toBeGreaterThan(0);
			if (step > 1) continue;
			// The first step of AdamW: lr · sign-like m̂/(√v̂ + ε) plus decay, with g recovered from the first moment.
			const [m, v] = state.moments.map(exactContents) as [Float64Array, Float64Array];
			const after = exactContents(state.tokens);
			before.forEach((p, i) => {
				const g = m[i]! / 0.1;
				expect(v[i]).toBeCloseTo(0.001 * g * g, 8);
				expect(after[i]).toBeCloseTo(p * (1 - 0.01 * 0.01) - (0.01 * g) / (Math.abs(g) + 1e-8), 6);
			});
			const norm = Math.sqrt(m.reduce((a, x) => a + (x / 0.1) ** 2, 0));
			expect(norm).toBeCloseTo(Math.min(1, gradientNorm[0]!), 5);
		}
		expect(device.compilations).toBe(1);
	});

	it("has the gradient that differences of its loss give", async () => {
		const { state, shape, program, initial } = await makeStep();
		const inputs = { ...pictures(shape, 1, 0), ...state.inputs([null], 0, { ...SETTINGS, clip: 1e9 }) };
		// A run that takes no step leaves everything as it was.
		await program.run(inputs);
		expect([...exactContents(state.tokens)]).toEqual([...Float64Array.from(initial)]);
		const lossAt = async (index: number, change: number) => {
			const moved = Float64Array.from(initial);
			moved[index]! += change;
			await state.tokens.write(moved);
			const { errors, orthogonal } = await program.run(inputs);
			return (errors[0]! + errors[1]!) / 2 + 0.005 * orthogonal[0]!;
		};
		const slopes: number[] = [];
		// Outputs are float32, so the difference is taken over a long way.
		for (const i of [0, 7, 20, 35]) slopes.push(((await lossAt(i, 1e-2)) - (await lossAt(i, -1e-2))) / 2e-2);
		await state.tokens.write(initial);
		await program.run({ ...inputs, ...state.inputs([1], 0, { ...SETTINGS, clip: 1e9 }) });
		const m = exactContents(state.moments[0]);
		[0, 7, 20, 35].forEach((i, n) => {
			expect(m[i]! / 0.1).toBeCloseTo(slopes[n]!, 3);
		});
	});

	it("is the same over one run of four pictures, two of two, or four of one", async () => {
		const results: Float64Array[] = [];
		for (const batch of [4, 2, 1]) {
			const accumulate = 4 / batch;
			const { state, shape, program } = await makeStep({ batch, accumulate });
			for (let step = 1; step <= 2; step++)
				for (let run = 0; run < accumulate; run++)
					await program.run({
						...pictures(shape, step, run * batch),
						...state.inputs([step], run, { lr: 0.01, clip: 1 }),
					});
			results.push(exactContents(state.tokens).slice());
		}
		for (const other of results.slice(1))
			other.forEach((value, i) => {
				expect(value).toBeCloseTo(results[0]![i]!, 9);
			});
	});

	it("with K = 1 learns one prompt without a NaN", async () => {
		const device = interpretedDevice();
		const tokens = new TestRandom(3).normals(2 * WIDTH);
		const state = await TokenState.create(device, [1, 1, 2, WIDTH], tokens, { classes: 1, rows: null, accumulate: 1 });
		const shape: LearningShape = {
			batch: 2,
			samples: 2,
			encodedRows: 1,
			latents: LATENTS,
			orthogonal: "official",
			randomness: "seeded",
			scalingFactor: 1,
		};
		const program = await compileLearningStep(device, networks, state, shape);
		const inputs = { ...pictures(shape, 1, 0), ...frameData(packFrames([framePrompt(tinyTokenizer, 2)], 1)) };
		const { loss, orthogonal } = await program.run({ ...inputs, ...state.inputs([1], 0, SETTINGS) });
		expect(orthogonal[0]).toBe(0);
		expect(loss[0]).toBeGreaterThan(0);
		const after = exactContents(state.tokens);
		expect(after.every(Number.isFinite)).toBe(true);
		expect(after.every((value, i) => value !== tokens[i])).toBe(true);
	});

	it("weights errors by min-SNR in the form that fits the prediction", async () => {
		const { state, shape, program } = await makeStep();
		const inputs = { ...pictures(shape, 1, 0), ...state.inputs([null], 0, SETTINGS) };
		const plain = (await program.run(inputs)).errors;
		const timesteps = [20, 640];
		const noise = { ...inputs, timesteps, scalars: timestepScalars(schedule(), timesteps) };
		const unweighted = (await program.run(noise)).errors;
		const weighted = (await program.run({ ...noise, scalars: timestepScalars(schedule(), timesteps, { gamma: 5 }) }))
			.errors;
		const alphas = schedule().alphasCumprod;
		timesteps.forEach((t, i) => {
			const snr = alphas[t]! / (1 - alphas[t]!);
			expect(weighted[i]! / unweighted[i]!).toBeCloseTo(Math.min(snr, 5) / (snr + 1), 5);
		});
		expect(plain[0]).not.toBe(unweighted[0]);
	});
});

describe("a learning step of many classes", () => {
	const byClass = { classes: 4, encodedRows: 2 };

	it("moves only the classes of its pictures, each by its own count of steps", async () => {
		const { state, shape, program, initial } = await makeStep({ ...byClass, rows: 2 });
		const rowSize = K * M * WIDTH;
		const run = (
			step: number,
			rows: number[],
			steps: (number | null)[],
			slots: number[],
			pictureRow: number[],
			rowWeights: number[],
		) =>
			program.run({
				...pictures(shape, step, 0, 2),
				...state.inputs(steps, 0, SETTINGS),
				rows,
				slots,
				pictureRow,
				rowWeights,
			});
		await run(1, [2, 0], [1, null], [0, 1], [0, 0], [1, 0]);
		const first = exactContents(state.tokens).slice();
		for (const c of [0, 1, 3])
			expect([...first.slice(c * rowSize, (c + 1) * rowSize)]).toEqual([
				...Float64Array.from(initial.slice(c * rowSize, (c + 1) * rowSize)),
			]);
		expect(first.slice(2 * rowSize, 3 * rowSize).every((value, i) => value !== initial[2 * rowSize + i])).toBe(true);

		await run(2, [3, 2], [1, 2], [0, 1], [0, 1], [0.5, 0.5]);
		const second = exactContents(state.tokens);
		// AdamW's first step is about lr whatever the gradient, if its correction is that of the first step.
		const moved = second.slice(3 * rowSize).map((value, i) => Math.abs(value - initial[3 * rowSize + i]!));
		expect(Math.max(...moved)).toBeLessThan(0.0102);
		expect(Math.min(...moved)).toBeGreaterThan(0.009);
		expect([...second.slice(0, 2 * rowSize)]).toEqual([...first.slice(0, 2 * rowSize)]);
		expect([...second.slice(2 * rowSize, 3 * rowSize)]).not.toEqual([...first.slice(2 * rowSize, 3 * rowSize)]);
	});

	it("gives a class the step it would have taken by itself", async () => {
		const all = await makeStep({ ...byClass, rows: 2 });
		const inputs = pictures(all.shape, 1, 0, 2);
		const scalars = { rows: [1, 3], slots: [0, 1], pictureRow: [0, 0], rowWeights: [1, 0] };
		await all.program.run({ ...inputs, ...scalars, ...all.state.inputs([1, null], 0, SETTINGS) });
		const rowSize = K * M * WIDTH;

		const one = await makeStep();
		await one.state.tokens.write(all.initial.slice(rowSize, 2 * rowSize));
		await one.program.run({ ...pictures(one.shape, 1, 0), ...one.state.inputs([1], 0, SETTINGS) });
		exactContents(one.state.tokens).forEach((value, i) => {
			expect(exactContents(all.state.tokens)[rowSize + i]).toBeCloseTo(value, 10);
		});
	});

	it("with dense AdamW lets weight decay and moments move every class", async () => {
		const { state, shape, program, initial } = await makeStep(byClass);
		await program.run({
			...pictures(shape, 1, 0, 2),
			...state.inputs([1], 0, SETTINGS),
			slots: [1, 2],
			pictureRow: [0, 1],
			rowWeights: [0.5, 0.5],
		});
		const after = exactContents(state.tokens);
		for (let i = 0; i < K * M * WIDTH; i++) expect(after[i]).toBeCloseTo(initial[i]! * (1 - 1e-4), 10);
	});
});
