// Batch norms of a network that is only used, not trained: each is a factor and a shift per channel, and goes into the convolution before it.
import { contentsOf, type Device, FrozenTensor, WeightSet } from "@dreamdist/core";

/** Where a convolution and its norm stand in a module that holds both. */
export interface NormedUnit {
	/** "conv" for `….conv.weight`. */
	readonly conv: string;
	/** "bn" for `….bn.weight`, `bias`, `running_mean`, `running_var`. */
	readonly norm: string;
	readonly eps: number;
}

/**
 * Folds every batch norm: `….conv.weight` becomes w · γ/√(σ² + ε), and in the norm's place there is `….conv.bias` = β − μ · γ/√(σ² + ε),
 * both in f32. Computed in double whenever a device packs them.
 */
export function foldBatchNorms(weights: WeightSet, { conv, norm, eps }: NormedUnit): WeightSet {
	const folded = new Map<string, FrozenTensor>();
	const isNorm = new RegExp(`(^|\\.)${norm}\\.(weight|bias|running_mean|running_var)$`);
	for (const [name, tensor] of weights.tensors) {
		const unit = name.endsWith(`${conv}.weight`) ? name.slice(0, -`${conv}.weight`.length) : null;
		const gamma = unit === null ? undefined : weights.tensors.get(`${unit}${norm}.weight`);
		if (!gamma) {
			if (!isNorm.test(name)) folded.set(name, tensor);
			continue;
		}
		const part = (suffix: string) => weights.tensors.get(`${unit}${norm}.${suffix}`)!;
		const factors = async (device: Device): Promise<Float64Array> => {
			const [scale, spread] = await Promise.all([contentsOf(device, gamma), contentsOf(device, part("running_var"))]);
			return Float64Array.from(spread, (variance, i) => scale[i]! / Math.sqrt(variance + eps));
		};
		const channels = tensor.shape[0]!;
		folded.set(
			name,
			new FrozenTensor(name, tensor.shape, "f32", {
				read: async (device) => {
					const [factor, values] = await Promise.all([factors(device), contentsOf(device, tensor)]);
					const row = values.length / channels;
					const scaled = new Float32Array(values.length);
					for (let channel = 0, i = 0; channel < channels; channel++)
						for (const end = i + row; i < end; i++) scaled[i] = values[i]! * factor[channel]!;
					return scaled;
				},
			}),
		);
		const biasName = `${unit}${conv}.bias`;
		folded.set(
			biasName,
			new FrozenTensor(biasName, [channels], "f32", {
				read: async (device) => {
					const [factor, center, shift] = await Promise.all([
						factors(device),
						contentsOf(device, part("running_mean")),
						contentsOf(device, part("bias")),
					]);
					return Float32Array.from(factor, (value, i) => shift[i]! - center[i]! * value);
				},
			}),
		);
	}
	return new WeightSet(folded, weights.origin);
}
