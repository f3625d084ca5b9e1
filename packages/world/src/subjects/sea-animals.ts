// Fish and whales.
import { round2 } from "../primitives.js";
import { counted, extremes, lerp, subject } from "./subject.js";

export const fish = subject({
	nouns: ["fish"],
	plurals: ["fish"],
	anchor: "air",
	facing: true,
	looks: true,
	fit: 0.94,
	parts: {
		tail: { values: ["fan", "forked", "round"] },
		fin: { values: ["spiky", "sail", "small"] },
		stripes: { values: [0, 1, 2, 3] },
		bubbles: { values: [0, 2, 3] },
		body: { min: 0, max: 1 },
	},
	draw(pen, part) {
		const h = lerp(19, 31, part.body);
		const tail = {
			fan: "M-24 0L-50 -24C-44 -8 -44 8 -50 24Z",
			forked: "M-24 0C-34 -4 -40 -16 -52 -26C-50 -14 -44 -6 -40 0C-44 6 -50 14 -52 26C-40 16 -34 4 -24 0Z",
			round: "M-22 0C-28 -22 -52 -22 -52 0C-52 22 -28 22 -22 0Z",
		}[part.tail];
		pen.path(tail, "alt");
		const t = -h;
		if (part.fin === "spiky")
			pen.polygon([-18, t * 0.62, -14, t - 13, -5, t * 0.86, 2, t - 15, 10, t * 0.86, 18, t - 10, 26, t * 0.55], "alt");
		else if (part.fin === "sail")
			pen.path(
				`M-20 ${round2(t * 0.55)}C-22 ${round2(t - 14)} -8 ${round2(t - 20)} 20 ${round2(t - 14)}C22 ${round2(t - 4)} 22 ${round2(t * 0.8)} 24 ${round2(t * 0.6)}Z`,
				"alt",
			);
		else
			pen.path(
				`M-8 ${round2(t * 0.8)}C-12 ${round2(t - 8)} -6 ${round2(t - 11)} -2 ${round2(t - 11)}C4 ${round2(t - 8)} 8 ${round2(t * 0.95)} 12 ${round2(t * 0.85)}Z`,
				"alt",
			);
		pen.path(
			`M2 ${round2(h * 0.7)}C-2 ${round2(h + 10)} -12 ${round2(h + 12)} -16 ${round2(h + 10)}C-16 ${round2(h)} -12 ${round2(h * 0.8)} -8 ${round2(h * 0.6)}Z`,
			"alt",
		);
		pen.path(
			`M-30 0C-20 ${round2(-h * 1.32)} 24 ${round2(-h * 1.36)} 43 0C24 ${round2(h * 1.36)} -20 ${round2(h * 1.32)} -30 0Z`,
			"main",
		);
		const stripes = [
			[4, 0.86],
			[-9, 0.76],
			[-20, 0.46],
		] as const;
		for (const [x, height] of stripes.slice(0, part.stripes)) {
			const e = h * height;
			pen.line(
				`M${x} ${round2(-e)}C${x + 7} ${round2(-e * 0.4)} ${x + 7} ${round2(e * 0.4)} ${x} ${round2(e)}`,
				6.4,
				"light",
				{ detail: true },
			);
		}
		pen.path(`M10 5C4 6 -4 10 -6 16C4 18 12 14 14 9Z`, "alt2", { detail: true });
		pen.circle(25, -5, 6.5, "light", { detail: true }).circle(26.5, -5, 3.5, "dark", { detail: true });
		pen.line("M41 4C37 7 34 7 31 6", 2.8, "dark", { detail: true });
		const bubbles = [
			[45, -18, 4.5],
			[38, -31, 3.8],
			[49, -34, 5.5],
		] as const;
		pen.dots(bubbles.slice(0, part.bubbles), "bubble");
	},
	words: (part) => ({
		adj: [...(part.stripes ? ["striped"] : ["plain"]), ...extremes(part.body, "slim", "fat")],
		has: [
			{ fan: "a fan tail", forked: "a forked tail", round: "a round tail" }[part.tail],
			{ spiky: "a spiky fin", sail: "a sail fin", small: "a small fin" }[part.fin],
			...(part.stripes ? [counted(part.stripes, "stripe")] : []),
			...(part.bubbles ? ["bubbles"] : []),
		],
	}),
});

export const whale = subject({
	nouns: ["whale"],
	anchor: "air",
	facing: true,
	looks: true,
	fit: 0.9,
	parts: {
		spout: { values: ["none", "fountain", "jet"] },
		tail: { values: ["high", "low"] },
		belly: { values: ["plain", "grooved"] },
		body: { min: 0, max: 1 },
	},
	draw(pen, part) {
		const k = lerp(0, 7, part.body);
		const dy = part.tail === "high" ? -14 : 0;
		if (part.spout === "fountain")
			pen.line("M10 -26C10 -40 0 -46 -8 -38M10 -26C10 -40 20 -46 28 -38", 4.6, "spray", { detail: true });
		if (part.spout === "jet") pen.line("M10 -26V-44M10 -38L2 -48M10 -38L18 -48", 4.6, "spray", { detail: true });
		pen.path(
			`M-35 ${-4 + dy}C-52 ${-6 + dy} -56 ${-20 + dy} -50 ${-28 + dy}C-44 ${-24 + dy} -39 ${-20 + dy} -36 ${-15 + dy}C-33 ${-22 + dy} -28 ${-27 + dy} -20 ${-28 + dy}C-17 ${-16 + dy} -22 ${-6 + dy} -35 ${-4 + dy}Z`,
			"main2",
		);
		pen.path(
			`M48 8C48 -18 28 -${26 + k} 6 -${26 + k}C-14 -${24 + k} -20 0 -30 ${round2(-8 + dy * 0.4)}L-42 ${round2(-6 + dy)}C-44 16 -28 ${34 + k} 6 ${34 + k}C34 ${34 + k} 48 24 48 8Z`,
			"main",
		);
		pen.path(
			`M48 8C40 20 6 24 -22 10C-34 6 -38 8 -39 10C-34 26 -18 ${34 + k} 6 ${34 + k}C34 ${34 + k} 48 24 48 8Z`,
			"light",
			{ detail: true },
		);
		if (part.belly === "grooved")
			pen.line(`M26 20C24 26 20 30 14 ${30 + k}M12 21C10 27 6 31 0 ${31 + k}M-3 19C-5 25 -8 29 -12 30`, 2.6, "main2", {
				detail: true,
			});
		pen.path("M2 12C-6 18 -10 28 -6 38C4 36 12 26 14 15Z", "main2", { detail: true });
		pen.circle(29, -1, 4, "dark", { detail: true });
	},
	words: (part) => ({
		adj: extremes(part.body, "slender", "fat"),
		has: [
			...(part.spout === "none" ? [] : [part.spout === "jet" ? "a jet of water" : "a water fountain"]),
			part.tail === "high" ? "its tail high" : "its tail low",
			...(part.belly === "grooved" ? ["a grooved belly"] : []),
		],
	}),
});
