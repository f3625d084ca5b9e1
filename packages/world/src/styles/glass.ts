// Stained glass: saturated facets in lead, a sky of rays around a ring.
import { type Hex, lightnessOf, mix, tune } from "../colour.js";
import { PALETTES } from "../palettes.js";
import { geometry, round2, type Shape } from "../primitives.js";
import { RandomStream } from "../random.js";
import { coloursOf, skyBelow } from "./colours.js";
import { fill, type Gradients, isSmall, outlineOf, type Paint, type PaintedScene, round4, stroke } from "./style.js";

const LEAD = "#17131c";

export function glassPaint(scene: PaintedScene, gradients: Gradients): Paint {
	const c = coloursOf(scene);
	const lift = c.isNight ? 0.09 : 0.035;
	const chroma = scene.palette === "mono" ? 1 : 1.2;
	const pane = (colour: Hex, lighter = 0) => tune(colour, lighter + (lightnessOf(colour) < 0.7 ? lift : 0), chroma);

	/** Two tints of a colour, with a strip of lead between them if `lead` (its half width) is not null. */
	const facet = (key: string, colour: Hex, angle: number, lead: number | null) => {
		const [from, to] = [pane(colour, 0.05), pane(colour, -0.06)];
		const vector = `x1="0" y1="0" x2="${round2(Math.cos(angle))}" y2="${round2(Math.sin(angle))}"`;
		const seam =
			lead === null
				? []
				: ([
						[round4(0.42 - lead * 1.7), from],
						[round4(0.42 - lead * 0.6), LEAD],
						[round4(0.42 + lead * 0.6), LEAD],
						[round4(0.42 + lead * 1.7), to],
					] as const);
		return gradients.paint(`f${key}${colour.slice(1)}`, vector, [[0, from], ...seam, [1, to]]);
	};
	const sky = (s: Shape) => {
		const below = skyBelow(PALETTES[scene.palette], c.isNight);
		const tints = [c[s.role], mix(c[s.role], below, 0.75), mix(c[s.role], c.alt, 0.28), mix(c[s.role], c.main, 0.2)];
		return rays(scene.layout, tints.map((tint) => pane(tint)) as [Hex, Hex, Hex, Hex]);
	};
	return {
		frame: LEAD,
		background: (s) => {
			if (s.sky) return sky(s);
			if (s.kind === "ellipse" && isSmall(s))
				return geometry({ ...s, rx: s.rx + 0.45, ry: s.ry + 0.45 }) + fill(pane(c[s.role]));
			if (s.role === "win") return geometry(s) + fill(pane(c.win));
			if (s.kind === "line") return stroke(s.d, s.role === "foam" ? pane(c.foam) : LEAD, s.width);
			if (s.role === "shadow") return "";
			const whole = s.detail || s.building || s.kind === "ellipse";
			const paint = facet(whole ? "d" : "b", c[s.role], s.wide ? 0.12 : 0.3, whole ? null : 0.013);
			return outlineOf(s) + fill(paint, LEAD, s.detail || s.building ? 0.9 : 1.3);
		},
		subject: (s, pixel) => {
			if (s.role === "beam") return geometry(s) + fill(pane(c.beam), LEAD, 0.9 * pixel);
			if (s.kind === "line") {
				if (s.role === "wave" || s.role === "spray" || s.role === "light")
					return stroke(s.d, LEAD, s.width + 1.5 * pixel) + stroke(s.d, pane(c[s.role]), s.width * 0.9);
				return stroke(s.d, LEAD, Math.max(s.width * 0.8, 1.2 * pixel));
			}
			if (s.kind === "limb") return stroke(s.d, LEAD, s.width + 2.4 * pixel) + stroke(s.d, pane(c[s.role]), s.width);
			if (s.detail && (s.role === "main2" || s.role === "alt2" || s.role === "light2"))
				return geometry(s) + fill(pane(c[s.role], -0.02), LEAD, 0.8 * pixel);
			const paint = s.detail ? pane(c[s.role]) : facet("m", c[s.role], 0.9, s.role === "main" ? 0.022 : null);
			return geometry(s) + fill(paint, LEAD, (s.detail ? 0.9 : 1.7) * pixel);
		},
	};
}

/** Rays from a centre, cut by one ring. */
function rays(layout: number, [c1, c2, c3, c4]: readonly [Hex, Hex, Hex, Hex]): string {
	const random = new RandomStream(layout, "wedges");
	const [cx, cy] = [random.range(24, 40), random.range(22, 36)];
	const count = random.integer(7, 9);
	const turn = random.range(0, 6.28);
	const radius = random.range(17, 22);
	const cycle = [c1, c2, c1, c3, c2, c1, c4];
	const at = (i: number, distance: number) => {
		const angle = turn + (i / count) * 6.2832;
		return `${round2(cx + Math.cos(angle) * distance)} ${round2(cy + Math.sin(angle) * distance)}`;
	};
	let svg = `<rect x="-4" y="-4" width="72" height="72" fill="${c1}"/>`;
	let ring = "";
	for (let i = 0; i < count; i++) {
		svg += `<path d="M${at(i, radius)}L${at(i, 90)}L${at(i + 1, 90)}L${at(i + 1, radius)}Z" fill="${cycle[i % 7]}" stroke="${LEAD}" stroke-width="1.1"/>`;
		ring += (i ? "L" : "M") + at(i, radius);
	}
	return `${svg}<path d="${ring}Z" fill="${c2}" stroke="${LEAD}" stroke-width="1.1"/>`;
}
