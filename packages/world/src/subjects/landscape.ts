// Mountains, trees and cacti.
import { round2 } from "../primitives.js";
import { counted, extremes, lerp, subject } from "./subject.js";

export const mountain = subject({
	nouns: ["mountain", "peak"],
	plurals: ["mountains", "peaks"],
	anchor: "ground",
	facing: true,
	maxLean: 4,
	parts: {
		peaks: { values: [1, 2, 3] },
		cap: { values: ["snow", "bare", "smoke"], weights: [3, 2, 1.2] },
		steep: { min: 0, max: 1 },
		flag: { values: [true, false], weights: [1, 2] },
	},
	draw(pen, part) {
		const pk = (x: number, h: number, w: number) => {
			const t = 45 - h;
			pen
				.polygon([x - w, 45, x, t, x + w, 45], "main")
				.polygon([x, t, x + w, 45, x + w * 0.18, 45, x + 5, t + h * 0.55, x - 3, t + h * 0.4], "main2", {
					detail: true,
				});
			if (part.cap === "snow") {
				const q = 0.34;
				const y = t + h * q;
				const d = w * q;
				pen.path(
					`M${round2(x)} ${round2(t)}L${round2(x + d)} ${round2(y)}L${round2(x + d * 0.4)} ${round2(y - 6)}L${round2(x + 1)} ${round2(y + 4)}L${round2(x - d * 0.45)} ${round2(y - 5)}L${round2(x - d)} ${round2(y)}Z`,
					"light",
				);
			}
		};
		const H = lerp(62, 86, part.steep);
		const W = lerp(46, 34, part.steep);
		if (part.peaks >= 2) pk(27, H * 0.66, W * 0.72);
		if (part.peaks >= 3) pk(-30, H * 0.54, W * 0.66);
		const mx = part.peaks === 1 ? 0 : -5;
		const my = 45 - H;
		if (part.cap === "smoke")
			pen
				.circle(mx + 2, my - 4, 6, "light")
				.circle(mx + 11, my - 9, 8, "light")
				.circle(mx + 23, my - 10, 6, "light");
		if (part.flag && part.cap !== "smoke")
			pen
				.line(`M${mx} ${round2(my + 3)}V${round2(my - 15)}`, 3, "dark")
				.polygon([mx, my - 16, mx + 14, my - 11, mx, my - 5], "acc", { detail: true });
		pk(mx, H, W);
		if (part.cap === "smoke")
			pen.polygon(
				[mx - 8, my + H * 0.16, mx - 5, my - 1, mx + 5, my - 1, mx + 8, my + H * 0.16, mx, my + H * 0.24],
				"acc",
				{ detail: true },
			);
	},
	words: (part) => ({
		adj: [
			...extremes(part.steep, "gentle", "steep"),
			...(part.cap === "snow" ? ["snowy"] : part.cap === "smoke" ? ["smoking"] : ["bare"]),
		],
		has: [
			...(part.peaks > 1 ? [counted(part.peaks, "peak")] : ["a single peak"]),
			...(part.flag && part.cap !== "smoke" ? ["a flag on top"] : []),
			...(part.cap === "snow" ? ["a snow cap"] : []),
		],
	}),
});

/** Where fruit hangs, by the tree's kind. */
const FRUIT = {
	round: [
		[-16, -22, 5],
		[10, -30, 5],
		[0, -4, 5],
		[22, -10, 5],
		[-20, 0, 5],
	],
	pine: [
		[-10, 18, 5],
		[8, -2, 5],
		[-5, -20, 5],
		[14, 20, 5],
		[-12, -1, 5],
	],
	poplar: [
		[-6, -30, 5],
		[7, -12, 5],
		[-8, 2, 5],
		[6, 12, 5],
		[2, -40, 5],
	],
} as const;

export const tree = subject({
	nouns: ["tree"],
	anchor: "ground",
	facing: true,
	parts: {
		kind: { values: ["round", "pine", "poplar", "palm"] },
		fruit: { values: [0, 3, 5], weights: [2, 1, 1] },
		size: { min: 0, max: 1 },
		trunk: { min: 0, max: 1 },
	},
	draw(pen, part) {
		const w = lerp(7, 12, part.trunk);
		const g = lerp(0.84, 1.08, part.size);
		if (part.kind === "palm") {
			pen.limb("M-6 45C-6 20 0 0 8 -16", w * 0.9, "alt");
			for (const d of [
				"M8 -16C-2 -34 -22 -34 -34 -14C-20 -22 -6 -22 8 -16Z",
				"M8 -16C18 -36 40 -34 46 -12C34 -20 22 -22 8 -16Z",
				"M8 -16C-10 -18 -26 -6 -26 12C-16 -2 -6 -10 8 -16Z",
				"M8 -16C24 -18 40 -4 38 14C30 0 22 -8 8 -16Z",
				"M8 -16C2 -30 2 -42 12 -50C18 -40 16 -28 8 -16Z",
			])
				pen.path(d, "main");
			for (let i = 0; i < part.fruit && i < 3; i++)
				pen.circle(2 + i * 7, -10 + (i % 2) * 5, 5, "acc", { detail: true });
			return;
		}
		pen.polygon([-w / 2 - 1, 45, -w / 2 + 1, 6, w / 2 - 1, 6, w / 2 + 1, 45], "alt");
		if (part.kind === "round") {
			pen.path(
				`M${round2(-32 * g)} -6C${round2(-44 * g)} -26 ${round2(-24 * g)} ${round2(-44 * g)} ${round2(-10 * g)} ${round2(-38 * g)}C${round2(0)} ${round2(-54 * g)} ${round2(30 * g)} ${round2(-48 * g)} ${round2(28 * g)} ${round2(-30 * g)}C${round2(46 * g)} -26 ${round2(44 * g)} 4 ${round2(24 * g)} 6C${round2(14 * g)} 20 ${round2(-12 * g)} 20 ${round2(-16 * g)} 10C${round2(-26 * g)} 14 ${round2(-36 * g)} 4 ${round2(-32 * g)} -6Z`,
				"main",
			);
			pen.path(
				`M${round2(28 * g)} ${round2(-30 * g)}C${round2(46 * g)} -26 ${round2(44 * g)} 4 ${round2(24 * g)} 6C${round2(14 * g)} 20 ${round2(-12 * g)} 20 ${round2(-16 * g)} 10C${round2(10 * g)} 8 ${round2(26 * g)} -8 ${round2(28 * g)} -30Z`,
				"main2",
				{ detail: true },
			);
		} else if (part.kind === "pine") {
			const tier = (y: number, hw: number, h: number) => {
				pen.polygon([-hw, y, 0, y - h, hw, y], "main");
				pen.polygon([0, y - h, hw, y, hw * 0.2, y], "main2", { detail: true });
			};
			tier(28, 33 * g, 34);
			tier(8, 27 * g, 32);
			tier(-12, 20 * g, 36);
		} else {
			pen
				.ellipse(0, -12, 20 * g, 37, "main")
				.path(
					`M4 -48C${round2(24 * g)} -40 ${round2(26 * g)} 14 4 24C${round2(14 * g)} 0 ${round2(14 * g)} -26 4 -48Z`,
					"main2",
					{ detail: true },
				);
		}
		pen.dots(FRUIT[part.kind].slice(0, part.fruit), "acc");
	},
	words: (part) => ({
		adj: [
			{ round: "leafy", pine: "pine", poplar: "slender", palm: "palm" }[part.kind],
			...(part.kind !== "palm" ? extremes(part.size, "slim", "bushy") : []),
		],
		has: part.fruit ? [part.kind === "palm" ? "coconuts" : part.kind === "pine" ? "baubles" : "fruit"] : [],
	}),
});

export const cactus = subject({
	nouns: ["cactus"],
	plurals: ["cacti"],
	anchor: "ground",
	facing: true,
	parts: {
		arms: { values: [0, 1, 2], weights: [1, 2, 3] },
		flower: { values: [true, false] },
		pot: { values: [true, false] },
		height: { min: 0, max: 1 },
	},
	draw(pen, part) {
		const base = part.pot ? 24 : 45;
		const t = lerp(-20, -38, part.height) + (part.arms ? 0 : 4);
		const arm = (s: number, y: number, up: number) =>
			pen.limb(`M0 ${y}H${20 * s}Q${27 * s} ${y} ${27 * s} ${y - 9}V${up}`, 13, "main");
		if (part.arms >= 1) arm(1, 10, -14);
		if (part.arms >= 2) arm(-1, 2, -24);
		const r = part.arms ? 12 : 21;
		pen.path(`M${-r} ${base}V${t + r}A${r} ${r} 0 0 1 ${r} ${t + r}V${base}Z`, "main");
		pen.path(`M${round2(r * 0.35)} ${base}V${round2(t + 5)}A${r} ${r} 0 0 1 ${r} ${t + r}V${base}Z`, "main2", {
			detail: true,
		});
		for (let i = 0; i < 4; i++) {
			const x = i % 2 ? 4 : -5;
			const y = t + 18 + 10 * i;
			if (y < base - 4) pen.line(`M${x - 2.5} ${round2(y)}h5`, 3, "light", { detail: true });
		}
		if (part.flower) {
			pen
				.circle(-7, t - 1, 6, "acc", { detail: true })
				.circle(7, t - 1, 6, "acc", { detail: true })
				.circle(0, t - 7, 7, "acc", { detail: true });
		}
		if (part.pot) pen.polygon([-22, 26, -17, 46, 17, 46, 22, 26], "alt").rect(-26, 19, 52, 9, "alt2");
	},
	words: (part) => ({
		adj: [
			...extremes(part.height, "short", "tall"),
			...(part.pot ? ["potted"] : []),
			...(part.arms === 0 ? ["round"] : []),
		],
		has: [
			...(part.arms ? [counted(part.arms, "arm")] : []),
			...(part.flower ? ["a flower on top"] : []),
			...(part.pot ? ["a pot"] : []),
		],
	}),
});
