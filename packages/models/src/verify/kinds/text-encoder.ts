import { gradients } from "@dreamdist/core";
import { TEXT_ENCODER } from "../../loading/components.js";
import { clipTextModel, clipTokenEmbeddings } from "../../networks/clip-text.js";
import type { CaseKind } from "../case.js";

const BOUND = 1e-4;
const GRADIENT_BOUND = 5e-4;

/** Token ids to embeddings and features; the gradient of the embeddings. */
export const textEncoderCase: CaseKind = async (one) => {
	const { config, weights } = await one.component(TEXT_ENCODER);
	const ids = await one.input("input_ids");
	const forward = await one.runner.run(
		"text encoder",
		(graph) => {
			const door = weights.open(graph);
			const embeds = clipTokenEmbeddings(door, config, graph.input("ids", ids.shape, "i32"));
			return { inputs_embeds: embeds, last_hidden_state: clipTextModel(door, config, embeds) };
		},
		{ ids: ids.data },
	);
	for (const name of ["inputs_embeds", "last_hidden_state"] as const)
		if (one.has(name)) await one.compare(name, forward[name], BOUND);
	if (!one.has("grad_last_hidden_state")) return;

	const seed = await one.input("grad_last_hidden_state");
	const { gradient } = await one.runner.run(
		"text encoder with gradient",
		(graph) => {
			const embeds = graph.input("embeds", seed.shape);
			const features = clipTextModel(weights.open(graph), config, embeds);
			return { gradient: gradients(features, [embeds], graph.input("seed", seed.shape))[0]! };
		},
		{ embeds: forward.inputs_embeds, seed: seed.data },
	);
	await one.compare("grad_inputs_embeds", gradient, GRADIENT_BOUND);
};
