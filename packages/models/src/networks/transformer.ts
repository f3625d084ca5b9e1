// The UNet's transformer over pixels: self-attention, cross-attention to the text, GEGLU; diffusers' names.
import { attention, broadcastTo, reshape, type Value, type Weights } from "@dreamdist/core";
import { convLayer, groupNormLayer, layerNormLayer, linearLayer } from "./layers.js";

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
 * @param context text features [B·S, L, d]; rows b·S … b·S + S − 1 are picture b's. Everything before the first cross-attention is computed
 * once per picture, whatever S.
 * @returns [B·S, H, W, C]
 */
export function spatialTransformer(weights: Weights, x: Value, context: Value, options: TransformerOptions): Value {
	const [batch, height, width, channels] = x.shape as [number, number, number, number];
	const samples = context.shape[0]! / batch;
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
function transformerBlock(weights: Weights, tokens: Value, context: Value, options: TransformerOptions): Value {
	const { heads, recomputeGeglu } = options;
	const channels = tokens.shape.at(-1)!;
	const norm = (name: string, value: Value) => layerNormLayer(weights.scope(name), value, TOKEN_NORM_EPS);
	const project = (name: string, value: Value) => linearLayer(weights.scope(name), value, channels, { bias: false });
	const attend = (layer: string, query: Value, source: Value, residual: Value) => {
		const key = project(`${layer}.to_k`, source);
		const value = project(`${layer}.to_v`, source);
		const attended = weights.graph.named(`${weights.path}.${layer}`, () => attention(query, key, value, { heads }));
		return linearLayer(weights.scope(`${layer}.to_out.0`), attended, channels, { residual });
	};

	const own = norm("norm1", tokens);
	let x = attend("attn1", project("attn1.to_q", own), own, tokens);

	const query = project("attn2.to_q", norm("norm2", x));
	const samples = context.shape[0]! / x.shape[0]!;
	x = attend("attn2", repeatRows(query, samples), context, repeatRows(x, samples));

	const gated = () =>
		linearLayer(weights.scope("ff.net.0.proj"), norm("norm3", x), 4 * channels, { activation: "geglu" });
	const inner = recomputeGeglu ? weights.graph.checkpoint(gated) : gated();
	return linearLayer(weights.scope("ff.net.2"), inner, channels, { residual: x });
}
