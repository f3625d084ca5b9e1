// Boats, balloons and teacups.
import { round2 } from "../primitives.js";
import { counted, extremes, lerp, subject } from "./subject.js";

export const boat = subject({
	nouns: ["boat", "sailboat", "sailing boat"],
	anchor: "water",
	facing: true,
	fit: 0.94,
	parts: {
		sails: { values: [1, 2] },
		sail: { values: ["pointed", "square"], weights: [2, 1] },
		flag: { values: [true, false] },
		stripe: { values: [true, false] },
		hull: { min: 0, max: 1 },
	},
	draw(pen, part) {
		const w = lerp(34, 46, part.hull);
		pen.line("M-2 24V-46", 4, "dark");
		if (part.sail === "pointed") {
			pen.path("M2 -42C22 -28 32 -6 34 16H2Z", "alt");
			if (part.stripe) pen.polygon([2, -14, 24.5, -14, 29.5, -2, 2, -2], "acc", { detail: true });
			if (part.sails === 2) pen.path("M-6 -36C-18 -22 -28 0 -30 16H-6Z", "light");
		} else {
			pen.path("M-26 -36C-10 -32 10 -32 26 -36C32 -24 32 -10 28 0C10 -4 -10 -4 -28 0C-32 -10 -32 -24 -26 -36Z", "alt");
			if (part.stripe) pen.path("M-30 -24C-10 -20 10 -20 30 -24V-12C10 -9 -10 -9 -30 -12Z", "acc", { detail: true });
			if (part.sails === 2)
				pen.path("M-21 2C-8 5 8 5 21 2C24 8 24 12 21 17C8 14 -8 14 -21 17C-24 12 -24 8 -21 2Z", "light");
		}
		if (part.flag) pen.polygon([-2, -50, -18, -45, -2, -39], "acc", { detail: true });
		pen.path(
			`M${round2(-w)} 19H${round2(w + 4)}C${round2(w - 2)} 32 ${round2(w - 8)} 38 ${round2(w - 14)} 43H${round2(-w + 12)}C${round2(-w + 5)} 37 ${round2(-w + 1)} 30 ${round2(-w)} 19Z`,
			"main",
		);
		pen.path(`M${round2(-w + 1)} 25H${round2(w + 1)}L${round2(w + 4)} 19H${round2(-w)}Z`, "light", { detail: true });
		pen.line("M-52 43q6.5 -6 13 0t13 0t13 0t13 0t13 0t13 0t13 0t13 0", 5, "wave", { detail: true });
	},
	words: (part) => ({
		adj: [...extremes(part.hull, "small", "long")].filter((a) => a !== "small"),
		has: [
			`${part.sails === 1 ? `one ${part.sail} sail` : `two ${part.sail} sails`}`,
			...(part.flag ? ["a flag"] : []),
			...(part.stripe ? ["a striped sail"] : []),
		],
	}),
});

export const balloon = subject({
	nouns: ["hot air balloon", "balloon"],
	anchor: "air",
	facing: false,
	parts: {
		pattern: { values: ["plain", "stripes", "band", "zigzag"] },
		shape: { min: 0, max: 1 },
		basket: { values: ["square", "round"] },
		bunting: { values: [true, false] },
	},
	draw(pen, part) {
		const w = lerp(27, 36, part.shape);
		const W = (k: number) => round2(w * k);
		pen.line("M-10 20L-7 34M10 20L7 34M0 22V34", 2.4, "dark", { detail: true });
		const env = `M0 -50C${W(0.78)} -50 ${W(1.08)} -32 ${W(1)} -14C${W(0.9)} 2 ${W(0.44)} 12 ${W(0.3)} 22H${W(-0.3)}C${W(-0.44)} 12 ${W(-0.9)} 2 ${W(-1)} -14C${W(-1.08)} -32 ${W(-0.78)} -50 0 -50Z`;
		pen.path(env, "main");
		if (part.pattern === "stripes") {
			pen.path(
				`M0 -50C${W(0.42)} -40 ${W(0.6)} -10 ${W(0.17)} 22H${W(-0.17)}C${W(-0.6)} -10 ${W(-0.42)} -40 0 -50Z`,
				"alt",
				{ detail: true },
			);
			pen.path(
				`M0 -50C${W(0.14)} -40 ${W(0.2)} -10 ${W(0.06)} 22H${W(-0.06)}C${W(-0.2)} -10 ${W(-0.14)} -40 0 -50Z`,
				"acc",
				{ detail: true },
			);
		} else if (part.pattern === "band")
			pen.path(
				`M${W(-1.01)} -24C${W(-0.4)} -18 ${W(0.4)} -18 ${W(1.01)} -24L${W(0.95)} -7C${W(0.4)} -2 ${W(-0.4)} -2 ${W(-0.95)} -7Z`,
				"acc",
				{ detail: true },
			);
		else if (part.pattern === "zigzag")
			pen.polygon(
				[-1, -0.6, -0.2, 0.2, 0.6, 1]
					.flatMap((x, i) => [w * x * 0.98, i % 2 ? -7 : -24])
					.concat([0.98, 0.6, 0.2, -0.2, -0.6, -0.98].flatMap((x, i) => [w * x * 0.95, i % 2 ? -8 : 6]))
					.map(round2),
				"alt",
				{ detail: true },
			);
		else
			pen.path(
				`M${W(0.3)} -47C${W(1.0)} -42 ${W(1.08)} -28 ${W(1)} -14C${W(0.9)} 2 ${W(0.44)} 12 ${W(0.3)} 22H${W(0.1)}C${W(0.5)} 0 ${W(0.7)} -26 ${W(0.3)} -47Z`,
				"main2",
				{ detail: true },
			);
		if (part.bunting)
			for (let i = -1; i <= 1; i++) pen.polygon([i * 8 - 4, 20, i * 8 + 4, 20, i * 8, 28], "acc", { detail: true });
		if (part.basket === "square") pen.rect(-9, 33, 18, 14, "dark", { radius: 1 });
		else pen.path("M-11 33H11C11 44 6 48 0 48C-6 48 -11 44 -11 33Z", "dark");
	},
	words: (part) => ({
		adj: [
			...(part.pattern === "stripes" ? ["striped"] : part.pattern === "plain" ? ["plain"] : []),
			...extremes(part.shape, "narrow", "fat"),
		],
		has: [
			...(part.pattern === "band" ? ["a bright band"] : part.pattern === "zigzag" ? ["a zigzag"] : []),
			`a ${part.basket} basket`,
			...(part.bunting ? ["bunting"] : []),
		],
	}),
});

export const teacup = subject({
	nouns: ["teacup", "cup of tea", "cup"],
	plurals: ["teacups", "cups of tea", "cups"],
	anchor: "ground",
	facing: true,
	parts: {
		shape: { values: ["round", "straight"] },
		pattern: { values: ["plain", "dots", "stripe", "heart"] },
		steam: { values: [0, 2, 3] },
		saucer: { values: [true, false], weights: [2, 1] },
		handle: { min: 0, max: 1 },
	},
	draw(pen, part) {
		const r = lerp(9, 14, part.handle);
		for (let i = 0; i < part.steam; i++) {
			const x = -4 + (i - (part.steam - 1) / 2) * 17;
			pen.line(`M${x} -14C${x - 7} -22 ${x + 7} -30 ${x} -40`, 4.4, "spray", { detail: true });
		}
		if (part.saucer) pen.ellipse(-4, 41, 44, 6.5, "alt");
		pen.limb(`M24 0C${round2(26 + r * 2)} -6 ${round2(26 + r * 2)} 24 20 22`, 7, "main");
		if (part.shape === "round")
			pen
				.path("M-38 -6H30C30 26 16 38 -4 38C-24 38 -38 26 -38 -6Z", "main")
				.path("M14 -6H30C30 26 16 38 -4 38C10 30 16 14 14 -6Z", "main2", { detail: true });
		else
			pen
				.path("M-33 -8H27L22 34Q21 38 17 38H-23Q-27 38 -28 34Z", "main")
				.path("M12 -8H27L22 34Q21 38 17 38H8Z", "main2", { detail: true });
		const hw = part.shape === "round" ? 34 : 30;
		pen
			.ellipse(-4 + (part.shape === "round" ? 0 : 1), -7, hw, 6.5, "light")
			.ellipse(-4 + (part.shape === "round" ? 0 : 1), -6.4, hw - 6, 4, "dark", { detail: true });
		if (part.pattern === "dots")
			pen.dots(
				[
					[-22, 10, 4.4],
					[-6, 16, 4.4],
					[8, 8, 4.4],
					[-12, 28, 4.4],
				],
				"acc",
			);
		if (part.pattern === "stripe")
			pen.path(part.shape === "round" ? "M-36.5 8H28.5L25 18H-33Z" : "M-31 8H25L24 18H-30Z", "acc", { detail: true });
		if (part.pattern === "heart")
			pen.path("M-5 29C-21 18 -18 7 -12 7C-8 7 -5 10 -5 13C-5 10 -2 7 2 7C8 7 11 18 -5 29Z", "acc", { detail: true });
	},
	words: (part) => ({
		adj: [
			part.shape === "round" ? "round" : "straight",
			...(part.pattern === "dots"
				? ["dotted"]
				: part.pattern === "stripe"
					? ["striped"]
					: part.pattern === "plain"
						? ["plain"]
						: []),
		],
		has: [
			...(part.steam ? [`${counted(part.steam, "wisp")} of steam`] : ["no steam"]),
			...(part.saucer ? ["a saucer"] : []),
			...(part.pattern === "heart" ? ["a heart on it"] : []),
		],
	}),
});
