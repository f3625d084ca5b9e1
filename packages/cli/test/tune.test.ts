// `dreamdist tune` on the emulated device, with a clock of the test's: measuring on it for real takes minutes and says nothing about cards.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { emulatedAddonPath, emulatedReason } from "@dreamdist/native-cuda";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { TuneReport } from "../src/commands/tune.js";
import { runCli } from "../src/main.js";
import { capturePrinted, printed } from "./printed.js";

vi.mock("@dreamdist/core", async (original) => {
	const core = await original<typeof import("@dreamdist/core")>();
	// The estimate takes 10 µs, every other way 11, but two parts 5.
	const measure: import("@dreamdist/core").Measure = async (_device, _call, choice) =>
		choice === 0 ? 10 : (choice & 0xff) === 2 ? 5 : 11;
	const tune: typeof core.tune = (device, calls, options) => core.tune(device, calls, { ...options, measure });
	return { ...core, tune };
});

const absent = emulatedAddonPath() === null;
if (absent) console.log(`Skipped: ${emulatedReason()}.`);

let folder: string;
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "dreamdist-tune-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => {
	vi.stubEnv("DD_NUM_THREADS", "1");
	vi.stubEnv("DD_TUNING", join(folder, "tuning"));
	capturePrinted();
});
afterEach(() => {
	vi.restoreAllMocks();
	vi.unstubAllEnvs();
});

describe.skipIf(absent)("tune", () => {
	const args = (...more: string[]) => [
		...["tune", "--model", join(folder, "tiny"), "--device", "cuda-emulated", "--size", "64"],
		...["--prompts", "3", "--tokens", "2", "--samples", "2", ...more],
	];

	it("measures a model's shapes and keeps what is fastest; a second run has nothing left to do", async () => {
		expect(await runCli(["init", join(folder, "tiny"), "--config", "tiny", "--device", "cuda-emulated"])).toBe(0);
		printed.out = "";
		expect(await runCli(args("--json"))).toBe(0);
		const report = JSON.parse(printed.out) as TuneReport;
		expect(report).toMatchObject({ file: join(folder, "tuning", "cuda-emulated.json"), calls: report.measured.length });
		const kernels = new Set(report.measured.map(({ kernel }) => kernel));
		expect([...kernels].sort()).toEqual(["conv2d", "conv2d_input_grad", "matmul"]);
		const faster = report.measured.filter(({ choice }) => choice !== null);
		expect(faster.length).toBeGreaterThan(0);
		for (const { choice, microseconds } of faster) {
			expect(choice).toMatch(/\/2$/);
			expect(microseconds).toBe(5);
		}
		expect(report.after).toBeLessThan(report.before);
		const kept = JSON.parse(readFileSync(report.file!, "utf8")) as { calls: object };
		expect(Object.keys(kept.calls)).toHaveLength(report.calls);

		printed.out = "";
		expect(await runCli(args("--for", "generate"))).toBe(0);
		expect(printed.out).toMatch(
			/^0 shapes measured \(\d+ known or left out\): all calls together take [\d.]+ µs instead of [\d.]+ µs\.\n/,
		);
		expect(printed.err).toMatch(/\d+ shapes of 64×64 pixels can be computed in several ways/);
	});

	it("has one sentence to say about the CPU", async () => {
		expect(await runCli(["tune", "--device", "cpu"])).toBe(0);
		expect(printed.out).toBe("There is nothing to tune on cpu: its kernels have one way to compute each shape.\n");
	});

	it("refuses what it does not know", async () => {
		expect(await runCli(args("--for", "sleep"))).toBe(2);
		expect(printed.err).toContain("It takes train and generate");
		expect(await runCli(args("--size", "0x"))).toBe(2);
	});
});
