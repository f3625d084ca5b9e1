// Eight palettes: five base colours each, and the tints of the scenery.
import type { Hex } from "./colour.js";

export interface Palette {
	readonly dark: Hex;
	readonly main: Hex;
	readonly alt: Hex;
	/** Small bright details. */
	readonly acc: Hex;
	readonly light: Hex;
	readonly sky: Hex;
	readonly sky2: Hex;
	readonly land: Hex;
	readonly land2: Hex;
	readonly night: Hex;
	/** What a caption may call the subject's colour: in coat 0 its body has the main colour, in coat 1 the alternative one. */
	readonly names: readonly [string, string];
	/** What a caption may call the palette. */
	readonly phrases: readonly string[];
}

export const PALETTES = {
	sunset: {
		dark: "#3a1d4e",
		main: "#a02c6e",
		alt: "#f0593e",
		acc: "#ffd35c",
		light: "#fff0d0",
		sky: "#ffc48f",
		sky2: "#ff9f86",
		land: "#d9708a",
		land2: "#9c4a86",
		night: "#331b52",
		names: ["magenta", "coral"],
		phrases: ["sunset colours", "sunset palette", "warm sunset tones"],
	},
	forest: {
		dark: "#15302a",
		main: "#2c7d4a",
		alt: "#91582f",
		acc: "#d8cf52",
		light: "#f3f5da",
		sky: "#d3e6bb",
		sky2: "#eaf2cf",
		land: "#8fbb6b",
		land2: "#5d9458",
		night: "#16352f",
		names: ["green", "brown"],
		phrases: ["forest colours", "forest palette", "woodland greens"],
	},
	ocean: {
		dark: "#0c2849",
		main: "#1c68b3",
		alt: "#12a0a3",
		acc: "#ffe39a",
		light: "#effbfb",
		sky: "#b9e4f2",
		sky2: "#dcf4f7",
		land: "#6cc0d6",
		land2: "#3f97bd",
		night: "#0e2d57",
		names: ["blue", "teal"],
		phrases: ["ocean colours", "ocean palette", "sea blues"],
	},
	candy: {
		dark: "#5a2a78",
		main: "#ee3f8e",
		alt: "#8a5be0",
		acc: "#ffe45e",
		light: "#fff6fb",
		sky: "#ffd6ea",
		sky2: "#fff0c9",
		land: "#a5ebd3",
		land2: "#6fd3bf",
		night: "#54318c",
		names: ["pink", "purple"],
		phrases: ["candy colours", "candy palette", "sweet candy tones"],
	},
	autumn: {
		dark: "#40180c",
		main: "#bd2f17",
		alt: "#e8791a",
		acc: "#ffcf3f",
		light: "#fff0c4",
		sky: "#f8dc8c",
		sky2: "#fdeebc",
		land: "#d99a34",
		land2: "#b06a24",
		night: "#4a1d14",
		names: ["red", "orange"],
		phrases: ["autumn colours", "autumn palette", "fall leaf tones"],
	},
	mono: {
		dark: "#15171a",
		main: "#4a4e55",
		alt: "#7d828a",
		acc: "#f2f2f2",
		light: "#ffffff",
		sky: "#d5d7da",
		sky2: "#e8e9eb",
		land: "#b0b3b8",
		land2: "#909499",
		night: "#23262b",
		names: ["dark grey", "grey"],
		phrases: ["black and white", "mono palette", "grey tones"],
	},
	neon: {
		dark: "#130934",
		main: "#ff2db2",
		alt: "#14dcf2",
		acc: "#d2ff2e",
		light: "#fbeaff",
		sky: "#4420b5",
		sky2: "#7a2be0",
		land: "#2b1488",
		land2: "#1d0d63",
		night: "#10062c",
		names: ["hot pink", "cyan"],
		phrases: ["neon colours", "neon palette", "glowing neon tones"],
	},
	earth: {
		dark: "#33261c",
		main: "#94513a",
		alt: "#6b6e3f",
		acc: "#e0b878",
		light: "#f4ebdc",
		sky: "#ddd0b8",
		sky2: "#ebe2d0",
		land: "#b7a481",
		land2: "#978362",
		night: "#382c24",
		names: ["clay", "olive"],
		phrases: ["earth colours", "earth palette", "clay and stone tones"],
	},
} as const satisfies Record<string, Palette>;

export type PaletteName = keyof typeof PALETTES;
export const PALETTE_NAMES = Object.keys(PALETTES) as PaletteName[];
