// The encoder behind each space of features.
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Device } from "@dreamdist/core";
import {
	CLIP,
	type FidPreprocessing,
	findEncoder,
	loadEncoder,
	loadTokenizer,
	type PublicEncoder,
	TEXT_TOWER,
} from "@dreamdist/models";
import type { FeatureSet } from "../features/feature-set.js";
import { openClassifier, openImageTower } from "../features/model-instruments.js";
import type { PictureEncoder } from "../features/picture-encoder.js";
import { openClip, openDino, openDinov2, openInception } from "../features/public-encoders.js";
import { embedTexts } from "../features/texts.js";
import type { Space } from "./metric-table.js";

export interface SpaceOptions {
	/** How pictures are brought to Inception. */
	readonly fid: FidPreprocessing;
	readonly dinov2: "small" | "base" | "large";
	/** Looked into for public encoders before the Hub's cache. */
	readonly encoders?: string | undefined;
	/** A model folder that measures instead of public encoders. */
	readonly instruments?: string | undefined;
}

const CLIP_SCORES: PublicEncoder = "clip-vit-base-patch32";
const CLIP_CMMD: PublicEncoder = "clip-vit-large-patch14-336";

/**
 * Opens the encoder of a space.
 *
 * @throws HubError `HUB_NOT_CACHED` with the command that fetches it, where it is not on this machine
 */
export async function openSpace(space: Space, device: Device, options: SpaceOptions): Promise<PictureEncoder> {
	const find = (name: PublicEncoder) => findEncoder(name, { folder: options.encoders });
	switch (space) {
		case "inception":
			return openInception(device, await find("inception"), options.fid);
		case "dinov2": {
			const name = `dinov2-${options.dinov2}` as const;
			return openDinov2(device, await find(name), name);
		}
		case "dino":
			return openDino(device, await find("dino-vits16"));
		case "clip":
			return openClip(device, await find(CLIP_SCORES), CLIP_SCORES, "crop");
		case "cmmd":
			return openClip(device, await find(CLIP_CMMD), CLIP_CMMD, "square");
		case "classifier":
			return openClassifier(device, options.instruments!);
		case "image-tower":
			return openImageTower(device, options.instruments!);
	}
}

/** Texts in the space of CLIP-T: that of the public CLIP, or of a model's own towers. */
export async function embedPrompts(
	device: Device,
	options: SpaceOptions,
	texts: readonly string[],
): Promise<FeatureSet> {
	const { instruments } = options;
	if (instruments !== undefined) {
		const files = await loadEncoder(TEXT_TOWER, join(instruments, TEXT_TOWER.folder));
		try {
			const tokenizer = await loadTokenizer(join(instruments, "tokenizer"));
			return await embedTexts(device, { ...files.component, tokenizer }, texts);
		} finally {
			files.dispose();
		}
	}
	const path = await findEncoder(CLIP_SCORES, { folder: options.encoders });
	const files = await loadEncoder(CLIP, path);
	try {
		const tokens = join(path, "tokenizer");
		const tokenizer = await loadTokenizer(existsSync(tokens) ? tokens : path);
		return await embedTexts(device, { ...files.component, tokenizer }, texts);
	} finally {
		files.dispose();
	}
}
