// The InceptionV3 that Fréchet inception distances are measured with: TensorFlow's of 2015-12-05 (Szegedy et al. 2015), under the names of the
// public PyTorch conversion (pt_inception-2015-12-05). It differs from torchvision's: average pools do not count padding, and the last block
// pools its branch by the maximum.
import {
	avgPool2d,
	batchNorm,
	cast,
	concat,
	conv2d,
	linear,
	maxPool2d,
	mean,
	type Pair,
	relu,
	ShapeError,
	type Value,
	type Weights,
} from "@dreamdist/core";

/** Side of the pictures it was trained on. */
export const INCEPTION_SIDE = 299;

const BATCH_NORM_EPS = 1e-3;
const CLASSES = 1008;

export interface InceptionFeatures {
	/** Means over the picture after the first max pool, [B, 64]. */
	mean64: Value;
	/** After the second max pool, [B, 192]. */
	mean192: Value;
	/** After Mixed_6e, [B, 768]. */
	mean768: Value;
	/** After the last block: the features that distances are measured in, [B, 2048]. */
	features: Value;
	/** Without the last layer's bias, as torch-fidelity's inception score takes them, [B, 1008]. */
	logitsUnbiased: Value;
	logits: Value;
}

/** @param pictures [B, 299, 299, 3] in [−1, 1], as one of FID's preprocessings gives them */
export function inceptionV3(weights: Weights, pictures: Value): InceptionFeatures {
	if (pictures.rank !== 4 || pictures.shape[3] !== 3 || Math.min(pictures.shape[1]!, pictures.shape[2]!) < 75)
		throw new ShapeError(`inceptionV3: expected pictures [B, H, W, 3] of 75 pixels a side or more, got ${pictures}`);
	const at = (name: string) => weights.scope(name);
	const pool = (x: Value) => maxPool2d(x, { kernel: 3, stride: 2 });
	const everywhere = (x: Value) => mean(cast(x, "f32"), [1, 2]);

	let x = unit(at("Conv2d_1a_3x3"), pictures, 32, 3, { stride: 2, padding: 0 });
	x = unit(at("Conv2d_2a_3x3"), x, 32, 3, { padding: 0 });
	x = pool(unit(at("Conv2d_2b_3x3"), x, 64, 3));
	const mean64 = everywhere(x);
	x = unit(at("Conv2d_3b_1x1"), x, 80, 1);
	x = pool(unit(at("Conv2d_4a_3x3"), x, 192, 3, { padding: 0 }));
	const mean192 = everywhere(x);
	x = blockA(at("Mixed_5b"), x, 32);
	x = blockA(at("Mixed_5c"), x, 64);
	x = blockA(at("Mixed_5d"), x, 64);
	x = blockB(at("Mixed_6a"), x);
	x = blockC(at("Mixed_6b"), x, 128);
	x = blockC(at("Mixed_6c"), x, 160);
	x = blockC(at("Mixed_6d"), x, 160);
	x = blockC(at("Mixed_6e"), x, 192);
	const mean768 = everywhere(x);
	x = blockD(at("Mixed_7a"), x);
	x = blockE(at("Mixed_7b"), x, "average");
	x = blockE(at("Mixed_7c"), x, "max");
	const features = everywhere(x);
	const classes = at("fc").get("weight", [CLASSES, 2048]);
	const bias = at("fc").get("bias", [CLASSES]);
	return {
		mean64,
		mean192,
		mean768,
		features,
		logitsUnbiased: linear(features, classes),
		logits: linear(features, classes, { bias }),
	};
}

interface UnitOptions {
	stride?: number;
	/** Default: the picture keeps its size. */
	padding?: number;
}

/** A convolution, batch norm and relu. A network whose norms were folded into its convolutions has biases in their place. */
function unit(weights: Weights, x: Value, channels: number, kernel: Pair, options: UnitOptions = {}): Value {
	const [height, width] = typeof kernel === "number" ? [kernel, kernel] : kernel;
	const vertical = options.padding ?? (height - 1) / 2;
	const horizontal = options.padding ?? (width - 1) / 2;
	const geometry = {
		stride: options.stride ?? 1,
		padding: [vertical, horizontal, vertical, horizontal] as [number, number, number, number],
	};
	return weights.graph.named(weights.path, () => {
		const weight = weights.get("conv.weight", [channels, x.shape[3]!, height, width]);
		const bias = weights.optional("conv.bias", [channels]);
		if (bias) return conv2d(x, weight, { ...geometry, bias, activation: "relu" });
		const norm = weights.scope("bn");
		const { y } = batchNorm(conv2d(x, weight, geometry), {
			weight: norm.get("weight", [channels]),
			bias: norm.get("bias", [channels]),
			runningMean: cast(norm.get("running_mean", [channels]), "f32"),
			runningVariance: cast(norm.get("running_var", [channels]), "f32"),
			eps: BATCH_NORM_EPS,
		});
		return relu(y);
	});
}

/** The 3×3 mean around each pixel, of the pixels that exist. */
const localMean = (x: Value) => avgPool2d(x, { kernel: 3, stride: 1, padding: 1, countIncludePad: false });

function blockA(weights: Weights, x: Value, poolFeatures: number): Value {
	const at = (name: string) => weights.scope(name);
	const five = unit(at("branch5x5_2"), unit(at("branch5x5_1"), x, 48, 1), 64, 5);
	let three = unit(at("branch3x3dbl_1"), x, 64, 1);
	three = unit(at("branch3x3dbl_2"), three, 96, 3);
	three = unit(at("branch3x3dbl_3"), three, 96, 3);
	const pooled = unit(at("branch_pool"), localMean(x), poolFeatures, 1);
	return concat([unit(at("branch1x1"), x, 64, 1), five, three, pooled], -1);
}

function blockB(weights: Weights, x: Value): Value {
	const at = (name: string) => weights.scope(name);
	let double = unit(at("branch3x3dbl_1"), x, 64, 1);
	double = unit(at("branch3x3dbl_2"), double, 96, 3);
	double = unit(at("branch3x3dbl_3"), double, 96, 3, { stride: 2, padding: 0 });
	const single = unit(at("branch3x3"), x, 384, 3, { stride: 2, padding: 0 });
	return concat([single, double, maxPool2d(x, { kernel: 3, stride: 2 })], -1);
}

function blockC(weights: Weights, x: Value, inner: number): Value {
	const at = (name: string) => weights.scope(name);
	const [row, column] = [[1, 7] as const, [7, 1] as const];
	let seven = unit(at("branch7x7_1"), x, inner, 1);
	seven = unit(at("branch7x7_2"), seven, inner, row);
	seven = unit(at("branch7x7_3"), seven, 192, column);
	let double = unit(at("branch7x7dbl_1"), x, inner, 1);
	double = unit(at("branch7x7dbl_2"), double, inner, column);
	double = unit(at("branch7x7dbl_3"), double, inner, row);
	double = unit(at("branch7x7dbl_4"), double, inner, column);
	double = unit(at("branch7x7dbl_5"), double, 192, row);
	const pooled = unit(at("branch_pool"), localMean(x), 192, 1);
	return concat([unit(at("branch1x1"), x, 192, 1), seven, double, pooled], -1);
}

function blockD(weights: Weights, x: Value): Value {
	const at = (name: string) => weights.scope(name);
	const three = unit(at("branch3x3_2"), unit(at("branch3x3_1"), x, 192, 1), 320, 3, { stride: 2, padding: 0 });
	let seven = unit(at("branch7x7x3_1"), x, 192, 1);
	seven = unit(at("branch7x7x3_2"), seven, 192, [1, 7]);
	seven = unit(at("branch7x7x3_3"), seven, 192, [7, 1]);
	seven = unit(at("branch7x7x3_4"), seven, 192, 3, { stride: 2, padding: 0 });
	return concat([three, seven, maxPool2d(x, { kernel: 3, stride: 2 })], -1);
}

function blockE(weights: Weights, x: Value, pooling: "average" | "max"): Value {
	const at = (name: string) => weights.scope(name);
	const parts = (value: Value, name: string, [a, b]: readonly [string, string]) =>
		concat([unit(at(`${name}_${a}`), value, 384, [1, 3]), unit(at(`${name}_${b}`), value, 384, [3, 1])], -1);
	const three = parts(unit(at("branch3x3_1"), x, 384, 1), "branch3x3", ["2a", "2b"]);
	const inner = unit(at("branch3x3dbl_2"), unit(at("branch3x3dbl_1"), x, 448, 1), 384, 3);
	const double = parts(inner, "branch3x3dbl", ["3a", "3b"]);
	const around = pooling === "max" ? maxPool2d(x, { kernel: 3, stride: 1, padding: 1 }) : localMean(x);
	const pooled = unit(at("branch_pool"), around, 192, 1);
	return concat([unit(at("branch1x1"), x, 320, 1), three, double, pooled], -1);
}

/** The norms' part of the names, for folding them into the convolutions. */
export const INCEPTION_NORMS = { conv: "conv", norm: "bn", eps: BATCH_NORM_EPS } as const;
