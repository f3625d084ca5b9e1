import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
	type DistributionContents,
	FittedDistribution,
	type ImportOptions,
	importDistribution,
	loadDistribution,
	NpzFile,
	nearestWords,
	openSafetensors,
	openTorch,
	PromptDistribution,
	PromptEncoder,
	TensorToSave,
	writeConditioning,
	writeEmbedding,
	writeNpz,
	writeOfficialNpz,
	writeSafetensors,
	writeTorch,
} from "../../src/index.js";
import { TestRandom } from "../random.js";
import { interpretedDevice } from "./interpreted-device.js";
import { LENGTH, tinyTextEncoder, WIDTH } from "./tiny-networks.js";

let folder: string;
const at = (name: string) => join(folder, name);
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "dd-exchange-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const encoder = () => new PromptEncoder(interpretedDevice({ rounded: true }), tinyTextEncoder);

function distribution(change: Partial<DistributionContents> = {}): PromptDistribution {
	const shape = change.shape ?? [1, 3, 2, WIDTH];
	return PromptDistribution.of({
		tokens: new TestRandom(8).normals(shape.reduce((a, b) => a * b, 1)),
		classes: null,
		words: { prefix: "", suffix: "", classPosition: "end" },
		baseModel: null,
		settings: {},
		...change,
		shape,
	});
}

describe("the official code's .npz", () => {
	it("holds what the prompts are fitted to, and comes back as a distribution of features", async () => {
		const source = distribution().edit({ suffix: "at night" });
		await writeOfficialNpz(at("one.npz"), source.scale(1.5), encoder());
		const npz = await NpzFile.open(at("one.npz"));
		const fitted = await source.fit(encoder());
		expect((await npz.numbers("means")).shape).toEqual([1, LENGTH, WIDTH]);
		expect([...(await npz.numbers("means")).data]).toEqual([...fitted.mean]);
		expect([...(await npz.numbers("stds")).data]).toEqual([...fitted.scale(1.5).std]);
		const near = await nearestWords(encoder(), source.meanTokens);
		expect(await npz.texts("prompt_texts")).toEqual([`${near.map(({ word }) => word).join(" ")} at night`]);
		await npz.close();

		const { form, distribution: imported } = await importDistribution(at("one.npz"));
		expect(form).toBe("official .npz");
		const path = at("features.safetensors");
		await imported.save(path);
		const loaded = (await loadDistribution(path)) as FittedDistribution;
		expect(loaded).toBeInstanceOf(FittedDistribution);
		expect(loaded.settings).toEqual({ importedFrom: "one.npz", form: "official .npz" });
		expect((await loaded.fit(encoder())).sample(5, 2)).toEqual(fitted.scale(1.5).sample(5, 2));
		expect((await loaded.scale(0).fit(encoder())).sample(5, 2)).toEqual(fitted.mean);
		// Fitted features mix with learned prompts, and are written as .npz again without a model.
		const half = { source: loaded, weight: 0.5 };
		const mix = await PromptDistribution.mix([half, { source: source.scale(1.5), weight: 0.5 }]).fit(encoder());
		expect(mix.mean).toEqual(fitted.mean);
		await writeOfficialNpz(at("again.npz"), loaded, null);
		await expect(writeOfficialNpz(at("no.npz"), source, null)).rejects.toThrow(/needs a model \(--model\)/);
	});

	it("holds all classes with their names", async () => {
		const source = distribution({ shape: [2, 3, 2, WIDTH], classes: ["dog", "church cat"] });
		await writeOfficialNpz(at("classes.npz"), source, encoder());
		const { distribution: imported } = await importDistribution(at("classes.npz"));
		expect(imported.classes).toEqual(["dog", "church cat"]);
		await imported.save(at("classes.safetensors"));
		const loaded = (await loadDistribution(at("classes.safetensors"))).ofClass("church cat");
		expect((await loaded.fit(encoder())).mean).toEqual((await source.ofClass("church cat").fit(encoder())).mean);
		const named = await importDistribution(at("classes.npz"), { classes: ["a", "b"] });
		expect(named.distribution.classes).toEqual(["a", "b"]);
		expect(() => loaded.ofClass("bird")).toThrow(/no class "bird"; the 2 classes are dog, church cat/);
	});

	it.each([
		["other shapes", { means: [1, 2, 3], stds: [1, 2, 2] }, "are not both [classes, positions, width]"],
		["one side", { means: [6], stds: [6] }, "are not both"],
		["unnamed classes", { means: [2, 1, 3], stds: [2, 1, 3] }, "has 2 classes, whose names it does not hold"],
	])("is refused with %s", async (_, shapes, message) => {
		const array = (shape: number[]) => ({ shape, data: new Float64Array(shape.reduce((a, b) => a * b, 1)) });
		await writeNpz(at("bad.npz"), { means: array(shapes.means), stds: array(shapes.stds) });
		await expect(importDistribution(at("bad.npz"))).rejects.toThrow(message);
	});

	it("is refused with numbers that are none, negative deviations, or words around it", async () => {
		const shape = [1, 1, 2];
		const write = (mean: number, std: number) =>
			writeNpz(at("bad.npz"), {
				means: { shape, data: Float64Array.from([0, mean]) },
				stds: { shape, data: Float64Array.from([1, std]) },
			});
		await write(Number.NaN, 1);
		await expect(importDistribution(at("bad.npz"))).rejects.toThrow(/bad.npz can't be imported: its means are not all/);
		await write(0, -1);
		await expect(importDistribution(at("bad.npz"))).rejects.toThrow(/deviations are not all finite numbers from 0/);
		await write(0, 1);
		await expect(importDistribution(at("bad.npz"), { prefix: "a" })).rejects.toThrow(/words can't be put around it/);
	});
});

describe("conditioning", () => {
	it("is one prompt's features, from which can be generated as from a distribution without spread", async () => {
		const source = distribution();
		const fitted = await source.fit(encoder());
		const features = fitted.sample(5, 2);
		const baseModel = { id: "tiny", hash: "0123" };
		const path = at("prompt.safetensors");
		await writeConditioning(path, { features, length: LENGTH, width: WIDTH }, { seed: 5, index: 2, baseModel });
		const loaded = (await loadDistribution(path)) as FittedDistribution;
		expect(loaded.baseModel).toEqual(baseModel);
		expect(loaded.settings).toMatchObject({ seed: 5, index: 2 });
		for (const index of [0, 1]) expect((await loaded.fit(encoder())).sample(9, index)).toEqual(features);
		const data = new Float32Array(6);
		await writeSafetensors(path, { prompt_embeds: { dtype: "F32", shape: [2, 3, 1], data } });
		await expect(loadDistribution(path)).rejects.toThrow(
			/prompt_embeds have the shape \[2, 3, 1\], not \[positions, width\]/,
		);
		data[1] = Number.NaN;
		await writeSafetensors(path, { prompt_embeds: { dtype: "F32", shape: [1, 2, 3], data } });
		await expect(loadDistribution(path)).rejects.toThrow(/is no conditioning: its means are not all finite/);
	});
});

describe("features of another width", () => {
	it("are refused, with both named", async () => {
		const fitted = FittedDistribution.of({
			mean: new Float32Array(77 * 768),
			std: new Float32Array(77 * 768),
			shape: [1, 77, 768],
			classes: null,
			baseModel: null,
			settings: {},
		});
		await expect(fitted.fit(encoder())).rejects.toThrow(
			`[77, 768], but the model's text encoder gives [${LENGTH}, ${WIDTH}]`,
		);
		await expect(distribution({ shape: [1, 3, 2, 768] }).fit(encoder())).rejects.toThrow(
			`width 768, but the model's text encoder has width ${WIDTH}`,
		);
	});

	it("are no distribution when the file is damaged", async () => {
		const data = new Float32Array(6);
		const one = (shape: number[], values = data) => ({ dtype: "F32" as const, shape, data: values });
		await writeSafetensors(at("x.safetensors"), { mean: one([2, 3]), std: one([3, 2]) });
		await expect(loadDistribution(at("x.safetensors"))).rejects.toThrow(/shapes \[2, 3\] and \[3, 2\]/);
		await writeSafetensors(at("x.safetensors"), {
			mean: one([2, 3]),
			std: one(
				[2, 3],
				data.map(() => -1),
			),
		});
		await expect(loadDistribution(at("x.safetensors"))).rejects.toThrow(
			/x.safetensors is no distribution: its deviations/,
		);
		await writeSafetensors(at("x.safetensors"), { std: one([2, 3]) });
		await expect(loadDistribution(at("x.safetensors"))).rejects.toThrow(/no tensor "tokens"/);
		const mean = one([2, 3]);
		await writeSafetensors(at("x.safetensors"), { mean, std: mean }, { metadata: { classes: '["a"]' } });
		await expect(loadDistribution(at("x.safetensors"))).rejects.toThrow(/shapes/);
	});
});

describe("the official code's .pt", () => {
	const save = (shape: number[]) =>
		writeTorch(at("final.pt"), {
			epoch: 3,
			model_state_dict: {
				"module.ctx": new TensorToSave(shape, new TestRandom(8).normals(shape.reduce((a, b) => a * b, 1))),
				"module.token_prefix": new TensorToSave([1, 1, WIDTH], new Float32Array(WIDTH)),
			},
		});

	it("is its vectors, with the words that are given", async () => {
		await save([1, 3, 2, WIDTH]);
		const { form, distribution: imported } = await importDistribution(at("final.pt"), { suffix: "at night" });
		expect(form).toBe("official .pt");
		expect((imported as PromptDistribution).tokens).toEqual(distribution().tokens);
		expect((imported as PromptDistribution).words).toEqual({
			prefix: "",
			suffix: "at night",
			classPosition: "end",
			wordPositions: "twice",
		});
	});

	it("needs the names of its classes", async () => {
		await save([2, 3, 2, WIDTH]);
		await expect(importDistribution(at("final.pt"))).rejects.toThrow(/has 2 classes, whose names it does not hold/);
		const names: ImportOptions = { classes: ["dog", "cat"], classPosition: "front" };
		const { distribution: imported } = await importDistribution(at("final.pt"), names);
		expect(imported.classes).toEqual(["dog", "cat"]);
		await expect(importDistribution(at("final.pt"), { classes: ["a"] })).rejects.toThrow(/2 classes, but 1 names/);
		await expect(importDistribution(at("final.pt"), { classes: ["a", "a"] })).rejects.toThrow(/"a" is there twice/);
		await save([2]);
		await expect(importDistribution(at("final.pt"))).rejects.toThrow(/have the shape \[2\]/);
	});
});

describe("an embedding of Textual Inversion", () => {
	it("is the mean of the prompts' vectors, in every layout, and comes back from each", async () => {
		const source = distribution();
		const vectors = source.meanTokens;
		await writeEmbedding(at("learned_embeds.safetensors"), vectors, WIDTH, { layout: "diffusers", token: "<church>" });
		await writeEmbedding(at("kohya.safetensors"), vectors, WIDTH, { layout: "kohya", token: "church", step: 7 });
		await writeEmbedding(at("a1111.pt"), vectors, WIDTH, { layout: "a1111", token: "church", step: 7 });
		const diffusers = await openSafetensors(at("learned_embeds.safetensors"));
		expect([...diffusers.tensors.keys()]).toEqual(["<church>"]);
		expect(diffusers.entry("<church>").shape).toEqual([2, WIDTH]);
		await diffusers.close();
		const kohya = await openSafetensors(at("kohya.safetensors"));
		expect([...kohya.tensors.keys()]).toEqual(["emb_params"]);
		await kohya.close();
		const a1111 = await openTorch(at("a1111.pt"));
		expect((a1111.value as Map<string, unknown>).get("name")).toBe("church");
		expect([...a1111.tensors.keys()]).toEqual(["string_to_param.*"]);
		await a1111.close();
		for (const name of ["learned_embeds.safetensors", "kohya.safetensors", "a1111.pt"]) {
			const { form, distribution: imported } = await importDistribution(at(name));
			expect(form).toBe("textual inversion");
			const { data, prompts } = (imported as PromptDistribution).tokens;
			expect(prompts).toBe(1);
			expect(data).toEqual(vectors);
		}
		await expect(writeEmbedding(at("x.pt"), vectors, WIDTH, { layout: "a1111", token: "a b" })).rejects.toThrow(
			/one word/,
		);
		await expect(writeEmbedding(at("x.pt"), vectors, 5, { layout: "a1111", token: "a" })).rejects.toThrow(/width 5/);
	});

	it("of one vector has one side or two", async () => {
		await writeTorch(at("learned_embeds.bin"), {
			"<cat>": new TensorToSave([WIDTH], new TestRandom(1).normals(WIDTH)),
		});
		const { distribution: imported } = await importDistribution(at("learned_embeds.bin"));
		expect(imported).toMatchObject({ prompts: 1, vectors: 1, width: WIDTH });
	});

	it("is refused where the file holds something else", async () => {
		const one = new TensorToSave([2, 3], new Float32Array(6));
		await writeTorch(at("x.pt"), { a: one, b: one });
		await expect(importDistribution(at("x.pt"))).rejects.toThrow(/but a \[2, 3\], b \[2, 3\]/);
		await writeTorch(at("x.pt"), { clip_l: one, clip_g: one });
		await expect(importDistribution(at("x.pt"))).rejects.toThrow(/Stable Diffusion XL/);
		await writeTorch(at("x.pt"), { a: new TensorToSave([1, 2, 3], new Float32Array(6)) });
		await expect(importDistribution(at("x.pt"))).rejects.toThrow(/neither a prompt learner's/);
		await writeTorch(at("x.pt"), { a: new TensorToSave([2], Float32Array.from([1, Number.NaN])) });
		await expect(importDistribution(at("x.pt"))).rejects.toThrow(/hold NaN at position 1/);
		await distribution().save(at("x.safetensors"));
		await expect(importDistribution(at("x.safetensors"))).rejects.toThrow(/a distribution already/);
		await writeConditioning(at("x.safetensors"), { features: new Float32Array(6), length: 2, width: 3 }, {});
		await expect(importDistribution(at("x.safetensors"))).rejects.toThrow(/it is conditioning of one prompt/);
		writeFileSync(at("x.bin"), "hello");
		await expect(importDistribution(at("x.bin"))).rejects.toThrow(/neither a zip archive nor a pickle/);
		await expect(importDistribution(at("nothing.npz"))).rejects.toThrow(/does not exist/);
	});
});
