// Eight backgrounds, in picture coordinates 0…64, drawn from −4 to 68.
import { Pen, round2, type Shape } from "./primitives.js";
import { RandomStream } from "./random.js";

/** Where the scenery of a scene lies. */
export interface Setting {
	/** Height of the horizon (y). */
	readonly horizon: number;
	/** Of sun or moon. */
	readonly lightX: number;
	readonly lightY: number;
	readonly night: boolean;
	/** Where the subject stands, and its size. */
	readonly footX: number;
	readonly footY: number;
	readonly footScale: number;
	/** Seed of everything small. */
	readonly layout: number;
}

export interface Background {
	/** What a caption may say; all true. */
	readonly phrases: readonly string[];
	/** Probability of night; 0 and 1 are backgrounds of one time only, of which captions don't speak. */
	readonly night: number;
	draw(pen: Pen, setting: Setting, random: RandomStream): void;
}

const SKY = { sky: true };
const DETAIL = { detail: true };

function cloud(x: number, y: number, s: number): string {
	const at = (dx: number, dy: number) => `${round2(x + dx * s)} ${round2(y + dy * s)}`;
	return `M${at(-9, 0)}C${at(-11, -5)} ${at(-5, -7)} ${at(-3.6, -5)}C${at(-2, -10)} ${at(5, -9)} ${at(5, -4.6)}C${at(10, -6)} ${at(11, 0)} ${at(9, 0)}Z`;
}

function wholeSky(pen: Pen): void {
	pen.rect(-4, -4, 72, 72, "sky", SKY);
}

/** Moon and stars, or the sun. */
function lights(pen: Pen, random: RandomStream, night: boolean, x: number, y: number, size = 1): void {
	if (!night) {
		pen.circle(x, y, 6 * size, "sun");
		return;
	}
	pen.circle(x, y, 5.2 * size, "moon", { crescent: true });
	for (let i = 0; i < 7; i++) {
		const starX = 4 + ((i * 9.1 + random.range(-2.5, 2.5) + 60) % 58);
		const starY = random.range(3, 27);
		if (Math.hypot(starX - x, starY - y) > 9) pen.circle(starX, starY, random.pick([0.7, 0.9, 1.2]), "star", DETAIL);
	}
}

const plain: Background = {
	phrases: ["on a plain background", "on plain paper", "with nothing behind"],
	night: 0,
	draw(pen, { footX, footY, footScale }) {
		wholeSky(pen);
		pen.ellipse(footX, footY, 20 * footScale, 3.2, "shadow", DETAIL);
	},
};

const clouds: Background = {
	phrases: ["in a cloudy sky", "among the clouds", "with clouds behind"],
	night: 0,
	draw(pen, _setting, random) {
		wholeSky(pen);
		const draw = (x: readonly [number, number], y: readonly [number, number], size: readonly [number, number]) =>
			pen.path(cloud(random.range(...x), random.range(...y), random.range(...size)), "cloud");
		draw([4, 20], [14, 22], [0.9, 1.25]);
		draw([46, 60], [12, 30], [0.8, 1.2]);
		draw([0, 14], [44, 52], [0.9, 1.3]);
		draw([44, 62], [52, 60], [0.9, 1.3]);
	},
};

const stars: Background = {
	phrases: ["under the stars", "in a starry night", "with stars and a moon"],
	night: 1,
	draw(pen, { lightX, lightY }, random) {
		wholeSky(pen);
		for (let i = 0; i < 13; i++) {
			const x = 3 + ((i * 23.7 + random.range(-4, 4) + 64) % 58);
			const y = 3 + ((i * 14.3 + random.range(-3, 3) + 60) % 50);
			if (Math.hypot(x - lightX, y - lightY) > 9) pen.circle(x, y, random.pick([0.7, 0.9, 1.3]), "star", DETAIL);
		}
		pen.circle(lightX, lightY, 6, "moon", { crescent: true });
		pen.path("M-4 68V60C14 55 44 54 68 60V68Z", "land2");
	},
};

const sea: Background = {
	phrases: ["by the sea", "at sea", "on the ocean waves", "with the sea behind"],
	night: 0.3,
	draw(pen, { horizon, night, lightX, lightY }, random) {
		wholeSky(pen);
		lights(pen, random, night, lightX, lightY);
		const h = horizon - 4;
		pen.rect(-4, h, 72, 72 - h, "water", { wide: true });
		pen.rect(-4, h + 11, 72, 62 - h, "water2", { wide: true });
		for (let i = 0; i < 5; i++) {
			const y = h + 4 + i * 4.6;
			const x = random.range(-2, 46);
			pen.line(`M${round2(x)} ${round2(y)}q3 -2.4 6 0t6 0t6 0`, 1.1, "foam", DETAIL);
		}
	},
};

const hills: Background = {
	phrases: ["on grassy hills", "in a meadow", "among rolling hills"],
	night: 0.3,
	draw(pen, { horizon: h, night, lightX, lightY }, random) {
		wholeSky(pen);
		lights(pen, random, night, lightX, lightY);
		const a = random.range(-5, 5);
		const c = random.range(-6, 6);
		pen.path(
			`M-4 68V${round2(h - 4 + a)}C10 ${round2(h - 13)} 22 ${round2(h - 11)} 36 ${round2(h - 2)}C46 ${round2(h - 10 - c)} 58 ${round2(h - 10)} 68 ${round2(h - 3)}V68Z`,
			"land",
		);
		pen.path(
			`M-4 68V${round2(h + 7 - c)}C16 ${round2(h + 1)} 40 ${round2(h + 2)} 68 ${round2(h + 8 + a)}V68Z`,
			"land2",
		);
		for (let i = 0; i < 5; i++) {
			const x = random.range(2, 62);
			const y = round2(random.range(h + 9, 62));
			pen.line(`M${round2(x)} ${y}v-2.4M${round2(x + 1.8)} ${y}v-1.8`, 0.9, "tuft", DETAIL);
		}
	},
};

const city: Background = {
	phrases: ["in the city", "with a city skyline", "before a row of tall buildings"],
	night: 0.35,
	draw(pen, { horizon, night, lightX, lightY }, random) {
		wholeSky(pen);
		lights(pen, random, night, lightX, Math.min(lightY, 12), 0.9);
		const base = horizon + 4;
		for (let x = -4; x < 68; ) {
			const width = random.range(7, 12);
			const height = random.range(12, 34);
			pen.rect(x, base - height, width + 0.4, height + 2, "far", { building: true });
			for (let y = base - height + 3; y < base - 4; y += 4.6)
				for (let windowX = x + 1.8; windowX < x + width - 2; windowX += 3.2)
					if (random.chance(0.45)) pen.rect(windowX, y, 1.6, 2, "win", DETAIL);
			x += width;
		}
		pen.rect(-4, base, 72, 72 - base, "land2", { wide: true });
	},
};

const desert: Background = {
	phrases: ["in the desert", "on the dunes", "in a sandy desert"],
	night: 0.25,
	draw(pen, { horizon: h, night, lightX, lightY }, random) {
		wholeSky(pen);
		lights(pen, random, night, lightX, lightY + (night ? 0 : 2), night ? 1 : 1.7);
		const a = random.range(-4, 4);
		pen.path(
			`M-4 68V${round2(h + a)}C8 ${round2(h - 10)} 18 ${round2(h - 10)} 30 ${round2(h)}C40 ${round2(h - 6)} 54 ${round2(h - 12 - a)} 68 ${round2(h - 1)}V68Z`,
			"sand",
		);
		pen.path(
			`M-4 68V${round2(h + 10)}C12 ${round2(h + 1 + a)} 26 ${round2(h + 4)} 38 ${round2(h + 9)}C50 ${round2(h + 4)} 60 ${round2(h + 5)} 68 ${round2(h + 8)}V68Z`,
			"sand2",
		);
		const x = round2((random.chance() ? random.range(3, 9) : random.range(55, 61)) - 1.3);
		pen.path(
			`M${x} ${round2(h + 7)}v-9a1.3 1.3 0 0 1 2.6 0v3h2v-2.4h1.6v4.2h-3.6v4.2zM${x} ${round2(h + 3)}h-3.2v-4h1.5v2.4h1.7z`,
			"plant",
			DETAIL,
		);
	},
};

const snow: Background = {
	phrases: ["in the snow", "on a snowy day", "in falling snow"],
	night: 0.3,
	draw(pen, { horizon: h, night, lightX, lightY }, random) {
		pen.rect(-4, -4, 72, 72, "snowsky", SKY);
		if (night) pen.circle(lightX, lightY, 5, "moon", { crescent: true });
		const a = random.range(-4, 4);
		for (const column of [3, 11, 53, 61]) {
			const x = column + random.range(-2, 2);
			const size = random.range(0.8, 1.3);
			pen.polygon([x - 4 * size, h, x, h - 13 * size, x + 4 * size, h], "pine", DETAIL);
		}
		pen.path(`M-4 68V${round2(h - 1 + a)}C16 ${round2(h - 6)} 44 ${round2(h - 5)} 68 ${round2(h - 1 - a)}V68Z`, "snow");
		pen.path(`M-4 68V${round2(h + 9)}C20 ${round2(h + 3)} 44 ${round2(h + 13)} 68 ${round2(h + 6)}V68Z`, "snow2");
		for (let i = 0; i < 16; i++) {
			const x = 3 + ((i * 11.7 + random.range(-3, 3) + 64) % 60);
			const y = 2 + ((i * 17.3 + random.range(-3, 3) + 60) % (h - 3));
			const radius = random.pick([0.9, 1.1, 1.4]);
			if (!night || Math.hypot(x - lightX, y - lightY) > 8) pen.circle(x, y, radius, "flake", DETAIL);
		}
	},
};

export const BACKGROUNDS = { plain, clouds, stars, sea, hills, city, desert, snow };
export type BackgroundName = keyof typeof BACKGROUNDS;
export const BACKGROUND_NAMES = Object.keys(BACKGROUNDS) as BackgroundName[];

/** The scenery's shapes in the order they are painted. */
export function drawBackground(name: BackgroundName, setting: Setting): readonly Shape[] {
	const pen = new Pen();
	BACKGROUNDS[name].draw(pen, setting, new RandomStream(setting.layout, "layout"));
	return pen.shapes;
}
