import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { VerifyReport } from "@dreamdist/models";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { runCli } from "../src/main.js";
import { capturePrinted, printed } from "./printed.js";

let folder: string;

beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "dreamdist-cli-"));
	vi.stubEnv("DD_NUM_THREADS", "2");
	capturePrinted();
});
afterEach(() => {
	vi.restoreAllMocks();
	vi.unstubAllEnvs();
	rmSync(folder, { recursive: true, force: true });
});

it("writes a model, and says how many parameters it has", async () => {
	const model = join(folder, "tiny");
	expect(await runCli(["init", model, "--config", "tiny", "--seed", "3", "--json"])).toBe(0);
	const { parameters, ...rest } = JSON.parse(printed.out) as Record<string, unknown>;
	expect(rest).toEqual({ folder: model, config: "tiny", seed: 3, dtype: "f16" });
	expect(Object.keys(parameters as object)).toEqual(["text_encoder", "unet", "vae"]);
	expect(existsSync(join(model, "unet", "diffusion_pytorch_model.safetensors"))).toBe(true);

	expect(await runCli(["init", model, "--config", "tiny"])).toBe(1);
	expect(printed.err).toContain(`${model} is not empty`);
	expect(await runCli(["init", join(folder, "x"), "--config", "huge"])).toBe(2);
	expect(await runCli(["init", join(folder, "x"), "--config", "tiny", "--seed", "-1"])).toBe(2);
});

it("verifies a set: a line per case, a count, and an exit code", async () => {
	writeFileSync(join(folder, "cases.json"), '{"cases": [{"name": "one", "kind": "strange", "file": "x.safetensors"}]}');
	expect(await runCli(["verify", folder])).toBe(1);
	expect(printed.err).toContain('FAIL  one  [strange]  cases of the kind "strange" are not known\n');
	expect(printed.out).toMatch(/^0 of 1 cases pass, 1 fail on cpu \(.*\) \(0 kernel launches\)\.\n$/);

	printed.out = "";
	printed.err = "";
	expect(await runCli(["verify", folder, "--json"])).toBe(1);
	expect(printed.err).toBe("");
	const report = JSON.parse(printed.out) as VerifyReport;
	expect({ ...report, device: "" }).toEqual({
		device: "",
		launches: 0,
		passed: 0,
		failed: 1,
		cases: [
			{
				name: "one",
				kind: "strange",
				error: null,
				bound: 0,
				pass: false,
				message: 'cases of the kind "strange" are not known',
			},
		],
	});
});

it("refuses what it can't verify", async () => {
	expect(await runCli(["verify", join(folder, "nothing")])).toBe(1);
	expect(printed.err).toContain("does not exist");
	printed.err = "";
	expect(await runCli(["verify", "--dtype", "f16"])).toBe(2);
	expect(printed.err).toContain("The CPU computes in f32; --dtype f16 verifies a card, with --device cuda.");
	printed.err = "";
	expect(await runCli(["verify", "--tf32", "--device", "cpu"])).toBe(1);
	expect(printed.err).toBe(
		"tf32 is arithmetic of CUDA cards, and cpu has none: leave it out, or choose a CUDA device\n",
	);
	printed.err = "";
	expect(await runCli(["doctor", "--tf32"])).toBe(2);
	expect(printed.err).toContain("unknown option '--tf32'");
	printed.err = "";
	mkdirSync(join(folder, "set"));
	writeFileSync(join(folder, "set", "cases.json"), "{");
	expect(await runCli(["verify", join(folder, "set")])).toBe(1);
	expect(printed.err).toContain("is not valid JSON");
});
