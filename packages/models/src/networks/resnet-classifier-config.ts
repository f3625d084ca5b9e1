import { z } from "zod";
import { choice, count, onlyValues, readConfig } from "./config.js";

/** A ResNet (He et al. 2015) with one linear layer per thing it tells. */
export interface ResnetClassifierConfig {
	/** Two 3×3 convolutions, or 1×1, 3×3 (with the stride) and 1×1. */
	block: "basic" | "bottleneck";
	/** Blocks per stage. */
	layers: number[];
	/** Inner width per stage. */
	channels: number[];
	/** Outer width in inner widths. */
	expansion: number;
	stemChannels: number;
	/** 7×7 with stride 2 and a max pool after it, for pictures of 224 pixels; or 3×3, for small ones. */
	stem: "imagenet" | "small";
	/** Number of classes of each head, by the name of its layer. */
	heads: Record<string, number>;
	batchNormEps: number;
	batchNormMomentum: number;
	/** Side of the pictures it was trained on. */
	imageSize: number;
}

const schema = z.object({
	architecture: onlyValues("resnet"),
	block: choice("basic", "bottleneck"),
	layers: z.array(count).min(1),
	channels: z.array(count).min(1),
	expansion: count.optional(),
	stem: choice("imagenet", "small").default("imagenet"),
	stem_channels: count.default(64),
	num_classes: count.optional(),
	heads: z.record(z.string().min(1), count).optional(),
	batch_norm_eps: z.number().positive().default(1e-5),
	batch_norm_momentum: z.number().positive().default(0.1),
	image_size: count.optional(),
	labels: z.record(z.string(), z.array(z.union([z.string(), z.number(), z.boolean()]))).optional(),
});

/**
 * Reads `classifier/config.json`. A model with one head is given its `num_classes`, and the head is named "fc".
 *
 * @throws FormatError `BAD_CONFIG` naming the key
 */
export function readResnetClassifierConfig(json: unknown, source = "classifier/config.json"): ResnetClassifierConfig {
	const config = readConfig(
		schema.refine(({ layers, channels }) => layers.length === channels.length, {
			path: ["channels"],
			error: 'must have as many values as "layers"',
		}),
		json,
		source,
	);
	return {
		block: config.block,
		layers: config.layers,
		channels: config.channels,
		expansion: config.expansion ?? (config.block === "basic" ? 1 : 4),
		stem: config.stem,
		stemChannels: config.stem_channels,
		heads: config.heads ?? { fc: config.num_classes ?? 1000 },
		batchNormEps: config.batch_norm_eps,
		batchNormMomentum: config.batch_norm_momentum,
		imageSize: config.image_size ?? (config.stem === "small" ? 64 : 224),
	};
}
