import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { CommandRow } from "../src/command-table.js";
import type { CommandAction, CommandContext } from "../src/context.js";
import { CommandError, UsageError } from "../src/errors.js";
import { runCli } from "../src/main.js";
import { capturePrinted, printed } from "./printed.js";

beforeEach(() => {
	capturePrinted();
});
afterEach(() => {
	vi.restoreAllMocks();
	vi.unstubAllEnvs();
});

const loadOther = vi.fn(async () => ({ configure() {}, run: async () => undefined }));

/** A table of one command `train` with an option and an argument, a group `native`, and one that must not be loaded. */
function table(run: CommandAction): CommandRow[] {
	return [
		{
			name: "train",
			summary: "learn",
			load: async () => ({
				configure: (command) => void command.argument("[images...]").option("--steps <count>", "steps", Number, 10),
				run,
			}),
		},
		{
			name: "native",
			summary: "build",
			load: async () => ({
				configure: (command) => void command.command("build").description("compile"),
				subcommands: { build: run },
			}),
		},
		{ name: "other", summary: "another", load: loadOther },
	];
}

const idle: CommandAction = async () => undefined;

describe("runCli", () => {
	it("runs a command with its arguments, its options and the common ones", async () => {
		let context: CommandContext | undefined;
		const code = await runCli(
			["train", "a.png", "b.png", "--steps", "3", "--device", "cuda:1", "--dtype", "bf16", "--quiet"],
			table(async (given) => {
				context = given;
				return undefined;
			}),
		);
		expect(code).toBe(0);
		expect(context?.args).toEqual([["a.png", "b.png"]]);
		expect(context?.options).toEqual({ steps: 3, device: "cuda:1", dtype: "bf16", quiet: true, json: false });
	});

	it("loads the module of the command that was asked for alone", async () => {
		await runCli(["train"], table(idle));
		await runCli(["--help"], table(idle));
		await runCli(["help", "train"], table(idle));
		expect(loadOther).not.toHaveBeenCalled();
		await runCli(["other"], table(idle));
		expect(loadOther).toHaveBeenCalledOnce();
	});

	it("gives every command the common options, in help too", async () => {
		expect(await runCli(["train", "--help"], table(idle))).toBe(0);
		for (const option of ["--device", "--dtype", "--json", "--quiet", "--help", "--steps"])
			expect(printed.out).toContain(option);
	});

	it.each([
		[["trian"], "dreamdist: unknown command 'trian'; did you mean train?\n"],
		[["train", "--step", "3"], "dreamdist train: unknown option '--step'; did you mean --steps?\n"],
		[["train", "--frobnicate"], "dreamdist train: unknown option '--frobnicate'; see dreamdist train --help.\n"],
		[["--frobnicate"], "dreamdist: unknown option '--frobnicate'; see dreamdist --help.\n"],
		[["native", "biuld"], "dreamdist native: unknown command 'biuld'; did you mean build?\n"],
		[["train", "--steps"], /^dreamdist train: option '--steps <count>' argument missing; see .*\n$/],
		[["train", "--device", "gpu"], /^dreamdist train: .*'gpu' is invalid\. Devices are auto, cpu, .*\n$/],
		[["train", "--dtype", "int8"], /^dreamdist train: .*'int8' is invalid\. Allowed choices are f32, bf16, f16; .*\n$/],
	])("answers %j with one sentence and exit code 2", async (args, sentence) => {
		expect(await runCli(args, table(idle))).toBe(2);
		expect(printed.err).toMatch(sentence);
		expect(printed.err.split("\n")).toHaveLength(2);
		expect(printed.out).toBe("");
	});

	it("prints the help of a group that is called without its command", async () => {
		expect(await runCli(["native"], table(idle))).toBe(2);
		expect(printed.err).toContain("compile");
	});

	it.each([
		[new CommandError("The folder is empty."), 1, "The folder is empty.\n"],
		[new UsageError("--steps needs a number."), 2, "--steps needs a number.\n"],
		[new RangeError("shapes [2] and [3] differ"), 1, "shapes [2] and [3] differ\n"],
		["a string", 1, "a string\n"],
	])("turns %s into a sentence", async (error, code, message) => {
		const failing = table(async () => {
			throw error;
		});
		expect(await runCli(["train"], failing)).toBe(code);
		expect(printed.err).toBe(message);
	});

	it("owns up to a fault of its own, with the stack on request only", async () => {
		const failing = table(async () => {
			throw new TypeError("x is not a function");
		});
		expect(await runCli(["train"], failing)).toBe(1);
		expect(printed.err).toMatch(/^Internal error: x is not a function .*DD_DEBUG=1.*\n$/);
		printed.err = "";
		vi.stubEnv("DD_DEBUG", "1");
		await runCli(["train"], failing);
		expect(printed.err).toContain("main.test.ts");
	});

	it("repeats an error as JSON where JSON was asked for", async () => {
		const failing = table(async () => {
			throw new CommandError("No.");
		});
		await runCli(["train", "--json"], failing);
		expect(JSON.parse(printed.out)).toEqual({ error: "No." });
	});

	it("returns the exit code that a command gives", async () => {
		expect(
			await runCli(
				["train"],
				table(async () => 1),
			),
		).toBe(1);
	});

	it("aborts on Ctrl-C and ends with 130", async () => {
		const before = process.listenerCount("SIGINT");
		const waiting = table(
			({ signal }) =>
				new Promise((_, reject) => {
					signal.addEventListener("abort", () => reject(signal.reason));
					process.emit("SIGINT");
				}),
		);
		expect(await runCli(["train"], waiting)).toBe(130);
		expect(printed.err).toBe("Interrupted.\n");
		expect(process.listenerCount("SIGINT")).toBe(before);
	});

	it("prints results as text or JSON, and notices only where they are wanted", async () => {
		const printing = table(async ({ output }) => {
			output.notice("working");
			output.result({ loss: 1 }, ({ loss }) => `loss ${loss}`);
			return undefined;
		});
		await runCli(["train"], printing);
		expect([printed.out, printed.err]).toEqual(["loss 1\n", "working\n"]);
		printed.out = printed.err = "";
		await runCli(["train", "--quiet"], printing);
		expect([printed.out, printed.err]).toEqual(["loss 1\n", ""]);
		printed.out = printed.err = "";
		await runCli(["train", "--json"], printing);
		expect([JSON.parse(printed.out), printed.err]).toEqual([{ loss: 1 }, ""]);
	});

	it("prints events with --json only, a line each, the result as the last", async () => {
		const printing = table(async ({ output }) => {
			output.event("step", { step: 1 });
			output.result({ steps: 1 }, () => "done");
			return undefined;
		});
		await runCli(["train"], printing);
		expect(printed.out).toBe("done\n");
		printed.out = "";
		await runCli(["train", "--json"], printing);
		expect(printed.out).toBe('{"event":"step","step":1}\n{"event":"result","steps":1}\n');
	});
});

it("says how to build it where it is not built", () => {
	const folder = mkdtempSync(join(tmpdir(), "dreamdist-bin-"));
	try {
		cpSync(fileURLToPath(new URL("../bin", import.meta.url)), join(folder, "bin"), { recursive: true });
		writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
		const { status, stderr } = spawnSync(process.execPath, [join(folder, "bin", "dreamdist.js")], { encoding: "utf8" });
		expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining("npm run build") });
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
});
