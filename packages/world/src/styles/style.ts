// What a style is: paint for every shape, and what is done to the pixels afterwards.
import type { Hex } from "../colour.js";
import type { PaletteName } from "../palettes.js";
import { geometry, type Role, round2, type Shape } from "../primitives.js";
import type { SubjectName } from "../subjects/index.js";

/** What of a scene the paint depends on. */
export interface PaintedScene {
	readonly palette: PaletteName;
	readonly background: string;
	readonly subject: SubjectName;
	readonly night: boolean;
	readonly coat: 0 | 1;
	readonly count: number;
	readonly layout: number;
}

/** Gradients by their ids, each written once. */
export class Gradients {
	private readonly definitions = new Map<string, string>();

	/** @param prefix keeps the ids of several pictures in one SVG apart */
	constructor(private readonly prefix: string) {}

	/** The paint of a gradient, written at its first use. */
	paint(key: string, attributes: string, stops: readonly (readonly [offset: number, colour: Hex])[]): string {
		const id = this.prefix + key;
		if (!this.definitions.has(id)) {
			const list = stops.map(([offset, colour]) => `<stop offset="${offset}" stop-color="${colour}"/>`);
			this.definitions.set(id, `<linearGradient id="${id}" ${attributes}>${list.join("")}</linearGradient>`);
		}
		return `url(#${id})`;
	}

	get svg(): string {
		return [...this.definitions.values()].join("");
	}
}

/** SVG of shapes in one style. `pixel`: local units per pixel of the picture. */
export interface Paint {
	background(shape: Shape): string;
	subject(shape: Shape, pixel: number): string;
	/** Painted under the whole subject: a shadow or an outline. */
	under?: { readonly attributes: string; shape(shape: Shape, pixel: number): string };
	/** Colour of a frame around the picture. */
	frame?: Hex;
}

/** Colours by role, for a scene. */
export interface Colours extends Record<Role, Hex> {
	/** The palette's darkest, whatever the sky. */
	outline: Hex;
	isNight: boolean;
}

/** Closes an element that `geometry` opened. A stroke of "" is none. */
export function fill(paint: string, stroke = "", width = 0, extra = ""): string {
	const line = stroke
		? ` stroke="${stroke}" stroke-width="${round2(width)}" stroke-linejoin="round" stroke-linecap="round"`
		: "";
	return ` fill="${paint}"${line}${extra}/>`;
}

/** A path drawn with a round pen. */
export function stroke(d: string, colour: Hex, width: number): string {
	return `<path d="${d}" fill="none" stroke="${colour}" stroke-width="${round2(width)}" stroke-linecap="round" stroke-linejoin="round"/>`;
}

/** `geometry`, with the moon as a crescent. */
export function outlineOf(shape: Shape): string {
	if (shape.kind !== "ellipse" || !shape.crescent) return geometry(shape);
	const { cx, cy, rx: r } = shape;
	const top = `${round2(cx + r * 0.35)} ${round2(cy - r)}`;
	return `<path d="M${top}A${round2(r)} ${round2(r)} 0 1 0 ${round2(cx + r)} ${round2(cy + r * 0.45)}A${round2(r * 0.86)} ${round2(r * 0.86)} 0 0 1 ${top}Z"`;
}

export function isStroke(shape: Shape): shape is Extract<Shape, { kind: "line" | "limb" }> {
	return shape.kind === "line" || shape.kind === "limb";
}

export function isSmall({ role }: Shape): boolean {
	return role === "star" || role === "flake";
}

/** The unit of gradients' offsets and vectors. */
export function round4(value: number): number {
	return Math.round(value * 10_000) / 10_000;
}
