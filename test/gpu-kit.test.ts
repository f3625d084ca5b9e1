// The parts of the GPU kit that need no card: its unpacker, its suite on the emulated device, and what becomes of the results.
// scripts/gpu/try.mjs runs the packed kit from end to end.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { emulatedAddonPath } from "@dreamdist/native-cuda";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const gpu = fileURLToPath(new URL("../scripts/gpu/", import.meta.url));
const canPack = ["xz", "tar", "c++"].every((tool) => spawnSync(tool, ["--version"]).status === 0);
if (!canPack) console.log("Skipped: packing needs xz, tar and c++.");

let folder: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "dreamdist-kit-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function run(command: string, args: readonly string[]) {
	const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", cwd: folder });
	return { status, stdout, stderr };
}

describe.skipIf(!canPack || process.platform !== "linux")("unpack", () => {
	let unpack: string;
	beforeEach(() => {
		unpack = join(folder, "unpack");
		const flags = ["-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-fno-exceptions", "-fno-rtti"];
		expect(run("c++", [...flags, "-o", unpack, join(gpu, "unpack.cpp")])).toMatchObject({ status: 0, stderr: "" });
	});

	/** Files of every kind of content: long runs, text that repeats, noise, nothing, and a name longer than tar's first field. */
	function writeTree(): Record<string, Buffer> {
		let state = 1;
		const noise = Buffer.from(
			Array.from({ length: 70_000 }, () => {
				state = (Math.imul(state, 1103515245) + 12345) >>> 0;
				return state >>> 24;
			}),
		);
		const files: Record<string, Buffer> = {
			"a/zeros": Buffer.alloc(300_000),
			"a/b/text.txt": Buffer.from(Array.from({ length: 5000 }, (_, i) => `line ${i % 97} of ${i}\n`).join("")),
			"a/b/noise": noise,
			empty: Buffer.alloc(0),
			[`deep/${"d".repeat(90)}/${"f".repeat(60)}`]: Buffer.from("x"),
		};
		for (const [name, data] of Object.entries(files)) {
			mkdirSync(join(folder, "tree", name, ".."), { recursive: true });
			writeFileSync(join(folder, "tree", name), data);
		}
		writeFileSync(join(folder, "tree", "tool"), "#!/bin/sh\n", { mode: 0o755 });
		return files;
	}

	function pack(...xz: string[]) {
		expect(run("tar", ["--format=ustar", "-cf", "tree.tar", "-C", "tree", "."]).status).toBe(0);
		expect(run("xz", [...xz, "--keep", "--force", "tree.tar"]).status).toBe(0);
		return readFileSync(join(folder, "tree.tar.lzma"));
	}

	it("restores what tar and xz packed, at any level", () => {
		const files = writeTree();
		for (const options of ["-0", "-9e", "--lzma1=preset=6,lc=0,lp=4,pb=0"]) {
			pack("--format=lzma", options);
			rmSync(join(folder, "out"), { recursive: true, force: true });
			expect(run(unpack, ["tree.tar.lzma", "out"])).toMatchObject({ status: 0, stderr: "" });
			for (const [name, data] of Object.entries(files))
				expect(readFileSync(join(folder, "out", name)).equals(data), `${name} at ${options}`).toBe(true);
			expect(statSync(join(folder, "out", "tool")).mode & 0o111).toBe(0o111);
			expect(statSync(join(folder, "out", "empty")).mode & 0o111).toBe(0);
		}
	});

	it("refuses an archive that is cut, damaged or none, in one line", () => {
		writeTree();
		const archive = pack("--format=lzma", "-1");
		const damaged = Buffer.from(archive);
		for (let i = 1000; i < 1100; i++) damaged[i]! ^= 0x55;
		const wrong: [Buffer, RegExp][] = [
			[archive.subarray(0, archive.length >> 1), /cut short/],
			[damaged, /damaged|cut short/],
			[Buffer.from("hello"), /is no .lzma archive/],
			[Buffer.alloc(0), /empty/],
		];
		for (const [bytes, message] of wrong) {
			writeFileSync(join(folder, "wrong.lzma"), bytes);
			const { status, stderr } = run(unpack, ["wrong.lzma", "out"]);
			expect(status).toBe(1);
			expect(stderr).toMatch(message);
			expect(stderr.trim().split("\n")).toHaveLength(1);
		}
		expect(run(unpack, ["missing.lzma", "out"])).toMatchObject({ status: 1 });
	});
});

const suite = (...args: string[]) => run(process.execPath, [join(gpu, "suite", "main.mjs"), ...args]);

describe("the suite", () => {
	it.skipIf(emulatedAddonPath() === null)(
		"measures kernels on the emulated device, and keeps everything as JSON",
		() => {
			const { status, stdout } = suite(
				"--device",
				"cuda-emulated",
				"--quick",
				"--only",
				"machine,kernels",
				"--out",
				"out",
			);
			expect(stdout).toMatch(/PASSED +kernels/);
			expect(stdout).toMatch(/\n\d+ passed, 0 failed, 0 skipped\n$/);
			expect(status).toBe(0);
			const report = JSON.parse(readFileSync(join(folder, "out", "gpu-suite.json"), "utf8"));
			expect(report.sections.map(({ name }: { name: string }) => name)).toEqual(["machine", "kernels"]);
			for (const row of report.sections[1].rows) expect(row.value, row.name).toBeGreaterThan(0);
		},
		60_000,
	);

	it("says why there is no card, and fails", () => {
		const { status, stdout } = suite("--device", "cuda:63", "--only", "machine,step", "--out", "out");
		expect(status).toBe(1);
		expect(stdout).toMatch(/FAIL the device is there: /);
		expect(stdout).toMatch(/SKIPPED step .*cuda:63: /);
	}, 60_000);

	it("refuses sections and types that do not exist", () => {
		expect(suite("--dtypes", "bf16,f64")).toMatchObject({ status: 2, stderr: /--dtypes takes bf16, f16 and f32/ });
		expect(suite("--only", "everything")).toMatchObject({ status: 2, stderr: /there is no section "everything"/ });
	});
});

describe("bench:docs", () => {
	const section = {
		checks: [],
		rows: [],
		facts: {},
		notes: [],
		skipped: null,
		ending: null,
		seconds: 1,
		status: "passed",
	};
	const report = {
		format: 1,
		device: "cuda:0",
		quick: false,
		started: "2026-11-23T00:00:00Z",
		kit: { commit: "abc", modified: false, engine: { cuda: { compiler: "nvcc 13.0" } } },
		sections: [
			{ ...section, name: "machine", facts: { card: "NVIDIA H200", capability: "9.0", cardGiB: 140, driver: "580.1" } },
			{ ...section, name: "ops", checks: [{ name: "matmul", pass: false, detail: "off by | 2" }], status: "failed" },
			{
				...section,
				name: "kernels",
				rows: [{ name: "conv", value: 41.25, unit: "TFLOP/s", floor: 0.61, detail: "f32" }],
			},
			{ ...section, name: "step", rows: [{ id: "step.768.bf16", name: "a step", value: 50, unit: "ms", floor: null }] },
			{
				...section,
				name: "pytorch",
				rows: [{ id: "pytorch.eager.step.768", name: "PyTorch: a step", value: 120, unit: "ms", floor: null }],
			},
		],
	};
	const docs = (contents: object) => {
		writeFileSync(join(folder, "r.json"), JSON.stringify(contents));
		const markers =
			"before\n<!-- card benchmarks: written by `pnpm bench:docs` -->\nold\n<!-- end of card benchmarks -->\nafter\n";
		writeFileSync(join(folder, "d.md"), markers);
		const result = run(process.execPath, [join(gpu, "docs.mjs"), "r.json", "--docs", "d.md"]);
		return { ...result, text: readFileSync(join(folder, "d.md"), "utf8") };
	};

	it("writes card, driver, commit, verdicts and measurements between its markers", () => {
		const { status, text } = docs(report);
		expect(status).toBe(0);
		expect(text).toMatch(/^before\n/);
		expect(text).toMatch(/\nafter\n$/);
		expect(text).not.toContain("old");
		expect(text).toContain(
			"NVIDIA H200 (compute capability 9.0, 140 GiB), driver 580.1, CUDA nvcc 13.0; commit abc; 2026-11-23.",
		);
		expect(text).toContain("| ops | failed | 0 of 1; matmul: off by \\| 2 | 1 s |");
		expect(text).toContain("| conv | 41.3 TFLOP/s | 61 % | f32 |");
		expect(text).toContain("| a step, beside PyTorch eager | 2.40 times |  | 120 ms there |");
	});

	it("takes no numbers of the emulated device or of a quick run", () => {
		expect(docs({ ...report, device: "cuda-emulated" })).toMatchObject({ status: 1, stderr: /the table is of cards/ });
		expect(docs({ ...report, quick: true })).toMatchObject({ status: 1, stderr: /--quick/ });
		expect(docs({ ...report, device: "cuda-emulated" }).text).toContain("old");
	});

	it("finds its markers in the project's own page", () => {
		const page = readFileSync(fileURLToPath(new URL("../docs/benchmarks.md", import.meta.url)), "utf8");
		expect(page).toContain("<!-- card benchmarks: written by `pnpm bench:docs` -->");
		expect(existsSync(join(gpu, "gpu-suite.sh"))).toBe(true);
	});
});
