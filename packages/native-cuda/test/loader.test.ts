import { execFileSync } from "node:child_process";
import {
	copyFileSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	statSync,
	utimesSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AddonNotFoundError, findAddon, PREBUILT_PLATFORMS } from "../src/loader.js";
import { ADDON_INTERFACE } from "../src/surface.js";
import { testLoad } from "../src/test-load.js";

const { platform, arch } = process;
const PREBUILT = "@dreamdist/native-linux-x64-gnu";
const search = { platform: "linux", arch: "x64", musl: false } as const;

let scratch: string;
let good: string;
let outdated: string;
let crashing: string;
let packageRoot: string;
let cacheDir: string;

const NODE_API =
	'extern "C" int napi_create_int32(void*, int, void**); extern "C" int napi_set_named_property(void*, void*, const char*, void*);';

/** Compiles a Node-API module from one line of C++; it needs no headers. `env` and `exports` are its arguments. */
function compileAddon(name: string, body: string): string {
	const source = join(scratch, `${name}.cpp`);
	const output = join(scratch, `${name}.node`);
	const register = `extern "C" void* napi_register_module_v1(void* env, void* exports) { ${body} return exports; }`;
	writeFileSync(source, `${NODE_API}\n${register}\n`);
	const flags = platform === "darwin" ? ["-undefined", "dynamic_lookup"] : [];
	execFileSync(process.env.CXX ?? "c++", ["-shared", "-fPIC", ...flags, "-o", output, source]);
	return output;
}

function ofInterface(number: number): string {
	return `void* value; napi_create_int32(env, ${number}, &value); napi_set_named_property(env, exports, "interface", value);`;
}

function place(file: string, ...path: string[]): string {
	const target = join(packageRoot, ...path);
	mkdirSync(dirname(target), { recursive: true });
	copyFileSync(file, target);
	return target;
}

function placePrebuilt(file: string): string {
	const folder = ["node_modules", ...PREBUILT.split("/")];
	const target = place(file, ...folder, "dreamdist.node");
	writeFileSync(join(dirname(target), "package.json"), JSON.stringify({ name: PREBUILT, main: "dreamdist.node" }));
	return target;
}

function findError(options: Parameters<typeof findAddon>[0]): AddonNotFoundError {
	try {
		findAddon(options);
	} catch (error) {
		if (error instanceof AddonNotFoundError) return error;
		throw error;
	}
	throw new Error("an addon was found");
}

beforeAll(() => {
	scratch = mkdtempSync(join(tmpdir(), "dreamdist-loader-"));
	good = compileAddon("good", ofInterface(ADDON_INTERFACE));
	outdated = compileAddon("outdated", ofInterface(ADDON_INTERFACE - 1));
	crashing = compileAddon("crashing", "__builtin_trap();");
});

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

beforeEach(() => {
	packageRoot = mkdtempSync(join(scratch, "package-"));
	cacheDir = join(packageRoot, "cache");
	writeFileSync(join(packageRoot, "package.json"), JSON.stringify({ version: "1.2.3" }));
});

describe("findAddon", () => {
	it("refuses one that was built from other sources, and says to build it again", () => {
		place(outdated, "bin", "linux-x64", "dreamdist.node");
		const { message } = findError({ packageRoot, ...search, cacheDir });
		expect(message).toContain(
			`it was built from other sources (interface ${ADDON_INTERFACE - 1}; this version needs ${ADDON_INTERFACE}); build it again`,
		);
		expect(message).toMatch(/native build|npm run build/);
	});

	it("prefers the local build, and reads its record", () => {
		const local = place(good, "bin", "linux-x64", "dreamdist.node");
		writeFileSync(join(dirname(local), "build.json"), JSON.stringify({ compiler: "GNU 12" }));
		placePrebuilt(crashing);
		const addon = findAddon({ ...search, packageRoot, cacheDir });
		expect(addon).toMatchObject({ path: local, origin: "local build", build: { compiler: "GNU 12" } });
		expect(addon.exports).toBeTypeOf("object");
	});

	it("takes the prebuilt package where there is no local build", () => {
		const prebuilt = placePrebuilt(good);
		const addon = findAddon({ ...search, packageRoot, cacheDir });
		expect(addon).toMatchObject({ path: prebuilt, origin: "prebuilt package", build: null });
	});

	it("falls back to the prebuilt package when the local build does not load", () => {
		writeFileSync(join(scratch, "text.node"), "no binary");
		place(join(scratch, "text.node"), "bin", "linux-x64", "dreamdist.node");
		placePrebuilt(good);
		expect(findAddon({ ...search, packageRoot, cacheDir }).origin).toBe("prebuilt package");
	});

	it("survives a prebuilt binary that crashes, and says so", () => {
		placePrebuilt(crashing);
		const error = findError({ ...search, packageRoot, cacheDir });
		expect(error.attempts[1]).toMatchObject({ place: `prebuilt package ${PREBUILT}` });
		expect(error.attempts[1]?.reason).toMatch(/crashed a test process with SIG/);
	});

	it("lists what was tried and how to mend it", () => {
		const { message, code } = findError({ ...search, packageRoot, cacheDir });
		expect(code).toBe("ERR_DREAMDIST_ADDON_NOT_FOUND");
		expect(message).toContain(`${join(packageRoot, "bin", "linux-x64", "dreamdist.node")}: not there`);
		expect(message).toContain(`prebuilt package ${PREBUILT}: not installed`);
		expect(message).toContain(`npm install ${PREBUILT}@1.2.3`);
		expect(message).toContain("npx dreamdist native build");
	});

	it("does not advise to install a package that is not published", () => {
		const { message } = findError({ ...search, arch: "riscv64", packageRoot, cacheDir });
		expect(message).toContain("@dreamdist/native-linux-riscv64-gnu: none is published for this platform");
		expect(message).not.toContain("npm install");
	});

	it("advises to build inside the repository", () => {
		const nested = join(packageRoot, "packages", "native");
		mkdirSync(nested, { recursive: true });
		writeFileSync(join(packageRoot, "pnpm-workspace.yaml"), "");
		writeFileSync(join(nested, "package.json"), JSON.stringify({ version: "1.2.3" }));
		const { message } = findError({ ...search, packageRoot: nested, cacheDir });
		expect(message).toContain("npm run build");
		expect(message).not.toContain("npx dreamdist");
	});

	it.each([
		["linux", "arm64", true, "linux-arm64-musl"],
		["darwin", "arm64", false, "darwin-arm64"],
		["win32", "x64", false, "win32-x64-msvc"],
	] as const)("names the package of %s %s (musl: %s) like @napi-rs/cli", (os, cpu, musl, name) => {
		const { message } = findError({ platform: os, arch: cpu, musl, packageRoot, cacheDir });
		expect(message).toContain(`@dreamdist/native-${name}:`);
	});
});

describe("testLoad", () => {
	it("remembers a file that loaded, until it changes", () => {
		const file = place(good, "remembered.node");
		const time = new Date(1_700_000_000_000);
		utimesSync(file, time, time);
		testLoad(file, cacheDir);
		expect(readdirSync(cacheDir)).toHaveLength(1);
		// The same name, size and time: taken from the record, or else it would be found to crash.
		const { size } = statSync(file);
		const other = readFileSync(crashing);
		writeFileSync(file, Buffer.concat([other, Buffer.alloc(size)]).subarray(0, size));
		utimesSync(file, time, time);
		testLoad(file, cacheDir);
		utimesSync(file, time, new Date(time.getTime() + 5000));
		expect(() => testLoad(file, cacheDir)).toThrow();
	});

	it("works where nothing can be remembered", () => {
		const file = place(good, "cache-is-a-file.node");
		expect(() => testLoad(file, null)).not.toThrow();
		expect(() => testLoad(file, file)).not.toThrow();
	});

	it("gives the loader's own reason", () => {
		const file = join(packageRoot, "text.node");
		writeFileSync(file, "no binary");
		expect(() => testLoad(file, null)).toThrow(/text\.node/);
	});
});

it("finds this machine's own build", () => {
	const addon = findAddon();
	expect(addon.path).toContain(join("bin", `${platform}-${arch}`));
	expect(addon.build?.platform).toBe(platform);
});

it("names the platforms that a release builds", () => {
	const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
		napi: { targets: string[] };
	};
	const names: Record<string, string> = {
		"x86_64-unknown-linux-gnu": "linux-x64-gnu",
		"aarch64-unknown-linux-gnu": "linux-arm64-gnu",
		"aarch64-apple-darwin": "darwin-arm64",
	};
	const platforms = manifest.napi.targets.map((target) => names[target]);
	expect(platforms).toEqual(PREBUILT_PLATFORMS);
	const workflow = readFileSync(new URL("../../../.github/workflows/release.yml", import.meta.url), "utf8");
	for (const platform of platforms) expect(workflow).toContain(`- name: ${platform}\n`);
});
