import { AUTOENCODER } from "../../loading/components.js";
import { decodeLatents, encodePictures } from "../../networks/autoencoder.js";
import type { CaseKind } from "../case.js";
import { channelsFirst, channelsLast } from "../layout.js";

const BOUND = 1e-4;

/** Pictures to the moments of their latents, and latents (as they are, not scaled) to pictures. */
export const autoencoderCase: CaseKind = async (one) => {
	const { config, weights } = await one.component(AUTOENCODER);
	if (one.has("image")) {
		const image = await one.input("image");
		const { mean, logvar } = await one.runner.run(
			"encoder",
			(graph) => {
				const pictures = channelsLast(graph.input("image", image.shape));
				const moments = encodePictures(weights.open(graph), config, pictures);
				return { mean: channelsFirst(moments.mean), logvar: channelsFirst(moments.logVariance) };
			},
			{ image: image.data },
		);
		if (one.has("mean")) await one.compare("mean", mean, BOUND);
		if (one.has("logvar")) await one.compare("logvar", logvar, BOUND);
	}
	if (!one.has("latent")) return;
	const latent = await one.input("latent");
	const { decoded } = await one.runner.run(
		"decoder",
		(graph) => {
			const latents = channelsLast(graph.input("latent", latent.shape));
			return { decoded: channelsFirst(decodeLatents(weights.open(graph), config, latents)) };
		},
		{ latent: latent.data },
	);
	await one.compare("decoded", decoded, BOUND);
};
