import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { openDevice, PromptDistribution, readImage } from "@dreamdist/core";
import { initModel } from "@dreamdist/models";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type DemoSettings, runDemo } from "../src/demo/demo.js";

const root = mkdtempSync(join(tmpdir(), "dreamdist-demo-"));
const model = join(root, "model");
let notices: string[];

function settings(folder: string, changes: Partial<DemoSettings> = {}): DemoSettings {
	return {
		device: "cpu",
		folder: join(root, folder),
		set: "breakfast-weather",
		mixedWith: "two-moods",
		steps: 2,
		sampled: 2,
		rows: 1,
		seed: 1,
		signal: new AbortController().signal,
		notice: (text) => notices.push(text),
		...changes,
	};
}

beforeAll(async () => {
	const device = await openDevice("cpu");
	await initModel(model, { config: "tiny", seed: 1, device });
	device.dispose();
	writeFileSync(join(model, "generation_config.json"), '{ "num_inference_steps": 1, "guidance_scale": 3 }');
});
beforeEach(() => {
	notices = [];
	vi.stubEnv("DD_MINI", model);
});
afterEach(() => vi.unstubAllEnvs());
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("the demo", () => {
	it("leaves a page on which every picture is there, a run and its distribution", async () => {
		const result = await runDemo(settings("demo"));
		const html = readFileSync(result.page, "utf8");
		const linked = [...html.matchAll(/<img src="([^"]+)"/g)].map((match) => match[1]!);
		// 8 references, 3 steps, 2 samples, 5 edits, 5 scales, 5 mixes.
		expect(linked).toHaveLength(28);
		expect(new Set(linked).size).toBe(28);
		expect(result.pictures).toBe(20);
		for (const path of linked) {
			const image = await readImage(join(dirname(result.page), path));
			expect([image.width, image.height]).toEqual([64, 64]);
		}
		for (const title of [
			"Breakfast weather",
			"a chalk drawing of …",
			"the words “teacup”",
			"γ 0.5",
			"Mixed with “Two moods”",
			"step 1",
		])
			expect(html).toContain(title);
		const distribution = await PromptDistribution.load(result.distribution);
		expect([distribution.prompts, distribution.settings.steps]).toEqual([16, 2]);
		expect(distribution.settings.initialWords).toBe("teacup");
		expect(existsSync(join(result.folder, "run", "index.html"))).toBe(true);
		expect(notices).toContainEqual(expect.stringMatching(/^step 2 of 2: loss \d/));
		// The weight's ends are the two distributions, and γ 1 is the learned one.
		const bytes = (name: string) => readFileSync(join(result.folder, "pictures", name)).length;
		expect(bytes("mix-1-1.png")).toBeGreaterThan(0);
		const data = async (name: string) => (await readImage(join(result.folder, "pictures", name))).data;
		expect(await data("mix-1-1.png")).toEqual(await data("scale-1-3.png"));

		// Once more in the same folder, with the second distribution bundled with the model.
		const bundled = join(model, "distributions");
		mkdirSync(bundled);
		writeFileSync(
			join(bundled, "two-moods.safetensors"),
			readFileSync(join(result.folder, "mixed-with", "distribution.safetensors")),
		);
		notices = [];
		await runDemo(settings("demo"));
		expect(notices.join("\n")).not.toContain("Learning two-moods too");
		expect(existsSync(join(result.folder, "mixed-with"))).toBe(false);
		expect(readFileSync(result.page, "utf8").match(/<img/g)).toHaveLength(28);
	});

	it("writes over nothing but its own", async () => {
		mkdirSync(join(root, "mine", "run"), { recursive: true });
		await expect(runDemo(settings("mine"))).rejects.toThrow(/mine.run is there and not the demo's/);
		expect(existsSync(join(root, "mine", "run"))).toBe(true);
	});

	it("says in a sentence what is missing", async () => {
		await expect(runDemo(settings("x", { set: "tea" }))).rejects.toThrow(
			'there is no reference set "tea"; there are tipsy-robots, ',
		);
		vi.stubEnv("DD_MINI", join(root, "nothing"));
		await expect(runDemo(settings("x"))).rejects.toThrow(
			/^the embedded model mini has no weights here \(there is no .*model_index\.json\); train it as docs\/pretraining\.md says/,
		);
		expect(existsSync(join(root, "x"))).toBe(false);
	});
});
