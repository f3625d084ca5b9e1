import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
	BACKGROUND_NAMES,
	BACKGROUNDS,
	caption,
	facts,
	PALETTE_NAMES,
	PALETTES,
	plainCaption,
	type Scene,
	STYLE_NAMES,
	STYLES,
	SUBJECT_NAMES,
	SUBJECTS,
	type Subject,
	sampleScene,
} from "../src/index.js";

const scenes = Array.from({ length: 1500 }, (_, i) => sampleScene(300_000 + i));
const captions = scenes.flatMap((scene) => [0, 1, 2].map((seed) => ({ scene, text: caption(scene, seed) })));

/** Names whose phrases a text contains. */
function named<N extends string>(text: string, names: readonly N[], phrases: (name: N) => readonly string[]): N[] {
	return names.filter((name) => phrases(name).some((phrase) => text.includes(phrase)));
}

/** A subject's nouns, one or several of it. */
function saysSubject(text: string, name: Scene["subject"]): boolean {
	const { nouns, plurals = [] }: Subject = SUBJECTS[name];
	return [...nouns, ...plurals].some((noun) => new RegExp(`\\b${noun}(s|es)?\\b`).test(text));
}

describe("captions", () => {
	test("are words, single spaces and commas, short enough for 75 tokens", () => {
		for (const { text } of captions) {
			expect(text).toMatch(/^[a-z]+( [a-z]+|, [a-z]+)*$/);
			expect(text.split(/[ ,]+/).length).toBeLessThan(40);
		}
	});

	test("say nothing of style, palette or background that is not so", () => {
		for (const { scene, text } of captions) {
			for (const style of named(text, STYLE_NAMES, (name) => [...STYLES[name].phrases, ...STYLES[name].tags]))
				expect(style, text).toBe(scene.style);
			for (const palette of named(text, PALETTE_NAMES, (name) => PALETTES[name].phrases))
				expect(palette, text).toBe(scene.palette);
			for (const background of named(text, BACKGROUND_NAMES, (name) => BACKGROUNDS[name].phrases))
				expect(background, text).toBe(scene.background);
			if (/\b(at night|by night|under the moon)\b/.test(text)) expect(scene.night, text).toBe(true);
			if (/\b(by day|in daylight)\b/.test(text)) expect(scene.night, text).toBe(false);
			if (/\btwo\b/.test(text.split(" with ")[0]!)) expect(scene.count, text).toBe(2);
			if (/\bleaning right\b/.test(text)) expect(scene.lean, text).toBeGreaterThan(0);
		}
	});

	test("always name the subject", () => {
		for (const { scene, text } of captions) expect(saysSubject(text, scene.subject), text).toBe(true);
	});

	test("leave every attribute unsaid some of the time, and say it some of the time", () => {
		const share = (says: (text: string, scene: Scene) => boolean) =>
			captions.filter(({ text, scene }) => says(text, scene)).length / captions.length;
		const style = share(
			(text) => named(text, STYLE_NAMES, (n) => [...STYLES[n].phrases, ...STYLES[n].tags]).length > 0,
		);
		const palette = share((text) => named(text, PALETTE_NAMES, (n) => PALETTES[n].phrases).length > 0);
		const background = share((text) => named(text, BACKGROUND_NAMES, (n) => BACKGROUNDS[n].phrases).length > 0);
		for (const [what, p] of Object.entries({ style, palette, background })) {
			expect(p, what).toBeGreaterThan(0.6);
			expect(p, what).toBeLessThan(0.97);
		}
	});

	test("detail says more, and none of it as little as there is", () => {
		const words = (detail: number) =>
			scenes.slice(0, 400).reduce((sum, scene) => sum + caption(scene, 0, { detail }).split(" ").length, 0) / 400;
		expect(words(1)).toBeGreaterThan(words(0.3) + 3);
		expect(words(0.3)).toBeGreaterThan(words(0));
	});

	test("use the right article and plural", () => {
		for (const { text } of captions) {
			expect(text).not.toMatch(/\ba [aeiou]/);
			expect(text).not.toMatch(/\ban [^aeiou]/);
		}
		const plain = (subject: Scene["subject"], count: 1 | 2 | 3) =>
			plainCaption(
				sampleScene(1, { subject, count, style: "flat", palette: "ocean", coat: 0, background: "sea", night: true }),
			);
		expect(plain("cactus", 2)).toBe("a flat poster of two blue cacti by the sea at night, ocean colours");
		expect(plain("fish", 3)).toBe("a flat poster of three blue fish by the sea at night, ocean colours");
		expect(plain("owl", 1)).toBe("a flat poster of a blue owl by the sea at night, ocean colours");
	});

	test("the plain caption names subject, style, palette, background, time and coat, and so tells them apart", () => {
		const texts = new Map<string, string>();
		for (const subject of SUBJECT_NAMES)
			for (const style of STYLE_NAMES)
				for (const palette of PALETTE_NAMES) {
					const scene = sampleScene(2, { subject, style, palette, background: "hills", count: 1 });
					texts.set(plainCaption(scene), `${subject} ${style} ${palette}`);
				}
		expect(texts.size).toBe(SUBJECT_NAMES.length * STYLE_NAMES.length * PALETTE_NAMES.length);
	});

	test("a seed says the same everywhere", () => {
		const hash = createHash("sha256")
			.update(captions.map(({ text }) => text).join("\n"))
			.digest("hex");
		expect(hash.slice(0, 16)).toBe("afec9d29f6500008");
		expect(new Set([0, 1, 2, 3, 4, 5].map((seed) => caption(scenes[0]!, seed))).size).toBeGreaterThan(2);
	});

	test("facts hold the phrases a caption chooses from", () => {
		const scene = sampleScene(3, { subject: "fish", style: "ink", palette: "mono", background: "city", night: true });
		expect(facts(scene)).toMatchObject({
			nouns: ["fish"],
			style: STYLES.ink.phrases,
			palette: ["black and white", "mono palette", "grey tones"],
			background: BACKGROUNDS.city.phrases,
			time: ["at night", "by night", "under the moon"],
		});
	});
});
