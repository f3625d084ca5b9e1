// What a user of the published packages gets: every package is packed, the tarballs are installed with npm into an empty
// project outside the workspace, and scripts run there. Needs the built dist/ and addon, and the npm registry.
import { spawnSync } from "node:child_process";
import {
	copyFileSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isMusl } from "../packages/native-cuda/src/libc.js";
import { findPnpm } from "../scripts/pnpm.mjs";

const repository = fileURLToPath(new URL("..", import.meta.url));
const platformTag = `${process.platform}-${process.arch}`;
const prebuiltTag = process.platform === "linux" ? `${platformTag}-${isMusl() ? "musl" : "gnu"}` : platformTag;

/** The examples, and what each is run with. A model and pictures are made first where one takes arguments. */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
	"fit-a-line.mjs": [],
	"learn-and-generate.mjs": ["model", "photos", "2"],
	// Reads what the one before has learned.
	"sweep-and-export.mjs": ["model", "run/distribution.safetensors"],
};

interface Manifest {
	name: string;
	version: string;
	private?: boolean;
	exports?: Record<string, unknown>;
	bin?: Record<string, string>;
}

function readManifest(folder: string): Manifest {
	return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
}

const published = readdirSync(join(repository, "packages"))
	.filter((name) => existsSync(join(repository, "packages", name, "package.json")))
	.map((name) => readManifest(join(repository, "packages", name)))
	.filter((manifest) => !manifest.private);

let scratch: string;
let project: string;

/** The environment of a user's terminal: without what pnpm, npm and vitest add for the scripts that they run. */
function userEnvironment(): NodeJS.ProcessEnv {
	const added = /^(npm_(package|lifecycle|command|execpath|node_execpath)|INIT_CWD|NODE_OPTIONS|VITEST|PNPM_)/;
	const own = Object.entries(process.env).filter(([name]) => !added.test(name));
	return { ...Object.fromEntries(own), XDG_CACHE_HOME: join(scratch, "cache") };
}

function run(command: string, args: readonly string[], cwd: string) {
	const shell = process.platform === "win32";
	const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8", env: userEnvironment(), shell });
	return { status, stdout, stderr };
}

function runOrThrow(command: string, args: readonly string[], cwd: string): string {
	const { status, stdout, stderr } = run(command, args, cwd);
	if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}:\n${stdout}\n${stderr}`);
	return stdout;
}

function runScript(source: string, args: readonly string[] = []) {
	writeFileSync(join(project, "script.mjs"), source);
	return run(process.execPath, ["script.mjs", ...args], project);
}

/** The installed command. */
function dreamdist(): string {
	return join(project, "node_modules", ".bin", "dreamdist");
}

/** This machine's addon as the platform package that a release publishes, in the layout of @napi-rs/cli. */
function makePlatformPackage(folder: string): void {
	const file = `dreamdist.${prebuiltTag}.node`;
	const { version } = readManifest(join(repository, "packages", "native-cuda"));
	mkdirSync(folder);
	copyFileSync(join(repository, "packages", "native-cuda", "bin", platformTag, "dreamdist.node"), join(folder, file));
	const manifest = { name: `@dreamdist/native-${prebuiltTag}`, version, main: file, files: [file] };
	writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
}

/** The paths of all files below a folder, with "/", but for those below the folders to skip. */
function filesBelow(folder: string, skipped: readonly string[] = []): string[] {
	return readdirSync(folder, { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile())
		.map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
		.filter((path) => !skipped.some((name) => path.startsWith(`${name}/`)))
		.sort();
}

beforeAll(() => {
	scratch = mkdtempSync(join(tmpdir(), "dreamdist-packaging-"));
	project = join(scratch, "project");
	const tarballs = join(scratch, "tarballs");
	for (const folder of [project, tarballs]) mkdirSync(folder);
	const [pnpm = "pnpm", ...first] = findPnpm();
	runOrThrow(pnpm, [...first, "--recursive", "pack", "--pack-destination", tarballs], repository);
	makePlatformPackage(join(scratch, "platform"));
	runOrThrow("npm", ["pack", "--pack-destination", tarballs], join(scratch, "platform"));
	writeFileSync(join(project, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }));
	const files = readdirSync(tarballs).map((name) => join(tarballs, name));
	runOrThrow("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", ...files], project);
}, 300_000);

// Thousands of small files: more than the default limit on a busy disk.
afterAll(() => rmSync(scratch, { recursive: true, force: true }), 120_000);

describe("the published packages", () => {
	it("are all of ours, and hold what their manifests name", () => {
		expect(published.map(({ name }) => name)).toContain("@dreamdist/core");
		for (const { name } of published) {
			const folder = join(project, "node_modules", ...name.split("/"));
			const { exports = {}, bin = {} } = readManifest(folder);
			const entries = Object.values(exports).flatMap((entry) =>
				typeof entry === "string" ? entry : Object.values(entry as object),
			);
			for (const path of [...entries, ...Object.values(bin), "LICENSE"] as string[]) {
				expect(existsSync(join(folder, path)), `${name}: ${path}`).toBe(true);
			}
		}
	});

	it("can each be imported", () => {
		const names = published.map(({ name }) => name);
		const { status, stdout, stderr } = runScript(
			`for (const name of ${JSON.stringify(names)}) { await import(name); console.log(name); }`,
		);
		expect(stderr).toBe("");
		expect(status).toBe(0);
		expect(stdout.trim().split("\n")).toEqual(names);
	});

	it("load the prebuilt engine", () => {
		const { status, stdout, stderr } = runScript(`
			import { loadAddon, loadNative } from "@dreamdist/native-cuda";
			const { origin, path } = loadAddon();
			console.log(JSON.stringify({ origin, path, usable: loadNative().info().cpu.usable }));`);
		expect(stderr).toBe("");
		expect(status).toBe(0);
		const { origin, path, usable } = JSON.parse(stdout) as { origin: string; path: string; usable: string[] };
		expect(origin).toBe("prebuilt package");
		expect(dirname(path).endsWith(`native-${prebuiltTag}`)).toBe(true);
		expect(usable.length).toBeGreaterThan(0);
	});

	it("have every example run here", () => {
		const scripts = readdirSync(join(repository, "examples")).filter((name) => !name.endsWith(".md"));
		expect(Object.keys(EXAMPLES).sort()).toEqual(scripts.sort());
	});

	it.each(Object.entries(EXAMPLES))("run examples/%s", { timeout: 240_000 }, (name, args) => {
		if (args.length > 0 && !existsSync(join(project, "model"))) {
			runOrThrow(dreamdist(), ["init", "model", "--config", "tiny", "--quiet"], project);
			const pictures = runScript(`
				import { mkdirSync } from "node:fs";
				import { createImage, writePng } from "@dreamdist/core";
				mkdirSync("photos");
				for (const i of [0, 1, 2]) await writePng(\`photos/\${i}.png\`, createImage(64, 64, [i * 80, 100, 200 - i * 60]));`);
			expect(pictures.stderr).toBe("");
		}
		const { status, stdout, stderr } = runScript(readFileSync(join(repository, "examples", name), "utf8"), args);
		expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
		expect(stdout + readdirSync(project).join(" ")).toMatch(/weight: Float32Array|night-7\.png|scales\.png/);
	});

	it("run the script of the engine in the README, which finds the weights that it says", () => {
		const readme = readFileSync(join(repository, "README.md"), "utf8");
		// The first one needs a model of gigabytes; examples/learn-and-generate.mjs, tested above, is the same.
		const scripts = [...readme.matchAll(/```ts\n(.*?)```/gs)].map(([, script]) => script!);
		const script = scripts.find((one) => one.includes("openDevice"))!;
		const { status, stdout, stderr } = runScript(script);
		expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
		const [, first, second] = /\[ (\S+), (\S+) \]/.exec(stdout) ?? [];
		expect(Number(first)).toBeCloseTo(2, 2);
		expect(Number(second)).toBeCloseTo(-1, 2);
	});

	it("have a working command line", () => {
		const doctor = run(dreamdist(), ["doctor", "--json"], project);
		expect(doctor.status).toBe(0);
		expect(JSON.parse(doctor.stdout)).toMatchObject({ ok: true, engine: { origin: "prebuilt package" } });
	});

	it("carry the engine's sources, complete", () => {
		const packaged = filesBelow(join(project, "node_modules", "@dreamdist", "native-cuda", "native"));
		// Tests stay behind, and the emulated device is for them alone.
		const ours = filesBelow(join(repository, "native"), ["test", "bench", "cuda/test", "cuda/emulated"]);
		expect(packaged).toEqual(ours);
		expect(ours.length).toBeGreaterThan(50);
	});

	it("can be configured for a build from those sources", () => {
		const cmakeJs = join(project, "node_modules", "cmake-js", "bin", "cmake-js");
		const sources = join(project, "node_modules", "@dreamdist", "native-cuda");
		const out = join(scratch, "build");
		runOrThrow(process.execPath, [cmakeJs, "configure", "-d", sources, "-O", out, "--CDDD_CUDA=OFF"], project);
		expect(readFileSync(join(out, "CMakeCache.txt"), "utf8")).toContain("CMAKE_JS_INC");
	});

	it("say what to do where the platform has no binary", () => {
		rmSync(join(project, "node_modules", "@dreamdist", `native-${prebuiltTag}`), { recursive: true });
		const { status, stderr } = run(dreamdist(), ["doctor"], project);
		expect(status).toBe(1);
		expect(stderr).toBe("");
		const script = runScript(
			'import { loadNative } from "@dreamdist/native-cuda"; try { loadNative(); } catch (e) { console.log(e.message); }',
		);
		expect(script.stdout).toContain("npx dreamdist native build");
	});
});
