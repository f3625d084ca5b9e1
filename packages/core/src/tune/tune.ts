// Measures how a device computes the calls of programs fastest, and remembers it.
import type { EmittedCall } from "../compile/emitter.js";
import type { Device } from "../device/device.js";
import { type Measure, measuredOnDevice } from "./measure.js";
import {
	type CallShape,
	type ChoiceName,
	choiceName,
	choicesOf,
	ESTIMATE,
	shapeKey,
	type TunedCall,
} from "./tuning.js";

/** A choice must be this much faster than the kernel's own estimate; less is noise. */
const LEAST_GAIN = 0.03;

/** A call that can be computed in several ways. */
export interface TunableCall {
	readonly call: EmittedCall;
	readonly shape: CallShape;
	/** How often it stands in the programs. */
	readonly uses: number;
}

/** What was measured of a call shape. */
export interface TuneResult extends TunedCall {
	readonly kernel: string;
	/** Of one call with this shape. */
	readonly label: string;
	readonly uses: number;
	/** Microseconds of each choice. */
	readonly measured: Readonly<Record<ChoiceName, number>>;
}

export interface TuneOptions {
	/** Default: on the device, by its own clock. */
	readonly measure?: Measure;
	/** Measure again what is known already. */
	readonly again?: boolean;
	readonly signal?: AbortSignal;
	/** Called after each call shape, with how many are done and there are. */
	readonly onResult?: (result: TuneResult, done: number, total: number) => void;
	/** Called where a call can't be measured, with the reason. */
	readonly onSkip?: (label: string, reason: string) => void;
}

const shapeOf = ({ kernel, ints, operands }: EmittedCall): CallShape => ({
	kernel,
	ints,
	dtypes: operands.map((operand) => operand?.dtype ?? null),
});

/** The calls with choices of every program that `work` compiles on the device. */
export async function tunableCalls(device: Device, work: () => Promise<void>): Promise<TunableCall[]> {
	const found = new Map<string, TunableCall>();
	const before = device.onCompiled;
	device.onCompiled = (calls) => {
		for (const call of calls) {
			const shape = shapeOf(call);
			const key = shapeKey(shape);
			const known = found.get(key);
			if (known) found.set(key, { ...known, uses: known.uses + 1 });
			else if (choicesOf(device.native, shape).length > 1) found.set(key, { call, shape, uses: 1 });
		}
	};
	try {
		await work();
	} finally {
		device.onCompiled = before;
	}
	return [...found.values()];
}

/**
 * Measures every choice of the calls and keeps the fastest with the device, in its file. Programs that are compiled afterwards use them;
 * their results differ by rounding only.
 *
 * @returns what was measured; calls that were known are left out unless `again` is given
 */
export async function tune(
	device: Device,
	calls: readonly TunableCall[],
	options: TuneOptions = {},
): Promise<TuneResult[]> {
	const measure = options.measure ?? measuredOnDevice();
	const open = options.again ? calls : calls.filter(({ shape }) => device.tuning.of(shape) === undefined);
	const results: TuneResult[] = [];
	for (const [done, { call, shape, uses }] of open.entries()) {
		options.signal?.throwIfAborted();
		try {
			const result = await measureCall(device, call, shape, measure);
			const { choice, microseconds, estimated } = result;
			device.tuning.record(shape, { choice, microseconds, estimated });
			// Minutes of measuring survive an interruption.
			await device.tuning.save();
			results.push({ ...result, uses });
			options.onResult?.({ ...result, uses }, done + 1, open.length);
		} catch (error) {
			if ((error as { code?: string }).code !== "MEMORY") throw error;
			options.onSkip?.(call.label, (error as Error).message);
		}
	}
	return results;
}

async function measureCall(
	device: Device,
	call: EmittedCall,
	shape: CallShape,
	measure: Measure,
): Promise<Omit<TuneResult, "uses">> {
	const estimated = await measure(device, call, ESTIMATE);
	const measured: Record<ChoiceName, number> = {};
	let best: { choice: ChoiceName | null; microseconds: number } = { choice: null, microseconds: estimated };
	for (const code of choicesOf(device.native, shape)) {
		const microseconds = await measure(device, call, code);
		const choice = choiceName(code);
		measured[choice] = microseconds;
		if (microseconds < best.microseconds && microseconds < estimated * (1 - LEAST_GAIN))
			best = { choice, microseconds };
	}
	return { kernel: call.kernel, label: call.label, ...best, estimated, measured };
}
