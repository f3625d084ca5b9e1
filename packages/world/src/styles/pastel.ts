// Soft pastels: faded gradients, a pale halo under the subject, and blurred pixels.
import { type Hex, mix, tune } from "../colour.js";
import { PALETTES } from "../palettes.js";
import { geometry } from "../primitives.js";
import { coloursOf, skyBelow } from "./colours.js";
import { fill, type Gradients, isStroke, outlineOf, type Paint, type PaintedScene, stroke } from "./style.js";

const CHALKY = "#fffaf4";

export function pastelPaint(scene: PaintedScene, gradients: Gradients): Paint {
	const c = coloursOf(scene);
	const soft = (colour: Hex, share = 0.2) => mix(tune(colour, 0.02, 0.95), CHALKY, share);
	/** Lighter towards the top left, or from `top` downwards. */
	const shaded = (colour: Hex, top?: Hex) =>
		gradients.paint(
			`p${colour.slice(1)}${top === undefined ? "" : "s"}`,
			`x1="0" y1="0" x2="${top === undefined ? 0.7 : 0}" y2="1"`,
			[
				[0, top ?? mix(colour, CHALKY, 0.42)],
				[1, colour],
			],
		);
	const dark = c.isNight || scene.palette === "neon";
	const fade = dark ? 0.12 : 0.34;
	const below = soft(skyBelow(PALETTES[scene.palette], c.isNight), dark ? 0.22 : 0.2);
	const halo = dark ? "#f6e9ff" : CHALKY;
	return {
		background: (s) => {
			if (s.kind === "line") return stroke(s.d, soft(c[s.role], 0.3), s.width * 1.2);
			if (s.sky) return geometry(s) + fill(shaded(below, soft(s.role === "snowsky" ? c.snowsky : c.sky, 0.1)));
			if (s.role === "cloud" && !dark) return outlineOf(s) + fill("#fffaf2");
			const colour = soft(c[s.role], fade);
			return outlineOf(s) + fill(s.detail || s.building ? colour : shaded(colour));
		},
		under: {
			attributes: ` opacity="${dark ? 0.35 : 0.55}"`,
			shape: (s, pixel) => {
				if (s.detail || s.kind === "line" || s.role === "beam") return "";
				if (s.kind === "limb") return stroke(s.d, halo, s.width + 3 * pixel);
				return geometry(s) + fill(halo, halo, 3 * pixel);
			},
		},
		subject: (s) => {
			if (s.role === "beam") return geometry(s) + fill(soft(c.beam), "", 0, ' fill-opacity="0.5"');
			if (isStroke(s)) return stroke(s.d, soft(c[s.role], 0.16), s.width);
			return geometry(s) + fill(s.detail ? soft(c[s.role], 0.16) : shaded(soft(c[s.role], 0.17)));
		},
	};
}

const KERNEL = [0.02, 0.19, 0.58, 0.19, 0.02] as const;

/** Blurs RGB pixels in place, rows then columns; beyond the border is the border. */
export function blur(pixels: Uint8Array, side: number): void {
	const along = (from: ArrayLike<number>, to: Float32Array | Uint8Array, step: number, across: number) => {
		for (let line = 0; line < side; line++)
			for (let at = 0; at < side; at++)
				for (let channel = 0; channel < 3; channel++) {
					let sum = 0;
					for (let k = -2; k <= 2; k++) {
						const source = Math.min(side - 1, Math.max(0, at + k));
						sum += KERNEL[k + 2]! * from[(line * across + source * step) * 3 + channel]!;
					}
					to[(line * across + at * step) * 3 + channel] = to instanceof Uint8Array ? Math.round(sum) : sum;
				}
	};
	const rows = new Float32Array(pixels.length);
	along(pixels, rows, 1, side);
	along(rows, pixels, side, 1);
}
