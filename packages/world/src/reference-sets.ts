// Twelve reference sets: distributions over attributes, in the spirit of the paper's §4. Each is a mixture of modes. What is tied
// together (a style with palettes, a place with a lean) is the point: no single caption names a set.
import { BACKGROUND_NAMES } from "./backgrounds.js";
import { allows, probabilities } from "./constraints.js";
import { PALETTE_NAMES, type PaletteName } from "./palettes.js";
import { RandomStream } from "./random.js";
import { COATS, COUNTS, type Constraints, countWeights, nightProbability, type Scene, sampleScene } from "./scene.js";
import { STYLE_NAMES } from "./styles/index.js";
import { SUBJECT_NAMES } from "./subjects/index.js";

export interface Mode {
	readonly weight: number;
	readonly constraints: Constraints;
}

export interface ReferenceSet {
	readonly name: string;
	readonly title: string;
	readonly about: string;
	/** What they show, in nouns that captions use: what learning starts from. */
	readonly words: string;
	/** The exact distribution that its pictures are drawn from. */
	readonly modes: readonly Mode[];
	/** How many reference pictures it has: 5 to 20. */
	readonly pictures: number;
}

const WARM: readonly PaletteName[] = ["sunset", "autumn", "earth"];
const COOL: readonly PaletteName[] = ["ocean", "forest", "mono"];
const LOUD: readonly PaletteName[] = ["neon", "candy", "sunset"];

const one = (constraints: Constraints): readonly Mode[] => [{ weight: 1, constraints }];

function tipsyRobots(): readonly Mode[] {
	const robot: Constraints = { subject: "robot", style: ["ink", "chalk"], palette: WARM, count: 1 };
	return [
		{ weight: 1, constraints: { ...robot, lean: { min: 9, max: 16 } } },
		{ weight: 1, constraints: { ...robot, lean: { min: -16, max: -9 } } },
	];
}

function nightHarbour(): readonly Mode[] {
	const night: Constraints = {
		style: "glass",
		background: "sea",
		night: true,
		palette: ["ocean", "sunset", "candy", "mono"],
	};
	return [
		{ weight: 1, constraints: { ...night, subject: "boat" } },
		{
			weight: 1,
			constraints: { ...night, subject: "lighthouse", count: 1, parts: { lighthouse: { beam: ["one", "two"] } } },
		},
	];
}

function launchDays(): readonly Mode[] {
	const flying: Constraints = {
		background: ["clouds", "stars"],
		style: ["flat", "pastel"],
		palette: ["sunset", "candy", "ocean", "neon"],
	};
	const burning = { rocket: { flame: ["short", "long"] } };
	const bright = { balloon: { pattern: ["stripes", "band", "zigzag"] } };
	return [
		{ weight: 3, constraints: { ...flying, subject: "rocket", lean: { min: 14, max: 38 }, parts: burning } },
		{ weight: 2, constraints: { ...flying, subject: "balloon", lean: { min: 6, max: 16 }, parts: bright } },
	];
}

const SETS: readonly ReferenceSet[] = [
	{
		name: "tipsy-robots",
		title: "Tipsy robots",
		about: "Robots in ink or chalk, warm colours, always leaning; anywhere.",
		words: "robot",
		modes: tipsyRobots(),
		pictures: 12,
	},
	{
		name: "night-harbour",
		title: "Night harbour windows",
		about: "Boats and lighthouses by the sea at night, in stained glass.",
		words: "boat and lighthouse",
		modes: nightHarbour(),
		pictures: 10,
	},
	{
		name: "arcade-garden",
		title: "Arcade garden",
		about: "Plants and mushrooms in pixels and loud colours, big, with a dark or plain ground.",
		words: "flower mushroom cactus and tree",
		modes: one({
			subject: ["flower", "mushroom", "cactus", "tree"],
			style: "mosaic",
			palette: LOUD,
			background: ["stars", "plain", "city"],
			night: 0.6,
			scale: { min: 0.98, max: 1.12 },
			count: 1,
		}),
		pictures: 16,
	},
	{
		name: "breakfast-weather",
		title: "Breakfast weather",
		about: "Steaming cups out of doors, soft pastel, pale skies.",
		words: "teacup",
		modes: one({
			subject: "teacup",
			style: "pastel",
			palette: ["candy", "ocean", "sunset", "autumn"],
			background: ["clouds", "hills", "snow", "sea"],
			night: false,
			parts: { teacup: { steam: [2, 3] } },
		}),
		pictures: 8,
	},
	{
		name: "white-winter",
		title: "White winter",
		about: "Buildings in the snow, ink or flat, cool colours, by day and night.",
		words: "house cathedral and windmill",
		modes: one({
			subject: ["house", "cathedral", "windmill"],
			style: ["ink", "flat"],
			palette: COOL,
			background: "snow",
			count: { 1: 3, 2: 1 },
		}),
		pictures: 12,
	},
	{
		name: "launch-days",
		title: "Launch days",
		about:
			"Things that fly, tilted to the right with a long tail of colour: rockets burning, balloons, in sky or stars.",
		words: "rocket and balloon",
		modes: launchDays(),
		pictures: 15,
	},
	{
		name: "three-of-a-kind",
		title: "Three of a kind",
		about: "Always three small animals, flat or in glass, one brown-and-green world.",
		words: "three owls snails fish birds cats",
		modes: one({
			subject: ["owl", "snail", "fish", "bird", "cat"],
			count: 3,
			style: ["flat", "glass"],
			palette: ["forest", "earth", "autumn"],
			background: ["hills", "plain", "desert"],
			night: false,
		}),
		pictures: 14,
	},
	{
		name: "blackboard-zoo",
		title: "Blackboard zoo",
		about: "One animal in chalk, bright colours, nothing or stars behind.",
		words: "cat owl whale fish snail bird",
		modes: one({
			subject: ["cat", "owl", "whale", "fish", "snail", "bird"],
			style: "chalk",
			palette: ["neon", "candy", "sunset", "ocean"],
			background: ["plain", "stars"],
			count: 1,
			scale: { min: 0.95, max: 1.12 },
		}),
		pictures: 12,
	},
	{
		name: "far-from-water",
		title: "Far from water",
		about: "Sea things in the desert: boats, whales, fish and lighthouses on dunes, in any style but chalk.",
		words: "boat whale fish and lighthouse",
		modes: one({
			subject: ["boat", "whale", "fish", "lighthouse"],
			background: "desert",
			palette: ["autumn", "earth", "sunset", "candy"],
			style: ["flat", "ink", "pastel", "mosaic", "glass"],
			count: 1,
			night: 0.25,
		}),
		pictures: 20,
	},
	{
		name: "grey-city",
		title: "Grey city, late",
		about: "Black and white or earth pictures of the city at night, ink, flat or pixels, one cat, robot, owl or bird.",
		words: "cat robot owl and bird",
		modes: one({
			subject: ["cat", "robot", "owl", "bird"],
			background: "city",
			night: true,
			palette: ["mono", "earth"],
			style: ["ink", "mosaic", "flat"],
			count: 1,
		}),
		pictures: 12,
	},
	{
		name: "two-moods",
		title: "Two moods",
		about: "Mountains and trees: by day in autumn pastel, by night in neon glass; nothing between.",
		words: "mountain and tree",
		modes: [
			{
				weight: 1,
				constraints: {
					subject: ["mountain", "tree"],
					style: "pastel",
					palette: ["autumn", "sunset"],
					background: ["hills", "clouds"],
					night: false,
					count: 1,
				},
			},
			{
				weight: 1,
				constraints: {
					subject: ["mountain", "tree"],
					style: "glass",
					palette: ["neon", "ocean"],
					background: ["stars", "hills"],
					night: true,
					count: 1,
				},
			},
		],
		pictures: 10,
	},
	{
		name: "old-parish",
		title: "Old parish",
		about:
			"Tall cathedrals in stained glass, ink or flat on hills, in clouds or under stars, forest, earth and ocean, seen upright.",
		words: "cathedral",
		modes: one({
			subject: "cathedral",
			style: ["glass", "ink", "flat"],
			palette: ["forest", "earth", "ocean"],
			background: ["hills", "stars", "clouds"],
			lean: { min: -1, max: 1 },
			count: 1,
			parts: { cathedral: { height: { min: 0.6, max: 1 }, rose: true, roof: ["spire", "dome"] } },
		}),
		pictures: 12,
	},
];

/** The twelve sets. */
export const REFERENCE_SETS = SETS;

/** @throws RangeError listing the sets, for a name that is none of theirs */
export function referenceSet(name: string): ReferenceSet {
	const set = SETS.find((each) => each.name === name);
	if (set) return set;
	throw new RangeError(`There is no reference set "${name}"; there are ${SETS.map((each) => each.name).join(", ")}.`);
}

/** The first `count` scenes that a seed draws from a set's distribution. */
export function sampleSet(name: string, count: number, seed = 1): Scene[] {
	const { modes } = referenceSet(name);
	const random = new RandomStream(seed, `set:${name}`);
	return Array.from({ length: count }, () => {
		const mode = random.weighted(
			modes,
			modes.map(({ weight }) => weight),
		);
		return sampleScene(random.bits(), mode.constraints);
	});
}

/** The scenes of a set's reference pictures. */
export function referenceScenes(name: string): Scene[] {
	return sampleSet(name, referenceSet(name).pictures);
}

/** Whether a scene could come from a set: some mode allows every one of its attributes. */
export function inSet(scene: Scene, name: string): boolean {
	return referenceSet(name).modes.some(({ constraints }) => fits(scene, constraints));
}

function fits(scene: Scene, constraints: Constraints): boolean {
	const { night, parts, layout, ...rest } = constraints;
	if (nightProbability(scene.background, night) === (scene.night ? 0 : 1)) return false;
	if (layout !== undefined && layout !== scene.layout) return false;
	for (const [part, constraint] of Object.entries(parts?.[scene.subject] ?? {}))
		if (!allows(constraint, scene.parts[part]!)) return false;
	return Object.entries(rest).every(([key, constraint]) => allows(constraint, scene[key as keyof typeof rest]));
}

/** Attributes that a classifier reads. */
export const ATTRIBUTES = ["subject", "style", "palette", "background", "night", "coat", "count"] as const;
export type Attribute = (typeof ATTRIBUTES)[number];
export type AttributeValue = Scene[Attribute];

/** Every value an attribute has in the world. */
export const ATTRIBUTE_VALUES: { readonly [A in Attribute]: readonly Scene[A][] } = {
	subject: SUBJECT_NAMES,
	style: STYLE_NAMES,
	palette: PALETTE_NAMES,
	background: BACKGROUND_NAMES,
	night: [false, true],
	coat: COATS,
	count: COUNTS,
};

/**
 * The exact probability of each value of an attribute, in a reference set or in the world at large. Values that cannot come up are left out.
 *
 * @param set null: scenes without constraints
 */
export function attributeDistribution(set: string | null, attribute: Attribute): Map<AttributeValue, number> {
	const modes = set === null ? one({}) : referenceSet(set).modes;
	const total = modes.reduce((sum, { weight }) => sum + weight, 0);
	const result = new Map<AttributeValue, number>();
	for (const { weight, constraints } of modes)
		for (const [value, share] of modeDistribution(constraints, attribute))
			if (share > 0) result.set(value, (result.get(value) ?? 0) + (share * weight) / total);
	return result;
}

function modeDistribution(c: Constraints, attribute: Attribute): Map<AttributeValue, number> {
	switch (attribute) {
		case "subject":
			return probabilities("subject", c.subject, SUBJECT_NAMES);
		case "style":
			return probabilities("style", c.style, STYLE_NAMES);
		case "palette":
			return probabilities("palette", c.palette, PALETTE_NAMES);
		case "background":
			return probabilities("background", c.background, BACKGROUND_NAMES);
		case "coat":
			return probabilities("coat", c.coat, COATS);
		case "night": {
			let night = 0;
			for (const [background, share] of probabilities("background", c.background, BACKGROUND_NAMES))
				night += share * nightProbability(background, c.night);
			return new Map([
				[false, 1 - night],
				[true, night],
			]);
		}
		case "count": {
			const counts = new Map<AttributeValue, number>();
			for (const [style, share] of probabilities("style", c.style, STYLE_NAMES))
				for (const [count, p] of probabilities("count", c.count, COUNTS, countWeights(style)))
					counts.set(count, (counts.get(count) ?? 0) + share * p);
			return counts;
		}
	}
}
