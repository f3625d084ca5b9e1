// Compiles every CUDA kernel for each architecture, and looks at the machine code. Needs nvcc, no card.
//   node scripts/cuda-budgets.mjs           fails on a spill, on a kernel without the instructions that it is written for, and, where
//                                           the compiler is the one on record, on a difference from native/cuda/budgets.json
//   node scripts/cuda-budgets.mjs --write   records what is there now
//   … --keep FOLDER                         keeps what was compiled there, so that only sources that changed are compiled the next time
// A change of registers or shared memory changes how many blocks run at once, so it should be seen in review.
import { execFile, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { findNvcc } from "../packages/native-cuda/scripts/toolchain.mjs";
import { CANNOT_RUN } from "./counts.mjs";
import { instructionsOf } from "./cubin.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const native = join(root, "native");
const record = join(native, "cuda", "budgets.json");
const ARCHITECTURES = ["80", "90a"];
const run = promisify(execFile);
/** Of processor time: eight minutes on two cores. */
const MOST_SECONDS = 960;

/**
 * What kernels are written for: without these instructions they would still compute the right numbers, slowly. `for` is matched with the
 * name and the architecture; every rule must apply to some kernel.
 */
const EXPECTED = [
	{ for: /\bproduct_kernel</, has: ["LDGSTS"] }, // products in f32: tiles arrive while others are multiplied
	{ for: /\battention_(keys_|queries_)?kernel</, has: ["LDGSTS"] },
	{ for: /\btensor_product_kernel<.*Problem<b?f16\b/, has: ["HMMA", "LDSM", "LDGSTS"] }, // in 16 bits: on tensor cores
	{ for: /\btensor_product_kernel<.*Problem<float\b/, has: ["HMMA_TF32", "LDGSTS"] },
	{ for: /\battention_half_(keys_|queries_)?kernel</, has: ["HMMA", "LDSM", "LDGSTS"] },
	{ for: /\bhopper_\w+_kernel</, has: ["HGMMA", "UTMALDG"] }, // a warpgroup at a time, from what TMA has copied
];

/** Sources of what sm_90a alone can do. */
const isHopper = (source) => source.endsWith("_hopper.cu");
/** What ptxas says where it waits for each wgmma before the next: the right numbers at a fraction of the rate. */
const SERIALIZED = /wgmma\.mma_async instructions are serialized/;

/** What `ptxas -v` says of each entry function: mangled name → registers, bytes of stack, spills and static shared memory. */
function parseReport(text) {
	const kernels = {};
	let current;
	for (const line of text.split("\n")) {
		const entry = /Compiling entry function '(\S+)'/.exec(line);
		if (entry) {
			current = { registers: 0, stack: 0, spills: 0, shared: 0 };
			kernels[entry[1]] = current;
		}
		if (current === undefined) continue;
		const stack = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
		if (stack) Object.assign(current, { stack: Number(stack[1]), spills: Number(stack[2]) + Number(stack[3]) });
		const used = /Used (\d+) registers/.exec(line);
		if (used) {
			current.registers = Number(used[1]);
			current.shared = Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0);
			current = undefined;
		}
	}
	return kernels;
}

/** Processor time of the programs that this one has waited for, whatever else the machine does; null where the system does not say. */
function secondsOfChildren() {
	try {
		const fields = readFileSync("/proc/self/stat", "utf8")
			.replace(/^.*\) /s, "")
			.split(" ");
		const TICKS_A_SECOND = 100; // of Linux's interface, on every machine
		return (Number(fields[13]) + Number(fields[14])) / TICKS_A_SECOND;
	} catch {
		return null;
	}
}

function demangle(names) {
	const { stdout, status } = spawnSync("c++filt", { input: names.join("\n"), encoding: "utf8" });
	if (status !== 0) throw new Error("c++filt (binutils) is needed to name the kernels");
	const short = (name) => name.replaceAll("(anonymous namespace)::", "").replaceAll(/dreamdist::\w+::/g, "");
	return stdout.trimEnd().split("\n").map(short);
}

/** Of everything that the result of a compilation depends on. */
async function contentsHash(nvcc, flags) {
	const { stdout } = await run(nvcc, ["-M", ...flags], { maxBuffer: 2 ** 26 });
	const files = stdout
		.replace(/^.*?:/s, "")
		.split(/[\s\\]+/)
		.filter((path) => path.startsWith(native));
	const hash = createHash("sha256").update(`${version} ${flags.filter((flag) => !flag.startsWith("/")).join(" ")}`);
	for (const file of files.sort()) hash.update(readFileSync(file));
	return hash.digest("hex").slice(0, 16);
}

async function measure(nvcc, folder, source, architecture) {
	const flags = ["-std=c++20", "-O3", `-arch=sm_${architecture}`, "-I", join(native, "include"), source];
	const name = join(folder, `${basename(source, ".cu")}-${architecture}-${await contentsHash(nvcc, flags)}`);
	const [output, said] = [`${name}.cubin`, `${name}.txt`];
	if (!existsSync(said)) {
		const verbose = ["-Xptxas", "-v", "-cubin", "-o", output];
		const { stderr } = await run(nvcc, [...verbose, ...flags], { maxBuffer: 2 ** 26 });
		writeFileSync(`${said}.new`, stderr);
		renameSync(`${said}.new`, said);
	}
	const report = readFileSync(said, "utf8");
	if (SERIALIZED.test(report)) throw new Error(`${basename(source)}: ptxas serializes its wgmma instructions`);
	const kernels = parseReport(report);
	const names = Object.keys(kernels);
	if (names.length === 0) return [];
	const code = instructionsOf(readFileSync(output));
	return demangle(names).map((name, i) => {
		const counts = code.get(names[i]);
		if (counts === undefined) throw new Error(`${output} has no code of ${name}`);
		return [`${name} sm_${architecture}`, { ...kernels[names[i]], instructions: Object.keys(counts).sort().join(" ") }];
	});
}

/** Each probe has the instruction that it is named after, and only that one has it: the machine code is read as it is meant. */
async function checkReader(nvcc) {
	const folder = mkdtempSync(join(tmpdir(), "dreamdist-probes-"));
	const problems = [];
	try {
		for (const architecture of ARCHITECTURES) {
			const output = join(folder, "probes.cubin");
			const source = join(native, "cuda", "test", "instructions", "probes.cu");
			await run(nvcc, ["-std=c++20", "-O3", `-arch=sm_${architecture}`, "-cubin", "-o", output, source]);
			const probes = instructionsOf(readFileSync(output));
			if (!probes.has("none")) problems.push(`sm_${architecture}: the probes' machine code is not found`);
			for (const [probe, counts] of probes) {
				const found = Object.keys(counts).filter((name) => name !== "STL");
				if (found.join() === (probe === "none" ? "" : probe)) continue;
				problems.push(`sm_${architecture}: in the probe ${probe} the gate finds ${found.join(", ") || "nothing"}`);
			}
		}
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
	return problems;
}

function missingInstructions(kernels) {
	const problems = [];
	for (const { for: pattern, has } of EXPECTED) {
		const names = Object.keys(kernels).filter((name) => pattern.test(name));
		if (names.length === 0) problems.push(`no kernel is called ${pattern}, of which ${has.join(", ")} are expected`);
		for (const name of names) {
			const missing = has.filter((instruction) => !kernels[name].instructions.split(" ").includes(instruction));
			if (missing.length > 0) problems.push(`${name} has no ${missing.join(", ")}`);
		}
	}
	return problems;
}

async function measureAll(nvcc, keep) {
	const folder = keep ?? mkdtempSync(join(tmpdir(), "dreamdist-budgets-"));
	mkdirSync(folder, { recursive: true });
	const kernels = join(native, "cuda", "kernels");
	const sources = readdirSync(kernels).filter((name) => name.endsWith(".cu"));
	const architectures = (name) => (isHopper(name) ? ["90a"] : ARCHITECTURES);
	const jobs = sources.flatMap((name) => architectures(name).map((arch) => [join(kernels, name), arch]));
	const found = [];
	const worker = async () => {
		for (let job = jobs.shift(); job !== undefined; job = jobs.shift())
			found.push(...(await measure(nvcc, folder, ...job)));
	};
	try {
		await Promise.all(Array.from({ length: availableParallelism() }, worker));
	} finally {
		if (keep === undefined) rmSync(folder, { recursive: true, force: true });
	}
	return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function compare(recorded, kernels) {
	const problems = [];
	const line = ({ registers, stack, shared, instructions }) =>
		`${registers} registers, ${stack} B stack, ${shared} B shared${instructions ? `, ${instructions}` : ""}`;
	for (const [name, now] of Object.entries(kernels)) {
		const before = recorded[name];
		if (before === undefined) problems.push(`${name} is not on record: ${line(now)}`);
		else if (line(before) !== line(now)) problems.push(`${name}: ${line(before)} on record, ${line(now)} now`);
	}
	for (const name of Object.keys(recorded)) if (!(name in kernels)) problems.push(`${name} is on record and gone`);
	return problems;
}

const { values: options } = parseArgs({ options: { write: { type: "boolean" }, keep: { type: "string" } } });
const nvcc = findNvcc();
if (nvcc === undefined) {
	console.log("Skipped: there is no nvcc on this machine.");
	process.exit(CANNOT_RUN);
}
const version = /release ([\d.]+)/.exec(spawnSync(nvcc, ["--version"], { encoding: "utf8" }).stdout)?.[1];
const problems = await checkReader(nvcc);
const kernels = await measureAll(nvcc, options.keep);
const seconds = secondsOfChildren();
if (seconds > MOST_SECONDS) problems.push(`compiling took ${seconds} s of processor time, more than ${MOST_SECONDS} s`);
const spilling = Object.entries(kernels).filter(([, { spills }]) => spills > 0);
problems.push(...spilling.map(([name, { spills }]) => `${name} spills ${spills} bytes to local memory`));
problems.push(...missingInstructions(kernels));
if (options.write) {
	const entries = Object.entries(kernels).map(([name, { registers, stack, shared, instructions }]) => [
		name,
		{ registers, stack, shared, instructions },
	]);
	writeFileSync(record, `${JSON.stringify({ nvcc: version, kernels: Object.fromEntries(entries) }, null, "\t")}\n`);
} else {
	const recorded = JSON.parse(readFileSync(record, "utf8"));
	if (recorded.nvcc === version) problems.push(...compare(recorded.kernels, kernels));
	else console.log(`Budgets are on record for nvcc ${recorded.nvcc}; with ${version} only spills are looked for.`);
}
for (const problem of problems) console.log(problem);
console.log(
	`${Object.keys(kernels).length} kernels compiled${seconds === null ? "" : ` in ${seconds.toFixed(0)} s of processor time`}, ${problems.length} problems.`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
