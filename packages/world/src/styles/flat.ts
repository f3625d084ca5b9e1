// Flat posters: one colour a shape, and a soft shadow under the subject.
import { geometry } from "../primitives.js";
import { coloursOf } from "./colours.js";
import { fill, isStroke, outlineOf, type Paint, type PaintedScene, stroke } from "./style.js";

export function flatPaint(scene: PaintedScene): Paint {
	const c = coloursOf(scene);
	return {
		background: (s) => (s.kind === "line" ? stroke(s.d, c[s.role], s.width) : outlineOf(s) + fill(c[s.role])),
		under: {
			attributes: ' opacity="0.22" transform="translate(1.5 1.5)"',
			shape: (s) => {
				if (s.detail || s.kind === "line" || s.role === "beam") return "";
				return s.kind === "limb" ? stroke(s.d, c.outline, s.width) : geometry(s) + fill(c.outline);
			},
		},
		subject: (s) => {
			if (s.role === "beam")
				return geometry(s) + fill(c.beam, "", 0, ` fill-opacity="${scene.palette === "neon" ? 0.85 : 0.6}"`);
			return isStroke(s) ? stroke(s.d, c[s.role], s.width) : geometry(s) + fill(c[s.role]);
		},
	};
}
