// Everything that a change has to pass, a step after another, with the total on the very last line:
// `N passed, N failed, N skipped`. .ci/run prepares the machine and calls this; it also runs at a desk: `node scripts/ci.mjs`.
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findNvcc } from "../packages/native-cuda/scripts/toolchain.mjs";
import { addCounts, CANNOT_RUN, countLine, parseCounts } from "./counts.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const MINUTE = 60_000;

// Logs are often cut in the middle: what went wrong is said again at the end, this many lines of each failed step.
const REPEATED_LINES = 40;
const failures = [];

/** Runs a program, passing on what it prints, and returns its exit code and output. It is ended after `limit` ms. */
async function run(command, args, { env = {}, limit }) {
	const child = spawn(command, args, {
		cwd: root,
		env: { ...process.env, ...env },
		stdio: ["ignore", "pipe", "pipe"],
		timeout: limit,
		shell: process.platform === "win32",
	});
	let output = "";
	for (const [from, to] of [
		[child.stdout, process.stdout],
		[child.stderr, process.stderr],
	]) {
		from.setEncoding("utf8").on("data", (text) => {
			to.write(text);
			output += text;
		});
	}
	const result = await new Promise((resolve) => {
		child.once("error", (error) => resolve({ code: 1, output: error.message }));
		child.once("close", (code, signal) => {
			resolve({ code: code ?? 1, output: signal ? `${output}\nEnded by ${signal}.` : output });
		});
	});
	if (result.code !== 0 && result.code !== CANNOT_RUN) {
		failures.push(result.output.trimEnd().split("\n").slice(-REPEATED_LINES).join("\n"));
	}
	return result;
}

/** A step that counts its own tests on its last line. One that fails without saying so counts as a failure. */
async function countedStep(command, args, options) {
	const { code, output } = await run(command, args, options);
	if (code === CANNOT_RUN) return { passed: 0, failed: 0, skipped: 1 };
	const counts = parseCounts(output) || { passed: 0, failed: 0, skipped: 0 };
	return code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

/** A step that passes or fails as a whole. */
async function wholeStep(command, args, options) {
	const { code } = await run(command, args, options);
	if (code === CANNOT_RUN) return { passed: 0, failed: 0, skipped: 1 };
	return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
}

async function compileCuda() {
	if (findNvcc() === undefined) {
		console.log("Skipped: there is no nvcc on this machine.");
		return { passed: 0, failed: 0, skipped: 1 };
	}
	const script = join("packages", "native-cuda", "scripts", "build-native.mjs");
	const output = join("build-cuda", "bin");
	const build = await wholeStep(process.execPath, [script, "--build-dir", "build-cuda", "--output", output], {
		env: { DD_CUDA: "ON" },
		limit: 20 * MINUTE,
	});
	if (build.failed > 0) return build;
	// It must load where there is no driver, and say that this is why there is no card.
	const check = `
		const { cudaReason } = await import("@dreamdist/native-cuda");
		const { hasNvidiaDriver } = await import("./packages/native-cuda/scripts/toolchain.mjs");
		const info = (await import("node:module")).createRequire(process.cwd() + "/")("./build-cuda/bin/dreamdist.node").info();
		const reason = cudaReason(info, null);
		console.log("CUDA:", info.cuda, reason ?? "there is a card");
		process.exit(info.cuda && (hasNvidiaDriver() || reason === "no NVIDIA driver on this machine") ? 0 : 1);`;
	return addCounts(build, await wholeStep(process.execPath, ["--input-type=module", "-e", check], { limit: MINUTE }));
}

/** The engine of the step before, with CUDA where there is nvcc; otherwise the usual one serves to try the kit. */
function builtWithCuda() {
	const usual = join("packages", "native-cuda", "bin", `${process.platform}-${process.arch}`);
	return ["--addon", findNvcc() === undefined ? usual : join("build-cuda", "bin")];
}

const node = process.execPath;
const nativeTests = (...args) =>
	countedStep(node, [join("scripts", "native-tests.mjs"), ...args], { limit: 30 * MINUTE });

// Every case under a sanitizer or an emulator takes many minutes: DD_CI_EXTENDED=1 asks for that.
const shortened = process.env.DD_CI_EXTENDED === "1" ? [] : ["--quick"];

const STEPS = {
	"npm test": () => countedStep("npm", ["test"], { limit: 25 * MINUTE }),
	lint: () =>
		wholeStep(node, [join("node_modules", "@biomejs", "biome", "bin", "biome"), "check", "."], { limit: 5 * MINUTE }),
	"native tests": () => nativeTests(),
	"CUDA compilation": compileCuda,
	"GPU kit on the emulated device": () =>
		countedStep(node, [join("scripts", "gpu", "try.mjs"), ...builtWithCuda()], { limit: 10 * MINUTE }),
	"CUDA kernels' registers, shared memory and spills": () =>
		wholeStep(node, [join("scripts", "cuda-budgets.mjs")], { limit: 10 * MINUTE }),
	"native tests with the address and undefined-behaviour sanitizers": () =>
		nativeTests("--sanitize", "address,undefined", ...shortened),
	"native tests on NEON (qemu)": () => nativeTests("--arch", "aarch64", ...shortened),
};

let total = { passed: 0, failed: 0, skipped: 0 };
const summary = [];
for (const [name, step] of Object.entries(STEPS)) {
	console.log(`\n=== ${name}`);
	const start = Date.now();
	const counts = await step();
	summary.push(`${name}: ${countLine(counts)} (${Math.round((Date.now() - start) / 1000)} s)`);
	total = addCounts(total, counts);
}
for (const text of failures) console.log(`\n=== The end of a failed step, again\n${text}`);
console.log(`\n${summary.join("\n")}\n${countLine(total)}`);
process.exitCode = total.failed === 0 ? 0 : 1;
