// The device's sampling step against the host's.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as dd from "../../src/index.js";
import { TestRandom } from "../random.js";

const SHAPE = [3, 4, 5, 2];
const SIZE = 120;

/** A stand-in for the model: sin(1.3 x + t / 1000), and another phase for the unconditional half. */
const model = (x: number, t: number, unconditional: boolean) => Math.sin((unconditional ? 0.7 : 1.3) * x + t / 1000);

describe("samplingStep", () => {
	let device: dd.Device;
	beforeAll(async () => {
		device = await dd.openDevice("cpu", { threads: 2 });
	});
	afterAll(() => device.dispose());

	for (const guided of [false, true])
		for (const sampler of dd.SAMPLER_NAMES)
			it(`equals the host's: ${sampler}${guided ? ", guided and rescaled" : ""}`, async () => {
				const config = dd.readSchedulerConfig(
					{
						_class_name: "DDIMScheduler",
						beta_start: 0.00085,
						beta_end: 0.012,
						beta_schedule: "scaled_linear",
						prediction_type: "v_prediction",
						steps_offset: 1,
						clip_sample: false,
					},
					{ overrides: { sampler } },
				);
				const plan = dd.planSampling(config, { steps: 6, ...(sampler === "ddim" && { eta: 0.5 }) });
				const random = new TestRandom(5);
				const noise = random.normals(SIZE);
				const host = dd.startSampling(plan, noise);
				const latents = await device.tensor(SHAPE, { name: "latents", data: host.latents });
				const history = await Promise.all([0, 1, 2].map((i) => device.tensor(SHAPE, { name: `history ${i}` })));
				const program = await device.compile((graph) => {
					const fresh = plan.addsNoise ? graph.input("noise", SHAPE) : null;
					const next = dd.samplingStep(
						graph,
						{ latents, history },
						{
							guided,
							noise: fresh,
							predict: (x, t) => {
								const at = (phase: number) =>
									dd.sin(dd.add(dd.mul(x, phase), dd.mul(dd.reshape(t, [SHAPE[0]!, 1, 1, 1]), 1e-3)));
								if (!guided) return at(1.3);
								const pairs = dd.concat(
									[0.7, 1.3].map((phase) => dd.reshape(at(phase), [SHAPE[0]!, 1, ...SHAPE.slice(1)])),
									1,
								);
								return dd.reshape(pairs, [2 * SHAPE[0]!, ...SHAPE.slice(1)]);
							},
						},
					);
					return { next };
				});
				const [scale, rescale] = [4, 0.6];
				const table = dd.coefficientTable(plan);
				for (const [i, step] of plan.steps.entries()) {
					const fresh = random.normals(SIZE);
					const input = dd.modelInput(step, host.latents);
					const conditional = input.map((x) => model(x, step.timestep, false));
					const unconditional = input.map((x) => model(x, step.timestep, true));
					const output = guided
						? dd.applyGuidance(unconditional, conditional, SHAPE[0]!, { scale, rescale })
						: conditional;
					dd.applyStep(step, host, output, fresh);
					const { next } = await program.run(
						{
							coefficients: table.subarray(i * dd.STEP_COEFFICIENTS.count, (i + 1) * dd.STEP_COEFFICIENTS.count),
							...(guided && { guidanceScale: scale, guidanceRescale: rescale }),
							...(plan.addsNoise && { noise: fresh }),
						},
						{ poison: true },
					);
					const error = Math.hypot(...next.map((x, k) => x - host.latents[k]!)) / Math.hypot(...host.latents);
					expect(error, `step ${i}`).toBeLessThan(2e-5);
				}
				for (const [slot, tensor] of history.entries()) {
					const got = await tensor.read();
					const want = host.history[slot]!;
					expect(Math.hypot(...got.map((x, k) => x - want[k]!))).toBeLessThan(2e-5 * (1 + Math.hypot(...want)));
				}
				expect(await latents.read()).toHaveLength(SIZE);
			});
});
