// The picture's intermediate form: shapes with roles. A style decides how each role is painted.

/** What a shape of the subject is, whatever its colour. */
export type SubjectRole =
	| "main"
	| "main2"
	| "alt"
	| "alt2"
	| "acc"
	| "light"
	| "light2"
	| "dark"
	| "glass"
	| "beam"
	| "spray"
	| "wave"
	| "bubble"
	| "whisk";

/** What a shape of the background is. */
export type SceneryRole =
	| "sky"
	| "snowsky"
	| "sun"
	| "moon"
	| "star"
	| "cloud"
	| "far"
	| "win"
	| "land"
	| "land2"
	| "water"
	| "water2"
	| "foam"
	| "sand"
	| "sand2"
	| "plant"
	| "snow"
	| "snow2"
	| "flake"
	| "pine"
	| "tuft"
	| "shadow";

export type Role = SubjectRole | SceneryRole;

export interface ShapeOptions {
	/** Too small to be outlined or faceted. */
	detail?: boolean;
	/** The whole sky. */
	sky?: boolean;
	/** Drawn as a crescent. */
	crescent?: boolean;
	/** As wide as the picture. */
	wide?: boolean;
	building?: boolean;
	/** Degrees, of an ellipse about its centre. */
	rotation?: number;
	/** Corner radius of a rectangle. */
	radius?: number;
}

interface Drawn extends ShapeOptions {
	readonly role: Role;
}

export interface Ellipse extends Drawn {
	readonly kind: "ellipse";
	readonly cx: number;
	readonly cy: number;
	readonly rx: number;
	readonly ry: number;
}

export interface Rectangle extends Drawn {
	readonly kind: "rect";
	readonly x: number;
	readonly y: number;
	readonly width: number;
	readonly height: number;
}

/** A line is drawn; a limb is a body with a width that scales like the rest. */
export interface Stroke extends Drawn {
	readonly kind: "line" | "limb";
	readonly d: string;
	readonly width: number;
}

export type Shape =
	| Ellipse
	| Rectangle
	| Stroke
	| (Drawn & { readonly kind: "path"; readonly d: string })
	| (Drawn & { readonly kind: "polygon"; readonly points: readonly number[] });

/** Two decimals: enough for 64 pixels, and short. */
export function round2(value: number): number {
	return Math.round(value * 100) / 100;
}

/** Collects shapes in the order they are painted. */
export class Pen {
	readonly shapes: Shape[] = [];

	path(d: string, role: Role, options?: ShapeOptions): this {
		return this.add({ kind: "path", d, role, ...options });
	}

	rect(x: number, y: number, width: number, height: number, role: Role, options?: ShapeOptions): this {
		return this.add({ kind: "rect", x, y, width, height, role, ...options });
	}

	ellipse(cx: number, cy: number, rx: number, ry: number, role: Role, options?: ShapeOptions): this {
		return this.add({ kind: "ellipse", cx, cy, rx, ry, role, ...options });
	}

	circle(cx: number, cy: number, radius: number, role: Role, options?: ShapeOptions): this {
		return this.ellipse(cx, cy, radius, radius, role, options);
	}

	/** @param points x and y in turn */
	polygon(points: readonly number[], role: Role, options?: ShapeOptions): this {
		return this.add({ kind: "polygon", points, role, ...options });
	}

	limb(d: string, width: number, role: Role, options?: ShapeOptions): this {
		return this.add({ kind: "limb", d, width, role, ...options });
	}

	line(d: string, width: number, role: Role, options?: ShapeOptions): this {
		return this.add({ kind: "line", d, width, role, ...options });
	}

	/** Small circles, each with its centre and radius. */
	dots(circles: readonly (readonly [x: number, y: number, radius: number])[], role: Role): this {
		for (const [x, y, radius] of circles) this.circle(x, y, radius, role, { detail: true });
		return this;
	}

	/** A round-topped window or door, centred on x, standing on y. */
	arch(x: number, y: number, width: number, height: number, role: Role, options?: ShapeOptions): this {
		const a = width / 2;
		const top = y - height + a;
		const turn = `A${round2(a)} ${round2(a)} 0 0 1 ${round2(x + a)} ${round2(top)}`;
		return this.path(`M${round2(x - a)} ${round2(y)}V${round2(top)}${turn}V${round2(y)}Z`, role, options);
	}

	private add(shape: Shape): this {
		this.shapes.push(shape);
		return this;
	}
}

/** The opening of a shape's SVG element: no paint, not closed. */
export function geometry(shape: Shape): string {
	switch (shape.kind) {
		case "rect": {
			const radius = shape.radius ? ` rx="${round2(shape.radius)}"` : "";
			return `<rect x="${round2(shape.x)}" y="${round2(shape.y)}" width="${round2(shape.width)}" height="${round2(shape.height)}"${radius}`;
		}
		case "ellipse": {
			const [cx, cy] = [round2(shape.cx), round2(shape.cy)];
			if (shape.rx === shape.ry) return `<circle cx="${cx}" cy="${cy}" r="${round2(shape.rx)}"`;
			const turned = shape.rotation ? ` transform="rotate(${round2(shape.rotation)} ${cx} ${cy})"` : "";
			return `<ellipse cx="${cx}" cy="${cy}" rx="${round2(shape.rx)}" ry="${round2(shape.ry)}"${turned}`;
		}
		case "polygon":
			return `<polygon points="${shape.points.map(round2).join(" ")}"`;
		default:
			return `<path d="${shape.d}"`;
	}
}
