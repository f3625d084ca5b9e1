// Pixel mosaics: dark outlines, then two by two pixels of one colour of the scene each.
import { type Hex, hexToRgb, mix } from "../colour.js";
import { geometry, type Role, type Shape } from "../primitives.js";
import { coloursOf } from "./colours.js";
import { type Colours, fill, isSmall, isStroke, outlineOf, type Paint, type PaintedScene, stroke } from "./style.js";

/** Pixels on a side of a cell. */
const CELL = 2;

const down = (v: number) => CELL * Math.floor(v / CELL);
const near = (v: number) => CELL * Math.round(v / CELL);

function outlineColour(scene: PaintedScene, c: Colours): Hex {
	return c.isNight || scene.palette === "neon" ? mix(c.outline, "#000000", 0.55) : c.outline;
}

/** Circles look round only where their centres lie between cells. */
function snapped(s: Shape): Shape {
	if (s.kind !== "ellipse") return s;
	const sun = near(s.rx) + 1;
	const [rx, ry] = s.role === "moon" ? [6, s.ry] : s.role === "sun" ? [sun, sun] : [s.rx, s.ry];
	return { ...s, cx: near(s.cx), cy: near(s.cy), rx, ry };
}

const cell = (x: number, y: number) => `<rect x="${x}" y="${y}" width="2" height="2"`;

const NOT_OUTLINED: ReadonlySet<Role> = new Set(["beam", "wave", "spray", "bubble", "whisk"]);

export function mosaicPaint(scene: PaintedScene): Paint {
	const c = coloursOf(scene);
	const outline = outlineColour(scene, c);
	const width = scene.count > 1 ? 2.2 : 3.4;
	return {
		background: (s) => {
			if (s.kind === "line") return stroke(s.d, c[s.role], Math.max(CELL, s.width));
			if (s.kind === "ellipse" && isSmall(s)) return cell(down(s.cx), down(s.cy)) + fill(c[s.role]);
			if (s.kind === "rect" && s.role === "win") return cell(near(s.x), near(s.y)) + fill(c.win);
			return outlineOf(snapped(s)) + fill(c[s.role]);
		},
		under: {
			attributes: "",
			shape: (s, pixel) => {
				if (NOT_OUTLINED.has(s.role) || (s.detail && s.kind !== "line")) return "";
				if (isStroke(s)) return stroke(s.d, outline, s.width + width * pixel);
				return geometry(s) + fill(outline, outline, width * pixel);
			},
		},
		subject: (s, pixel) => {
			if (s.role === "whisk") return "";
			if (s.role === "beam") return geometry(s) + fill(mix(c.sky, c.beam, 0.6));
			if (s.kind === "line") return stroke(s.d, c[s.role], Math.max(s.width, CELL * pixel));
			return s.kind === "limb" ? stroke(s.d, c[s.role], s.width) : geometry(s) + fill(c[s.role]);
		},
	};
}

const SUBJECT_ROLES: readonly Role[] = [
	"main",
	"main2",
	"alt",
	"alt2",
	"acc",
	"light",
	"light2",
	"dark",
	"glass",
	"spray",
	"wave",
	"bubble",
];
const LIGHTS: readonly Role[] = ["sky", "sun", "moon", "star"];
const SCENERY_ROLES: Readonly<Record<string, readonly Role[]>> = {
	plain: ["sky", "shadow"],
	clouds: ["sky", "cloud"],
	stars: [...LIGHTS, "land2"],
	sea: [...LIGHTS, "water", "water2", "foam"],
	hills: [...LIGHTS, "land", "land2", "tuft"],
	city: [...LIGHTS, "far", "win", "land2"],
	desert: [...LIGHTS, "sand", "sand2", "plant"],
	snow: ["snowsky", "moon", "pine", "snow", "snow2", "flake"],
};

/** A colour that cells may have; where several cover a cell equally, the one of the highest rank takes it. */
interface Tile {
	readonly rgb: readonly [number, number, number];
	readonly rank: number;
}

/** The outline comes first, then the subject, then the scenery. */
function tilesOf(scene: PaintedScene): Tile[] {
	const c = coloursOf(scene);
	const roles = [...SUBJECT_ROLES, ...SCENERY_ROLES[scene.background]!];
	const colours = [...new Set([outlineColour(scene, c), ...roles.map((role) => c[role])])];
	if (scene.subject === "lighthouse") colours.push(mix(c.sky, c.beam, 0.6));
	return colours.map((hex, i) => ({ rgb: hexToRgb(hex), rank: colours.length - i }));
}

function nearest(tiles: readonly Tile[], pixels: Uint8Array, at: number): Tile {
	const [r, g, b] = [pixels[at]!, pixels[at + 1]!, pixels[at + 2]!];
	let best = Number.POSITIVE_INFINITY;
	let found = tiles[0]!;
	for (const tile of tiles) {
		const [tr, tg, tb] = tile.rgb;
		const distance = 2 * (tr - r) ** 2 + 4 * (tg - g) ** 2 + 3 * (tb - b) ** 2;
		if (distance < best) {
			best = distance;
			found = tile;
		}
	}
	return found;
}

/** Gives every cell of RGB pixels the scene's colour that most of its pixels are nearest to, in place. */
export function tile(scene: PaintedScene, pixels: Uint8Array, side: number): void {
	const tiles = tilesOf(scene);
	for (let y = 0; y < side; y += CELL)
		for (let x = 0; x < side; x += CELL) {
			const first = (y * side + x) * 3;
			const corners = [first, first + 3, first + side * 3, first + side * 3 + 3];
			const votes = corners.map((at) => nearest(tiles, pixels, at));
			let chosen = votes[0]!;
			let most = 0;
			for (const vote of votes) {
				const count = votes.filter((other) => other === vote).length;
				if (count > most || (count === most && vote.rank > chosen.rank)) {
					most = count;
					chosen = vote;
				}
			}
			for (const at of corners) pixels.set(chosen.rgb, at);
		}
}
