import { ArgumentError, DreamdistError } from "../../errors.js";
import { checkImage, checkSize, type ImageU8 } from "./image.js";

/** The float32 in [-1, 1] that each byte stands for. */
const FROM_BYTE = Float32Array.from({ length: 256 }, (_, byte) => byte / 127.5 - 1);

/**
 * Pictures of one size as the networks take them: byte b becomes b / 127.5 − 1, in [-1, 1].
 *
 * @returns [images, height, width, 3], row-major
 */
export function imagesToF32(images: readonly ImageU8[]): {
	data: Float32Array;
	shape: [number, number, number, number];
} {
	const first = images[0];
	if (first === undefined) throw new ArgumentError("there is no picture to convert");
	const { width, height } = first;
	const size = width * height * 3;
	const data = new Float32Array(images.length * size);
	images.forEach((image, n) => {
		checkImage(image);
		if (image.width !== width || image.height !== height) {
			throw new ArgumentError(
				`picture ${n} is ${image.width}×${image.height} but picture 0 is ${width}×${height}; resize them to one size`,
			);
		}
		for (let i = 0; i < size; i++) data[n * size + i] = FROM_BYTE[image.data[i]!]!;
	});
	return { data, shape: [images.length, height, width, 3] };
}

/**
 * Network output as pictures: x becomes (x + 1) · 127.5, clamped to 0…255 and rounded to nearest even.
 *
 * @param data [images, height, width, 3], row-major; values outside [-1, 1] are clamped
 * @throws DreamdistError `NON_FINITE` naming the picture, since a NaN would otherwise come out as an honest black pixel
 */
export function f32ToImages(data: Float32Array, shape: readonly number[]): ImageU8[] {
	const [count, height, width, channels] = shape as [number, number, number, number];
	if (shape.length !== 4 || channels !== 3) {
		throw new ArgumentError(`pictures have the shape [images, height, width, 3], not [${shape.join(", ")}]`);
	}
	checkSize(width, height);
	const size = width * height * 3;
	if (data.length !== count * size) {
		throw new ArgumentError(`pictures of shape [${shape.join(", ")}] are ${count * size} numbers, not ${data.length}`);
	}
	return Array.from({ length: count }, (_, n) => {
		const bytes = new Uint8Array(size);
		let bad = 0;
		for (let i = 0; i < size; i++) {
			const value = data[n * size + i]!;
			if (!Number.isFinite(value)) bad++;
			bytes[i] = roundHalfEven(Math.min(255, Math.max(0, (value + 1) * 127.5)));
		}
		if (bad > 0) {
			throw new DreamdistError(
				"NON_FINITE",
				`picture ${n} of ${count} has ${bad} of ${size} values that are infinite or not a number; try a wider dtype`,
			);
		}
		return { width, height, channels: 3, data: bytes };
	});
}

/** Adding and taking away 1.5·2^52 leaves a double no fractional bits, and the addition rounds ties to even. */
function roundHalfEven(x: number): number {
	return x + 6755399441055744 - 6755399441055744;
}
