// Pen and ink: outlines and hatching on paper, with one colour washed in.
import { type Hex, lightnessOf, mix, withLightness } from "../colour.js";
import { PALETTES } from "../palettes.js";
import { geometry, type Role, round2 } from "../primitives.js";
import { isNight } from "./colours.js";
import { fill, type Gradients, isSmall, outlineOf, type Paint, type PaintedScene, round4, stroke } from "./style.js";

const PAPER = "#fbf8ef";

export function inkPaint(scene: PaintedScene, gradients: Gradients): Paint {
	const p = PALETTES[scene.palette];
	const night = isNight(scene);
	const spot = scene.coat ? p.alt : p.main;
	const ink = withLightness(mix(p.dark, spot, 0.2), Math.min(0.36, lightnessOf(p.dark) + 0.06), 1.1);
	const faint = mix(ink, PAPER, 0.42);
	const fainter = mix(ink, PAPER, 0.62);
	const wash = mix(spot, PAPER, 0.12);
	const accent = scene.palette === "mono" ? "#c4c6ca" : scene.palette === "neon" ? "#18d8e8" : p.acc;

	/** Parallel lines of `colour` on `base`. */
	const hatch = (key: string, colour: Hex, base: Hex, period: number, width: number, angle: number, pixel = 1) => {
		const length = period * pixel;
		const share = (width / period) * 0.8;
		const vector = `x1="0" y1="0" x2="${round2(Math.cos(angle) * length)}" y2="${round2(Math.sin(angle) * length)}"`;
		return gradients.paint(`h${key}`, `gradientUnits="userSpaceOnUse" spreadMethod="repeat" ${vector}`, [
			[0, colour],
			[round4(share), colour],
			[round4(share + 0.2), base],
			[0.82, base],
			[1, colour],
		]);
	};
	const fills: Partial<Record<Role, Hex>> = { alt: wash, acc: accent, dark: ink };

	return {
		background: (s) => {
			if (s.kind === "line") return stroke(s.d, faint, 0.9);
			if (s.sky) return geometry(s) + fill(night ? hatch("n", ink, faint, 2.6, 1.5, Math.PI / 2) : PAPER);
			if (isSmall(s)) return geometry(s) + fill(night ? PAPER : "none", night ? "" : faint, 0.7);
			switch (s.role) {
				case "moon":
					return outlineOf(s) + fill(PAPER, night ? ink : faint, 1);
				case "sun":
					return outlineOf(s) + fill(accent, night ? ink : faint, 1);
				case "win":
					return geometry(s) + fill(night ? accent : fainter);
				case "shadow":
					return geometry(s) + fill(hatch("s", faint, PAPER, 2.2, 0.9, 0.8));
				case "water2":
					return "";
				case "land2":
				case "sand2":
					return geometry(s) + fill(hatch("g", fainter, PAPER, 3.4, 0.8, 1.2), faint, 0.9);
				default:
					return geometry(s) + fill(PAPER, faint, 0.9);
			}
		},
		subject: (s, pixel) => {
			const width = (s.detail ? 0.85 : 1.25) * pixel;
			if (s.role === "beam") return geometry(s) + fill(accent, "", 0, ' fill-opacity="0.55"');
			if (s.kind === "line") {
				if (s.role === "light") return stroke(s.d, wash, s.width * 0.8);
				if (s.role === "spray" || s.role === "wave")
					return stroke(s.d, ink, 1.9 * pixel) + stroke(s.d, PAPER, 0.6 * pixel);
				return stroke(s.d, s.role === "main2" ? faint : ink, Math.min(s.width, 1.5 * pixel));
			}
			if (s.kind === "limb")
				return (
					stroke(s.d, ink, s.width + 1.3 * pixel) + stroke(s.d, s.role === "alt" ? wash : PAPER, s.width - 1.2 * pixel)
				);
			if (s.role === "main2" || s.role === "light2" || s.role === "alt2") {
				// The first of them decides what all are hatched upon.
				const base = s.role === "alt2" ? wash : PAPER;
				const shade = hatch("m", mix(spot, ink, 0.15), base, 2.3, 1.15, 0.7, pixel);
				return geometry(s) + fill(shade, s.detail ? "" : ink, width);
			}
			const paint = s.role === "glass" ? (s.detail ? ink : accent) : (fills[s.role] ?? PAPER);
			return geometry(s) + fill(paint, ink, width);
		},
	};
}
