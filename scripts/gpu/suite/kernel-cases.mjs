// The layers of Stable Diffusion 2.1 at 768 pixels with four samples of a picture: what the kernels are measured on.
import { attention, conv2d, gradients, groupNorm, layerNorm, linear, mul } from "@dreamdist/core";

/**
 * A case: tensors by name (`frozen`: a weight), what to compute of them, the kernel whose time counts, and its least work.
 * `bytes` counts every tensor that the kernel must read or write once.
 */
const count = (shape) => shape.reduce((a, b) => a * b, 1);

/** Convolution 3x3 and its input gradient. */
function convolution(side, input, output, { batch = 4, stride = 1, upsample = 1 } = {}) {
	const to = (side * upsample) / stride;
	const x = [batch, side, side, input];
	const y = [batch, to, to, output];
	const flop = 2 * count(y) * 9 * input;
	const name = `conv 3x3 ${input}→${output} @ ${side}²${stride > 1 ? `, stride ${stride}` : ""}${upsample > 1 ? ", enlarged" : ""}`;
	const elements = count(x) + count(y);
	const weight = { w: { shape: [output, input, 3, 3], frozen: true } };
	const options = { stride, padding: 1, ...(upsample > 1 ? { upsample } : {}) };
	return [
		{
			name,
			kernel: "conv2d",
			flop,
			elements,
			tensors: { x: { shape: x }, ...weight, b: { shape: [output], frozen: true } },
			build: ({ x, w, b }) => conv2d(x, w, { ...options, bias: b }),
		},
		{
			name: `${name}, input gradient`,
			kernel: "conv2d_input_grad",
			flop,
			elements,
			tensors: { x: { shape: x }, ...weight, dy: { shape: y } },
			build: ({ x, w, dy }) => gradients(conv2d(x, w, options), [x], dy)[0],
		},
	];
}

/** A linear layer and its input gradient. */
function dense(rows, input, output, activation = "none") {
	const halved = activation === "geglu" ? output / 2 : output;
	const name = `linear ${rows} x ${input} → ${output}${activation === "none" ? "" : `, ${activation}`}`;
	const flop = 2 * rows * input * output;
	const w = { shape: [output, input], frozen: true };
	const forward = {
		name,
		kernel: "matmul",
		flop,
		elements: rows * (input + halved),
		tensors: { x: { shape: [rows, input] }, w, b: { shape: [output], frozen: true } },
		build: ({ x, w, b }) => linear(x, w, { bias: b, activation }),
	};
	if (activation !== "none") return [forward];
	return [
		forward,
		{
			name: `${name}, input gradient`,
			kernel: "matmul",
			flop,
			elements: rows * (input + output),
			tensors: { x: { shape: [rows, input] }, w, dy: { shape: [rows, output] } },
			build: ({ x, w, dy }) => gradients(linear(x, w), [x], dy)[0],
		},
	];
}

/** Attention and its gradient. A causal one does half of the work. */
function heads(batch, number, queries, keys, depth, { causal = false, backward = true } = {}) {
	const width = number * depth;
	const name = `attention ${number} heads, ${queries} x ${keys} x ${depth}${causal ? ", causal" : ""}, batch ${batch}`;
	const flop = (4 * batch * number * queries * keys * depth) / (causal ? 2 : 1);
	const q = { shape: [batch, queries, width] };
	const k = { shape: [batch, keys, width] };
	const options = { heads: number, causal };
	const elements = 2 * (count(q.shape) + count(k.shape));
	const forward = {
		name,
		kernel: "attention",
		flop,
		elements,
		tensors: { q, k, v: k },
		build: ({ q, k, v }) => attention(q, k, v, options),
	};
	if (!backward) return [forward];
	const build = ({ q, k, v, dy }) => gradients(attention(q, k, v, options), [q, k, v], dy);
	const gradient = {
		name: `${name}, backward`,
		kernel: "attention_grad",
		flop: 2.5 * flop,
		elements: 2 * elements,
		tensors: { q, k, v: k, dy: q },
		build,
	};
	return [forward, gradient];
}

/** Norms move memory: their share of the floor is the share of the card's copy rate. */
function norms(pixels, channels) {
	const x = { shape: [4, pixels, pixels, channels] };
	const rows = { shape: [4 * pixels * pixels, channels] };
	const scale = { w: { shape: [channels], frozen: true }, b: { shape: [channels], frozen: true } };
	const elements = 2 * count(x.shape);
	const group = ({ x, w, b }) =>
		groupNorm(x, { groups: channels % 32 ? 2 : 32, weight: w, bias: b, activation: "silu" });
	return [
		{
			name: `group norm + SiLU, ${channels} @ ${pixels}²`,
			kernel: "group_norm",
			flop: 0,
			elements,
			tensors: { x, ...scale },
			build: group,
		},
		{
			name: `group norm + SiLU, ${channels} @ ${pixels}², backward`,
			kernel: "group_norm_grad",
			flop: 0,
			elements: 1.5 * elements,
			tensors: { x, ...scale, dy: x },
			build: (values) => gradients(group(values), [values.x], values.dy)[0],
		},
		{
			name: `layer norm ${rows.shape.join(" x ")}`,
			kernel: "layer_norm",
			flop: 0,
			elements,
			tensors: { x: rows, ...scale },
			build: ({ x, w, b }) => layerNorm(x, { weight: w, bias: b }),
		},
	];
}

const elementwise = (elements) => ({
	name: `elementwise, ${(elements / 2 ** 20).toFixed(0)} Mi elements`,
	kernel: "pointwise",
	flop: 0,
	elements: 2 * elements,
	tensors: { x: { shape: [elements] } },
	build: ({ x }) => mul(x, 1.5),
});

/** The rows of the issue's targets and of the plan of a step, most of the time first. */
export const FULL = [
	elementwise(1 << 26),
	...heads(4, 5, 9216, 9216, 64),
	...convolution(96, 320, 320),
	...norms(96, 320),
	...dense(36864, 320, 2560, "geglu"),
	...dense(36864, 320, 960),
	...dense(36864, 1280, 320),
	...heads(4, 5, 9216, 77, 64),
	...convolution(96, 640, 320),
	...convolution(48, 640, 640),
	...convolution(24, 1280, 1280),
	...convolution(12, 1280, 1280),
	...heads(4, 10, 2304, 2304, 64),
	...dense(9216, 640, 5120, "geglu"),
	...dense(9216, 640, 640),
	...dense(2304, 1280, 1280),
	...dense(576, 1280, 1280),
	...dense(2464, 1024, 4096),
	...dense(2464, 4096, 1024),
	...heads(32, 16, 77, 77, 64, { causal: true }),
	...heads(4, 20, 576, 576, 64),
	...convolution(96, 960, 320),
	...convolution(96, 640, 640),
	...convolution(48, 1920, 640),
	...convolution(48, 1280, 1280),
	...convolution(24, 2560, 1280),
	...convolution(12, 2560, 1280),
	...convolution(96, 320, 320, { stride: 2 }),
	...norms(48, 640),
	...norms(24, 1280),
	...heads(1, 1, 9216, 9216, 512, { backward: false }),
];

export const QUICK = [
	elementwise(1 << 10),
	...convolution(6, 8, 12, { batch: 1 }),
	...dense(20, 24, 36),
	...dense(20, 24, 36, "geglu"),
	...heads(1, 2, 20, 20, 16),
	...heads(1, 1, 13, 13, 40, { causal: true }),
	...norms(3, 8),
];

/** What the Hopper kernels are compared with the CPU on: every way they read operands, sizes that fill no tile. */
export const HOPPER_PARITY = [
	...dense(1000, 320, 330 * 8, "geglu"),
	...dense(2464, 320, 968),
	...dense(577, 1280, 328),
	...convolution(24, 192, 168, { batch: 2 }),
	...convolution(24, 128, 320, { stride: 2 }),
	...convolution(12, 64, 64, { batch: 3, upsample: 2 }),
	...heads(2, 5, 577, 577, 64),
	...heads(1, 2, 100, 1000, 64),
];
