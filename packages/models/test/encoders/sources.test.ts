// Where encoders are looked for and fetched from; the network is a function here.
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
	encoderPullName,
	findEncoder,
	isPublicEncoder,
	PUBLIC_ENCODERS,
	pullEncoder,
	selectFiles,
} from "../../src/index.js";

let cacheDir: string;
beforeEach(async () => {
	cacheDir = await mkdtemp(join(tmpdir(), "dd-encoders-"));
	vi.stubEnv("HF_HUB_OFFLINE", "");
	vi.stubEnv("TORCH_HOME", join(cacheDir, "torch"));
});
afterEach(async () => {
	vi.unstubAllGlobals();
	vi.unstubAllEnvs();
	await rm(cacheDir, { recursive: true });
});

/** Answers every address with bytes made of it, and keeps what was asked. */
function serve(bytes: (url: string) => Buffer | null): { url: string; authorization: string | null }[] {
	const asked: { url: string; authorization: string | null }[] = [];
	vi.stubGlobal("fetch", async (url: URL, { headers }: { headers: Headers }) => {
		asked.push({ url: String(url), authorization: headers.get("authorization") });
		const body = bytes(String(url));
		return body ? new Response(new Uint8Array(body)) : new Response("no", { status: 404 });
	});
	return asked;
}

test("names are those of the table, and lead to a repository or to files", () => {
	expect(PUBLIC_ENCODERS.filter((name) => encoderPullName(name) === name)).toEqual([
		"inception",
		"lpips-alex",
		"lpips-vgg",
	]);
	expect(encoderPullName("dinov2-large")).toBe("facebook/dinov2-large");
	expect(isPublicEncoder("toString")).toBe(false);
});

test("an encoder that is not here is refused with the command that fetches it", async () => {
	await expect(findEncoder("inception", { cacheDir })).rejects.toThrow('fetch it with "pull inception"');
	await expect(findEncoder("dino-vits16", { cacheDir })).rejects.toThrow('fetch it with "pull facebook/dino-vits16"');
});

test("files are fetched from their authors without the Hub's token, and checked", async () => {
	const asked = serve((url) => Buffer.from(url));
	// The contents are not those whose checksum begins as the name says.
	await expect(pullEncoder("lpips-alex", { cacheDir, token: "secret" })).rejects.toThrow(/contents are not those/);
	expect(asked[0]?.url).toBe("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth");
	expect(asked.every(({ authorization }) => authorization === null)).toBe(true);

	serve(() => null);
	await expect(pullEncoder("inception", { cacheDir })).rejects.toThrow(/github\.com answered 404/);
	await expect(pullEncoder("inception", { cacheDir, offline: true })).rejects.toThrow(/HF_HUB_OFFLINE/);
});

test("what has come is found, and not fetched again", async () => {
	const folder = join(cacheDir, "dreamdist-encoders", "lpips-vgg");
	await mkdir(folder, { recursive: true });
	await writeFile(join(folder, "vgg16-397923af.pth"), "classifier");
	const asked = serve((url) => Buffer.from(`mixing weights of ${createHash("sha256").update(url).digest("hex")}`));
	expect(await pullEncoder("lpips-vgg", { cacheDir })).toBe(folder);
	expect(asked).toHaveLength(1);
	expect(await readFile(join(folder, "vgg.pth"), "utf8")).toMatch(/^mixing weights/);
	expect(await pullEncoder("lpips-vgg", { cacheDir })).toBe(folder);
	expect(asked).toHaveLength(1);

	const own = join(cacheDir, "own");
	await mkdir(own);
	await writeFile(join(own, "weights-inception-2015-12-05-6726825d.pth"), "inception");
	expect(await findEncoder("inception", { folder: own, cacheDir })).toMatch(/weights-inception/);
	await writeFile(join(own, "dinov2_vitl14_pretrain.pth"), "dinov2");
	expect(await findEncoder("dinov2-large", { folder: own, cacheDir })).toMatch(/dinov2_vitl14_pretrain\.pth$/);
	await expect(findEncoder("dinov2-small", { folder: own, cacheDir })).rejects.toThrow("pull facebook/dinov2-small");
});

test("what PyTorch's programs have fetched is found too, after what was pulled", async () => {
	const checkpoints = join(cacheDir, "torch", "hub", "checkpoints");
	await mkdir(checkpoints, { recursive: true });
	for (const name of ["pt_inception-2015-12-05-6726825d.pth", "dino_deitsmall16_pretrain.pth"])
		await writeFile(join(checkpoints, name), "weights");
	expect(await findEncoder("inception", { cacheDir })).toBe(join(checkpoints, "pt_inception-2015-12-05-6726825d.pth"));
	expect(await findEncoder("dino-vits16", { cacheDir })).toBe(join(checkpoints, "dino_deitsmall16_pretrain.pth"));
	await mkdir(join(cacheDir, "dreamdist-encoders", "inception"), { recursive: true });
	const pulled = join(cacheDir, "dreamdist-encoders", "inception", "pt_inception-2015-12-05-6726825d.pth");
	await writeFile(pulled, "weights");
	expect(await findEncoder("inception", { cacheDir })).toBe(pulled);
});

test("of a network that was only published pickled, the pickle is fetched, with its tokenizer", () => {
	const paths = ["README.md", "config.json", "pytorch_model.bin", "tf_model.h5", "vocab.json", "merges.txt"];
	expect(selectFiles("someone/clip", paths, "fp16")).toEqual([
		"config.json",
		"vocab.json",
		"merges.txt",
		"pytorch_model.bin",
	]);
	expect(selectFiles("someone/clip", [...paths, "model.safetensors"], "fp16")).not.toContain("pytorch_model.bin");
});
