// A network with activations in 16 bits on the emulated CUDA device: every result is at most twice as far from the exact one as that of
// the naive computation. The device needs a process of its own, which vitest gives each file.
import { emulatedAddonPath, emulatedReason } from "@dreamdist/native-cuda";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fromStorage } from "../../src/device/host.js";
import { type Device, Graph, interpret, openDevice } from "../../src/index.js";
import { MixedWeights, mixedInputs, mixedNetwork } from "./mixed-network.js";

const absent = emulatedAddonPath() === null;
if (absent) console.log(`Skipped: ${emulatedReason()}.`);

const FACTOR = 2;
/** Results of few numbers: the naive computation may have been lucky. */
const FEW = 16;
const UNIT = { f16: 2 ** -11, bf16: 2 ** -8 };

const distance = (x: ArrayLike<number>, y: ArrayLike<number>) =>
	Math.sqrt(Array.from(x).reduce((sum, value, i) => sum + (value - y[i]!) ** 2, 0));

describe.skipIf(absent)("a network in 16 bits on the emulated CUDA device", () => {
	let card: Device;
	let cpu: Device;
	beforeAll(async () => {
		card = await openDevice("cuda-emulated", { threads: 1 });
		cpu = await openDevice("cpu", { threads: 1, unfused: true });
	});
	afterAll(() => {
		card.dispose();
		cpu.dispose();
	});

	it.each(["bf16", "f16"] as const)("%s", async (activations) => {
		const weights = new MixedWeights();
		const programs = await Promise.all(
			[card, cpu].map((device) => device.compile((graph) => mixedNetwork(graph, weights), { activations })),
		);
		for (const seed of ["a", "b"]) {
			const inputs = mixedInputs(seed);
			const graph = new Graph();
			const exact = mixedNetwork(graph, weights);
			const contents = interpret(Object.values(exact), {
				inputs,
				frozen: (tensor) => fromStorage((tensor.source as { data: Float32Array }).data, "f32"),
			});
			const [got, naive] = await Promise.all(programs.map((program) => program.run(inputs, { poison: true })));
			for (const [name, value] of Object.entries(exact)) {
				const want = contents.get(value)!;
				const own = distance(naive![name]!, want);
				const few = want.length < FEW ? 4 * UNIT[activations] * distance(want, new Float64Array(want.length)) : 0;
				expect(distance(got![name]!, want), `${name} of ${seed}`).toBeLessThanOrEqual(Math.max(FACTOR * own, few));
			}
		}
		for (const program of programs) program.dispose();
	});

	it("reads and writes activations without conversions around the kernels", async () => {
		const program = await card.compile((graph) => mixedNetwork(graph, new MixedWeights()), { activations: "bf16" });
		expect(String(program)).not.toMatch(/in f32|rounded/);
		program.dispose();
	});
});
