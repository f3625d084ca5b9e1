// The drawn world's reference sets for a comparison: their pictures, and what a person would say of each. Texts use the words that the
// embedded model's captions are made of.
import { join } from "node:path";
import type { SetTexts, SetToCompare } from "@dreamdist/eval";
import { UsageError } from "../errors.js";
import { writeReferencePictures } from "../world/reference-pictures.js";

/** A thirteenth set, on which settings are chosen before the twelve are compared. */
export const PRACTICE_SET = "practice";

const TEXTS: Readonly<Record<string, SetTexts>> = {
	"tipsy-robots": {
		noun: "robot",
		shortCaption: "a drawing of a robot",
		longCaption:
			"an ink drawing or a chalk drawing of a robot tilted to the left or leaning right, warm sunset, autumn and earth colours",
	},
	"night-harbour": {
		noun: "boat",
		shortCaption: "a boat by the sea at night",
		longCaption:
			"a stained glass window of a boat or a lighthouse by the sea at night, ocean, sunset and candy colours",
	},
	"arcade-garden": {
		noun: "flower",
		shortCaption: "a pixel mosaic of a flower",
		longCaption:
			"a pixel mosaic of a big flower, mushroom, cactus or tree under the stars or in the city at night, neon, candy and sunset colours",
	},
	"breakfast-weather": {
		noun: "teacup",
		shortCaption: "a soft pastel of a teacup",
		longCaption:
			"a soft pastel of a teacup with steam in a cloudy sky, on grassy hills, in the snow or by the sea by day, candy, ocean, sunset and autumn colours",
	},
	"white-winter": {
		noun: "house",
		shortCaption: "a house in the snow",
		longCaption:
			"an ink drawing or a flat poster of a house, a cathedral or a windmill in the snow, ocean, forest colours or black and white",
	},
	"launch-days": {
		noun: "rocket",
		shortCaption: "a rocket in a cloudy sky",
		longCaption:
			"a flat poster or a soft pastel of a rocket with a flame or a balloon leaning right in a cloudy sky or under the stars, sunset, candy and neon colours",
	},
	"three-of-a-kind": {
		noun: "owl",
		shortCaption: "three owls on grassy hills",
		longCaption:
			"a flat poster or a stained glass window of three owls, snails, fish, birds or cats on grassy hills or in the desert by day, forest, earth and autumn colours",
	},
	"blackboard-zoo": {
		noun: "cat",
		shortCaption: "a chalk drawing of a cat",
		longCaption:
			"a chalk drawing of one big cat, owl, whale, fish, snail or bird on a plain background or under the stars, neon, candy, sunset and ocean colours",
	},
	"far-from-water": {
		noun: "boat",
		shortCaption: "a boat in the desert",
		longCaption:
			"a boat, a whale, a fish or a lighthouse in the desert, a flat poster, ink drawing, soft pastel, pixel mosaic or stained glass window, autumn, earth, sunset and candy colours",
	},
	"grey-city": {
		noun: "cat",
		shortCaption: "a cat in the city at night",
		longCaption:
			"an ink drawing, a pixel mosaic or a flat poster of a cat, a robot, an owl or a bird in the city at night, black and white or earth colours",
	},
	"two-moods": {
		noun: "mountain",
		shortCaption: "a mountain or a tree",
		longCaption:
			"a soft pastel of a mountain or a tree by day in autumn colours, or a stained glass window of a mountain or a tree under the stars in neon colours",
	},
	"old-parish": {
		noun: "cathedral",
		shortCaption: "a cathedral on grassy hills",
		longCaption:
			"a stained glass window, an ink drawing or a flat poster of a tall cathedral with a rose window on grassy hills, in a cloudy sky or under the stars, forest, earth and ocean colours",
	},
	[PRACTICE_SET]: {
		noun: "mushroom",
		shortCaption: "a mushroom on grassy hills",
		longCaption:
			"a pixel mosaic or an ink drawing of a mushroom or a snail on grassy hills or a plain background by day, candy and forest colours",
	},
};

const PRACTICE_PICTURES = 12;
/** Far from the seeds of everything else that draws. */
const PRACTICE_SEED = 770_000_000;

/** @throws UsageError listing the sets, for a name that is none of theirs */
export function checkWorldSets(names: readonly string[]): void {
	const unknown = names.find((name) => !Object.hasOwn(TEXTS, name));
	if (unknown !== undefined)
		throw new UsageError(`there is no reference set "${unknown}"; there are ${Object.keys(TEXTS).join(", ")}`);
}

/** All twelve, without the practice set. */
export async function allWorldSets(): Promise<string[]> {
	const { REFERENCE_SETS } = await import("@dreamdist/world");
	return REFERENCE_SETS.map(({ name }) => name);
}

/** Draws a set's pictures into a folder. */
export async function worldSet(name: string, folder: string): Promise<SetToCompare> {
	const into = join(folder, name);
	const references =
		name === PRACTICE_SET ? await writePracticePictures(into) : await writeReferencePictures(name, into);
	return { name, references, texts: TEXTS[name]! };
}

async function writePracticePictures(folder: string): Promise<string[]> {
	const [{ makeFolders, writePng }, { PICTURE_BYTES, PICTURE_SIDE, render, sampleScene }] = await Promise.all([
		import("@dreamdist/core"),
		import("@dreamdist/world"),
	]);
	await makeFolders(folder);
	const scenes = Array.from({ length: PRACTICE_PICTURES }, (_, i) =>
		sampleScene(PRACTICE_SEED + i, {
			subject: ["mushroom", "snail"],
			style: ["mosaic", "ink"],
			palette: ["candy", "forest"],
			background: ["hills", "plain"],
			night: false,
			count: 1,
		}),
	);
	const pictures = await render(scenes);
	const files: string[] = [];
	for (const [i, scene] of scenes.entries()) {
		const file = join(folder, `${PRACTICE_SET}-${String(i + 1).padStart(2, "0")}.png`);
		const data = pictures.slice(i * PICTURE_BYTES, (i + 1) * PICTURE_BYTES);
		await writePng(file, { width: PICTURE_SIDE, height: PICTURE_SIDE, channels: 3, data }, { recipe: { scene } });
		files.push(file);
	}
	return files;
}
