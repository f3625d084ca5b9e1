// How long one kernel call takes with one choice, on the device's own clock.
import { DTYPE_CODES, type NativeProgram } from "@dreamdist/native-cuda";
import type { EmittedCall } from "../compile/emitter.js";
import type { Device } from "../device/device.js";
import { bytesPerElement, type DType } from "../graph/types.js";

const ALIGNMENT = 256;
const KEY_BYTES = 16;
const NORMAL = 0;

/** Microseconds of a call with a choice. */
export type Measure = (device: Device, call: EmittedCall, choice: number) => Promise<number>;

/** Places in an arena, one after another. */
class Places {
	bytes = 0;
	take(bytes: number): number {
		const at = this.bytes;
		this.bytes = Math.ceil((at + bytes) / ALIGNMENT) * ALIGNMENT;
		return at;
	}
}

/** A program that fills the call's operands with noise, as zeros would take less power than data, and then makes the call. */
function isolated(device: Device, call: EmittedCall, choice: number) {
	const places = new Places();
	const extents = call.operands.map((operand) => operand?.extent ?? 0);
	const most = Math.max(1, ...extents);
	const [key, noise] = [places.take(KEY_BYTES), places.take(4 * most)];
	const slots: number[] = [];
	const slot = (at: number, dtype: DType, extent: number): number => {
		slots.push(-1, at, DTYPE_CODES[dtype], extent * bytesPerElement(dtype));
		return slots.length / 4 - 1;
	};
	const [keySlot, noiseSlot] = [slot(key, "i32", 4), slot(noise, "f32", most)];
	const kernels = ["random", "copy", call.kernel];
	// Per call: kernel, scratch, choice, operands, integers, floats; each list after its length.
	const code = [0, 0, 0, 2, keySlot, noiseSlot, 3, 1, most, NORMAL, 0];
	const labels = ["noise"];
	const own = call.operands.map((operand) => {
		if (!operand) return -1;
		const { dtype, extent } = operand;
		const target = slot(places.take(extent * bytesPerElement(dtype)), dtype, extent);
		if (dtype !== "i32") {
			code.push(1, 0, 0, 2, noiseSlot, target, 4, 1, extent, 1, 1, 0);
			labels.push("operand");
		}
		return target;
	});
	const scratch = places.take(device.scratchBytes(call.kernel, call.ints, choice));
	code.push(2, scratch, choice, own.length, ...own, call.ints.length, ...call.ints, call.floats.length, ...call.floats);
	labels.push(call.label);
	return {
		kernels,
		labels,
		code: Float64Array.from(code),
		slots: Float64Array.from(slots),
		buffers: [],
		inputs: Float64Array.of(key, KEY_BYTES),
		outputs: new Float64Array(0),
		arenaBytes: places.bytes,
		commit: labels.length,
	};
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

/**
 * Measures with other data in the device's caches, as a call in a network finds them.
 *
 * @param repeats how often; the median counts, after one run that does not
 */
export const measuredOnDevice =
	(repeats = 5): Measure =>
	async (device, call, choice) => {
		const description = isolated(device, call, choice);
		const times = new Float64Array(description.labels.length);
		const native: NativeProgram = device.native.createProgram(description);
		const found: number[] = [];
		try {
			await device.native.prepare(native);
			for (let i = 0; i <= repeats; i++) {
				await device.native.run(native, [Int32Array.of(7, i, 0, 0)], [], null, false, times, true);
				if (i > 0 || repeats === 0) found.push(times.at(-1)!);
			}
		} finally {
			native.dispose();
		}
		return median(found);
	};
