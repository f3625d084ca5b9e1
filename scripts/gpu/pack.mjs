// Packs the GPU kit: `pnpm gpu:pack [--out .gpu] [--level 0-9] [--no-build] [--addon FOLDER] [--reference FOLDER]`.
//
// One folder that git ignores, with everything that scripts/gpu/gpu-suite.sh needs on a machine that has a card's driver and a POSIX
// shell: this Node, the engine with CUDA, the built packages with their dependencies, and the suite, compressed. --reference adds a set of
// reference cases (a folder with a cases.json). --addon takes an engine built before (a folder as the build leaves it). --emulated puts the
// emulated device in, to try the kit where there is no card; such a kit goes nowhere, so that it may have any size.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
	chmodSync,
	closeSync,
	cpSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	openSync,
	readdirSync,
	readFileSync,
	realpathSync,
	renameSync,
	rmSync,
	statSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import ts from "typescript";
import { findNvcc } from "../../packages/native-cuda/scripts/toolchain.mjs";
import { collectPackages } from "./packages.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = resolve(here, "..", "..");
const core = join(root, "packages", "core");
/** The tracked tree and the kit together, in bytes: what travels to a machine with a card. */
const LIMIT = 60 * 2 ** 20;
/** The op table's cases, which tests and kit share. */
const SHARED_CASES = ["ops/device-cases.ts", "ops/support.ts", "random.ts"];
const EMULATED = /dreamdist-emulated\.node$/;
/** The C++ library that Node and the engine were linked with, for machines with none or an older one. */
const LIBRARIES = ["libstdc++.so.6", "libgcc_s.so.1"];

function stop(message) {
	console.error(`gpu:pack: ${message}`);
	process.exit(1);
}

function run(command, args, options = {}) {
	const { status, error, stdout } = spawnSync(command, args, {
		cwd: root,
		stdio: ["ignore", "pipe", "inherit"],
		maxBuffer: 2 ** 28,
		...options,
	});
	if (error) stop(`${command} is needed and does not run (${error.code})`);
	if (status !== 0) stop(`${command} ${args.join(" ")} failed`);
	return stdout?.toString() ?? "";
}

function readOptions() {
	try {
		const { values } = parseArgs({
			options: {
				out: { type: "string", default: join(root, ".gpu") },
				level: { type: "string", default: "9" },
				"no-build": { type: "boolean", default: false },
				emulated: { type: "boolean", default: false },
				addon: { type: "string" },
				reference: { type: "string", multiple: true, default: [] },
			},
		});
		if (!/^[0-9]$/.test(values.level)) stop("--level is a digit from 0 (fast) to 9 (small)");
		const paths = values.reference.map((path) => resolve(path));
		const bad = paths.find((path) => !existsSync(join(path, "cases.json")));
		if (bad !== undefined) stop(`${bad} is no set of reference cases: it has no cases.json`);
		return { ...values, out: resolve(values.out), addon: values.addon && resolve(values.addon), reference: paths };
	} catch (error) {
		return stop(error.message);
	}
}

/** Builds the packages, and the engine with CUDA into a folder of its own; returns that folder. */
function build({ addon, "no-build": keep }) {
	if (!keep) run(process.execPath, [join("scripts", "bootstrap.mjs"), "build"], { stdio: "inherit" });
	if (addon) return addon;
	const output = join(root, "build-cuda", "bin");
	if (findNvcc() === undefined)
		stop("there is no nvcc to build the engine with; --addon takes one that was built before");
	const script = join("packages", "native-cuda", "scripts", "build-native.mjs");
	run(process.execPath, [script, "--build-dir", "build-cuda", "--output", output], {
		stdio: "inherit",
		env: { ...process.env, DD_CUDA: "ON" },
	});
	return output;
}

/** A tar archive in the format that unpack.cpp reads. Equal contents give equal bytes. */
function compress(folder, archive, level) {
	const tar = `${archive}.tar`;
	const plain = ["--format=ustar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"];
	run("tar", [...plain, "-cf", tar, "-C", folder, ...readdirSync(folder).sort()]);
	const output = openSync(`${archive}.new`, "w");
	run("xz", ["--format=lzma", `-${level}`, "--stdout", tar], { stdio: ["ignore", output, "inherit"] });
	closeSync(output);
	renameSync(`${archive}.new`, archive);
	rmSync(tar);
}

const hashOf = (...parts) => {
	const hash = createHash("sha256");
	for (const part of parts) hash.update(part);
	return hash.digest("hex");
};

/** This Node without its symbols, and the libraries; compressed only when they are others than the last time. */
function packNode(out, level, scratch) {
	const archive = join(out, "node.tar.lzma");
	const record = join(out, "node.sha256");
	const libraries = LIBRARIES.map((name) => run("c++", [`-print-file-name=${name}`]).trim());
	const files = [realpathSync(process.execPath), ...libraries.map((path) => realpathSync(path))];
	const key = hashOf(level, ...files.map((file) => readFileSync(file)));
	if (existsSync(archive) && existsSync(record) && readFileSync(record, "utf8") === key) return key;
	const folder = join(scratch, "node");
	for (const name of ["bin", "lib"]) mkdirSync(join(folder, name), { recursive: true });
	cpSync(files[0], join(folder, "bin", "node"));
	chmodSync(join(folder, "bin", "node"), 0o755);
	run("strip", [join(folder, "bin", "node")]);
	for (const [i, name] of LIBRARIES.entries()) cpSync(files[i + 1], join(folder, "lib", name));
	compress(folder, archive, level);
	writeFileSync(record, key);
	return key;
}

/** The shared cases as JavaScript beside the built core. */
function compileCases(target) {
	for (const name of SHARED_CASES) {
		const source = readFileSync(join(core, "test", name), "utf8");
		const { outputText } = ts.transpileModule(source, {
			compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
		});
		const file = join(target, "test", name.replace(/\.ts$/, ".js"));
		mkdirSync(dirname(file), { recursive: true });
		writeFileSync(file, outputText.replaceAll(/(from "(?:\.\.\/)+)src\//g, "$1dist/"));
	}
}

function packApplication(options, addon, scratch) {
	const { out, level, reference } = options;
	const folder = join(scratch, "app");
	const modules = join(folder, "node_modules");
	let packages;
	try {
		packages = collectPackages([join(root, "packages", "cli")], modules);
	} catch (error) {
		stop(error.message);
	}
	const bin = join(modules, "@dreamdist", "native-cuda", "bin", `${process.platform}-${process.arch}`);
	cpSync(addon, bin, { recursive: true, filter: (path) => options.emulated || !EMULATED.test(path) });
	compileCases(join(modules, "@dreamdist", "core"));
	cpSync(join(here, "suite"), join(folder, "suite"), { recursive: true });
	for (const path of reference) cpSync(path, join(folder, "reference", basename(path)), { recursive: true });
	const kit = {
		commit: run("git", ["rev-parse", "--short=10", "HEAD"]).trim(),
		modified: run("git", ["status", "--porcelain", "--untracked-files=no"]).trim() !== "",
		packed: new Date().toISOString(),
		node: process.version,
		engine: JSON.parse(readFileSync(join(addon, "build.json"), "utf8")),
		packages,
	};
	writeFileSync(join(folder, "kit.json"), `${JSON.stringify(kit, null, "\t")}\n`);
	compress(folder, join(out, "app.tar.lzma"), level);
	return kit;
}

function sizeOf(folder) {
	let bytes = 0;
	for (const name of readdirSync(folder, { recursive: true })) {
		const about = statSync(join(folder, name));
		if (about.isFile()) bytes += about.size;
	}
	return bytes;
}

function trackedBytes() {
	const names = run("git", ["ls-files", "-z"]).split("\0").filter(Boolean);
	return names.reduce((sum, name) => sum + (statSync(join(root, name), { throwIfNoEntry: false })?.size ?? 0), 0);
}

function main() {
	const options = readOptions();
	if (process.platform !== "linux" || process.arch !== "x64") stop("the kit is for Linux on x64, and is packed there");
	const { out } = options;
	const addon = build(options);
	mkdirSync(out, { recursive: true });
	const scratch = mkdtempSync(join(tmpdir(), "dreamdist-kit-"));
	try {
		const flags = ["-std=c++20", "-O2", "-static", "-s", "-fno-exceptions", "-fno-rtti"];
		run("c++", [...flags, "-o", join(out, "unpack"), join(here, "unpack.cpp")]);
		const node = packNode(out, options.level, scratch);
		const kit = packApplication(options, addon, scratch);
		cpSync(join(here, "gpu-suite.sh"), join(out, "gpu-suite.sh"));
		const id = hashOf(node, readFileSync(join(out, "app.tar.lzma"))).slice(0, 16);
		writeFileSync(join(out, "id"), `${id}\n`);
		const [packed, tracked] = [sizeOf(out), trackedBytes()];
		const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
		console.log(
			`${out}: ${mebibytes(packed)}, with the ${mebibytes(tracked)} of tracked files ${mebibytes(packed + tracked)}; commit ${kit.commit}`,
		);
		if (packed + tracked > LIMIT && !options.emulated)
			stop(`together that is more than the ${mebibytes(LIMIT)} that may travel`);
	} finally {
		rmSync(scratch, { recursive: true, force: true });
	}
}

main();
