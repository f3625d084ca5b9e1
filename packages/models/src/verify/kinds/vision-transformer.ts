import type { Value, Weights } from "@dreamdist/core";
import type { ComponentKind } from "../../loading/components.js";
import { DINO, DINOV2 } from "../../loading/encoder-kinds.js";
import { dinoVit } from "../../networks/dino-vit.js";
import { dinov2 } from "../../networks/dinov2.js";
import { type PositionResampling, positionTable, type VisionTransformerFeatures } from "../../networks/patch-tokens.js";
import type { VisionTransformerConfig } from "../../networks/vision-transformer-config.js";
import type { CaseKind } from "../case.js";
import { channelsLast } from "../layout.js";

const BOUND = 1e-4;

type Network = (
	weights: Weights,
	config: VisionTransformerConfig,
	pictures: Value,
	options: { resampling: PositionResampling },
) => VisionTransformerFeatures;

/** All tokens after the final norm, and the position table, with both ways of resampling it. */
function visionTransformerCase(kind: ComponentKind<VisionTransformerConfig>, network: Network): CaseKind {
	return async (one) => {
		const { config, weights } = await one.component(kind);
		const pixels = await one.input("pixel_values");
		const [, , height, width] = pixels.shape as [number, number, number, number];
		const grid = [height / config.patchSize, width / config.patchSize] as const;
		for (const resampling of ["original", "transformers"] as const) {
			const suffix = resampling === "original" ? "" : "_plain_resize";
			const wanted = ["cls", "last_hidden_state", "position_embeddings"].map((name) => `${name}${suffix}`);
			if (!wanted.some((name) => one.has(name))) continue;
			const results = await one.runner.run(
				kind.folder,
				(graph) => {
					const door = weights.open(graph);
					const pictures = channelsLast(graph.input("pixels", pixels.shape));
					const { cls, lastHiddenState } = network(door, config, pictures, { resampling });
					const positions = positionTable(door.scope("embeddings"), config, grid, resampling);
					return { cls, last_hidden_state: lastHiddenState, position_embeddings: positions };
				},
				{ pixels: pixels.data },
			);
			for (const [name, data] of Object.entries(results))
				if (one.has(`${name}${suffix}`)) await one.compare(`${name}${suffix}`, data, BOUND);
		}
	};
}

export const dinoCase = visionTransformerCase(DINO, dinoVit);
export const dinov2Case = visionTransformerCase(DINOV2, dinov2);
