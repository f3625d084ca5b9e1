// Chalk on a blackboard: strokes and hatching, with grain in the pixels.
import { type Hex, lightnessOf, mix, withLightness } from "../colour.js";
import { PALETTES } from "../palettes.js";
import { geometry, type Role, round2 } from "../primitives.js";
import { RandomStream } from "../random.js";
import { fill, type Gradients, isSmall, outlineOf, type Paint, type PaintedScene, stroke } from "./style.js";

const BOARD = "#17191c";

/** The sticks in the box. */
interface Sticks {
	readonly main: Hex;
	readonly alt: Hex;
	readonly acc: Hex;
	readonly light: Hex;
}

const GREY: Sticks = { main: "#e8e8e6", alt: "#a9abad", acc: "#ffffff", light: "#f6f6f4" };

/** Whitened, and never too dark for the board. */
function chalky(colour: Hex, white = 0.1): Hex {
	const mixed = mix(colour, "#ffffff", white);
	return lightnessOf(mixed) < 0.62 ? withLightness(mixed, 0.66, 1.05) : mixed;
}

function sticksOf(scene: PaintedScene): Sticks {
	if (scene.palette === "mono") return GREY;
	const p = PALETTES[scene.palette];
	const [body, second] = scene.coat ? [p.alt, p.main] : [p.main, p.alt];
	return { main: chalky(body), alt: chalky(second), acc: chalky(p.acc, 0.05), light: chalky(p.light, 0.2) };
}

export function chalkPaint(scene: PaintedScene, gradients: Gradients): Paint {
	const p = PALETTES[scene.palette];
	const sticks = sticksOf(scene);
	const stickOf = (role: Role): Hex => sticks[role as keyof Sticks] ?? sticks.main;
	const scenery = (role: Role) => {
		const colour = scene.palette === "neon" ? "#7a4bf0" : role === "water" || role === "foam" ? p.land2 : p.land;
		return mix(chalky(colour, 0), BOARD, 0.42);
	};
	/** Strokes side by side, as dense as `density`. */
	const rubbed = (key: string, colour: Hex, pixel: number, density: number) => {
		const period = 2.7 * pixel;
		const [low, high] = [mix(colour, BOARD, 0.86), mix(colour, BOARD, 1 - density)];
		const vector = `x1="0" y1="0" x2="${round2(period * 0.6)}" y2="${round2(period * 0.8)}"`;
		return gradients.paint(`c${key}`, `gradientUnits="userSpaceOnUse" spreadMethod="repeat" ${vector}`, [
			[0, high],
			[0.3, high],
			[0.6, low],
			[0.85, low],
			[1, high],
		]);
	};
	const lineOf = (role: Role): Hex => {
		if (role === "dark") return sticks.alt;
		if (role === "whisk" || role === "spray" || role === "wave" || role === "light") return sticks.light;
		return role === "acc" || role === "alt" ? sticks[role] : sticks.main;
	};
	return {
		background: (s) => {
			if (s.sky) return geometry(s) + fill(BOARD);
			if (s.kind === "line") return stroke(s.d, scenery(s.role), 1);
			if (isSmall(s)) return geometry(s) + fill(mix(sticks.light, BOARD, 0.15));
			switch (s.role) {
				case "moon":
					return outlineOf(s) + fill(sticks.light);
				case "sun":
					return geometry(s) + fill(rubbed("sun", sticks.acc, 1, 0.75), sticks.acc, 1.1);
				case "win":
					return geometry(s) + fill(scenery("land"));
				case "shadow":
					return geometry(s) + fill(rubbed("sh", scenery("land"), 1, 0.7));
				case "cloud":
				case "snow":
				case "snow2": {
					const paint = rubbed("cl", mix(sticks.light, BOARD, 0.3), 1, s.role === "cloud" ? 0.35 : 0.3);
					return geometry(s) + fill(paint, mix(sticks.light, BOARD, 0.25), 1);
				}
				case "water2":
					return geometry(s) + fill(rubbed("wa", scenery("water"), 1, 0.5));
				default:
					return geometry(s) + fill(BOARD, scenery(s.role), 1.1);
			}
		},
		subject: (s, pixel) => {
			const width = (s.detail ? 0.95 : 1.35) * pixel;
			if (s.kind === "line") return stroke(s.d, lineOf(s.role), Math.max(Math.min(s.width, 2 * pixel), 1.1 * pixel));
			if (s.kind === "limb") {
				const colour = s.role === "alt" ? sticks.alt : sticks.main;
				return (
					stroke(s.d, colour, s.width + 1.3 * pixel) + stroke(s.d, mix(colour, BOARD, 0.72), s.width - 1.3 * pixel)
				);
			}
			switch (s.role) {
				case "beam":
					return geometry(s) + fill(rubbed("beam", sticks.acc, pixel, 0.5));
				case "main2":
				case "alt2":
				case "light2": {
					const colour = stickOf(s.role.slice(0, -1) as Role);
					return geometry(s) + fill(rubbed(s.role, colour, pixel, 0.75), s.detail ? "" : colour, width);
				}
				case "dark":
					return geometry(s) + fill(BOARD, s.detail ? sticks.light : sticks.alt, width);
				case "glass":
				case "acc":
					return geometry(s) + fill(mix(sticks.acc, BOARD, 0.08));
				case "light":
				case "bubble":
					if (s.detail) return geometry(s) + fill(mix(sticks.light, BOARD, 0.06));
					return geometry(s) + fill(rubbed("lt", sticks.light, pixel, 0.5), sticks.light, width);
				default: {
					const colour = stickOf(s.role);
					return geometry(s) + fill(rubbed(s.role, colour, pixel, s.role === "alt" ? 0.62 : 0.5), colour, width);
				}
			}
		},
	};
}

let texture: Float32Array | null = null;

/** One value per pixel of a 64×64 picture, repeated beyond. */
function grainTexture(): Float32Array {
	if (!texture) {
		const random = new RandomStream(20240607, "grain");
		texture = Float32Array.from({ length: 4096 }, () => 0.93 + 0.07 * Math.min(1, random.uniform() * 1.6));
	}
	return texture;
}

/** The board stays as it is. */
const DARKEST_CHALK = 60;

/** Darkens the chalk of RGB pixels here and there, in place. */
export function grain(pixels: Uint8Array): void {
	const amounts = grainTexture();
	for (let at = 0; at < pixels.length; at++) {
		const v = pixels[at]!;
		if (v < DARKEST_CHALK) continue;
		const amount = amounts[Math.floor(at / 3) % amounts.length]!;
		pixels[at] = Math.round(DARKEST_CHALK + (v - DARKEST_CHALK) * amount);
	}
}
