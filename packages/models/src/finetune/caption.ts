// Short and Long Caption: the pictures in words, and nothing learned. A run's folder holds the words alone.
import { FormatError, RunFolder, type RunKind } from "@dreamdist/core";
import type { z } from "zod";
import type { Pipeline } from "../pipeline/pipeline.js";
import { type CaptionMethod, type CaptionSettings, captionSettings, readMethodSettings } from "./settings.js";

/** A caption has no steps, and so no checkpoints. */
export function captionKind(method: CaptionMethod): RunKind<CaptionSettings, { readonly step: number }> {
	return {
		method,
		settings: captionSettings as unknown as z.ZodType<CaptionSettings>,
		changeable: new Set(),
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
	const { kind, isa, threads } = pipe.device;
	const now = new Date().toISOString();
	const run = await RunFolder.open(
		out,
		captionKind(method),
		{
			format: "dreamdist.run",
			version: 1,
			method,
			settings: { caption },
			model: pipe.identity,
			pictures: [],
			device: { kind, isa, threads },
			node: process.version,
			created: now,
			updated: now,
			status: "running",
			step: 0,
		},
		{ resume: false, keep: 0 },
	);
	try {
		await run.setStatus("finished");
	} finally {
		await run.close();
	}
	return caption;
}
