// Cats, owls, birds and snails.
import { round2 } from "../primitives.js";
import { extremes, lerp, subject } from "./subject.js";

export const cat = subject({
	nouns: ["cat", "kitten", "kitty"],
	anchor: "ground",
	facing: true,
	parts: {
		ears: { values: ["pointy", "small"], weights: [2, 1] },
		tail: { values: ["up", "curled"] },
		coat: { values: ["plain", "striped", "bib"] },
		eyes: { values: ["open", "closed"], weights: [2, 1] },
		fat: { min: 0, max: 1 },
	},
	draw(pen, part) {
		const f = lerp(22, 32, part.fat);
		pen.limb(
			part.tail === "up"
				? `M${f - 6} 38C${f + 16} 36 ${f + 4} 8 ${f + 10} -12`
				: `M${f - 8} 40C${f + 18} 42 ${f + 20} 22 ${f + 6} 20`,
			9,
			"main",
		);
		pen.path(`M${-f} 45C${-f - 5} 14 ${round2(-f * 0.7)} -6 0 -6C${round2(f * 0.7)} -6 ${f + 5} 14 ${f} 45Z`, "main");
		if (part.coat === "bib") pen.path("M-13 2H13C17 20 11 34 0 34C-11 34 -17 20 -13 2Z", "light", { detail: true });
		if (part.coat === "striped")
			for (const y of [16, 26, 36])
				pen.line(`M${round2(-f + 1)} ${y}q7 -2 11 2M${round2(f - 1)} ${y}q-7 -2 -11 2`, 4, "dark", { detail: true });
		pen.line("M-6 45V36M6 45V36", 2.6, "dark", { detail: true });
		for (const s of [-1, 1]) {
			if (part.ears === "pointy")
				pen
					.polygon([s * 25, -20, s * 22, -50, s * 4, -34], "main")
					.polygon([s * 20, -30, s * 18.5, -42, s * 10, -34], "acc", { detail: true });
			else
				pen
					.polygon([s * 25, -22, s * 25, -41, s * 6, -35], "main")
					.polygon([s * 21, -31, s * 21.5, -37, s * 14, -34], "acc", { detail: true });
		}
		pen.ellipse(0, -18, 27, 20, "main");
		if (part.coat === "striped") pen.line("M0 -37V-28M-8 -36L-6 -29M8 -36L6 -29", 3.4, "dark", { detail: true });
		for (const s of [-1, 1]) {
			if (part.eyes === "open")
				pen
					.ellipse(s * 11, -19, 6, 6.5, "acc", { detail: true })
					.ellipse(s * 11, -19, 2.6, 5, "dark", { detail: true });
			else pen.line(`M${s * 11 - 6} -20q6 6 12 0`, 3, "dark", { detail: true });
		}
		pen.polygon([-3.5, -11.5, 3.5, -11.5, 0, -7.5], "dark", { detail: true });
		pen.line("M-33 -14L-20 -11M-33 -6L-20 -7M33 -14L20 -11M33 -6L20 -7", 1.8, "whisk", { detail: true });
	},
	words: (part) => ({
		adj: [
			...(part.coat === "striped" ? ["striped"] : []),
			...extremes(part.fat, "slim", "chubby"),
			...(part.eyes === "closed" ? ["sleepy"] : []),
		],
		has: [
			part.ears === "pointy" ? "pointy ears" : "small ears",
			part.tail === "up" ? "its tail up" : "a curled tail",
			...(part.coat === "bib" ? ["a white bib"] : []),
			...(part.eyes === "closed" ? ["closed eyes"] : []),
		],
	}),
});

export const owl = subject({
	nouns: ["owl"],
	anchor: "ground",
	facing: false,
	fit: 0.96,
	parts: {
		tufts: { values: ["tall", "short", "none"] },
		eyes: { min: 0, max: 1 },
		belly: { values: ["plain", "speckled"] },
		perch: { values: ["branch", "ground"] },
	},
	draw(pen, part) {
		if (part.perch === "branch")
			pen
				.limb("M-44 42C-20 38 20 46 44 40", 8, "alt")
				.path("M36 40C40 28 50 28 52 32C50 40 44 42 36 40Z", "alt2", { detail: true });
		const th = part.tufts === "tall" ? 50 : 43;
		if (part.tufts !== "none")
			pen.polygon([-28, -24, -28, -th, -6, -37], "main").polygon([28, -24, 28, -th, 6, -37], "main");
		pen.path("M0 -42C28 -42 33 -14 32 8C31 30 18 40 0 40C-18 40 -31 30 -32 8C-33 -14 -28 -42 0 -42Z", "main");
		pen.path("M0 -4C16 -4 21 8 19 20C17 32 8 38 0 38C-8 38 -17 32 -19 20C-21 8 -16 -4 0 -4Z", "light", {
			detail: true,
		});
		if (part.belly === "speckled")
			pen.line("M-9 8l4 4l4 -4M3 8l4 4l4 -4M-4 19l4 4l4 -4M-11 19l3 3M11 19l-3 3M-6 29l3 3l3 -3", 3, "main2", {
				detail: true,
			});
		pen
			.path("M-31 -6C-40 8 -38 26 -26 34C-20 22 -22 6 -31 -6Z", "main2")
			.path("M31 -6C40 8 38 26 26 34C20 22 22 6 31 -6Z", "main2");
		const r = lerp(10, 14, part.eyes);
		for (const s of [-1, 1])
			pen.circle(s * 12.5, -19, r, "light").circle(s * 12.5, -19, r * 0.52, "dark", { detail: true });
		pen.polygon([-5.5, -13, 5.5, -13, 0, -2], "acc", { detail: true });
		pen.line("M-11 37v6M-6 38v6M6 38v6M11 37v6", 3.6, "acc", { detail: true });
	},
	words: (part) => ({
		adj: extremes(part.eyes, "small eyed", "big eyed"),
		has: [
			...(part.tufts === "none" ? ["a smooth head"] : [`${part.tufts} ear tufts`]),
			...(part.belly === "speckled" ? ["a speckled belly"] : []),
			...(part.perch === "branch" ? ["a branch to perch on"] : []),
		],
	}),
});

export const bird = subject({
	nouns: ["bird", "songbird", "little bird"],
	anchor: "air",
	facing: true,
	looks: true,
	fit: 0.92,
	parts: {
		crest: { values: ["none", "tuft", "plume"] },
		wing: { values: ["folded", "raised"] },
		tail: { values: ["fan", "forked"] },
		beak: { min: 0, max: 1 },
		legs: { values: [true, false], weights: [2, 1] },
	},
	draw(pen, part) {
		if (part.legs) pen.line("M-4 26L-6 44h7M8 25L8 44h7", 3.4, "acc", { detail: true });
		if (part.tail === "fan") pen.path("M-22 6L-50 -10C-54 2 -52 14 -46 20L-18 18Z", "alt");
		else pen.path("M-22 4L-50 -14L-43 0L-52 10L-20 17Z", "alt");
		const L = lerp(10, 20, part.beak);
		pen.polygon([31, -20, 33 + L, -13, 31, -8], "acc");
		if (part.crest === "tuft") pen.path("M14 -26C6 -36 4 -42 4 -46C12 -44 20 -40 24 -28Z", "alt");
		if (part.crest === "plume")
			pen.line("M20 -28C18 -38 10 -44 2 -42M22 -28C22 -40 18 -46 12 -50M24 -28C26 -38 25 -45 23 -50", 3.4, "alt", {
				detail: true,
			});
		pen.path("M-34 4C-26 -14 -8 -10 4 -22C14 -34 36 -30 36 -12C38 10 24 30 0 30C-20 30 -36 22 -34 4Z", "main");
		pen.path("M35 -6C36 12 22 30 0 30C-6 30 -12 29 -18 27C8 26 24 10 25 -2Z", "light", { detail: true });
		if (part.wing === "folded") pen.path("M-32 2C-20 -12 6 -10 10 2C8 18 -14 22 -32 2Z", "alt");
		else
			pen
				.path("M10 4C0 -14 -4 -34 -26 -46C-38 -32 -32 -4 -10 8Z", "alt")
				.path("M-10 8C-24 2 -30 -10 -32 -22C-24 -8 -14 -2 4 -2Z", "alt2", { detail: true });
		pen.circle(23, -14, 5.6, "light", { detail: true }).circle(24, -14, 3, "dark", { detail: true });
	},
	words: (part) => ({
		adj: [...(part.crest !== "none" ? ["crested"] : []), ...extremes(part.beak, "short beaked", "long beaked")],
		has: [
			part.wing === "raised" ? "a raised wing" : "folded wings",
			part.tail === "forked" ? "a forked tail" : "a fan tail",
			...(part.crest === "plume" ? ["a feather plume"] : []),
		],
	}),
});

export const snail = subject({
	nouns: ["snail"],
	anchor: "ground",
	facing: true,
	looks: true,
	fit: 0.9,
	parts: {
		shell: { values: ["spiral", "rings", "dotted"] },
		size: { min: 0, max: 1 },
		stalks: { values: ["long", "short"] },
		smile: { values: [true, false] },
	},
	draw(pen, part) {
		const r = lerp(26, 32, part.size);
		const cy = 42 - r - 4;
		const cx = -8;
		const sy = part.stalks === "long" ? -34 : -20;
		pen.line(`M34 2L28 ${sy}M37 2L45 ${sy + 3}`, 3.6, "alt", { detail: true });
		pen.circle(28, sy, 5, "acc", { detail: true }).circle(45, sy + 3, 5, "acc", { detail: true });
		pen.path("M-50 45C-40 34 -20 32 6 34C20 34 22 20 23 4C24 -12 48 -12 47 6C46 28 42 45 26 45Z", "alt");
		pen.circle(cx, cy, r, "main");
		if (part.shell === "spiral")
			pen.line(
				`M${cx + round2(r * 0.62)} ${round2(cy + r * 0.58)}A${round2(r * 0.78)} ${round2(r * 0.78)} 0 1 1 ${round2(cx + r * 0.62)} ${round2(cy - r * 0.1)}A${round2(r * 0.46)} ${round2(r * 0.46)} 0 1 1 ${round2(cx - r * 0.16)} ${round2(cy - r * 0.16)}`,
				5,
				"light",
				{ detail: true },
			);
		else if (part.shell === "rings")
			pen
				.circle(cx, cy, r * 0.68, "light", { detail: true })
				.circle(cx, cy, r * 0.46, "main", { detail: true })
				.circle(cx, cy, r * 0.2, "light", { detail: true });
		else
			pen.dots(
				[
					[cx, cy - 0.5 * r, 5],
					[cx + 0.5 * r, cy, 5],
					[cx - 0.5 * r, cy, 5],
					[cx, cy + 0.5 * r, 5],
					[cx, cy, 5],
				],
				"acc",
			);
		pen.circle(37, 4, 3, "dark", { detail: true });
		if (part.smile) pen.line("M34 15C38 19 42 18 45 14", 2.6, "dark", { detail: true });
	},
	words: (part) => ({
		adj: [...(part.smile ? ["smiling", "happy"] : [])],
		has: [
			{ spiral: "a spiral shell", rings: "a ringed shell", dotted: "a dotted shell" }[part.shell],
			`${part.stalks} eye stalks`,
		],
	}),
});
