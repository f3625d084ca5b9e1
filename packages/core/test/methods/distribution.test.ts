import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
	checkWeights,
	FeatureDistribution,
	inspectDistribution,
	mixFeatures,
	nearestWords,
	openSafetensors,
	PromptDistribution,
	PromptEncoder,
	writeSafetensors,
} from "../../src/index.js";
import { normals } from "../../src/methods/prompts/randomness.js";
import { TestRandom } from "../random.js";
import { interpretedDevice } from "./interpreted-device.js";
import { LENGTH, tinyTextEncoder, WIDTH } from "./tiny-networks.js";

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "dd-distribution-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const words = { prefix: "", suffix: "", classPosition: "end" as const };
const [K, M] = [3, 2];

function distribution(options: { classes?: string[]; width?: number; seed?: number } = {}): PromptDistribution {
	const { classes = null, width = WIDTH, seed = 1 } = options;
	const shape = [classes?.length ?? 1, K, M, width] as const;
	return PromptDistribution.of({
		tokens: new TestRandom(seed).normals(shape.reduce((a, b) => a * b)),
		shape,
		classes,
		words,
		baseModel: { id: "tiny", hash: "abc123" },
		settings: { steps: 7 },
	});
}

const newEncoder = () => new PromptEncoder(interpretedDevice(), tinyTextEncoder);

describe("a prompt distribution", () => {
	it("is the same after saving and loading", async () => {
		for (const classes of [undefined, ["dog", "cat"]]) {
			const path = join(folder, `${classes ? "classes" : "one"}.safetensors`);
			const before = distribution(classes && { classes });
			await before.edit({ suffix: "at night" }).save(path);
			const after = await PromptDistribution.load(path);
			expect(after.tokens).toEqual(before.tokens);
			expect(after.classes).toEqual(classes ?? null);
			expect(after.words).toEqual({ ...words, suffix: "at night" });
			expect(after.baseModel).toEqual({ id: "tiny", hash: "abc123" });
			expect(after.settings).toEqual({ steps: 7 });
			const file = await openSafetensors(path);
			expect(file.entry("tokens").shape).toEqual(classes ? [2, K, M, WIDTH] : [K, M, WIDTH]);
			await file.close();
		}
	});

	it("refuses files that are something else, naming them", async () => {
		const path = join(folder, "bad.safetensors");
		const write = (shape: number[], metadata: Record<string, string> = {}, value = 0.5) =>
			writeSafetensors(
				path,
				{ tokens: { dtype: "F32", shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value) } },
				{ metadata },
			);
		await writeSafetensors(path, { other: { dtype: "F32", shape: [1], data: new Float32Array(1) } });
		await expect(PromptDistribution.load(path)).rejects.toThrow(
			/bad.safetensors is no distribution: it has no tensor "tokens"/,
		);
		await write([2, 3]);
		await expect(PromptDistribution.load(path)).rejects.toThrow(/the shape \[2, 3\]; without classes they have 3 axes/);
		await write([2, 1, 1, 3], { classes: '["a"]' });
		await expect(PromptDistribution.load(path)).rejects.toThrow(/names 1 classes but has tokens of 2/);
		await write([2, 1, 3], {}, Number.NaN);
		await expect(PromptDistribution.load(path)).rejects.toThrow(/hold NaN at position 0/);
		await write([2, 1, 3], { words: "{" });
		await expect(PromptDistribution.load(path)).rejects.toThrow(/metadata "words" are not JSON/);
		await write([2, 1, 3], { format: "dreamdist.prompt_distribution", version: "9" });
		await expect(PromptDistribution.load(path)).rejects.toThrow(/version 9; this program reads version 1/);
		await writeFile(path, (await readFile(path)).subarray(0, 40));
		await expect(PromptDistribution.load(path)).rejects.toThrow(/bad.safetensors/);
		await write([2, 1, 3]);
		expect((await PromptDistribution.load(path)).prompts).toBe(2);
	});

	it("samples the same prompt for a seed and index, wherever it stands", async () => {
		const encoder = newEncoder();
		const fitted = await distribution().fit(encoder);
		const third = fitted.sample(11, 3);
		expect(third).toEqual(await distribution().sample(encoder, { seed: 11, index: 3 }));
		const omega = normals(11, "pictureOmega", 0, 3, LENGTH * WIDTH);
		third.forEach((value, i) => {
			expect(value).toBeCloseTo(fitted.mean[i]! + omega[i]! * fitted.std[i]!, 6);
		});
		expect(fitted.sample(11, 4)).not.toEqual(third);
		// Nothing varies at the start token.
		expect([...third.slice(0, WIDTH)]).toEqual([...fitted.mean.slice(0, WIDTH)]);
	});

	it("is scaled: 0 is the mean, and factors multiply", async () => {
		const encoder = newEncoder();
		const plain = await distribution().fit(encoder);
		expect((await distribution().scale(0).fit(encoder)).sample(5)).toEqual(plain.mean);
		const twice = await distribution().scale(3).scale(0.5).fit(encoder);
		twice.std.forEach((value, i) => {
			expect(value).toBeCloseTo(1.5 * plain.std[i]!, 6);
		});
		expect(() => distribution().scale(-1)).toThrow(/from 0 on, not -1/);
	});

	it("is edited by encoding every prompt again with the words", async () => {
		const encoder = newEncoder();
		const plain = await distribution().fit(encoder);
		const edited = await distribution().edit({ prefix: "a photo of", suffix: "at night" }).fit(encoder);
		expect(edited.mean).not.toEqual(plain.mean);
		// start and three words
		expect(edited.std.slice(0, 4 * WIDTH).every((value) => value === 0)).toBe(true);
		expect(edited.std.slice(4 * WIDTH).every((value) => value > 0)).toBe(true);
		expect(encoder.device.compilations).toBe(1);
		await expect(distribution().edit({ prefix: "a photo of a dog at night" }).fit(encoder)).rejects.toThrow(
			/needs 11 positions/,
		);
	});

	it("gives one of its classes, worded with the class's name", async () => {
		const encoder = newEncoder();
		const both = distribution({ classes: ["dog", "cat"] });
		const cat = both.ofClass("cat");
		expect(cat.tokens.data).toEqual(new TestRandom(1).normals(2 * K * M * WIDTH).slice(K * M * WIDTH));
		expect((await cat.fit(encoder)).mean).not.toEqual((await both.ofClass("dog").fit(encoder)).mean);
		expect(() => both.ofClass("cow")).toThrow(/no class "cow"; the 2 classes are dog, cat/);
		expect(() => distribution().ofClass("cow")).toThrow(/no classes/);
	});

	it("of the official code looks words up with their positions, which are then added again", async () => {
		const encoder = newEncoder();
		const { device } = encoder;
		const around = { ...words, suffix: "at night" };
		const contents = {
			tokens: new TestRandom(1).normals(K * M * WIDTH),
			shape: [1, K, M, WIDTH] as const,
			classes: null,
			baseModel: null,
			settings: {},
		};
		const once = PromptDistribution.of({ ...contents, words: around });
		const twice = PromptDistribution.of({ ...contents, words: { ...around, wordPositions: "twice" } });
		const path = join(folder, "twice.safetensors");
		await twice.save(path);
		expect((await PromptDistribution.load(path)).words).toEqual({ ...around, wordPositions: "twice" });

		// By hand: start, two vectors, "at", "night", end, padding.
		const frame = once.frame(encoder);
		const looked = await device.compile((graph) => ({
			words: tinyTextEncoder.embed(graph.input("ids", [1, LENGTH], "i32")),
			positions: tinyTextEncoder.positions!(graph),
		}));
		const tables = await looked.run({ ids: frame.ids });
		const embeddings = new Float32Array(K * LENGTH * WIDTH);
		const second = [0, -1, -1, 1, 2, 3, 4, 5, 6];
		for (let k = 0; k < K; k++)
			second.forEach((position, at) => {
				for (let i = 0; i < WIDTH; i++)
					embeddings[(k * LENGTH + at) * WIDTH + i] =
						position < 0
							? contents.tokens[(k * M + at - 1) * WIDTH + i]!
							: tables.words[at * WIDTH + i]! + tables.positions[position * WIDTH + i]!;
			});
		const encoding = await device.compile((graph) => ({
			hidden: tinyTextEncoder.encode(graph.input("embeddings", [K, LENGTH, WIDTH])),
		}));
		const { hidden } = await encoding.run({ embeddings });
		const size = LENGTH * WIDTH;
		const expected = Array.from(
			{ length: size },
			(_, i) => (hidden[i]! + hidden[size + i]! + hidden[2 * size + i]!) / 3,
		);
		const { mean } = await twice.fit(encoder);
		expect(Math.max(...mean.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(1e-6);
		expect((await once.fit(encoder)).mean).not.toEqual(mean);
		const { positions: _, ...without } = tinyTextEncoder;
		await expect(twice.fit(new PromptEncoder(interpretedDevice(), without))).rejects.toThrow(
			/no position embeddings, so they can't be added to words twice/,
		);
	});

	it("refuses an encoder of another width, naming both", async () => {
		await expect(distribution({ width: 8 }).fit(newEncoder())).rejects.toThrow(
			/tokens have width 8, .* encoder has width 6/,
		);
	});

	it("averages its prompts' vectors", () => {
		const source = distribution();
		const { data } = source.tokens;
		source.meanTokens.forEach((value, i) => {
			expect(value).toBeCloseTo((data[i]! + data[M * WIDTH + i]! + data[2 * M * WIDTH + i]!) / 3, 6);
		});
	});

	it("can be sampled before the encoder; without spread that is the mean embedding's features", async () => {
		const encoder = newEncoder();
		const source = distribution();
		const omega = new TestRandom(8).normals(LENGTH * WIDTH);
		const still = await encoder.sampleTokenSpace(source.tokens, source.frame(encoder), omega, 0);
		const mean = source.meanTokens;
		const alone = await encoder.fit({ data: mean, prompts: 1, vectors: M, width: WIDTH }, source.frame(encoder));
		still.forEach((value, i) => {
			expect(value).toBeCloseTo(alone.distribution.mean[i]!, 5);
		});
		const moved = await encoder.sampleTokenSpace(source.tokens, source.frame(encoder), omega, 1);
		expect(Math.max(...moved.map((value, i) => Math.abs(value - still[i]!)))).toBeGreaterThan(0.01);
	});
});

describe("mixed distributions", () => {
	const a = new FeatureDistribution(Float32Array.of(1, 2), Float32Array.of(0.4, 1), 1, 2);
	const b = new FeatureDistribution(Float32Array.of(3, -2), Float32Array.of(0.3, 2), 1, 2);
	const parts = [
		{ distribution: a, weight: 0.36 },
		{ distribution: b, weight: 0.64 },
	];

	it("add their means, and deviations by the paper's rule or the code's", () => {
		const paper = mixFeatures(parts);
		expect(paper.mean[0]).toBeCloseTo(0.36 + 1.92, 6);
		expect(paper.std[0]).toBeCloseTo(0.6 * 0.4 + 0.8 * 0.3, 6);
		expect(paper.std[1]).toBeCloseTo(0.6 * 1 + 0.8 * 2, 6);
		const official = mixFeatures(parts, "official");
		expect(official.std[1]).toBeCloseTo(Math.hypot(0.36, 1.28), 6);
		expect(official.mean).toEqual(paper.mean);
	});

	it("of one are that one, and of weight 0 nothing", () => {
		expect(mixFeatures([{ distribution: a, weight: 1 }])).toEqual(a);
		const only = mixFeatures([
			{ distribution: a, weight: 1 },
			{ distribution: b, weight: 0 },
		]);
		expect(only.mean).toEqual(a.mean);
		expect(only.std).toEqual(a.std);
	});

	it("refuse weights that do not sum to 1, and other encoders", () => {
		expect(() => checkWeights([0.3, 0.6])).toThrow(/0.3, 0.6 sum to 0.9; .* must sum to 1/);
		expect(() => checkWeights([1.5, -0.5])).toThrow(/from 0 on, not -0.5/);
		expect(() => checkWeights([])).toThrow(/at least one/);
		checkWeights([0.1, 0.2, 0.3, 0.4]);
		const other = new FeatureDistribution(new Float32Array(3), new Float32Array(3), 1, 3);
		expect(() =>
			mixFeatures([
				{ distribution: a, weight: 0.5 },
				{ distribution: other, weight: 0.5 },
			]),
		).toThrow(/\[1, 2\] and \[1, 3\] can't be mixed/);
	});

	it("scale each part by itself", async () => {
		const encoder = newEncoder();
		const mixed = PromptDistribution.mix([
			{ source: distribution().scale(0), weight: 0.5 },
			{ source: distribution({ seed: 2 }).scale(2), weight: 0.5 },
		]);
		const fitted = await mixed.fit(encoder);
		const alone = await distribution({ seed: 2 }).fit(encoder);
		fitted.std.forEach((value, i) => {
			expect(value).toBeCloseTo(Math.SQRT1_2 * 2 * alone.std[i]!, 5);
		});
	});
});

describe("an inspected distribution", () => {
	it("names the nearest words, where prompts differ, and how they lie to each other", async () => {
		const encoder = newEncoder();
		// Prompts whose vectors are words' embeddings, moved a little.
		const words = await nearestWords(encoder, new Float32Array(WIDTH));
		expect(words).toHaveLength(1);
		const table = await encoder.device.compile((graph) => ({
			rows: tinyTextEncoder.embed(graph.input("ids", [2], "i32")),
		}));
		const { rows } = await table.run({ ids: [6, 5] });
		const tokens = new Float32Array(K * M * WIDTH);
		for (let k = 0; k < K; k++)
			tokens.set(
				rows.map((value) => value + 0.01 * (k - 1)),
				k * M * WIDTH,
			);
		const source = PromptDistribution.of({
			tokens,
			shape: [1, K, M, WIDTH],
			classes: null,
			words: { prefix: "a photo", suffix: "", classPosition: "end" },
			baseModel: null,
			settings: {},
		});
		const seen = await inspectDistribution(encoder, source);
		for (const prompt of seen.words) expect(prompt.map(({ word }) => word)).toEqual(["dog", "church"]);
		expect(seen.meanWords.map(({ word }) => word)).toEqual(["dog", "church"]);
		expect(seen.meanWords[0]!.distance).toBeCloseTo(0, 3);
		expect(seen.words[0]![0]!.distance).toBeCloseTo(0.01 * Math.sqrt(WIDTH), 5);
		expect(seen.positionStd.map((value) => value > 0)).toEqual([
			false,
			false,
			false,
			...new Array(LENGTH - 3).fill(true),
		]);
		expect(seen.cosines.map((row, i) => row[i])).toEqual([1, 1, 1].map((one) => expect.closeTo(one, 6)));
		expect(seen.cosines[0]![2]).toBeCloseTo(seen.cosines[2]![0]!, 10);
	});
});
