// Finds the native addon: the local build, then the platform's prebuilt package, then an error that says what to do.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMusl } from "./libc.js";
import { ADDON_INTERFACE } from "./surface.js";
import { testLoad } from "./test-load.js";

/** The platforms that have a prebuilt package, in the names of @napi-rs/cli. */
export const PREBUILT_PLATFORMS: readonly string[] = ["linux-x64-gnu", "linux-arm64-gnu", "darwin-arm64"];

/** How an addon was built, as scripts/build-native.mjs recorded it in the build.json beside it. */
export interface BuildRecord {
	version: string;
	/** ISO 8601. */
	date: string;
	platform: string;
	arch: string;
	compiler: string;
	flags: string;
	cmake: string;
	generator: string;
	buildType: string;
	oneDnn: boolean;
	cuda: { requested: string; reason: string; compiler: string | null };
}

/** An addon that is loaded. */
export interface LoadedAddon {
	/** What the addon exports; index.ts gives it its type. */
	readonly exports: unknown;
	/** The .node file. */
	readonly path: string;
	readonly origin: "local build" | "prebuilt package";
	/** Null where the file has no record beside it. */
	readonly build: BuildRecord | null;
}

/** One place where an addon was looked for, and why none came of it. */
export interface FailedAttempt {
	readonly place: string;
	readonly reason: string;
}

/** No addon could be loaded. The message lists what was tried and the commands that help. */
export class AddonNotFoundError extends Error {
	readonly code = "ERR_DREAMDIST_ADDON_NOT_FOUND";
	readonly attempts: readonly FailedAttempt[];

	constructor(message: string, attempts: readonly FailedAttempt[]) {
		super(message);
		this.name = "AddonNotFoundError";
		this.attempts = attempts;
	}
}

/** Where to look. Everything defaults to this package on this machine; tests pass their own. */
export interface AddonSearch {
	packageRoot?: string;
	platform?: NodeJS.Platform;
	arch?: string;
	musl?: boolean;
	/** Folder that keeps the outcomes of test loads; null keeps none. Default: the user's cache folder. */
	cacheDir?: string | null;
}

const require = createRequire(import.meta.url);

function platformName(platform: string, arch: string, musl: boolean): string {
	if (platform === "linux") return `linux-${arch}-${musl ? "musl" : "gnu"}`;
	return platform === "win32" ? `win32-${arch}-msvc` : `${platform}-${arch}`;
}

function firstLine(error: unknown): string {
	return (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
}

function readBuildRecord(addonPath: string): BuildRecord | null {
	try {
		return JSON.parse(readFileSync(join(dirname(addonPath), "build.json"), "utf8")) as BuildRecord;
	} catch {
		return null;
	}
}

function loadFile(path: string, origin: LoadedAddon["origin"]): LoadedAddon {
	const exports = require(path) as { readonly interface?: number };
	if (exports.interface !== ADDON_INTERFACE)
		throw new Error(
			`it was built from other sources (interface ${exports.interface ?? 0}; this version needs ${ADDON_INTERFACE}); build it again`,
		);
	return { exports, path, origin, build: readBuildRecord(path) };
}

function notFound(packageRoot: string, name: string, attempts: FailedAttempt[]): AddonNotFoundError {
	const inRepository = existsSync(join(packageRoot, "..", "..", "pnpm-workspace.yaml"));
	const version = (JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { version: string }).version;
	const solutions = inRepository
		? ["Build it (needs CMake and a C++ compiler):  npm run build"]
		: ["Build it from the installed sources (needs CMake and a C++ compiler):  npx dreamdist native build"];
	if (!inRepository && PREBUILT_PLATFORMS.includes(name)) {
		solutions.unshift(
			`Install the prebuilt package:  npm install @dreamdist/native-${name}@${version}`,
			"If npm left it out (--omit=optional, or a lock file made on another system, npm issue 4828):  delete node_modules and package-lock.json, then npm install",
		);
	}
	const lines = [
		`@dreamdist/native-cuda has no native addon that works on ${name}.`,
		"",
		"Tried:",
		...attempts.map(({ place, reason }) => `- ${place}: ${reason}`),
		"",
		"Possible solutions:",
		...solutions.map((solution) => `- ${solution}`),
	];
	return new AddonNotFoundError(lines.join("\n"), attempts);
}

/**
 * Finds and loads the addon as `search` describes. A prebuilt binary is first loaded in a child process, so that one that
 * crashes on this machine cannot take the application with it.
 * @throws AddonNotFoundError when neither place has one that works
 */
export function findAddon(search: AddonSearch = {}): LoadedAddon {
	const packageRoot = search.packageRoot ?? dirname(dirname(fileURLToPath(import.meta.url)));
	const platform = search.platform ?? process.platform;
	const arch = search.arch ?? process.arch;
	const attempts: FailedAttempt[] = [];

	const local = join(packageRoot, "bin", `${platform}-${arch}`, "dreamdist.node");
	if (existsSync(local)) {
		try {
			return loadFile(local, "local build");
		} catch (error) {
			attempts.push({ place: `local build ${local}`, reason: firstLine(error) });
		}
	} else attempts.push({ place: `local build ${local}`, reason: "not there" });

	const name = platformName(platform, arch, search.musl ?? isMusl());
	const packageName = `@dreamdist/native-${name}`;
	let prebuilt: string | undefined;
	try {
		prebuilt = createRequire(join(packageRoot, "package.json")).resolve(packageName);
	} catch {
		const reason = PREBUILT_PLATFORMS.includes(name) ? "not installed" : "none is published for this platform";
		attempts.push({ place: `prebuilt package ${packageName}`, reason });
	}
	if (prebuilt !== undefined) {
		try {
			testLoad(prebuilt, search.cacheDir);
			return loadFile(prebuilt, "prebuilt package");
		} catch (error) {
			attempts.push({ place: `prebuilt package ${packageName}`, reason: firstLine(error) });
		}
	}
	throw notFound(packageRoot, name, attempts);
}

let loaded: LoadedAddon | undefined;

const EMULATED = "dreamdist-emulated.node";

/** Where the module with the emulated CUDA device is, or null: only a clone of the repository builds it, on Linux x64. */
export function emulatedAddonPath(): string | null {
	const packageRoot = dirname(dirname(fileURLToPath(import.meta.url)));
	const path = join(packageRoot, "bin", `${process.platform}-${process.arch}`, EMULATED);
	return existsSync(path) ? path : null;
}

/**
 * Makes the module with the emulated CUDA device the addon of this process. It has everything that the usual one has, but handles
 * signals and keeps global state, so that it takes the usual one's place only where it is asked for, and before that one is loaded.
 * @throws Error when it is not built, or another addon is loaded already
 */
export function useEmulatedAddon(): void {
	const path = emulatedAddonPath();
	if (path === null) throw new Error("its module, for tests, is built in a clone of the repository on Linux x64 only");
	if (loaded === undefined) loaded = loadFile(path, "local build");
	else if (loaded.path !== path)
		throw new Error("this process has loaded the engine without it; open it first, in a process of its own");
}

/**
 * The addon of this process, found and loaded at the first call.
 * @throws AddonNotFoundError
 */
export function loadAddon(): LoadedAddon {
	loaded ??= findAddon();
	return loaded;
}
