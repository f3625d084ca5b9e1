import { centerCrop, type ResizeFilter, resizeImage, resizeShorterSide } from "@dreamdist/core";
import { z } from "zod";
import type { CaseKind } from "../case.js";

const run = z.object({
	output: z.string(),
	filter: z.enum(["bilinear", "bicubic", "lanczos"]) satisfies z.ZodType<ResizeFilter>,
	width: z.int(),
	height: z.int(),
	shorter_side: z.int().optional(),
	crop: z.int().optional(),
	top: z.int().optional(),
	left: z.int().optional(),
	crop_output: z.string().optional(),
});
const schema = z.looseObject({ runs: z.array(run).min(1) });

/** Resizing and centre crops, every byte equal. */
export const resizeCase: CaseKind = async (one) => {
	const { runs } = one.read(schema);
	const image = await one.picture("image");
	for (const { output, filter, width, height, shorter_side, crop, crop_output } of runs) {
		const resized = resizeImage(image, width, height, filter);
		await one.compare(output, resized.data, 0);
		if (shorter_side !== undefined) await one.compare(output, resizeShorterSide(image, shorter_side, filter).data, 0);
		if (crop !== undefined && crop_output !== undefined)
			await one.compare(crop_output, centerCrop(resized, crop).data, 0);
	}
};
