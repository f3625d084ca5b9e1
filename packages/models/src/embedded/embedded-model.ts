// The small model that comes with the package.
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { DreamdistError } from "@dreamdist/core";
import { resolveCached } from "../hub/index.js";
import { WEIGHT_FILES } from "../pretrain/model-folder.js";

/** What the embedded model is called. A folder of that name is `./mini`. */
export const EMBEDDED_MODEL = "mini";

/** What text to pictures needs. */
const NEEDED = [
	"model_index.json",
	"tokenizer/vocab.json",
	"scheduler/scheduler_config.json",
	...(["text_encoder", "unet", "vae"] as const).map((component) => `${component}/${WEIGHT_FILES[component]}`),
];

/** The embedded model can't be used. Code `NO_EMBEDDED_MODEL`. */
export class EmbeddedModelError extends DreamdistError {
	constructor(message: string) {
		super("NO_EMBEDDED_MODEL", message);
	}
}

/** Where the embedded model lies: in this package, or in the folder that `DD_MINI` names. */
export function embeddedFolder(): string {
	const { DD_MINI } = process.env;
	return DD_MINI ? resolve(DD_MINI) : fileURLToPath(new URL("../../mini", import.meta.url));
}

/** The first file that the embedded model lacks; null where it is whole. */
export function missingFromEmbedded(): string | null {
	const folder = embeddedFolder();
	return NEEDED.map((file) => join(folder, file)).find((path) => !existsSync(path)) ?? null;
}

/**
 * The folder or file of a model on this machine: "mini", the embedded one; a path; or the snapshot of a model from the Hub.
 *
 * @throws EmbeddedModelError where "mini" is asked for and its weights are not there; as `resolveCached`
 */
export async function findModel(idOrPath: string): Promise<string> {
	if (idOrPath !== EMBEDDED_MODEL) return resolveCached(idOrPath);
	const missing = missingFromEmbedded();
	if (missing !== null)
		throw new EmbeddedModelError(
			`the embedded model mini has no weights here (there is no ${missing}); train it as docs/pretraining.md says and set DD_MINI to its folder, or name another model (--model)`,
		);
	return embeddedFolder();
}
