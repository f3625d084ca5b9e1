// Mushrooms and flowers.
import { round2 } from "../primitives.js";
import { counted, extremes, lerp, NUMERALS, subject } from "./subject.js";

/** Of a mushroom, by the form of its cap. */
const SPOTS = {
	dome: [
		[-16, -22, 7],
		[8, -32, 6],
		[20, -10, 7],
		[-2, -8, 5.5],
		[-28, -3, 5],
	],
	flat: [
		[-18, -11, 6],
		[4, -16, 6],
		[25, -8, 6],
		[-34, -1, 4.5],
		[10, 0, 4.5],
	],
	cone: [
		[-3, -28, 5.5],
		[9, -10, 6.5],
		[-11, -6, 6],
		[0, 7, 4.5],
		[20, 5, 4.5],
	],
} as const;

export const mushroom = subject({
	nouns: ["mushroom", "toadstool"],
	anchor: "ground",
	facing: true,
	parts: {
		cap: { values: ["dome", "flat", "cone"] },
		spots: { values: [0, 3, 5], weights: [1, 2, 2] },
		stem: { min: 0, max: 1 },
		buddy: { values: [true, false], weights: [1, 1.5] },
	},
	draw(pen, part) {
		const w = lerp(8, 15, part.stem);
		if (part.buddy)
			pen.path("M24 45C25 38 25 34 26 28H36C36 34 38 40 39 45Z", "light").path("M17 30C18 12 44 12 46 30Z", "main");
		pen.path(
			`M${round2(-w - 3)} 45C${round2(-w)} 30 ${round2(-w * 0.8)} 16 ${round2(-w * 0.7)} 4H${round2(w * 0.7)}C${round2(w * 0.8)} 16 ${round2(w)} 30 ${round2(w + 3)} 45Z`,
			"light",
		);
		pen.path(
			`M${round2(w * 0.25)} 45C${round2(w * 0.4)} 30 ${round2(w * 0.3)} 16 ${round2(w * 0.3)} 4H${round2(w * 0.7)}C${round2(w * 0.8)} 16 ${round2(w)} 30 ${round2(w + 3)} 45Z`,
			"light2",
			{ detail: true },
		);
		const cap = {
			dome: "M-38 8C-40 -30 -20 -46 0 -46C20 -46 40 -30 38 8C20 14 -20 14 -38 8Z",
			flat: "M-45 4C-42 -18 -22 -26 0 -26C22 -26 42 -18 45 4C24 12 -24 12 -45 4Z",
			cone: "M-32 10C-24 -8 -12 -38 0 -49C12 -38 24 -8 32 10C18 16 -18 16 -32 10Z",
		}[part.cap];
		pen.path(cap, "main");
		pen.dots(SPOTS[part.cap].slice(0, part.spots), "acc");
	},
	words: (part) => ({
		adj: [...extremes(part.stem, "thin", "plump"), ...(part.spots ? ["spotted"] : ["plain"])],
		has: [
			{ dome: "a round cap", flat: "a flat cap", cone: "a pointed cap" }[part.cap],
			...(part.buddy ? ["a baby mushroom"] : []),
		],
	}),
});

export const flower = subject({
	nouns: ["flower", "blossom"],
	anchor: "ground",
	facing: true,
	parts: {
		petals: { values: [5, 6, 8] },
		petal: { values: ["round", "pointed", "tulip"], weights: [2, 2, 1.6] },
		leaves: { values: [0, 1, 2] },
		pot: { values: [true, false], weights: [1, 1.4] },
		bend: { min: -1, max: 1 },
	},
	draw(pen, part) {
		const hx = part.bend * 9;
		const hy = -18;
		pen.limb(`M0 45C${round2(-part.bend * 8)} 24 ${round2(hx + part.bend * 3)} 6 ${round2(hx)} ${hy}`, 6, "alt");
		if (part.leaves >= 1) pen.path("M0 30C8 10 26 8 34 12C30 26 16 34 0 30Z", "alt");
		if (part.leaves >= 2) pen.path("M0 32C-8 14 -26 14 -34 18C-28 32 -14 36 0 32Z", "alt");
		if (part.petal === "tulip") {
			pen.path(
				`M${round2(hx - 21)} ${hy - 26}C${round2(hx - 10)} ${hy - 20} ${round2(hx - 8)} ${hy - 18} ${round2(hx)} ${hy - 30}C${round2(hx + 8)} ${hy - 18} ${round2(hx + 10)} ${hy - 20} ${round2(hx + 21)} ${hy - 26}C${round2(hx + 26)} ${hy + 4} ${round2(hx + 14)} ${hy + 14} ${round2(hx)} ${hy + 14}C${round2(hx - 14)} ${hy + 14} ${round2(hx - 26)} ${hy + 4} ${round2(hx - 21)} ${hy - 26}Z`,
				"main",
			);
			pen.path(
				`M${round2(hx)} ${hy - 30}C${round2(hx + 12)} ${hy - 12} ${round2(hx + 10)} ${hy + 8} ${round2(hx)} ${hy + 14}C${round2(hx - 10)} ${hy + 8} ${round2(hx - 12)} ${hy - 12} ${round2(hx)} ${hy - 30}Z`,
				"acc",
				{ detail: true },
			);
		} else {
			const k = part.petals;
			for (let i = 0; i < k; i++) {
				const a = (i / k) * 360 - 90;
				const ar = (a * Math.PI) / 180;
				const w = part.petal === "round" ? Math.min(12.5, 66 / k) : Math.min(10, 52 / k);
				pen.ellipse(hx + Math.cos(ar) * 18, hy + Math.sin(ar) * 18, part.petal === "round" ? 13 : 15, w, "main", {
					rotation: a,
					detail: true,
				});
			}
			pen.circle(hx, hy, 10, "acc");
		}
		if (part.pot) pen.polygon([-21, 26, -16, 46, 16, 46, 21, 26], "dark").rect(-24, 21, 48, 8, "dark");
	},
	words: (part) => ({
		adj: [
			...(part.petal === "tulip" ? ["tulip"] : part.petal === "pointed" ? ["daisy"] : []),
			...(Math.abs(part.bend) > 0.6 ? ["drooping"] : []),
			...(part.pot ? ["potted"] : []),
		],
		has: [
			...(part.petal !== "tulip" ? [`${NUMERALS[part.petals]} petals`] : ["a cup of petals"]),
			...(part.leaves ? [counted(part.leaves, "leaf", "leaves")] : []),
			...(part.pot ? ["a dark pot"] : []),
		],
	}),
});
