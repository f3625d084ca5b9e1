// A scene as SVG.
import { drawBackground, type Setting } from "./backgrounds.js";
import { Pen, round2 } from "./primitives.js";
import { RandomStream } from "./random.js";
import type { Scene } from "./scene.js";
import { styleOf } from "./styles/index.js";
import { Gradients, type Paint, round4 } from "./styles/style.js";
import { SUBJECTS } from "./subjects/index.js";
import type { Subject } from "./subjects/subject.js";

/** Height of a subject's feet in its own box. */
const FEET = 45;

/** Where one copy of the subject stands, in units of a picture 64 wide. */
export interface Placement {
	readonly x: number;
	readonly y: number;
	readonly scale: number;
	/** Degrees about the point (0, pivot) of the subject's box. */
	readonly lean: number;
	readonly pivot: number;
}

type Slot = readonly [x: number, y: number];
const PAIR: readonly Slot[] = [
	[-15.5, 0],
	[15.5, 0],
];
const TRIO_ON_THE_GROUND: readonly Slot[] = [
	[-20, -4],
	[20, -4],
	[0, 4],
];
const TRIO_IN_THE_AIR: readonly Slot[] = [
	[-18, -11],
	[18, -6],
	[-1, 15],
];

function slots(count: number, onGround: boolean): readonly Slot[] {
	if (count === 1) return [[0, 0]];
	return count === 2 ? PAIR : onGround ? TRIO_ON_THE_GROUND : TRIO_IN_THE_AIR;
}

function baseScale(scene: Scene, fit: number): number {
	if (scene.count === 1) return scene.style === "mosaic" ? 0.57 : 0.53;
	return scene.count === 2 ? 0.385 : fit < 1 ? 0.305 : 0.32;
}

/** Every copy of the subject. */
export function placements(scene: Scene): Placement[] {
	const { anchor, fit = 1 }: Subject = SUBJECTS[scene.subject];
	const { count } = scene;
	const alone = count === 1;
	const standing = anchor !== "air";
	const scale = baseScale(scene, fit) * scene.scale * fit;
	const random = new RandomStream(scene.layout, "copies");
	return slots(count, anchor === "ground").map(([slotX, slotY]) => {
		const jitterX = alone ? 0 : random.range(-1.5, 1.5);
		const jitterY = alone ? 0 : random.range(-2, 2);
		const own = alone ? scale : scale * random.range(0.9, 1.1);
		const jitterLean = alone ? 0 : random.range(-4, 4);
		const ground = 57 + (alone ? (scene.scale - 0.95) * 8 : -0.5) + slotY * 0.7 + scene.y * 50;
		return {
			x: 32 + slotX + jitterX + scene.x * (alone ? 64 : 12),
			y: standing ? ground - FEET * own - (alone ? 0 : 4) : 31 + slotY + jitterY + scene.y * 90,
			scale: own,
			lean: scene.lean * (alone ? 1 : 0.7) + jitterLean,
			pivot: standing ? FEET : 0,
		};
	});
}

/** The light stands on the other side of the subject. */
function settingOf(scene: Scene, first: Placement): Setting {
	const alone = scene.count === 1;
	const { light } = scene;
	const lightX = !alone ? 10 + light * 44 : first.x > 32 ? 9 + light * 8 : 55 - light * 8;
	const inTheAir = SUBJECTS[scene.subject].anchor === "air";
	return {
		horizon: scene.horizon * 64,
		night: scene.night,
		layout: scene.layout,
		lightX,
		lightY: 9 + ((light * 37) % 1) * 6,
		footX: alone ? first.x : 32,
		footY: inTheAir ? 58 : first.y + FEET * first.scale + 0.5,
		footScale: alone ? first.scale / 0.53 : 1.35,
	};
}

/** A picture's gradients, and what refers to them. */
export interface Drawing {
	readonly definitions: string;
	readonly body: string;
}

/**
 * The picture in a box of 64 units, painted from −4 to 68.
 *
 * @param prefix of the gradients' ids, where several pictures share an SVG
 */
export function drawScene(scene: Scene, prefix = "g"): Drawing {
	const subject: Subject = SUBJECTS[scene.subject];
	const gradients = new Gradients(prefix);
	const paint = styleOf(scene.style).paint(scene, gradients);
	const places = placements(scene);

	let body = "";
	for (const shape of drawBackground(scene.background, settingOf(scene, places[0]!))) body += paint.background(shape);
	const pen = new Pen();
	subject.draw(pen, scene.parts);
	const mirrored = subject.facing && scene.mirror;
	for (const place of places) body += drawCopy(pen, paint, place, mirrored);
	if (paint.frame)
		body += `<rect x="0" y="0" width="64" height="64" fill="none" stroke="${paint.frame}" stroke-width="2"/>`;
	return { definitions: gradients.svg, body };
}

function drawCopy({ shapes }: Pen, paint: Paint, place: Placement, mirrored: boolean): string {
	const pixel = 1 / place.scale;
	const turned = `rotate(${round2(place.lean)} 0 ${place.pivot})${mirrored ? " scale(-1 1)" : ""}`;
	const open = `<g transform="translate(${round2(place.x)} ${round2(place.y)}) scale(${round4(place.scale)}) ${turned}">`;
	const { under } = paint;
	const below = under
		? `<g${under.attributes}>${open}${shapes.map((shape) => under.shape(shape, pixel)).join("")}</g></g>`
		: "";
	return `${below}${open}${shapes.map((shape) => paint.subject(shape, pixel)).join("")}</g>`;
}

/** A stand-alone SVG, before what a style does to pixels (the pastel's blur, the mosaic's cells, the chalk's grain). */
export function sceneToSvg(scene: Scene, size = 64): string {
	const { definitions, body } = drawScene(scene);
	const defs = definitions ? `<defs>${definitions}</defs>` : "";
	return `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}" viewBox="0 0 64 64">${defs}${body}</svg>`;
}
