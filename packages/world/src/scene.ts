// A scene is a plain JSON object of exact attributes; its picture and its captions are functions of it.
import { BACKGROUND_NAMES, BACKGROUNDS, type BackgroundName } from "./backgrounds.js";
import { type Choice, choose, chooseNumber, type PartConstraint, type Range } from "./constraints.js";
import { PALETTE_NAMES, type PaletteName } from "./palettes.js";
import { RandomStream } from "./random.js";
import { STYLE_NAMES, type StyleName } from "./styles/index.js";
import { SUBJECT_NAMES, SUBJECTS, type SubjectName } from "./subjects/index.js";
import type { PartSpec, PartValue, Subject } from "./subjects/subject.js";

export interface Scene {
	/** Where it came from, and what its captions' draws depend on; no part of the picture. */
	readonly seed: number;
	readonly subject: SubjectName;
	readonly style: StyleName;
	readonly palette: PaletteName;
	readonly background: BackgroundName;
	readonly night: boolean;
	/** Which of the palette's two colours the subject's body has. */
	readonly coat: 0 | 1;
	/** Copies of the subject. */
	readonly count: 1 | 2 | 3;
	/** Off the centre, in widths and heights of the picture. */
	readonly x: number;
	readonly y: number;
	/** About 1. */
	readonly scale: number;
	/** Degrees; positive is clockwise. */
	readonly lean: number;
	/** Turned to the left; shows where left and right of the subject differ. */
	readonly mirror: boolean;
	readonly parts: Readonly<Record<string, PartValue>>;
	/** Height of the horizon, in heights of the picture. */
	readonly horizon: number;
	/** Where sun or moon stands, 0…1. */
	readonly light: number;
	/** Seed of the small scenery. */
	readonly layout: number;
}

/** What a scene may be; what is left out is drawn as in the world at large. */
export interface Constraints {
	readonly subject?: Choice<SubjectName>;
	readonly style?: Choice<StyleName>;
	readonly palette?: Choice<PaletteName>;
	readonly background?: Choice<BackgroundName>;
	/** A number is the probability of night. Backgrounds of one time only keep it. */
	readonly night?: boolean | number;
	readonly coat?: Choice<0 | 1>;
	readonly count?: Choice<1 | 2 | 3>;
	readonly mirror?: boolean;
	readonly x?: Range;
	readonly y?: Range;
	readonly scale?: Range;
	readonly lean?: Range;
	readonly horizon?: Range;
	readonly light?: Range;
	readonly layout?: number;
	/** By subject, then by part. */
	readonly parts?: { readonly [S in SubjectName]?: Readonly<Record<string, PartConstraint>> };
}

export const COATS = [0, 1] as const;
export const COUNTS = [1, 2, 3] as const;

/** Three are too fine for a mosaic's cells. */
export function countWeights(style: StyleName): readonly number[] {
	return style === "mosaic" ? [0.84, 0.16, 0] : [0.76, 0.14, 0.1];
}

/** Probability of night under a constraint. */
export function nightProbability(background: BackgroundName, constraint: boolean | number | undefined): number {
	const { night } = BACKGROUNDS[background];
	return night === 0 || night === 1 || constraint === undefined ? night : Number(constraint);
}

/**
 * A scene of the world.
 *
 * Each attribute has a random stream of its own, so that constraining one leaves the others as they were: the same seed in another style
 * is the same scene in another style.
 *
 * @param seed a whole number; the same scene everywhere
 * @throws RangeError naming a seed or a value that does not exist
 */
export function sampleScene(seed: number, constraints: Constraints = {}): Scene {
	if (!Number.isSafeInteger(seed)) throw new RangeError(`A scene's seed is a whole number, not ${seed}.`);
	const c = constraints;
	const stream = (label: string) => new RandomStream(seed, label);
	const subject = choose(stream("subject"), "subject", c.subject, SUBJECT_NAMES);
	const traits: Subject = SUBJECTS[subject];
	const style = choose(stream("style"), "style", c.style, STYLE_NAMES);
	const palette = choose(stream("palette"), "palette", c.palette, PALETTE_NAMES);
	const background = choose(stream("background"), "background", c.background, BACKGROUND_NAMES);
	const scale = chooseNumber(stream("scale"), c.scale, 0.78, 1.12);
	// Subjects stay within the picture.
	const size = 46 * (style === "mosaic" ? 0.57 : 0.53) * scale * (traits.fit ?? 1);
	const room = Math.max(0.02, Math.min(0.14, (33.5 - size) / 64));
	return {
		seed,
		subject,
		style,
		palette,
		background,
		night: stream("night").uniform() < nightProbability(background, c.night),
		coat: choose(stream("coat"), "coat", c.coat, COATS),
		count: choose(stream("count"), "count", c.count, COUNTS, countWeights(style)),
		x: chooseNumber(stream("x"), c.x, -room, room),
		y: chooseNumber(stream("y"), c.y, -0.05, 0.05),
		scale,
		lean: chooseLean(stream, c.lean, traits.maxLean ?? 16),
		mirror: c.mirror ?? stream("mirror").chance(),
		parts: chooseParts(stream, subject, traits, c.parts?.[subject] ?? {}),
		horizon: chooseNumber(stream("horizon"), c.horizon, 0.66, 0.78),
		light: chooseNumber(stream("light"), c.light, 0, 1),
		layout: c.layout ?? stream("layout").bits(),
	};
}

/** Mostly upright, unless a constraint says otherwise. */
function chooseLean(stream: (label: string) => RandomStream, constraint: Range | undefined, most: number): number {
	if (constraint !== undefined) return chooseNumber(stream("lean2"), constraint, -most, most);
	const share = stream("lean").normal() * 0.42;
	return Math.round(Math.max(-1, Math.min(1, share)) * most * 10) / 10;
}

function chooseParts(
	stream: (label: string) => RandomStream,
	subject: SubjectName,
	traits: Subject,
	constraints: Readonly<Record<string, PartConstraint>>,
): Record<string, PartValue> {
	for (const part of Object.keys(constraints))
		if (!Object.hasOwn(traits.parts, part))
			throw new RangeError(`A ${subject} has no part "${part}"; it has ${Object.keys(traits.parts).join(", ")}.`);
	const parts: Record<string, PartValue> = {};
	for (const [part, spec] of Object.entries(traits.parts))
		parts[part] = choosePart(stream(`part:${subject}:${part}`), `${part} of a ${subject}`, spec, constraints[part]);
	return parts;
}

function choosePart(
	random: RandomStream,
	name: string,
	spec: PartSpec,
	constraint: PartConstraint | undefined,
): PartValue {
	if ("values" in spec) return choose(random, name, constraint as Choice<PartValue>, spec.values, spec.weights);
	return chooseNumber(random, constraint as Range, spec.min, spec.max);
}
