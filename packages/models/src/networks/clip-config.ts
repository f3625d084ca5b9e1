import { z } from "zod";
import { type ClipTextConfig, readClipTextConfig } from "./clip-text-config.js";
import { type ClipVisionConfig, readClipVisionConfig } from "./clip-vision-config.js";
import { badConfig, count, readConfig } from "./config.js";
import { withoutHubSettings } from "./hub-settings.js";

/** Both of CLIP's towers and the space they share. */
export interface ClipConfig {
	vision: ClipVisionConfig;
	text: ClipTextConfig;
	/** Width of the shared space. */
	projectionSize: number;
	/** The token at whose first place a text's features are read. */
	endToken: number;
}

const tower = z.record(z.string(), z.unknown()).default({});
const schema = z.object({ projection_dim: count.default(512), vision_config: tower, text_config: tower });

/** What early releases of transformers wrote for the end token whatever the vocabulary. */
const LEGACY_END = 2;

/**
 * Reads the `config.json` of a whole CLIP (openai/clip-vit-*).
 *
 * @throws FormatError `BAD_CONFIG` naming the key
 */
export function readClipConfig(json: unknown, source = "config.json"): ClipConfig {
	const { projection_dim, vision_config, text_config } = readConfig(schema, withoutHubSettings(json), source);
	const vision = readClipVisionConfig(
		{ ...(withoutHubSettings(vision_config) as object), projection_dim },
		`${source}, vision_config`,
	);
	const text = readClipTextConfig(withoutHubSettings(text_config), `${source}, text_config`);
	const end = text_config.eos_token_id ?? LEGACY_END;
	const endToken = end === LEGACY_END ? text.vocabularySize - 1 : end;
	if (!Number.isInteger(endToken) || (endToken as number) < 0 || (endToken as number) >= text.vocabularySize)
		throw badConfig(`${source}, text_config`, `"eos_token_id" ${String(end)} is no token of the vocabulary`);
	return { vision, text, projectionSize: projection_dim, endToken: endToken as number };
}
