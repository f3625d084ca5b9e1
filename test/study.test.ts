// `dreamdist study` as its user runs it: made, served, killed, served again, reported. Needs the built dist/.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeTestComparison } from "../packages/eval/test/study/comparison.js";

const repository = fileURLToPath(new URL("..", import.meta.url));
const bin = join(repository, "packages", "cli", "bin", "dreamdist.js");
const built = existsSync(join(repository, "packages", "cli", "dist", "main.js"));
if (!built) console.warn("skipped: packages/cli/dist is not there; run npm run build");

let folder: string;
let server: ChildProcess | undefined;

const run = (...args: string[]) =>
	spawnSync(process.execPath, [bin, "study", ...args], { cwd: folder, encoding: "utf8", timeout: 60_000 });

/** Starts the server and gives its address. */
async function serve(): Promise<string> {
	const child = spawn(process.execPath, [bin, "study", "serve", "study", "--port", "0", "--json"], { cwd: folder });
	server = child;
	let text = "";
	for await (const part of child.stdout) {
		text += String(part);
		if (text.includes("\n")) break;
	}
	return (JSON.parse(text) as { urls: string[] }).urls[0]!;
}

async function stop(signal: NodeJS.Signals): Promise<number | null> {
	const child = server!;
	const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
	child.kill(signal);
	return ended;
}

async function ask<T>(url: string, path: string, body?: object): Promise<T> {
	const headers = { "content-type": "application/json" };
	const response = await fetch(url + path, body && { method: "POST", headers, body: JSON.stringify(body) });
	if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
	return (await response.json()) as T;
}

interface Item {
	readonly id: string;
	readonly grids: readonly { readonly id: string }[];
}

describe.skipIf(!built)("dreamdist study", () => {
	beforeAll(async () => {
		folder = mkdtempSync(join(tmpdir(), "dreamdist-study-command-"));
		await writeTestComparison(join(folder, "comparison"), { pictures: () => 2 });
	});
	afterAll(() => {
		server?.kill("SIGKILL");
		rmSync(folder, { recursive: true, force: true });
	});

	it("says what is wrong in one sentence", () => {
		const nothing = run("create", "nothing", "--out", "study");
		expect([nothing.status, nothing.stderr]).toEqual([
			1,
			`cannot read the comparison ${join(folder, "nothing", "comparison.json")}: it does not exist\n`,
		]);
		expect(run("create", "comparison", "--out", "study", "--pictures", "0").status).toBe(2);
		expect(run("serve", "comparison").stderr).toMatch(/^cannot read the study .*study\.json: it does not exist\n$/);
		expect(run("serve", "study", "--port", "70000").status).toBe(2);
	});

	it("loses no acknowledged answer when its server is killed again and again", async () => {
		const made = run("create", "comparison", "--out", "study", "--checks", "1", "--json");
		expect(JSON.parse(made.stdout)).toMatchObject({ items: 3, methods: 4, checks: 1 });
		const acknowledged: string[] = [];
		let number = 0;
		for (let round = 0; round < 3; round++) {
			const url = await serve();
			await ask(url, "api/join", { annotator: "ann" });
			const items = await Promise.all([1, 2, 3, 4].map((i) => ask<Item>(url, `api/item?annotator=ann&number=${i}`)));
			let killed: Promise<number | null> | undefined;
			await Promise.all(
				items.map(async ({ id: item, grids: [first] }) => {
					const { id } = first!;
					for (let i = 0; i < 5; i++) {
						const submission = (++number).toString(16).padStart(32, "0");
						const choices = { similarity: id, diversity: id, overall: id };
						try {
							await ask(url, "api/answers", { annotator: "ann", item, submission, choices, milliseconds: 5 });
						} catch {
							return;
						}
						acknowledged.push(submission);
						if (acknowledged.length === 7 * (round + 1)) killed = stop("SIGKILL");
					}
				}),
			);
			expect(await killed).toBeNull();
		}
		const log = readFileSync(join(folder, "study", "answers", "ann.jsonl"), "utf8");
		for (const submission of acknowledged) expect(log).toContain(submission);
		expect(acknowledged.length).toBeGreaterThanOrEqual(21);
	});

	it("reports while it is served, and stops at a signal", async () => {
		const url = await serve();
		expect(await ask(url, "api/join", { annotator: "ANN" })).toMatchObject({ annotator: "ann", done: 4, total: 4 });
		const second = run("serve", "study", "--port", "0");
		expect(second.stderr).toContain(`is served already, by process ${server!.pid}`);
		const checks = JSON.parse(run("report", "study", "--json").stdout || "null") as { error?: string } | null;
		// Chance decides whether the first grid was right in the check; both answers are the command's.
		if (checks?.error === undefined) expect(existsSync(join(folder, "study", "report", "index.html"))).toBe(true);
		else expect(checks.error).toContain("failed the attention checks");
		expect(await stop("SIGINT")).toBe(0);
		expect(existsSync(join(folder, "study", "serving.lock"))).toBe(false);
	});
});
