// Small grey pictures of a disc, a ring, a square or a cross, at a random place and size, with noise: what the demo learns to tell
// apart.

/** The classes, by index. */
export const CLASSES = ["disc", "ring", "square", "cross"] as const;

/** Side of a picture in pixels. */
export const SIDE = 16;

/** A batch of pictures and what they show. */
export interface ShapeBatch {
	/** [count, SIDE, SIDE, 1], from −1 to 1 before the noise. */
	readonly images: Float32Array;
	/** [count], indices of CLASSES. */
	readonly labels: Int32Array;
}

/** Uniform numbers in [0, 1) and normal numbers, from a source of the caller's. */
export interface RandomSource {
	uniform(): number;
	normal(): number;
}

/** How far inside the shape a point is, in pixels; negative outside. The centre is the origin and the shape's size `radius`. */
function depth(label: number, x: number, y: number, radius: number): number {
	const distance = Math.hypot(x, y);
	const [ax, ay] = [Math.abs(x), Math.abs(y)];
	const thickness = radius * 0.3;
	switch (CLASSES[label]) {
		case "disc":
			return radius - distance;
		case "ring":
			return thickness - Math.abs(distance - radius + thickness);
		case "square":
			return radius * 0.9 - Math.max(ax, ay);
		default:
			return Math.min(thickness - Math.min(ax, ay), radius - Math.max(ax, ay));
	}
}

/** Draws `count` pictures. */
export function drawShapes(count: number, random: RandomSource, noise = 0.2): ShapeBatch {
	const images = new Float32Array(count * SIDE * SIDE);
	const labels = new Int32Array(count);
	for (let i = 0; i < count; i++) {
		const label = Math.floor(random.uniform() * CLASSES.length);
		const radius = 4 + random.uniform() * 2.5;
		const [cx, cy] = [0, 0].map(() => radius + random.uniform() * (SIDE - 1 - 2 * radius)) as [number, number];
		labels[i] = label;
		for (let y = 0; y < SIDE; y++) {
			for (let x = 0; x < SIDE; x++) {
				// An edge one pixel wide, so that a shape moves smoothly.
				const inside = Math.min(1, Math.max(0, depth(label, x - cx, y - cy, radius) + 0.5));
				images[(i * SIDE + y) * SIDE + x] = 2 * inside - 1 + noise * random.normal();
			}
		}
	}
	return { images, labels };
}
