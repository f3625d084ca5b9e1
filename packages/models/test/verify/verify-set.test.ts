// Sets of one's own, made here: what passes, what fails and how it is said.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Device, openDevice, openSafetensors, type TensorData, writeSafetensors } from "@dreamdist/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CaseResult, hashedNumber, verifySet } from "../../src/index.js";
import { temporaryFolder, writeTinyModel } from "../tiny-model.js";

const { folder, remove } = temporaryFolder();
let device: Device;
beforeAll(async () => {
	device = await openDevice("cpu", { threads: 2 });
	await writeTinyModel(folder, device);
});
afterAll(() => {
	device.dispose();
	remove();
});

const floats = (data: number[] | Float32Array, shape: number[]): TensorData => ({
	dtype: "F32",
	shape,
	data: Float32Array.from(data),
});

/** Writes a set of one case and verifies it. */
async function verifyOne(
	name: string,
	attributes: Record<string, unknown>,
	tensors: Record<string, TensorData> | null,
	model?: string,
): Promise<CaseResult> {
	const set = join(folder, name);
	mkdirSync(set, { recursive: true });
	if (tensors) await writeSafetensors(join(set, "case.safetensors"), tensors);
	const one = { name, kind: name, file: "case.safetensors", ...attributes };
	writeFileSync(join(set, "cases.json"), JSON.stringify({ model, cases: [one] }));
	const { cases } = await verifySet(set, { device });
	return cases[0]!;
}

describe("verifySet", () => {
	it("reports a kind it does not know", async () => {
		const result = await verifyOne("strange", {}, null);
		expect(result).toEqual({
			name: "strange",
			kind: "strange",
			error: null,
			bound: 0,
			pass: false,
			message: 'cases of the kind "strange" are not known',
		});
	});

	it("reports a case without a model, and one whose file is missing", async () => {
		expect((await verifyOne("text_encoder", {}, { input_ids: floats([1], [1, 1]) })).message).toContain(
			"neither the case nor its set names a model",
		);
		expect((await verifyOne("vae", { file: "none.safetensors" }, null, "../tiny")).message).toContain("does not exist");
	});

	it("reports a case that does not say what its kind needs, in one sentence", async () => {
		const { message } = await verifyOne("compose", { weights: "half" }, { "out.mean": floats([1], [1]) }, "../tiny");
		expect(message).toMatch(/^the case's "weights" does not fit its kind \(.*\)$/);
	});

	it("reports what nothing is compared with", async () => {
		const tensors = { sample: floats([1], [1, 1]), noise: floats([1], [1, 1]), timestep: floats([3], [1]) };
		const config = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: "scaled_linear" };
		const unknown = await verifyOne("noise_schedule", { config }, { ...tensors, surprise: floats([1], [1]) });
		expect(unknown.message).toBe('nothing is known to compare with "surprise"');
		expect((await verifyOne("noise_schedule", { config }, tensors)).message).toBe("nothing was compared");
	});

	it("compares with the bound, and says what is off", async () => {
		const config = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: "scaled_linear" };
		const inputs = { sample: floats([2], [1, 1]), noise: floats([0], [1, 1]), timestep: floats([0], [1]) };
		const exact = 2 * Math.sqrt(1 - 0.00085);
		const right = await verifyOne("noise_schedule", { config }, { ...inputs, noisy: floats([exact], [1, 1]) });
		expect(right).toMatchObject({ pass: true, bound: 1e-5 });
		expect(right.error).toBeLessThan(1e-6);
		const wrong = await verifyOne("noise_schedule", { config }, { ...inputs, noisy: floats([exact * 1.01], [1, 1]) });
		expect(wrong).toMatchObject({ pass: false, message: "noisy is off by 9.90e-3" });
		const nan = await verifyOne("noise_schedule", { config }, { ...inputs, noisy: floats([Number.NaN], [1, 1]) });
		expect(nan).toMatchObject({ pass: false, error: null, message: "noisy is not finite" });
		const many = await verifyOne("noise_schedule", { config }, { ...inputs, noisy: floats([1, 2], [1, 2]) });
		expect(many).toMatchObject({ pass: false, message: "noisy has 1 numbers; expected are 2 as [1, 2]" });
	});

	it("takes the model from the case, and latents shared by several texts", async () => {
		const context = Float32Array.from({ length: 2 * 3 * 64 }, (_, i) => Math.sin(i));
		const sample = floats(
			Float32Array.from({ length: 4 * 8 * 8 }, (_, i) => Math.cos(i)),
			[1, 4, 8, 8],
		);
		const result = await verifyOne(
			"unet",
			{ model: "../tiny" },
			{
				sample,
				encoder_hidden_states: floats(context, [2, 3, 64]),
				timestep: floats([400], []),
				output: floats(new Float32Array(2 * 4 * 8 * 8).fill(1), [2, 4, 8, 8]),
			},
		);
		expect(result.error).toBeGreaterThan(0.01);
		expect(result.message).toContain("output is off by");
	});

	it("holds what must be exact to every byte", async () => {
		const image = Uint8Array.from({ length: 27 }, (_, i) => 9 * i);
		const bytes = (data: Uint8Array): TensorData => ({ dtype: "U8", shape: [3, 3, 3], data });
		const runs = ["first", "second"].map((output) => ({ output, filter: "bilinear", width: 3, height: 3 }));
		const right = { image: bytes(image), first: bytes(image) };
		expect(await verifyOne("resize", { runs: [runs[0]] }, right)).toMatchObject({ pass: true, error: 0, bound: 0 });
		// The first comparison is exact; the second is one off in one byte.
		const wrong = bytes(image.map((byte, i) => (i === 4 ? byte + 1 : byte)));
		expect(await verifyOne("resize", { runs }, { ...right, second: wrong })).toMatchObject({ pass: false });
	});

	it("makes weights by formula from the case's configuration", async () => {
		const config = {
			hidden_size: 8,
			num_hidden_layers: 1,
			num_attention_heads: 2,
			intermediate_size: 16,
			vocab_size: 10,
			max_position_embeddings: 4,
		};
		// The token embeddings are the last of 18 names but one in the sorted list.
		const embeds = (value: (i: number) => number) =>
			Float32Array.from([3, 1].flatMap((id) => Array.from({ length: 8 }, (_, i) => value(id * 8 + i))));
		const names = [
			...["position_embedding", "token_embedding"].map((name) => `embeddings.${name}.weight`),
			...["layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"],
		];
		expect(names).toHaveLength(6);
		const ids: TensorData = { dtype: "I32", shape: [1, 2], data: Int32Array.of(3, 1) };
		const sine = await verifyOne(
			"text_encoder",
			{ weights: "formula", config },
			{
				input_ids: ids,
				inputs_embeds: floats(
					embeds((i) => (0.5 * Math.sin(0.37 * i + 0.11)) / Math.sqrt(8)),
					[1, 2, 8],
				),
			},
		);
		expect(sine).toMatchObject({ pass: true });
		const hashed = await verifyOne(
			"text_encoder",
			{ weights: "formula", salt: 5, config },
			{
				input_ids: ids,
				inputs_embeds: floats(
					embeds((i) => hashedNumber(i, 1, 5) * Math.sqrt(6 / 8)),
					[1, 2, 8],
				),
			},
		);
		expect(hashed).toMatchObject({ pass: true });
	});

	it("refuses a folder that is no set", async () => {
		await expect(verifySet(join(folder, "nothing"), { device })).rejects.toThrow("does not exist");
		const empty = join(folder, "empty");
		mkdirSync(empty);
		writeFileSync(join(empty, "cases.json"), '{"cases": []}');
		await expect(verifySet(empty, { device })).rejects.toThrow('"cases"');
	});
});

describe("hashed numbers", () => {
	it("are those of the formula in any language", () => {
		expect([0, 1, 2, 3].map((i) => hashedNumber(i, 0, 1))).toEqual([
			-0.3601452873554081, -0.13740073726512492, -0.6286019070539623, -0.0881701570469886,
		]);
		expect(hashedNumber(0, 7, 1)).toBe(0.6448018515948206);
		expect(hashedNumber(1_000_000, 3, 1)).toBe(0.022135056788101792);
	});
});

const reference = join(process.env.DD_SHARED ?? resolve(import.meta.dirname, "../../../../../shared"), "reference");
const set = join(reference, "tiny-sd21");
const isThere = existsSync(join(set, "cases.json"));
if (!isThere) console.warn(`Skipping the reference set: there is no ${set} (DD_SHARED names the folder around it).`);

describe.skipIf(!isThere)("the reference set of Stable Diffusion 2.1 at a small size", () => {
	it("passes, every case", async () => {
		const { cases } = await verifySet(set, { device });
		expect(cases.filter(({ pass }) => !pass)).toEqual([]);
		expect(cases).toHaveLength(22);
	});

	it("is held to: a changed expectation fails", async () => {
		const file = await openSafetensors(join(set, "cases", "unet_8x8.safetensors"));
		const tensors: Record<string, TensorData> = {};
		for (const { name, dtype, shape } of file.tensors.values())
			tensors[name] = { dtype, shape, data: await file.read(name) };
		const grad = await file.readF32("grad_sample");
		grad[0]! += 1;
		const changed = { ...tensors, grad_sample: floats(grad, [2, 4, 8, 8]) };
		const result = await verifyOne("unet", { model: join(set, "model") }, changed);
		expect(result.pass).toBe(false);
		expect(result.message).toContain("grad_sample is off");
		await file.close();
	});
});
