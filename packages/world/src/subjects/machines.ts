// Robots and rockets.
import { round2 } from "../primitives.js";
import { counted, extremes, lerp, subject } from "./subject.js";

export const robot = subject({
	nouns: ["robot", "android", "toy robot"],
	anchor: "ground",
	facing: true,
	parts: {
		head: { values: ["square", "round", "wide"] },
		antenna: { values: ["none", "ball", "two", "coil"] },
		eyes: { values: ["two", "visor", "one"] },
		arms: { values: ["down", "raised", "waving"] },
		legs: { values: ["feet", "track"] },
		panel: { values: ["dial", "heart", "buttons"] },
	},
	draw(pen, part) {
		if (part.antenna === "ball") pen.line("M0 -30V-42", 3.6, "dark").circle(0, -44, 5.5, "acc", { detail: true });
		if (part.antenna === "two")
			pen
				.line("M-9 -30L-15 -43M9 -30L15 -43", 3.6, "dark")
				.circle(-15, -44, 4.6, "acc", { detail: true })
				.circle(15, -44, 4.6, "acc", { detail: true });
		if (part.antenna === "coil") pen.line("M0 -30L-6 -34L6 -38L-6 -42L6 -46L0 -50", 3.2, "acc", { detail: true });
		const L = { down: "M-22 2L-34 10V26", raised: "M-22 2L-36 -6L-38 -24", waving: "M-22 2L-34 10V26" }[part.arms];
		const R = { down: "M22 2L34 10V26", raised: "M22 2L36 -6L38 -24", waving: "M22 2L36 -6L38 -24" }[part.arms];
		pen.limb(L, 8, "main2").limb(R, 8, "main2");
		const hand = (s: number, up: boolean) => pen.circle(s * (up ? 38 : 34), up ? -26 : 28, 6.5, "alt");
		hand(-1, part.arms === "raised");
		hand(1, part.arms !== "down");
		if (part.legs === "feet")
			pen
				.rect(-15, 26, 9, 16, "main2")
				.rect(6, 26, 9, 16, "main2")
				.rect(-21, 38, 17, 8, "alt", { radius: 3 })
				.rect(4, 38, 17, 8, "alt", { radius: 3 });
		else
			pen
				.rect(-24, 31, 48, 15, "dark", { radius: 7.5 })
				.circle(-15, 38.5, 4, "alt", { detail: true })
				.circle(0, 38.5, 4, "alt", { detail: true })
				.circle(15, 38.5, 4, "alt", { detail: true });
		pen.rect(-22, -6, 44, 36, "main", { radius: 4 });
		if (part.head === "square") pen.rect(-19, -34, 38, 26, "main", { radius: 3 });
		else if (part.head === "round") pen.path("M-21 -8C-24 -40 24 -40 21 -8Z", "main");
		else pen.rect(-28, -32, 56, 23, "main", { radius: 9 });
		if (part.eyes === "two")
			pen
				.circle(-9, -20, 6, "light", { detail: true })
				.circle(9, -20, 6, "light", { detail: true })
				.circle(-9, -20, 2.6, "dark", { detail: true })
				.circle(9, -20, 2.6, "dark", { detail: true });
		else if (part.eyes === "visor")
			pen.rect(-16, -25, 32, 9, "dark", { radius: 4, detail: true }).rect(4, -23, 8, 5, "acc", { detail: true });
		else pen.circle(0, -20, 8, "light", { detail: true }).circle(0, -20, 4, "dark", { detail: true });
		if (part.panel === "dial")
			pen.circle(0, 12, 10, "light", { detail: true }).line("M0 12L5 5", 3, "dark", { detail: true });
		else if (part.panel === "heart")
			pen.path("M0 22C-14 12 -12 2 -6 2C-2 2 0 5 0 7C0 5 2 2 6 2C12 2 14 12 0 22Z", "acc", { detail: true });
		else
			for (const [x, y, role] of [
				[-9, 5, "acc"],
				[9, 5, "light"],
				[-9, 18, "light"],
				[9, 18, "acc"],
			] as const)
				pen.circle(x, y, 4.4, role, { detail: true });
	},
	words: (part) => ({
		adj: [
			{ square: "boxy", round: "round headed", wide: "wide headed" }[part.head],
			...(part.eyes === "one" ? ["one eyed"] : []),
			...(part.arms === "waving" ? ["waving"] : []),
		],
		has: [
			...(part.antenna === "none"
				? ["no antenna"]
				: [{ ball: "a ball antenna", two: "two antennae", coil: "a coil antenna" }[part.antenna]]),
			...(part.arms === "raised" ? ["raised arms"] : part.arms === "waving" ? ["one arm up"] : []),
			...(part.legs === "track" ? ["tracks"] : ["two feet"]),
			...(part.eyes === "visor" ? ["a visor"] : []),
			`${{ dial: "a dial", heart: "a heart", buttons: "buttons" }[part.panel]} on its chest`,
		],
	}),
});

export const rocket = subject({
	nouns: ["rocket", "rocket ship", "spaceship"],
	anchor: "air",
	facing: false,
	maxLean: 40,
	parts: {
		windows: { values: [1, 2, 3] },
		fins: { values: ["swept", "round", "stubby"] },
		flame: { values: ["none", "short", "long"] },
		body: { min: 0, max: 1 },
		stripe: { values: [true, false] },
	},
	draw(pen, part) {
		const w = lerp(13, 20, part.body);
		if (part.flame !== "none") {
			const f = part.flame === "long" ? 52 : 40;
			pen
				.path(`M-11 24C-15 34 -6 ${f - 8} 0 ${f}C6 ${f - 8} 15 34 11 24Z`, "acc")
				.path(`M-5 24C-7 30 -3 ${f - 14} 0 ${f - 9}C3 ${f - 14} 7 30 5 24Z`, "light", { detail: true });
		}
		for (const s of [-1, 1]) {
			if (part.fins === "swept")
				pen.polygon([s * (w - 3), 0, s * (w + 15), 24, s * (w + 15), 38, s * (w - 5), 24], "alt");
			else if (part.fins === "round")
				pen.path(
					`M${round2(s * (w - 3))} -4C${round2(s * (w + 20))} 0 ${round2(s * (w + 18))} 28 ${round2(s * (w + 6))} 34C${round2(s * (w + 4))} 28 ${round2(s * (w - 2))} 24 ${round2(s * (w - 5))} 24Z`,
					"alt",
				);
			else pen.polygon([s * (w - 3), 10, s * (w + 11), 16, s * (w + 11), 28, s * (w - 5), 26], "alt");
		}
		pen.path(
			`M0 -50C${round2(w * 0.8)} -38 ${round2(w * 1.2)} -10 ${round2(w * 0.74)} 26H${round2(-w * 0.74)}C${round2(-w * 1.2)} -10 ${round2(-w * 0.8)} -38 0 -50Z`,
			"main",
		);
		pen.path(
			`M0 -50C${round2(w * 0.8)} -38 ${round2(w * 1.2)} -10 ${round2(w * 0.74)} 26H${round2(w * 0.3)}C${round2(w * 0.7)} -10 ${round2(w * 0.5)} -38 0 -50Z`,
			"main2",
			{ detail: true },
		);
		pen.path(
			`M0 -50C${round2(w * 0.42)} -45 ${round2(w * 0.68)} -37 ${round2(w * 0.84)} -28H${round2(-w * 0.84)}C${round2(-w * 0.68)} -37 ${round2(-w * 0.42)} -45 0 -50Z`,
			"alt",
		);
		if (part.stripe) pen.rect(round2(-w * 0.92), 14, round2(w * 1.84), 6, "light", { detail: true });
		const r = part.windows === 1 ? 8 : 6;
		for (let i = 0; i < part.windows; i++)
			pen.circle(0, -16 + i * 13 + (part.windows === 1 ? 4 : 0), r - (part.windows === 3 ? 0.8 : 0), "glass", {
				detail: true,
			});
		pen.rect(-9, 24, 18, 5, "dark", { detail: true });
	},
	words: (part) => ({
		adj: [...extremes(part.body, "slim", "fat"), ...(part.stripe ? ["striped"] : [])],
		has: [
			counted(part.windows, "porthole"),
			`${part.fins} fins`,
			...(part.flame !== "none" ? [`a ${part.flame} flame`] : []),
		],
	}),
});
