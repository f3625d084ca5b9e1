import { FID_PREPROCESSINGS, fidPixels } from "../../encoders/fid-pixels.js";
import { INCEPTION } from "../../loading/encoder-kinds.js";
import { INCEPTION_NORMS, INCEPTION_SIDE, inceptionV3 } from "../../networks/inception.js";
import { foldBatchNorms } from "../../weights/fold-batch-norm.js";
import type { CaseKind } from "../case.js";

const BOUND = 1e-4;
const NAMES = {
	features: "features",
	mean64: "mean64",
	mean192: "mean192",
	mean768: "mean768",
	logits: "logits",
	logitsUnbiased: "logits_unbiased",
} as const;

/** A picture through each preprocessing and the network, as it is measured with: norms folded into convolutions. */
export const inceptionCase: CaseKind = async (one) => {
	const { weights } = await one.component(INCEPTION);
	const folded = foldBatchNorms(weights, INCEPTION_NORMS);
	const picture = await one.picture("image");
	const used = FID_PREPROCESSINGS.filter((each) =>
		Object.values(NAMES).some((name) => one.has(`${name}_${each.replace("-", "_")}`)),
	);
	const pixels = new Float32Array(used.length * INCEPTION_SIDE * INCEPTION_SIDE * 3);
	used.forEach((each, i) => {
		pixels.set(fidPixels(picture, each), i * INCEPTION_SIDE * INCEPTION_SIDE * 3);
	});
	const results = await one.runner.run(
		"inception",
		(graph) => ({
			...inceptionV3(folded.open(graph), graph.input("pixels", [used.length, INCEPTION_SIDE, INCEPTION_SIDE, 3])),
		}),
		{ pixels },
	);
	folded.release(one.runner.device);
	for (const [output, name] of Object.entries(NAMES))
		for (const [i, each] of used.entries()) {
			const tensor = `${name}_${each.replace("-", "_")}`;
			const data = results[output as keyof typeof NAMES] as Float32Array;
			const width = data.length / used.length;
			if (one.has(tensor)) await one.compare(tensor, data.subarray(i * width, (i + 1) * width), BOUND);
		}
};
