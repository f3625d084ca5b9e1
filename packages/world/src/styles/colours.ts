// The colour of every role under a palette, a coat and the time of day.
import { type Hex, lightnessOf, mix, separate, tune } from "../colour.js";
import { PALETTES, type Palette } from "../palettes.js";
import type { SceneryRole } from "../primitives.js";
import type { Colours, PaintedScene } from "./style.js";

const WHITE = "#ffffff";
const BLACK = "#000000";

/** Neon's scenery is as bright as its subjects; mixing would grey it. */
const NEON: Partial<Record<SceneryRole, Hex>> = {
	cloud: "#8d55ee",
	snow: "#b9a2f5",
	snow2: "#8f74e6",
	sand: mix("#7a2be0", "#ff2db2", 0.25),
	sand2: "#4a1fae",
	water: "#1f3fd0",
	water2: "#1a2a9a",
	foam: "#14dcf2",
	shadow: "#220d78",
};

function sceneryColours(p: Palette, night: boolean): Record<SceneryRole, Hex> {
	const dark = (colour: Hex, share = 0.62) => (night ? mix(colour, p.night, share) : colour);
	return {
		sky: night ? p.night : p.sky,
		snowsky: night ? p.night : mix(p.sky, p.land2, 0.4),
		far: night ? mix(p.night, p.land2, 0.42) : mix(p.sky, p.land2, 0.42),
		land: dark(mix(p.land, p.sky, 0.12), 0.55),
		land2: dark(p.land2, 0.6),
		water: dark(mix(p.land, p.land2, 0.25)),
		water2: dark(p.land2, 0.62),
		foam: dark(mix(p.light, p.land, 0.25), 0.3),
		sand: dark(mix(p.land, p.acc, 0.45)),
		sand2: dark(mix(p.land2, p.acc, 0.4)),
		plant: dark(mix(p.land2, p.dark, 0.45)),
		snow: dark(mix(mix(p.light, WHITE, 0.6), p.sky, 0.1), 0.28),
		snow2: dark(mix(mix(p.light, WHITE, 0.4), p.sky, 0.4), 0.34),
		flake: dark(p.light, 0.1),
		pine: dark(mix(p.land2, p.dark, 0.3), 0.4),
		sun: mix(p.acc, p.light, 0.15),
		moon: mix(p.light, p.acc, 0.35),
		star: mix(p.light, p.acc, 0.3),
		cloud: dark(mix(p.light, p.sky2, 0.25), 0.5),
		win: night ? p.acc : mix(p.sky2, p.light, 0.5),
		tuft: dark(mix(p.land2, p.dark, 0.4)),
		shadow: mix(p.sky, p.land2, 0.55),
	};
}

/** The sky near the horizon. */
export function skyBelow(p: Palette, night: boolean): Hex {
	return night ? mix(p.night, p.land2, 0.3) : p.sky2;
}

export function isNight(scene: PaintedScene): boolean {
	return scene.night || scene.background === "stars";
}

export function coloursOf(scene: PaintedScene): Colours {
	const p = PALETTES[scene.palette];
	const night = isNight(scene);
	const scenery = sceneryColours(p, night);
	if (scene.palette === "neon") {
		Object.assign(scenery, NEON);
		scenery.snowsky = night ? p.night : "#2f1590";
	}
	const sky = scene.background === "snow" ? scenery.snowsky : scenery.sky;
	// The subject must stand out against the sky in lightness, whatever the coat.
	const gap = night ? 0.25 : 0.2;
	const [body, second] = scene.coat === 1 ? [p.alt, p.main] : [p.main, p.alt];
	const main = separate(body, sky, gap);
	const alt = separate(second, sky, gap * 0.8);
	const lostInTheDark = night && lightnessOf(p.dark) - lightnessOf(sky) < 0.12;
	return {
		...scenery,
		main,
		main2: tune(main, lightnessOf(main) > 0.5 ? -0.11 : -0.08),
		alt,
		alt2: tune(alt, -0.1),
		acc: p.acc,
		light: p.light,
		light2: mix(p.light, p.land2, 0.3),
		dark: lostInTheDark ? mix(p.dark, BLACK, 0.25) : p.dark,
		glass: mix(p.acc, p.light, 0.1),
		beam: mix(p.acc, p.light, 0.3),
		spray: lightnessOf(sky) > 0.55 ? mix(p.light, WHITE, 0.5) : p.light,
		wave: mix(p.light, scenery.water, 0.15),
		bubble: mix(p.light, scenery.sky, 0.15),
		whisk: p.dark,
		outline: p.dark,
		isNight: night,
	};
}
