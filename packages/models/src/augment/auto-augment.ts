// AutoAugment (Cubuk et al. 2018), policy v0, with timm's ranges and Pillow's pixels.
import type { ImageU8 } from "@dreamdist/core";
import { type AffineFilter, rotateImage, transformImage } from "./affine.js";
import {
	autoContrast,
	enhanceBrightness,
	enhanceColour,
	enhanceContrast,
	enhanceSharpness,
	equalize,
	invert,
	posterize,
	solarize,
	solarizeAdd,
} from "./colour.js";

/** Everything outside a moved picture: ImageNet's mean colour. */
const FILL = [124, 116, 104] as const;
const MOST = 10;

interface Operation {
	/** What a magnitude of 0 to 10 means; absent where it means nothing. */
	argument?(magnitude: number): number;
	/** Either direction is drawn. */
	readonly signed?: boolean;
	/** Reads between pixels. */
	readonly resamples?: boolean;
	apply(image: ImageU8, argument: number, filter: AffineFilter, fill: readonly [number, number, number]): ImageU8;
}

const enhancement = (magnitude: number) => (magnitude / MOST) * 1.8 + 0.1;
const geometric = { signed: true, resamples: true } as const;

const OPERATIONS = {
	ShearX: {
		...geometric,
		argument: (m) => (m / MOST) * 0.3,
		apply: (image, s, filter, fill) => transformImage(image, [1, s, 0, 0, 1, 0], filter, fill),
	},
	ShearY: {
		...geometric,
		argument: (m) => (m / MOST) * 0.3,
		apply: (image, s, filter, fill) => transformImage(image, [1, 0, 0, s, 1, 0], filter, fill),
	},
	TranslateXRel: {
		...geometric,
		argument: (m) => (m / MOST) * 0.45,
		apply: (image, t, filter, fill) => transformImage(image, [1, 0, t * image.width, 0, 1, 0], filter, fill),
	},
	TranslateYRel: {
		...geometric,
		argument: (m) => (m / MOST) * 0.45,
		apply: (image, t, filter, fill) => transformImage(image, [1, 0, 0, 0, 1, t * image.height], filter, fill),
	},
	Rotate: {
		...geometric,
		argument: (m) => (m / MOST) * 30,
		apply: (image, degrees, filter, fill) => rotateImage(image, degrees, filter, fill),
	},
	Solarize: { argument: (m) => Math.min(256, Math.trunc((m / MOST) * 256)), apply: solarize },
	SolarizeAdd: { argument: (m) => Math.min(128, Math.trunc((m / MOST) * 110)), apply: solarizeAdd },
	Posterize: { argument: (m) => Math.trunc((m / MOST) * 4), apply: posterize },
	Color: { argument: enhancement, apply: enhanceColour },
	Contrast: { argument: enhancement, apply: enhanceContrast },
	Brightness: { argument: enhancement, apply: enhanceBrightness },
	Sharpness: { argument: enhancement, apply: enhanceSharpness },
	AutoContrast: { apply: autoContrast },
	Equalize: { apply: equalize },
	Invert: { apply: invert },
} satisfies Record<string, Operation>;

export type AugmentationName = keyof typeof OPERATIONS;

export const AUGMENTATIONS = Object.keys(OPERATIONS) as AugmentationName[];

/** What a magnitude means for an operation: a factor, an angle, a threshold; undefined where it means nothing. */
export function augmentationArgument(name: AugmentationName, magnitude: number): number | undefined {
	return (OPERATIONS[name] as Operation).argument?.(magnitude);
}

export interface AugmentationOptions {
	/** Of the geometric ones. Default bilinear. */
	filter?: AffineFilter;
	/** Colour outside a moved picture. Default ImageNet's mean. */
	fill?: readonly [number, number, number];
}

/** One operation with the argument that a magnitude and a sign gave. */
export function augmentImage(
	image: ImageU8,
	name: AugmentationName,
	argument = 0,
	{ filter = "bilinear", fill = FILL }: AugmentationOptions = {},
): ImageU8 {
	return (OPERATIONS[name] as Operation).apply(image, argument, filter, fill);
}

type Step = readonly [name: AugmentationName, probability: number, magnitude: number];

/** The 25 sub-policies of v0. */
export const AUTO_AUGMENT_V0: readonly (readonly [Step, Step])[] = [
	[
		["Equalize", 0.8, 1],
		["ShearY", 0.8, 4],
	],
	[
		["Color", 0.4, 9],
		["Equalize", 0.6, 3],
	],
	[
		["Color", 0.4, 1],
		["Rotate", 0.6, 8],
	],
	[
		["Solarize", 0.8, 3],
		["Equalize", 0.4, 7],
	],
	[
		["Solarize", 0.4, 2],
		["Solarize", 0.6, 2],
	],
	[
		["Color", 0.2, 0],
		["Equalize", 0.8, 8],
	],
	[
		["Equalize", 0.4, 8],
		["SolarizeAdd", 0.8, 3],
	],
	[
		["ShearX", 0.2, 9],
		["Rotate", 0.6, 8],
	],
	[
		["Color", 0.6, 1],
		["Equalize", 1, 2],
	],
	[
		["Invert", 0.4, 9],
		["Rotate", 0.6, 0],
	],
	[
		["Equalize", 1, 9],
		["ShearY", 0.6, 3],
	],
	[
		["Color", 0.4, 7],
		["Equalize", 0.6, 0],
	],
	[
		["Posterize", 0.4, 6],
		["AutoContrast", 0.4, 7],
	],
	[
		["Solarize", 0.6, 8],
		["Color", 0.6, 9],
	],
	[
		["Solarize", 0.2, 4],
		["Rotate", 0.8, 9],
	],
	[
		["Rotate", 1, 7],
		["TranslateYRel", 0.8, 9],
	],
	[
		["ShearX", 0, 0],
		["Solarize", 0.8, 4],
	],
	[
		["ShearY", 0.8, 0],
		["Color", 0.6, 4],
	],
	[
		["Color", 1, 0],
		["Rotate", 0.6, 2],
	],
	[
		["Equalize", 0.8, 4],
		["Equalize", 0, 8],
	],
	[
		["Equalize", 1, 4],
		["AutoContrast", 0.6, 2],
	],
	[
		["ShearY", 0.4, 7],
		["SolarizeAdd", 0.6, 7],
	],
	[
		["Posterize", 0.8, 2],
		["Solarize", 0.6, 10],
	],
	[
		["Solarize", 0.6, 8],
		["Equalize", 0.6, 1],
	],
	[
		["Color", 0.8, 6],
		["Rotate", 0.4, 5],
	],
];

/**
 * One sub-policy, drawn at random, as timm applies it: each of its two operations by its probability, signs and filters drawn as well.
 *
 * @param random uniform in [0, 1)
 */
export function autoAugment(image: ImageU8, random: () => number): ImageU8 {
	const policy = AUTO_AUGMENT_V0[Math.floor(random() * AUTO_AUGMENT_V0.length)]!;
	let result = image;
	for (const [name, probability, magnitude] of policy) {
		if (probability < 1 && random() > probability) continue;
		const { signed, resamples } = OPERATIONS[name] as Operation;
		const argument = augmentationArgument(name, magnitude) ?? 0;
		const filter = resamples && random() < 0.5 ? "bicubic" : "bilinear";
		result = augmentImage(result, name, signed && random() > 0.5 ? -argument : argument, { filter });
	}
	return result;
}
