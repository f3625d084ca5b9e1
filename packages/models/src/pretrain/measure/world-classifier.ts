// The trained classifier of a model folder, reading attributes from pictures.
import { join } from "node:path";
import { Checkpoint, type Device, WeightSet } from "@dreamdist/core";
import { ATTRIBUTE_VALUES, ATTRIBUTES, type Attribute, type AttributeValue, PICTURE_SIDE } from "@dreamdist/world";
import { readJsonFile } from "../../loading/json-file.js";
import { resnetClassifier } from "../../networks/resnet-classifier.js";
import { type ResnetClassifierConfig, readResnetClassifierConfig } from "../../networks/resnet-classifier-config.js";
import { EVALUATION_BATCH, indexOfLargest, LazyProgram } from "../held-out.js";
import { toNetworkRange } from "../scenes.js";

/** What the classifier says of one picture. */
export type AttributeReading = { readonly [A in Attribute]: AttributeValue };

export interface PictureReadings {
	readonly attributes: AttributeReading[];
	/** [pictures, featureWidth] */
	readonly features: Float32Array;
	readonly featureWidth: number;
}

type Output = Attribute | "features";

export class WorldClassifier implements Disposable {
	private readonly program: LazyProgram<Output>;

	private constructor(
		device: Device,
		private readonly checkpoint: Checkpoint,
		weights: WeightSet,
		private readonly config: ResnetClassifierConfig,
	) {
		this.program = new LazyProgram(device, "classifier", (graph) => {
			const pictures = graph.input("pictures", [EVALUATION_BATCH, PICTURE_SIDE, PICTURE_SIDE, 3]);
			const { features, logits } = resnetClassifier(weights.open(graph), config, pictures);
			return { features, ...logits } as Record<Output, typeof features>;
		});
	}

	/** @param model a model folder with a classifier in it */
	static async open(model: string, device: Device): Promise<WorldClassifier> {
		const folder = join(model, "classifier");
		const source = join(folder, "config.json");
		const config = readResnetClassifierConfig(await readJsonFile(source), source);
		const checkpoint = await Checkpoint.open(folder);
		return new WorldClassifier(device, checkpoint, new WeightSet(checkpoint.tensors, folder), config);
	}

	/** @param pictures RGB bytes of 64×64 pictures one after another */
	async read(pictures: Uint8Array): Promise<PictureReadings> {
		const size = PICTURE_SIDE * PICTURE_SIDE * 3;
		const count = pictures.length / size;
		const attributes: AttributeReading[] = [];
		const featureWidth = this.config.channels.at(-1)! * this.config.expansion;
		const features = new Float32Array(count * featureWidth);
		for (let from = 0; from < count; from += EVALUATION_BATCH) {
			const used = Math.min(EVALUATION_BATCH, count - from);
			const batch = new Uint8Array(EVALUATION_BATCH * size);
			batch.set(pictures.subarray(from * size, (from + used) * size));
			const result = await this.program.run({ pictures: toNetworkRange(batch) });
			features.set(result.features.subarray(0, used * featureWidth), from * featureWidth);
			for (let i = 0; i < used; i++) {
				const reading = ATTRIBUTES.map((attribute) => {
					const values: readonly AttributeValue[] = ATTRIBUTE_VALUES[attribute];
					return [attribute, values[indexOfLargest(result[attribute], i * values.length, values.length)]!];
				});
				attributes.push(Object.fromEntries(reading) as AttributeReading);
			}
		}
		return { attributes, features, featureWidth };
	}

	dispose(): void {
		this.program.dispose();
		this.checkpoint.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}
