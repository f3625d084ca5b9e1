// Whole networks of Stable Diffusion 2.1 at full size: `pnpm bench:models MODEL [--json] [--docs] [--filter TEXT] [--profile]`.
//
// MODEL is a folder as `dd init DIR --config sd21` writes it (random weights serve). Every row is its fastest of three runs, as a share
// of the fastest large matmul before, between and after them. --docs writes the table into docs/benchmarks.md. Nothing else should run meanwhile.
import { parseArgs } from "node:util";
import {
	compileLearningStep,
	FrozenTensor,
	frameData,
	frameWords,
	gradients,
	linear,
	mul,
	openDevice,
	packFrames,
	sum,
	TokenState,
	timestepScalars,
} from "@dreamdist/core";
import { loadPipeline } from "@dreamdist/models";
import { describeMachine, measuredOn, writeTable } from "./docs-table.mjs";

const { values: options, positionals } = parseArgs({
	allowPositionals: true,
	options: {
		json: { type: "boolean", default: false },
		docs: { type: "boolean", default: false },
		profile: { type: "boolean", default: false },
		filter: { type: "string", default: "" },
	},
});
const [model] = positionals;
if (!model) {
	console.error(
		"bench:models needs a model folder: write one with `pnpm dd init DIR --config sd21`, then `pnpm bench:models DIR`",
	);
	process.exit(2);
}

// GFLOP as the networks are usually counted (a multiplication and an addition are two): what PyTorch would do for the same result.
// A row has `build`, the outputs of a graph, or `compile`, a program together with what it holds.
const unet = (side, gflop) => ({
	name: `UNet, latents ${side}x${side}, forward`,
	gflop,
	build: (pipe, graph) => ({ y: predict(pipe, graph, side).y }),
	inputs: () => unetInputs(side),
});
const unetGradient = (side, gflop) => ({
	name: `UNet, latents ${side}x${side}, forward and gradient of the text features`,
	gflop,
	build: (pipe, graph) => {
		const { y, context } = predict(pipe, graph, side);
		const target = graph.input("target", y.shape);
		const [gradient] = gradients(sum(mul(y, target)), [context]);
		return { gradient };
	},
	inputs: () => ({ ...unetInputs(side), target: numbers(side * side * 4) }),
});
const ROWS = [
	unet(64, 804),
	unet(32, 181),
	unetGradient(64, 1715),
	unetGradient(32, 364),
	{
		name: "text encoder, 8 x 77 tokens, forward",
		gflop: 359,
		build: (pipe, graph) => ({
			y: pipe.textEncoder.encode(pipe.textEncoder.embed(graph.input("ids", [8, 77], "i32"))),
		}),
		inputs: () => ({ ids: Int32Array.from({ length: 8 * 77 }, (_, i) => (i * 7919) % 49000) }),
	},
	{
		name: "autoencoder, decode 256x256 pixels",
		gflop: 622,
		build: (pipe, graph) => ({ y: pipe.autoencoder.decode(graph.input("latents", [1, 32, 32, 4])) }),
		inputs: () => ({ latents: numbers(32 * 32 * 4) }),
	},
	// A prompt goes through the text encoder forward and backward (2 x 44.9), a sample through the UNet (364); the rest is small.
	learningStep({ prompts: 4, samples: 2, side: 32, gflop: 4 * 2 * 44.9 + 2 * 364 }),
];

/** A whole step of learning by one picture: K prompts of 4 vectors encoded, S contexts sampled, the loss, its gradient, AdamW. */
function learningStep({ prompts, samples, side, gflop }) {
	return {
		name: `learning step, ${side * 8}x${side * 8} pixels, K = ${prompts}, S = ${samples}`,
		gflop,
		async compile(pipe) {
			const { device, textEncoder, denoiser, autoencoder } = pipe;
			const tokens = numbers(prompts * 4 * textEncoder.width).map((value) => value * 0.02);
			const one = { classes: 1, rows: null, accumulate: 1 };
			const state = await TokenState.create(device, [1, prompts, 4, textEncoder.width], tokens, one);
			const program = await compileLearningStep(device, { textEncoder, denoiser }, state, {
				batch: 1,
				samples,
				encodedRows: 1,
				latents: [side, side, denoiser.latentChannels],
				orthogonal: "paper",
				randomness: "seeded",
				scalingFactor: autoencoder.scale,
			});
			const update = { lr: 1e-3, clip: 1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01 };
			const inputs = {
				...frameData(packFrames([frameWords(textEncoder.tokenizer, 4, {})], prompts)),
				moments: numbers(side * side * 8),
				timesteps: [500],
				scalars: timestepScalars(pipe.noiseSchedule, [500], null),
				latentKeys: keys(1),
				noiseKeys: keys(1),
				offsetKeys: keys(1),
				omegaKeys: keys(samples),
				noiseOffset: 0,
				orthogonalWeight: 5e-3,
				...state.inputs([1], 0, update),
			};
			return { program, inputs, dispose: () => state.dispose() };
		},
	};
}

/** [rows, 4] of random keys. */
const keys = (rows) => Int32Array.from({ length: rows * 4 }, (_, i) => i * 7919);

async function compileRow(device, pipe, row) {
	if (row.compile) return row.compile(pipe);
	const program = await device.compile((graph) => row.build(pipe, graph), { name: row.name });
	return { program, inputs: row.inputs(), dispose: () => {} };
}

function predict(pipe, graph, side) {
	const context = graph.input("context", [1, 77, pipe.denoiser.contextWidth]);
	const y = pipe.denoiser.predict(graph.input("latents", [1, side, side, 4]), graph.input("timesteps", [1]), context);
	return { y, context };
}
const unetInputs = (side) => ({ latents: numbers(side * side * 4), timesteps: [500], context: numbers(77 * 1024) });

/** Numbers between −1 and 1 without a pattern. */
function numbers(count) {
	return Float32Array.from({ length: count }, (_, i) => Math.sin(i * 12.9898) * 0.999);
}

const seconds = async (work) => {
	const start = performance.now();
	await work();
	return (performance.now() - start) / 1000;
};

/** GFLOP/s of products with a packed weight, as the networks' own layers are. */
async function largeMatmuls(device) {
	const shapes = [
		[1024, 1024, 1024],
		[2464, 1024, 4096],
		[4096, 1280, 1280],
	];
	const programs = [];
	for (const [rows, depth, width] of shapes) {
		const weight = new FrozenTensor(`large ${depth}x${width}`, [width, depth], "f32", { data: numbers(width * depth) });
		const program = await device.compile((graph) => ({
			y: linear(graph.input("x", [rows, depth]), graph.frozen(weight)),
		}));
		programs.push({ program, x: numbers(rows * depth), gflop: (2 * rows * depth * width) / 1e9 });
	}
	return async () => {
		let best = 0;
		for (const { program, x, gflop } of programs) {
			const times = [];
			for (let i = 0; i < 4; i++) {
				const profile = await program.profile({ x });
				times.push(profile.reduce((total, call) => total + call.microseconds, 0) / 1e6);
			}
			best = Math.max(best, gflop / Math.min(...times));
		}
		return best;
	};
}

function summarize(profile) {
	const kernels = new Map();
	const labels = new Map();
	for (const { kernel, label, microseconds } of profile) {
		kernels.set(kernel, (kernels.get(kernel) ?? 0) + microseconds / 1000);
		labels.set(`${kernel} ${label}`, (labels.get(`${kernel} ${label}`) ?? 0) + microseconds / 1000);
	}
	const top = (map, count) =>
		[...map]
			.sort((a, b) => b[1] - a[1])
			.slice(0, count)
			.map(([name, ms]) => `    ${ms.toFixed(1).padStart(9)} ms  ${name}`);
	console.error([...top(kernels, 20), "  slowest calls:", ...top(labels, 45)].join("\n"));
}

/** From opening the files to the first result, weights packed. */
const loadSeconds = (device, row) =>
	seconds(async () => {
		const pipe = await loadPipeline(model, { device });
		const program = await device.compile((graph) => row.build(pipe, graph));
		await program.run(row.inputs());
		program.dispose();
		pipe.dispose();
	});

async function measure() {
	const device = await openDevice("cpu");
	const matmulRate = await largeMatmuls(device);
	const rows = [];
	// The first time a virtual machine may have to ask its host for every page of memory.
	const load = [await loadSeconds(device, ROWS[0]), await loadSeconds(device, ROWS[0])];
	const pipe = await loadPipeline(model, { device });
	for (const row of ROWS.filter(({ name }) => name.includes(options.filter))) {
		const { program, inputs, dispose } = await compileRow(device, pipe, row);
		await program.run(inputs);
		// A shared machine's clock and memory change by the minute: the yardstick is taken before, between and after the runs.
		let [time, matmul] = [Number.POSITIVE_INFINITY, await matmulRate()];
		for (let i = 0; i < 3; i++) {
			time = Math.min(time, await seconds(() => program.run(inputs)));
			matmul = Math.max(matmul, await matmulRate());
		}
		const gflops = row.gflop / time;
		rows.push({ ...row, seconds: time, gflops, matmul, share: gflops / matmul, memory: program.memory.peak });
		console.error(`${row.name}: ${time.toFixed(2)} s, ${gflops.toFixed(0)} GFLOP/s; large matmul ${matmul.toFixed(0)}`);
		if (options.profile) summarize(await program.profile(inputs));
		program.dispose();
		dispose();
	}
	pipe.dispose();
	const machine = describeMachine(device);
	device.dispose();
	return { machine, load, rows };
}

function table({ machine, load, rows }) {
	return [
		`${measuredOn(machine)}. f32 compute, weights as stored. From the files (in the page cache) to the first output of the UNet: ${load[0].toFixed(1)} s, and ${load[1].toFixed(1)} s when done again.`,
		"",
		"| network | GFLOP | time | rate | large matmul | share |",
		"|---|---:|---:|---:|---:|---:|",
		...rows.map(
			(row) =>
				`| ${row.name} | ${row.gflop} | ${row.seconds.toFixed(2)} s | ${row.gflops.toFixed(0)} GFLOP/s | ${row.matmul.toFixed(0)} | ${row.share.toFixed(2)} |`,
		),
	].join("\n");
}

const result = await measure();
if (options.docs) writeTable("model benchmarks", table(result));
console.log(options.json ? JSON.stringify(result, null, "\t") : table(result));
