// Colours travel as "#rrggbb"; mixing and shifting happen in OKLab, where equal steps look equal.

export type Hex = string;
type Triple = readonly [number, number, number];

export function hexToRgb(hex: Hex): [number, number, number] {
	const n = Number.parseInt(hex.slice(1), 16);
	return [(n >> 16) & 255, (n >> 8) & 255, n & 255];
}

function rgbToHex(r: number, g: number, b: number): Hex {
	const byte = (v: number) => Math.max(0, Math.min(255, Math.round(v)));
	return `#${((1 << 24) | (byte(r) << 16) | (byte(g) << 8) | byte(b)).toString(16).slice(1)}`;
}

function toLinear(byte: number): number {
	const v = byte / 255;
	return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
}

function fromLinear(v: number): number {
	return 255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * Math.max(v, 0) ** (1 / 2.4) - 0.055);
}

/** The same few hundred colours come again and again. */
const known = new Map<Hex, Triple>();
const KNOWN_LIMIT = 20_000;

function toLab(hex: Hex): Triple {
	const hit = known.get(hex);
	if (hit) return hit;
	const [r, g, b] = hexToRgb(hex).map(toLinear) as [number, number, number];
	const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
	const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
	const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
	const lab: Triple = [
		0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
		1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
		0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
	];
	if (known.size < KNOWN_LIMIT) known.set(hex, lab);
	return lab;
}

function fromLab([lightness, a, b]: Triple): Hex {
	const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
	const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
	const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
	return rgbToHex(
		fromLinear(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
		fromLinear(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
		fromLinear(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
	);
}

/** Perceptual mix: 0 gives `a`, 1 gives `b`. */
export function mix(a: Hex, b: Hex, share: number): Hex {
	const [from, to] = [toLab(a), toLab(b)];
	const at = (i: 0 | 1 | 2) => from[i] + (to[i] - from[i]) * share;
	return fromLab([at(0), at(1), at(2)]);
}

/** Shifts the lightness and scales the chroma. */
export function tune(hex: Hex, lighter = 0, chroma = 1): Hex {
	const [lightness, a, b] = toLab(hex);
	return fromLab([Math.max(0, Math.min(1, lightness + lighter)), a * chroma, b * chroma]);
}

export function withLightness(hex: Hex, lightness: number, chroma = 1): Hex {
	const [, a, b] = toLab(hex);
	return fromLab([lightness, a * chroma, b * chroma]);
}

export function lightnessOf(hex: Hex): number {
	return toLab(hex)[0];
}

/** Pushes a colour in lightness, away from another one, until they are `gap` apart. */
export function separate(hex: Hex, against: Hex, gap: number): Hex {
	const own = lightnessOf(hex);
	const other = lightnessOf(against);
	if (Math.abs(own - other) >= gap) return hex;
	const [up, down] = [other + gap, other - gap];
	let target = own >= other ? up : down;
	if (target > 0.97) target = down;
	if (target < 0.12) target = up;
	return withLightness(hex, target);
}
