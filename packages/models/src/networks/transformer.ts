// The UNet's transformer over pixels: self-attention, cross-attention to the text, GEGLU; diffusers' names.
import { attention, broadcastTo, reshape, type Value, type Weights } from "@dreamdist/core";
import { convLayer, groupNormLayer, layerNormLayer, linearLayer, parallelLinearLayers } from "./layers.js";

const PIXEL_NORM_EPS = 1e-6;
const TOKEN_NORM_EPS = 1e-5;

/**
 * Repeats every row of the first axis `times` times in a row: [B, ...] → [B·times, ...], row b at b·times … b·times + times − 1.
 */
export function repeatRows(x: Value, times: number): Value {
	if (times === 1) return x;
	const [batch, ...rest] = x.shape as [number, ...number[]];
	return reshape(broadcastTo(reshape(x, [batch, 1, ...rest]), [batch, times, ...rest]), [batch * times, ...rest]);
}

export interface TransformerOptions {
	heads: number;
	/** Transformer blocks in a row. */
	layers: number;
	groups: number;
	/** Whether the projections around the blocks are linear layers (Stable Diffusion 2) or 1×1 convolutions (1). */
	linearProjection: boolean;
	/** Compute the GEGLU again in backward instead of keeping its inputs. */
	recomputeGeglu: boolean;
}

/**
 * @param x pictures [B, H, W, C]
 * @param context of text features [B·S, L, d]; rows b·S … b·S + S − 1 are picture b's. Everything before the first cross-attention is computed
 * once per picture, whatever S.
 * @returns [B·S, H, W, C]
 */
export function spatialTransformer(
	weights: Weights,
	x: Value,
	context: TextContext,
	options: TransformerOptions,
): Value {
	const [batch, height, width, channels] = x.shape as [number, number, number, number];
	const samples = context.features.shape[0]! / batch;
	const normed = groupNormLayer(weights.scope("norm"), x, { groups: options.groups, eps: PIXEL_NORM_EPS });

	let tokens: Value;
	if (options.linearProjection)
		tokens = linearLayer(weights.scope("proj_in"), reshape(normed, [batch, height * width, channels]), channels);
	else {
		const projected = convLayer(weights.scope("proj_in"), normed, channels, { kernel: 1 });
		tokens = reshape(projected, [batch, height * width, channels]);
	}
	for (let i = 0; i < options.layers; i++)
		tokens = transformerBlock(weights.scope(`transformer_blocks.${i}`), tokens, context, options);

	const residual = repeatRows(x, samples);
	const output = weights.scope("proj_out");
	if (!options.linearProjection)
		return convLayer(output, reshape(tokens, residual.shape), channels, { kernel: 1, residual });
	const flat = linearLayer(output, tokens, channels, { residual: reshape(residual, tokens.shape) });
	return reshape(flat, residual.shape);
}

/** tokens [B, L, C] → [B·S, L, C] for a context [B·S, …]. */
function transformerBlock(weights: Weights, tokens: Value, context: TextContext, options: TransformerOptions): Value {
	const { heads, recomputeGeglu } = options;
	const channels = tokens.shape.at(-1)!;
	const norm = (name: string, value: Value) => layerNormLayer(weights.scope(name), value, TOKEN_NORM_EPS);
	const attend = (layer: string, [query, key, value]: readonly [Value, Value, Value], residual: Value) => {
		const attended = weights.graph.named(`${weights.path}.${layer}`, () => attention(query, key, value, { heads }));
		return linearLayer(weights.scope(`${layer}.to_out.0`), attended, channels, { residual });
	};

	const projections = ["to_q", "to_k", "to_v"].map((name) => ({ name, width: channels }));
	const own = parallelLinearLayers(weights.scope("attn1"), norm("norm1", tokens), projections, { bias: false });
	let x = attend("attn1", own as [Value, Value, Value], tokens);

	const query = linearLayer(weights.scope("attn2.to_q"), norm("norm2", x), channels, { bias: false });
	const samples = context.features.shape[0]! / x.shape[0]!;
	const [key, value] = context.keysAndValues(`${weights.path}.attn2`);
	x = attend("attn2", [repeatRows(query, samples), key, value], repeatRows(x, samples));

	const gated = () =>
		linearLayer(weights.scope("ff.net.0.proj"), norm("norm3", x), 4 * channels, { activation: "geglu" });
	const inner = recomputeGeglu ? weights.graph.checkpoint(gated) : gated();
	return linearLayer(weights.scope("ff.net.2"), inner, channels, { residual: x });
}

/** A cross-attention of the network: the full name of its module, and its width. */
export interface CrossAttention {
	readonly path: string;
	readonly channels: number;
}

/**
 * What the cross-attentions read of the text. All their keys and values depend on the text features alone, so they are one product, made
 * where the first of them is asked for, and its gradient is one product as well.
 */
export class TextContext {
	private projected: Map<string, readonly [Value, Value]> | null = null;

	/**
	 * @param weights the door at the top of the network
	 * @param features [B·S, L, d]
	 * @param attentions every cross-attention of the network
	 */
	constructor(
		private readonly weights: Weights,
		readonly features: Value,
		private readonly attentions: readonly CrossAttention[],
	) {}

	/** Keys and values [B·S, L, C] of one cross-attention. */
	keysAndValues(path: string): readonly [key: Value, value: Value] {
		this.projected ??= this.weights.graph.outsideRegions(() => this.project());
		return this.projected.get(path)!;
	}

	private project(): Map<string, readonly [Value, Value]> {
		const inside = this.weights.path === "" ? 0 : this.weights.path.length + 1;
		const layers = this.attentions.flatMap(({ path, channels }) =>
			["to_k", "to_v"].map((name) => ({ name: `${path.slice(inside)}.${name}`, width: channels })),
		);
		const values = parallelLinearLayers(this.weights, this.features, layers, { bias: false });
		return new Map(this.attentions.map(({ path }, i) => [path, [values[2 * i]!, values[2 * i + 1]!]]));
	}
}
