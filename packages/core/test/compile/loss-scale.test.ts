// Gradients of a mean of many small errors where activations are f16: what f16 can't tell from 0 is lost unless the loss is scaled.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Device, lossScale, matmul, mean, openDevice, scaledGradients, square, sub } from "../../src/index.js";
import { seeded } from "../ops/support.js";

const ROWS = 64;
const WIDTH = 16;
const ERRORS = ROWS * WIDTH;

describe("a scaled loss", () => {
	let device: Device;
	beforeAll(async () => {
		device = await openDevice("cpu", { threads: 1, activations: "f16", unfused: true });
	});
	afterAll(() => device.dispose());

	/** How far the gradient of a weight is from float64's, relative. */
	async function errorOfGradient(scale: number): Promise<number> {
		const random = seeded("loss scale");
		const x = Float32Array.from({ length: ROWS * WIDTH }, () => random.normal());
		const target = Float32Array.from({ length: ERRORS }, () => 1e-5 * random.normal());
		const program = await device.compile((graph) => {
			const w = graph.input("w", [WIDTH, WIDTH]);
			const product = matmul(graph.input("x", [ROWS, WIDTH]), w);
			const loss = mean(square(sub(product, graph.input("target", [ROWS, WIDTH]))));
			return { gradient: scaledGradients(loss, [w], scale)[0]! };
		});
		const { gradient } = await program.run({ x, w: new Float32Array(WIDTH * WIDTH), target });
		program.dispose();
		let difference = 0;
		let norm = 0;
		for (let k = 0; k < WIDTH; k++)
			for (let c = 0; c < WIDTH; c++) {
				let want = 0;
				for (let row = 0; row < ROWS; row++) want -= (2 / ERRORS) * target[row * WIDTH + c]! * x[row * WIDTH + k]!;
				difference += (gradient[k * WIDTH + c]! - want) ** 2;
				norm += want ** 2;
			}
		return Math.sqrt(difference / norm);
	}

	it("has gradients where one that is not scaled has none", async () => {
		expect(await errorOfGradient(1)).toBeGreaterThan(0.5);
		expect(await errorOfGradient(lossScale("f16", ERRORS))).toBeLessThan(0.02);
	});
});

it("is a power of two in f16, and the loss itself elsewhere", () => {
	expect(lossScale("f16", 147_456)).toBe(2 ** 14);
	expect(lossScale("f16", 3)).toBe(1);
	expect(lossScale("bf16", 147_456)).toBe(1);
	expect(lossScale("f32", 147_456)).toBe(1);
});
