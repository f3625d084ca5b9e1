// Cathedrals, houses, lighthouses and windmills.
import { round2 } from "../primitives.js";
import { counted, extremes, lerp, NUMERALS, subject } from "./subject.js";

export const cathedral = subject({
	nouns: ["cathedral", "church", "gothic cathedral"],
	anchor: "ground",
	facing: false,
	parts: {
		towers: { values: [1, 2] },
		height: { min: 0, max: 1 },
		roof: { values: ["spire", "dome", "battlements"], weights: [3, 2, 2] },
		windows: { values: [1, 2] },
		rose: { values: [true, false], weights: [2, 1] },
	},
	draw(pen, part) {
		const ty = lerp(6, -20, part.height);
		const top = (x: number, w: number) => {
			if (part.roof === "spire") {
				pen
					.polygon([x - w / 2 - 3, ty, x, ty - 29, x + w / 2 + 3, ty], "alt")
					.polygon([x, ty - 29, x + w / 2 + 3, ty, x + 2, ty], "alt2", { detail: true });
			} else if (part.roof === "dome") {
				pen.line(`M${x} ${ty - 14}V${ty - 27}`, 4, "dark");
				pen.path(
					`M${x - w / 2 - 1} ${ty}C${x - w / 2 - 3} ${ty - 25} ${x + w / 2 + 3} ${ty - 25} ${x + w / 2 + 1} ${ty}Z`,
					"alt",
				);
			} else {
				const q = w / 5;
				let d = `M${x - w / 2 - 2} ${ty + 3}V${ty - 10}`;
				for (let i = 0; i < 5; i++) d += `h${round2(q + 0.8)}v${i % 2 ? -7 : i < 4 ? 7 : 0}`;
				pen.path(`${d}V${ty + 3}Z`, "alt");
			}
		};
		const win = (x: number, y0: number) => {
			for (let i = 0; i < part.windows; i++) pen.arch(x, y0 + i * 22, 9, 15, "glass", { detail: true });
		};
		if (part.towers === 2) {
			pen.polygon([-20, 45, -20, 16, 0, -2, 20, 16, 20, 45], "main");
			for (const x of [-29, 29]) {
				pen.rect(x - 12, ty, 24, 45 - ty, "main");
				pen.rect(x + 4, ty, 8, 45 - ty, "main2", { detail: true });
				top(x, 24);
				win(x - 2, ty + 20);
			}
			if (part.rose) pen.circle(0, 12, 8, "glass");
		} else {
			pen.polygon([-42, 45, -42, 20, -10, 4, 10, 4, 42, 20, 42, 45], "main");
			pen.arch(-27, 36, 8, 14, "glass", { detail: true }).arch(27, 36, 8, 14, "glass", { detail: true });
			pen.rect(-15, ty, 30, 45 - ty, "main").rect(6, ty, 9, 45 - ty, "main2", { detail: true });
			top(0, 30);
			if (part.rose) pen.circle(0, ty + 14, 8, "glass");
			else win(0, ty + 20);
		}
		pen.arch(0, 45, 15, 21, "dark");
	},
	words: (part) => ({
		adj: extremes(part.height, "low", "tall"),
		has: [
			part.towers === 2 ? "two towers" : "one tower",
			{ spire: "pointed spires", dome: "round domes", battlements: "battlements" }[part.roof],
			...(part.rose ? ["a rose window"] : []),
		].map((s) =>
			part.towers === 1 ? s.replace("pointed spires", "a pointed spire").replace("round domes", "a round dome") : s,
		),
	}),
});

export const house = subject({
	nouns: ["house", "cottage", "little house"],
	anchor: "ground",
	facing: true,
	parts: {
		roof: { values: ["gable", "flat", "round"], weights: [3, 1.5, 2] },
		storeys: { values: [1, 2] },
		windows: { values: [1, 2] },
		chimney: { values: ["none", "plain", "smoking"] },
		width: { min: 0, max: 1 },
	},
	draw(pen, part) {
		const w = lerp(26, 38, part.width);
		const y = part.storeys === 2 ? -8 : 12;
		const smoke = part.chimney === "smoking";
		const rt = part.roof === "flat" ? y - 10 : y - 26;
		if (part.chimney !== "none") {
			pen.rect(w * 0.42, rt - 4, 10, 26, "dark");
			if (smoke) pen.circle(w * 0.42 + 6, rt - 12, 5, "light").circle(w * 0.42 + 13, rt - 21, 7, "light");
		}
		pen.rect(-w, y, 2 * w, 45 - y, "main").rect(w * 0.62, y, w * 0.38, 45 - y, "main2", { detail: true });
		if (part.roof === "gable") pen.polygon([-w - 7, y + 2, 0, rt - 3, w + 7, y + 2], "alt");
		else if (part.roof === "flat") pen.rect(-w - 6, y - 9, 2 * w + 12, 12, "alt");
		else
			pen.path(
				`M${round2(-w - 6)} ${y + 2}C${round2(-w - 4)} ${y - 36} ${round2(w + 4)} ${y - 36} ${round2(w + 6)} ${y + 2}Z`,
				"alt",
			);
		if (part.roof === "gable") pen.circle(0, y - 9, 5, "glass", { detail: true });
		const dx = part.windows === 1 ? -w * 0.42 : 0;
		pen.rect(dx - 7, 22, 14, 23, "dark", { detail: true });
		const xs = part.windows === 1 ? [w * 0.36] : [-w * 0.6, w * 0.6];
		for (const x of xs) pen.rect(x - 6.5, 19, 13, 13, "glass", { detail: true });
		if (part.storeys === 2)
			for (const x of part.windows === 1 ? [0] : [-w * 0.5, w * 0.5])
				pen.rect(x - 6.5, -2, 13, 13, "glass", { detail: true });
	},
	words: (part) => ({
		adj: [...extremes(part.width, "narrow", "wide"), ...(part.storeys === 2 ? ["double storey"] : [])],
		has: [
			{ gable: "a pointed roof", flat: "a flat roof", round: "a round roof" }[part.roof],
			...(part.chimney === "smoking" ? ["a smoking chimney"] : part.chimney === "plain" ? ["a chimney"] : []),
		],
	}),
});

export const lighthouse = subject({
	nouns: ["lighthouse", "light tower"],
	anchor: "ground",
	facing: true,
	parts: {
		bands: { values: [0, 2, 3] },
		beam: { values: ["none", "one", "two"] },
		height: { min: 0, max: 1 },
		base: { values: ["rocks", "hut", "bare"] },
	},
	draw(pen, part) {
		const ty = lerp(-8, -24, part.height);
		const y0 = 45;
		const hw = (y: number) => lerp(10, 18, (y - ty) / (y0 - ty));
		if (part.beam !== "none") {
			pen.polygon([4, ty - 9, 62, ty - 26, 62, ty + 6], "beam", { detail: true });
			if (part.beam === "two") pen.polygon([-4, ty - 9, -62, ty - 26, -62, ty + 6], "beam", { detail: true });
		}
		if (part.base === "hut")
			pen
				.rect(14, 24, 26, 21, "main2")
				.polygon([10, 25, 27, 10, 44, 25], "alt")
				.rect(23, 30, 8, 8, "glass", { detail: true });
		pen.polygon([-hw(ty), ty, hw(ty), ty, hw(y0), y0, -hw(y0), y0], "light");
		const q = (y0 - ty) / (part.bands * 2 || 1);
		if (part.bands === 0) pen.polygon([-hw(ty), ty, hw(ty), ty, hw(y0), y0, -hw(y0), y0], "main");
		for (let i = 0; i < part.bands; i++) {
			const a = ty + q * (2 * i);
			const c = a + q;
			pen.polygon([-hw(a), a, hw(a), a, hw(c), c, -hw(c), c], "main");
		}
		pen
			.rect(-8, ty - 15, 16, 15, "glass")
			.rect(-14, ty - 3, 28, 6, "dark")
			.path(`M-12 ${ty - 14}C-9 ${ty - 28} 9 ${ty - 28} 12 ${ty - 14}Z`, "alt");
		pen.arch(0, 45, 11, 15, "dark", { detail: true });
		if (part.base === "rocks")
			pen
				.path("M-40 47C-38 34 -26 32 -20 40C-16 34 -8 36 -6 47Z", "dark")
				.path("M6 47C8 36 18 32 24 40C30 34 38 38 40 47Z", "dark");
	},
	words: (part) => ({
		adj: [...extremes(part.height, "short", "tall"), ...(part.bands ? ["striped"] : ["plain"])],
		has: [
			...(part.beam === "two" ? ["two beams of light"] : part.beam === "one" ? ["a beam of light"] : []),
			...(part.base === "rocks" ? ["rocks at its foot"] : part.base === "hut" ? ["a hut beside it"] : []),
		],
	}),
});

export const windmill = subject({
	nouns: ["windmill", "old mill"],
	anchor: "ground",
	facing: false,
	parts: {
		turn: { min: 0, max: 1 },
		blades: { values: [4, 6], weights: [2, 1] },
		sail: { values: ["broad", "thin"] },
		windows: { values: [1, 2] },
	},
	draw(pen, part) {
		pen
			.polygon([-21, 45, -13, -8, 13, -8, 21, 45], "main")
			.polygon([21, 45, 13, -8, 5, -8, 9, 45], "main2", { detail: true });
		pen.path("M-17 -6C-15 -26 15 -26 17 -6Z", "alt");
		pen.arch(0, 45, 13, 18, "dark", { detail: true });
		for (let i = 0; i < part.windows; i++) pen.rect(-4.5, 18 - i * 12 - 4, 9, 8, "glass", { detail: true });
		const hx = 0;
		const hy = -12;
		const L = 38;
		const st = 360 / part.blades;
		const a0 = part.turn * st;
		for (let i = 0; i < part.blades; i++) {
			const a = ((a0 + i * st) * Math.PI) / 180;
			const c = Math.cos(a);
			const s = Math.sin(a);
			const pt = (u: number, v: number): [number, number] => [hx + u * c - v * s, hy + u * s + v * c];
			const w = part.sail === "broad" ? 11 : 6;
			pen.polygon([...pt(11, -1), ...pt(L, -1), ...pt(L, w), ...pt(11, w)], "light");
			pen.line(`M${round2(hx)} ${round2(hy)}L${pt(L, 0).map(round2).join(" ")}`, 3.4, "dark");
		}
		pen.circle(hx, hy, 4.5, "acc", { detail: true });
	},
	words: (part) => ({
		adj: [],
		has: [`${NUMERALS[part.blades]} ${part.sail} sails`, `${counted(part.windows, "window")}`],
	}),
});
