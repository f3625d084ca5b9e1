// Captions: lower case, only true statements, parts left out at random.
import { BACKGROUNDS } from "./backgrounds.js";
import { PALETTES } from "./palettes.js";
import { RandomStream } from "./random.js";
import type { Scene } from "./scene.js";
import { STYLES } from "./styles/index.js";
import { SUBJECTS } from "./subjects/index.js";
import { NUMERALS, type Subject } from "./subjects/subject.js";

/** Every phrase that is true of a scene, by kind. */
export interface Facts {
	readonly style: readonly string[];
	readonly styleTag: readonly string[];
	readonly palette: readonly string[];
	readonly colour: string;
	/** The plainest first. */
	readonly nouns: readonly string[];
	readonly adj: readonly string[];
	readonly has: readonly string[];
	readonly size: readonly string[];
	readonly pose: readonly string[];
	readonly place: readonly string[];
	readonly face: readonly string[];
	readonly background: readonly string[];
	readonly time: readonly string[];
	readonly count: number;
}

/** Degrees from which a lean is seen as one. */
function visibleLean(scene: Scene, { maxLean = 16 }: Subject): number {
	if (maxLean === 4) return Number.POSITIVE_INFINITY;
	return (maxLean === 40 ? 18 : 7) * (scene.count > 1 ? 1.4 : 1);
}

export function facts(scene: Scene): Facts {
	const subject: Subject = SUBJECTS[scene.subject];
	const palette = PALETTES[scene.palette];
	const style = STYLES[scene.style];
	const background = BACKGROUNDS[scene.background];
	const words = subject.words(scene.parts);
	const lean = visibleLean(scene, subject);
	const size = scene.scale > 1.04 ? ["big", "large"] : scene.scale < 0.86 ? ["small", "tiny"] : [];
	const pose =
		scene.lean > lean
			? ["leaning right", "tilted to the right"]
			: scene.lean < -lean
				? ["leaning left", "tilted to the left"]
				: [];
	const place = scene.count > 1 ? [] : scene.x > 0.06 ? ["on the right"] : scene.x < -0.06 ? ["on the left"] : [];
	const face = subject.looks ? [scene.mirror ? "facing left" : "facing right"] : [];
	const both = background.night !== 0 && background.night !== 1;
	const time = !both ? [] : scene.night ? ["at night", "by night", "under the moon"] : ["by day", "in daylight"];
	return {
		style: style.phrases,
		styleTag: style.tags,
		palette: palette.phrases,
		colour: palette.names[scene.coat],
		nouns: subject.nouns,
		adj: words.adj,
		has: words.has,
		size,
		pose,
		place,
		face,
		background: background.phrases,
		time,
		count: scene.count,
	};
}

function withArticle(words: string): string {
	return `${/^[aeiou]/.test(words) ? "an" : "a"} ${words}`;
}

function plural(subject: Subject, noun: string): string {
	if (subject.plurals) return subject.plurals[subject.nouns.indexOf(noun)]!;
	return noun + (/(ch|sh|s|x)$/.test(noun) ? "es" : "s");
}

function enumeration(items: readonly string[]): string {
	return items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}

/** "a tall robot", "two tall robots". */
function nounPhrase(scene: Scene, words: readonly string[], noun: string): string {
	if (scene.count === 1) return withArticle([...words, noun].join(" "));
	return [NUMERALS[scene.count], ...words, plural(SUBJECTS[scene.subject], noun)].join(" ");
}

export interface CaptionOptions {
	/** How much is said, 0…1. Drawn at random unless given. */
	detail?: number;
}

/**
 * A caption of a scene. It never says what the picture does not show, and leaves everything unsaid some of the time.
 *
 * @param seed a whole number: captions of one scene differ by it
 */
export function caption(scene: Scene, seed = 0, options: CaptionOptions = {}): string {
	const random = new RandomStream(seed, `caption:${scene.seed}`);
	const f = facts(scene);
	const detail = options.detail ?? random.weighted([0.35, 0.7, 1], [2, 5, 3]);
	const say = (p: number) => random.chance(Math.min(0.98, p * (0.35 + detail)));

	const what = describeSubject(scene, f, random, say, detail);
	const background = say(0.85) ? random.pick(f.background) : "";
	const time = f.time.length > 0 && say(scene.night ? 0.85 : 0.15) ? random.pick(f.time) : "";
	const where = [background, time].filter(Boolean).join(" ");
	const palette = say(0.8) ? random.pick(f.palette) : "";
	const saysStyle = say(0.95);
	return compose(f, random, { what, where, palette, saysStyle });
}

function describeSubject(
	scene: Scene,
	f: Facts,
	random: RandomStream,
	say: (p: number) => boolean,
	detail: number,
): string {
	const noun = random.weighted(
		f.nouns,
		f.nouns.map((_, i) => (i === 0 ? 3 : 1)),
	);
	const adjectives: string[] = [];
	if (f.size.length > 0 && !noun.startsWith("little") && say(0.5)) adjectives.push(random.pick(f.size));
	if (f.adj.length > 0 && say(0.45)) {
		// A little house is not called little again; where nothing is left, nothing is said.
		const fresh: readonly (string | undefined)[] = f.adj.filter((word) => !noun.includes(word));
		adjectives.push(random.pick(fresh) ?? "");
	}
	if (say(0.3)) adjectives.push(f.colour);
	let phrase = nounPhrase(scene, [...new Set(adjectives)].filter(Boolean), noun);

	const tail: string[] = [];
	if (f.pose.length > 0 && say(0.5)) tail.push(random.pick(f.pose));
	if (f.face.length > 0 && say(0.22)) tail.push(random.pick(f.face));
	if (f.place.length > 0 && say(0.3)) tail.push(random.pick(f.place));
	if (tail.length > 0) phrase += ` ${tail.join(" ")}`;

	if (f.has.length > 0 && say(0.45)) {
		const two = f.has.length > 1 && random.chance(0.3 * (0.4 + detail));
		const first = random.integer(0, f.has.length - 1);
		const parts = enumeration(two ? [f.has[first]!, f.has[(first + 1) % f.has.length]!] : [f.has[first]!]);
		phrase += ` with ${scene.count > 1 ? parts.replace(/\bits\b/g, "their") : parts}`;
	}
	return phrase;
}

interface Pieces {
	readonly what: string;
	readonly where: string;
	readonly palette: string;
	readonly saysStyle: boolean;
}

/** Four orders of words. */
function compose(f: Facts, random: RandomStream, { what, where, palette, saysStyle }: Pieces): string {
	const body = what + (where && ` ${where}`);
	const colours = inColours(palette, random);
	const order = random.weighted([0, 1, 2, 3], [5, 2, 2, 1.5]);
	const picture = () => (saysStyle ? `${random.pick(f.style)} ` : "");
	const tag = () => (saysStyle ? random.pick(f.styleTag) : "");
	switch (order) {
		case 0:
			return picture() + body + (palette && `, ${palette}`);
		case 1:
			return [body, tag(), palette].filter(Boolean).join(", ");
		case 2:
			return picture() + body + (palette && ` ${colours}`);
		default:
			return [tag(), what, where, palette].filter(Boolean).join(", ");
	}
}

/** "in ocean colours", "with a candy palette", "in warm sunset tones". */
function inColours(palette: string, random: RandomStream): string {
	if (/^(black|warm|woodland|sea|sweet|fall|grey|glowing|clay)/.test(palette)) return `in ${palette}`;
	const preposition = random.pick(["in", "in", "with"]);
	return `${preposition} ${palette.endsWith(" palette") ? withArticle(palette) : palette}`;
}

/** A caption that says everything main, in one fixed order. */
export function plainCaption(scene: Scene): string {
	const f = facts(scene);
	const what = nounPhrase(scene, [f.colour], f.nouns[0]!);
	const night = f.time.length > 0 && scene.night ? " at night" : "";
	return `${f.style[0]} ${what} ${f.background[0]}${night}, ${f.palette[0]}`;
}
