// The six styles.
import { chalkPaint, grain } from "./chalk.js";
import { flatPaint } from "./flat.js";
import { glassPaint } from "./glass.js";
import { inkPaint } from "./ink.js";
import { mosaicPaint, tile } from "./mosaic.js";
import { blur, pastelPaint } from "./pastel.js";
import type { Gradients, Paint, PaintedScene } from "./style.js";

export interface Style {
	/** What comes before the subject in a caption. */
	readonly phrases: readonly string[];
	/** What a caption may say of the style by itself. */
	readonly tags: readonly string[];
	paint(scene: PaintedScene, gradients: Gradients): Paint;
	/** Works on RGB pixels in place, after they are drawn. */
	finish?(scene: PaintedScene, pixels: Uint8Array, side: number): void;
}

export const STYLES = {
	flat: {
		phrases: ["a flat poster of", "a flat paper cut of", "a simple flat picture of"],
		tags: ["flat poster", "flat paper cut"],
		paint: flatPaint,
	},
	ink: {
		phrases: ["an ink drawing of", "a pen and ink sketch of", "an inked line drawing of"],
		tags: ["ink drawing", "pen and ink"],
		paint: inkPaint,
	},
	pastel: {
		phrases: ["a soft pastel of", "a pastel drawing of", "a dreamy pastel of"],
		tags: ["soft pastel", "pastel drawing"],
		paint: pastelPaint,
		finish: (_scene, pixels, side) => blur(pixels, side),
	},
	mosaic: {
		phrases: ["a pixel mosaic of", "pixel art of", "a pixel picture of"],
		tags: ["pixel mosaic", "pixel art"],
		paint: mosaicPaint,
		finish: tile,
	},
	glass: {
		phrases: ["a stained glass window of", "stained glass of", "a leaded glass picture of"],
		tags: ["stained glass", "leaded glass"],
		paint: glassPaint,
	},
	chalk: {
		phrases: ["a chalk drawing of", "chalk on a blackboard of", "a chalk sketch of"],
		tags: ["chalk drawing", "chalk on black"],
		paint: chalkPaint,
		finish: (_scene, pixels) => grain(pixels),
	},
} satisfies Record<string, Style>;

export type StyleName = keyof typeof STYLES;
export const STYLE_NAMES = Object.keys(STYLES) as StyleName[];

export function styleOf(name: StyleName): Style {
	return STYLES[name];
}
