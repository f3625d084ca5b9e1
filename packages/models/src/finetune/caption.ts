// Short and Long Caption: the pictures in words, and nothing learned. A run's folder holds the words alone.
import { FormatError, newRunRecord, RunFolder, type RunKind } from "@dreamdist/core";
import type { z } from "zod";
import type { Pipeline } from "../pipeline/pipeline.js";
import { type CaptionMethod, type CaptionSettings, captionSettings, readMethodSettings } from "./settings.js";

/** A caption has no steps, and so no checkpoints. */
export function captionKind(method: CaptionMethod): RunKind<CaptionSettings, { readonly step: number }> {
	return {
		method,
		settings: captionSettings as unknown as z.ZodType<CaptionSettings>,
		changeable: new Set(),
		keep: 0,
		readCheckpoint: (folder) => {
			throw new FormatError("BAD_RUN", folder, `${folder} holds checkpoints, which a caption has none of`);
		},
		writeCheckpoint: async () => undefined,
	};
}

/**
 * Writes a caption as a run that `generate` takes.
 *
 * @param out run folder; it must be empty
 * @returns the caption
 */
export async function writeCaptionRun(
	pipe: Pipeline,
	method: CaptionMethod,
	settings: Partial<CaptionSettings>,
	out: string,
): Promise<string> {
	const { caption } = readMethodSettings(method, settings);
	const record = newRunRecord(method, { caption }, pipe, []);
	const run = await RunFolder.open(out, captionKind(method), record, { resume: false });
	try {
		await run.setStatus("finished");
	} finally {
		await run.close();
	}
	return caption;
}
