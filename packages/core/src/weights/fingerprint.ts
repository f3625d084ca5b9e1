// Tells models apart by their weights, quickly.
import { createHash } from "node:crypto";
import { encodeF16 } from "../data/half.js";
import { contentsOf } from "../device/contents.js";
import type { Device } from "../device/device.js";
import { sizeOf } from "../graph/types.js";
import type { WeightSet } from "./weight-set.js";

/** Numbers read of each tensor. Models that differ at all differ at the start of some tensor. */
const SAMPLE = 1024;

/**
 * A hash of the names, the shapes and the first numbers of all weights. The numbers are rounded to f16 first, so that the same model in
 * full and in half precision, in one file or in many, is the same.
 *
 * @returns 64 hexadecimal digits
 */
export async function fingerprintWeights(device: Device, weights: WeightSet): Promise<string> {
	const hash = createHash("sha256");
	for (const name of [...weights.tensors.keys()].sort()) {
		const tensor = weights.tensors.get(name)!;
		const count = Math.min(SAMPLE, sizeOf(tensor.shape));
		const numbers = Float32Array.from(await contentsOf(device, tensor, count));
		hash.update(`${name} ${tensor.shape.join()}\n`).update(new Uint8Array(encodeF16(numbers).buffer));
	}
	return hash.digest("hex");
}
