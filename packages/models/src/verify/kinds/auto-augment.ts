import { ArgumentError } from "@dreamdist/core";
import { z } from "zod";
import {
	AUGMENTATIONS,
	AUTO_AUGMENT_V0,
	type AugmentationName,
	augmentationArgument,
	augmentImage,
} from "../../augment/index.js";
import type { CaseKind, VerifyCase } from "../case.js";

const operation = z.object({
	magnitude: z.number(),
	arguments: z.array(z.number()),
	resample: z.enum(["bilinear", "bicubic"]).default("bilinear"),
});
const name = z.custom<AugmentationName>((value) => AUGMENTATIONS.includes(value as AugmentationName), {
	error: ({ input }) => `there is no augmentation ${JSON.stringify(input)}`,
});
const fill = z.tuple([z.number(), z.number(), z.number()]).optional();
const operationCase = z.looseObject({ op: name, fill, runs: z.array(operation.extend({ image: z.int() })).min(1) });
const policyCase = z.looseObject({
	fill,
	sub_policies: z.array(z.array(operation.extend({ op: name, probability: z.number() }))).min(1),
});

type Applied = z.infer<typeof operation> & { op: AugmentationName };

/** Operations of AutoAugment, every byte equal; and that magnitudes mean the arguments listed. */
export const autoAugmentCase: CaseKind = async (one) => {
	if (one.attributes.op === "policy_v0") return policy(one);
	const { op, runs, fill: outside } = one.read(operationCase);
	const images = await Promise.all([0, 1].map((i) => (one.has(`image_${i}`) ? one.picture(`image_${i}`) : null)));
	const outputs: number[] = [];
	for (const run of runs) {
		const image = images[run.image];
		if (!image) throw new ArgumentError(`there is no image_${run.image}`);
		checkArgument(one, { ...run, op });
		const options = { filter: run.resample, ...(outside && { fill: outside }) };
		outputs.push(...augmentImage(image, op, run.arguments[0], options).data);
	}
	await one.compare("outputs", outputs, 0);
};

async function policy(one: VerifyCase): Promise<void> {
	const { sub_policies, fill: outside } = one.read(policyCase);
	const image = await one.picture("image_0");
	const outputs: number[] = [];
	sub_policies.forEach((steps, i) => {
		const known = AUTO_AUGMENT_V0[i]?.map(([op, probability, magnitude]) => ({ op, probability, magnitude }));
		const listed = steps.map(({ op, probability, magnitude }) => ({ op, probability, magnitude }));
		const same = JSON.stringify(known) === JSON.stringify(listed);
		one.note({ what: `sub-policy ${i}`, error: same ? 0 : 1, bound: 0, detail: `sub-policy ${i} is another` });
		let result = image;
		for (const step of steps) {
			checkArgument(one, step);
			const options = { filter: step.resample, ...(outside && { fill: outside }) };
			result = augmentImage(result, step.op, step.arguments[0], options);
		}
		outputs.push(...result.data);
	});
	await one.compare("outputs", outputs, 0);
}

/** A sign is drawn where there is a direction, so sizes are compared. */
function checkArgument(one: VerifyCase, { op, magnitude, arguments: listed }: Applied): void {
	const known = augmentationArgument(op, magnitude);
	const error = Math.abs(Math.abs(known ?? 0) - Math.abs(listed[0] ?? 0));
	one.note({ what: `argument of ${op} at magnitude ${magnitude}`, error, bound: 1e-12 });
}
