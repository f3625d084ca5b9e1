import { imagesToF32, type Value } from "@dreamdist/core";
import { z } from "zod";
import { LPIPS } from "../../loading/encoder-kinds.js";
import { lpipsOfHalves } from "../../networks/lpips.js";
import type { CaseKind } from "../case.js";
import { relativeError } from "../report.js";

const BOUND = 1e-4;

const schema = z.looseObject({
	net: z.enum(["alex", "vgg"]),
	expected: z.object({ distance: z.number(), layers: z.array(z.number()) }).optional(),
});

/** The distance of two pictures, layer by layer. */
export const lpipsCase: CaseKind = async (one) => {
	const { net, expected } = one.read(schema);
	const { weights } = await one.component(LPIPS, { net });
	const { data, shape } = imagesToF32([await one.picture("image_0"), await one.picture("image_1")]);
	const results: Record<string, ArrayLike<number>> = await one.runner.run(
		"lpips",
		(graph) => {
			const layers = lpipsOfHalves(weights.open(graph), net, graph.input("pictures", shape));
			return Object.fromEntries(layers.map((value, i) => [`layer${i}`, value])) as Record<string, Value>;
		},
		{ pictures: data },
	);
	const layers = Object.values(results).map((value) => value[0]!);
	const distance = layers.reduce((a, b) => a + b, 0);
	if (one.has("distance")) await one.compare("distance", [distance], BOUND);
	if (one.has("layers")) await one.compare("layers", layers, BOUND);
	if (!expected) return;
	one.note({ what: "expected distance", error: relativeError([distance], [expected.distance]), bound: BOUND });
	one.note({ what: "expected layers", error: relativeError(layers, expected.layers), bound: BOUND });
};
