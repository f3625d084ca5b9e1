import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadDistribution, NpzFile, openSafetensors, openTorch, PromptDistribution } from "@dreamdist/core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { runCli } from "../src/main.js";
import { capturePrinted, printed } from "./printed.js";

let folder: string;
let model: string;
let learned: string;
const at = (name: string) => join(folder, name);
const WIDTH = 32;

beforeEach(() => {
	vi.stubEnv("DD_NUM_THREADS", "2");
	capturePrinted();
});
afterEach(() => {
	vi.restoreAllMocks();
	vi.unstubAllEnvs();
});

function save(name: string, classes: string[] | null = null, width = WIDTH): Promise<void> {
	const shape = [classes?.length ?? 1, 3, 2, width] as const;
	return PromptDistribution.of({
		tokens: Float32Array.from({ length: shape[0] * 6 * width }, (_, i) => Math.sin(i * i) / 50),
		shape,
		classes,
		words: { prefix: "", suffix: "", classPosition: "end" },
		baseModel: null,
		settings: { stepsTaken: 12 },
	}).save(at(name));
}

beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "dreamdist-exchange-"));
	model = at("model");
	learned = at("church.safetensors");
	const write = vi.spyOn(process.stdout, "write").mockImplementation(() => true);
	expect(await runCli(["init", model, "--config", "tiny", "--seed", "1"])).toBe(0);
	write.mockRestore();
	await save("church.safetensors");
	await save("classes.safetensors", ["dog", "cat"]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("writes an embedding in each layout", async () => {
	expect(await runCli(["export", learned, "--as", "embedding", "--out", at("e.safetensors"), "--json"])).toBe(0);
	expect(JSON.parse(printed.out)).toEqual({ file: at("e.safetensors"), as: "embedding", shape: [2, WIDTH] });
	const file = await openSafetensors(at("e.safetensors"));
	expect([...file.tensors.keys()]).toEqual(["<church>"]);
	await file.close();
	expect(await runCli(["export", learned, "--as", "embedding", "--layout", "a1111", "--out", at("e.pt")])).toBe(0);
	const torch = await openTorch(at("e.pt"));
	const value = torch.value as Map<string, unknown>;
	expect([value.get("name"), value.get("step")]).toEqual(["church", 12]);
	await torch.close();
});

it("takes back what it writes, and says what it is", async () => {
	await runCli(["export", learned, "--as", "embedding", "--layout", "kohya", "--out", at("k.safetensors")]);
	printed.out = "";
	expect(await runCli(["import", at("k.safetensors"), "--out", at("back.safetensors")])).toBe(0);
	expect(printed.out).toBe(`textual inversion: 1 prompt of 2 vectors, width ${WIDTH}\n${at("back.safetensors")}\n`);
	expect(await loadDistribution(at("back.safetensors"))).toMatchObject({ prompts: 1, vectors: 2, width: WIDTH });
});

it.each([
	[["export", "church", "--out", "x.npz"], "export needs --as, one of conditioning, npz, embedding"],
	[["export", "church", "--as", "npz"], "export needs --out FILE"],
	[["export", "church", "--as", "npz", "--out", "x.safetensors"], "--out must end in .npz for npz"],
	[
		["export", "church", "--as", "embedding", "--layout", "a1111", "--out", "x.bin"],
		"must end in .pt for an embedding",
	],
	[["export", "church", "--as", "conditioning", "--out", "x.safetensors"], "give the model with --model"],
	[
		["export", "classes", "--as", "embedding", "--out", "x.safetensors"],
		"2 classes; choose one with --class (dog, cat)",
	],
	[["import", "church"], "import needs --out FILE.safetensors"],
	[["import", "church", "--out", "x.bin"], "--out must end in .safetensors, not x.bin"],
])("refuses %j", async (args, message) => {
	const [command, name, ...rest] = args as [string, string, ...string[]];
	expect(await runCli([command, at(`${name}.safetensors`), ...rest])).toBe(2);
	expect(printed.err).toContain(message);
});

it("names what it can't import", async () => {
	expect(await runCli(["import", learned, "--out", at("x.safetensors")])).toBe(1);
	expect(printed.err).toContain("it is a distribution already");
	writeFileSync(at("evil.pt"), "\x80\x02cposix\nsystem\n.", "latin1");
	expect(await runCli(["import", at("evil.pt"), "--out", at("x.safetensors")])).toBe(1);
	expect(printed.err).toContain(`${at("evil.pt")} can't be read as a PyTorch file: it names posix.system`);
	expect(await runCli(["import", at("nothing.pt"), "--out", at("x.safetensors")])).toBe(1);
	expect(existsSync(at("x.safetensors"))).toBe(false);
});

it("encodes with a model: conditioning, and the official .npz of all classes", async () => {
	const { loadPipeline } = await import("@dreamdist/models");
	const pipe = await loadPipeline(model, { device: "cpu" });
	const { width, length } = pipe.textEncoder;
	pipe.dispose();
	await save("fits.safetensors", ["dog", "cat"], width);
	const conditioning = ["export", at("fits.safetensors"), "--class", "cat", "--as", "conditioning", "--model", model];
	expect(await runCli([...conditioning, "--seed", "3", "--out", at("c.safetensors")])).toBe(0);
	const file = await openSafetensors(at("c.safetensors"));
	expect(file.entry("prompt_embeds").shape).toEqual([length, width]);
	expect(JSON.parse(file.metadata.get("source")!)).toMatchObject({ distribution: "fits", seed: 3, class: "cat" });
	await file.close();
	expect(await runCli(["export", at("fits.safetensors"), "--as", "npz", "--model", model, "--out", at("f.npz")])).toBe(
		0,
	);
	const npz = await NpzFile.open(at("f.npz"));
	expect((await npz.numbers("stds")).shape).toEqual([2, length, width]);
	expect(await npz.texts("class_names")).toEqual(["dog", "cat"]);
	expect(await npz.texts("prompt_texts")).toEqual([
		expect.stringMatching(/^\S+ \S+ dog$/),
		expect.stringMatching(/^\S+ \S+ cat$/),
	]);
	await npz.close();
	await save("wide.safetensors", null, width + 1);
	await runCli(["export", at("wide.safetensors"), "--as", "embedding", "--out", at("w.safetensors")]);
	expect(await runCli(["import", at("w.safetensors"), "--out", at("x.safetensors"), "--model", model])).toBe(1);
	expect(printed.err).toContain(`width ${width + 1}, but the text encoder of ${model} has width ${width}`);
});
