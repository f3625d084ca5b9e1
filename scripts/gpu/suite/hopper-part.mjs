// One family of the Hopper kernels, with DD_HOPPER already set: opening the card tests it on small shapes, then layers of the networks are
// compared with the CPU, then measured.
//   node hopper-part.mjs SETTINGS(JSON) RESULT-FILE
import { encodeBf16, encodeF16, FrozenTensor, openDevice } from "@dreamdist/core";
import { floorSeconds, ratesOf } from "./cards.mjs";
import { FULL, HOPPER_PARITY } from "./kernel-cases.mjs";
import { noise, relativeError } from "./numbers.mjs";
import { Report } from "./report.mjs";
import { measure } from "./sections/kernels.mjs";

const [settings, file] = process.argv.slice(2);
const { family, device: kind, quick, card, seconds } = JSON.parse(settings);
const until = performance.now() + seconds * 1000;
const report = new Report(file);
const belongs = ({ kernel }) => kernel === family;
/** Of inputs, weights and results that are rounded to the type, against f32. */
const BOUNDS = { bf16: 5e-3, f16: 8e-4 };
const ENCODE = { bf16: encodeBf16, f16: encodeF16 };

/** A case's results on a device. Weights are the same 16-bit numbers everywhere. */
async function results(device, one, dtype) {
	const inputs = {};
	let seed = 1;
	const sources = Object.entries(one.tensors).map(([name, { shape, frozen }]) => {
		const count = shape.reduce((a, b) => a * b, 1);
		if (!frozen) {
			inputs[name] = noise(count, seed++);
			return [name, (graph) => graph.input(name, shape)];
		}
		const weight = new FrozenTensor(`${one.name} ${name}`, shape, dtype, { data: noise(count, seed++, ENCODE[dtype]) });
		return [name, (graph) => graph.frozen(weight)];
	});
	const program = await device.compile((graph) => {
		const values = Object.fromEntries(sources.map(([name, make]) => [name, make(graph)]));
		return Object.fromEntries([one.build(values)].flat().map((value, i) => [`y${i}`, value]));
	});
	try {
		// The first run loads kernels, the second is captured, the third repeats the graph.
		for (let i = 0; i < (device.kind === "cpu" ? 0 : 2); i++) await program.run(inputs);
		return await program.run(inputs);
	} finally {
		program.dispose();
		device.releaseUnusedWeights();
	}
}

const cpu = await openDevice("cpu");
for (const dtype of ["bf16", "f16"]) {
	const device = await openDevice(kind, { activations: dtype });
	report.check(`the card's own test in ${dtype}`, true);
	for (const one of HOPPER_PARITY.filter(belongs)) {
		await report.attempt(`${one.name}, ${dtype}, against the CPU`, async () => {
			const want = await results(cpu, one, dtype);
			const got = await results(device, one, dtype);
			const errors = Object.keys(want).map((name) => relativeError(got[name], want[name]));
			const worst = Math.max(...errors);
			if (!(worst <= BOUNDS[dtype])) throw new Error(`off by ${worst.toExponential(1)} (at most ${BOUNDS[dtype]})`);
			return worst.toExponential(1);
		});
	}
	device.dispose();
}
cpu.dispose();

if (!quick) {
	const device = await openDevice(kind, { activations: "bf16" });
	const rates = ratesOf(card);
	for (const one of FULL.filter((one) => belongs(one) && one.flop > 0)) {
		if (performance.now() > until - 3000) {
			report.note("some shapes were left out for lack of time");
			break;
		}
		await report.attempt(`${one.name}, bf16, is measured`, async () => {
			const time = await measure(device, one, "bf16", 7);
			const floor = floorSeconds(rates, "bf16", one.flop, 2 * one.elements);
			report.row({
				id: `hopper.${one.name}.bf16`,
				name: `Hopper: ${one.name}, bf16`,
				value: one.flop / time / 1e12,
				unit: "TFLOP/s",
				floor: floor === null ? null : floor / time,
				detail: `${(time * 1e6).toFixed(0)} µs`,
			});
		});
	}
	device.dispose();
}
process.exit(0);
