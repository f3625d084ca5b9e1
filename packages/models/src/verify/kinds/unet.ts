import { type Graph, gradients } from "@dreamdist/core";
import { UNET } from "../../loading/components.js";
import { unet } from "../../networks/unet.js";
import type { CaseKind } from "../case.js";
import { channelsFirst, channelsLast, perRow } from "../layout.js";

const BOUND = 1e-4;
const GRADIENT_BOUND = 5e-4;

/** The prediction, and the gradients of the latents and of the text features. */
export const unetCase: CaseKind = async (one) => {
	const { config, weights } = await one.component(UNET);
	const sample = await one.input("sample");
	const context = await one.input("encoder_hidden_states");
	const timestep = await one.input("timestep");
	const rows = sample.shape[0]!;
	const inputs = {
		sample: sample.data,
		context: context.data,
		timesteps: perRow(timestep.data, timestep.shape, rows),
	};
	const write = (graph: Graph) => {
		const latents = graph.input("sample", sample.shape);
		const features = graph.input("context", context.shape);
		const timesteps = graph.input("timesteps", [rows]);
		const output = unet(weights.open(graph), config, { latents: channelsLast(latents), timesteps, context: features });
		return { latents, features, output: channelsFirst(output) };
	};
	if (one.has("output")) {
		const { output } = await one.runner.run("UNet", (graph) => ({ output: write(graph).output }), inputs);
		await one.compare("output", output, BOUND);
	}
	if (!one.has("grad_output")) return;

	const seed = await one.input("grad_output");
	const grads = await one.runner.run(
		"UNet with gradients",
		(graph) => {
			const { latents, features, output } = write(graph);
			const [sampleGrad, contextGrad] = gradients(output, [latents, features], graph.input("seed", seed.shape));
			return { sample: sampleGrad!, context: contextGrad! };
		},
		{ ...inputs, seed: seed.data },
	);
	if (one.has("grad_sample")) await one.compare("grad_sample", grads.sample, GRADIENT_BOUND);
	if (one.has("grad_encoder_hidden_states"))
		await one.compare("grad_encoder_hidden_states", grads.context, GRADIENT_BOUND);
};
