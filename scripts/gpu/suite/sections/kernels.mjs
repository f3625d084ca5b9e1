// Times of single kernels on the device's own clock, with other data in its caches each time; medians.
import { encodeBf16, encodeF16, FrozenTensor, Graph, openDevice } from "@dreamdist/core";
import { deviceOptions, storageOf } from "../arithmetic.mjs";
import { floorSeconds, ratesOf } from "../cards.mjs";
import { FULL, QUICK } from "../kernel-cases.mjs";
import { median, noise } from "../numbers.mjs";

const REPEATS = 9;
const BYTES = { f32: 4, bf16: 2, f16: 2 };
const ENCODE = { bf16: encodeBf16, f16: encodeF16 };

/** Median seconds of a case's kernel on the device. */
export async function measure(device, one, dtype, repeats) {
	const tensors = {};
	const weights = {};
	let seed = 1;
	for (const [name, { shape, frozen }] of Object.entries(one.tensors)) {
		const count = shape.reduce((a, b) => a * b, 1);
		if (frozen)
			weights[name] = new FrozenTensor(`${one.name} ${name}`, shape, storageOf(dtype), {
				data: noise(count, seed, ENCODE[dtype]),
			});
		else tensors[name] = await device.tensor(shape, { name, data: noise(count, seed) });
		seed++;
	}
	const wanted = dtype === "tf32" ? `${one.kernel}_tf32` : one.kernel;
	const build = (graph) => {
		const values = {};
		for (const [name, tensor] of Object.entries(tensors)) values[name] = graph.state(tensor);
		for (const [name, weight] of Object.entries(weights)) values[name] = graph.frozen(weight);
		return [one.build(values)].flat();
	};
	// The results stay on the device: reading them back would take longer than the kernel.
	const results = [];
	for (const { shape } of build(new Graph())) results.push(await device.tensor(shape, { name: "y" }));
	const program = await device.compile((graph) => {
		build(graph).forEach((value, i) => {
			graph.assign(results[i], value);
		});
		return {};
	});
	try {
		await program.run();
		const times = new Map();
		for (let i = 0; i < repeats; i++)
			(await program.profile({}, { cold: true })).forEach(({ kernel, microseconds }, call) => {
				if (kernel === wanted) times.set(call, [...(times.get(call) ?? []), microseconds]);
			});
		if (times.size === 0) throw new Error(`its program has no kernel ${wanted}`);
		return [...times.values()].reduce((sum, values) => sum + median(values), 0) / 1e6;
	} finally {
		program.dispose();
		for (const tensor of [...Object.values(tensors), ...results]) tensor.dispose();
		device.releaseUnusedWeights();
	}
}

export async function run(report, { device: kind, quick, facts, seconds, dtypes }) {
	const until = performance.now() + seconds * 1000;
	const rates = ratesOf(facts.card);
	const all = quick ? QUICK : FULL;
	for (const dtype of dtypes) {
		const device = await openDevice(kind, deviceOptions(dtype));
		const cases = dtype === "tf32" ? all.filter(({ kernel }) => device.kernels.has(`${kernel}_tf32`)) : all;
		let left = 0;
		for (const one of cases) {
			if (performance.now() > until - 4000) {
				left++;
				continue;
			}
			try {
				const time = await measure(device, one, dtype, quick ? 3 : REPEATS);
				const weights = Object.values(one.tensors).filter(({ frozen }) => frozen);
				const elements = one.elements + weights.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
				const bytes = BYTES[storageOf(dtype)] * elements;
				const floor = floorSeconds(rates, dtype, one.flop, bytes);
				report.row({
					id: `kernel.${one.name}.${dtype}`,
					name: `${one.name}, ${dtype}`,
					value: one.flop > 0 ? one.flop / time / 1e12 : bytes / time / 1e9,
					unit: one.flop > 0 ? "TFLOP/s" : "GB/s",
					floor: floor === null ? null : floor / time,
					detail: `${(time * 1e6).toFixed(0)} µs`,
				});
			} catch (error) {
				report.check(`${one.name}, ${dtype}`, false, String(error.message).split("\n")[0]);
			}
		}
		if (left > 0) report.note(`${left} of ${cases.length} shapes in ${dtype} were left out for lack of time`);
		device.dispose();
	}
}
