// The measuring instrument: a ResNet that reads every attribute of a picture.
import { add, crossEntropy, type Graph, type InputData, mul, type Value, type Weights } from "@dreamdist/core";
import { ATTRIBUTE_VALUES, ATTRIBUTES, type Attribute, PICTURE_SIDE } from "@dreamdist/world";
import { classifierWeights } from "../../networks/declare.js";
import { resnetClassifier } from "../../networks/resnet-classifier.js";
import { type ResnetClassifierConfig, readResnetClassifierConfig } from "../../networks/resnet-classifier-config.js";
import { EVALUATION_BATCH, heldOutBatches, indexOfLargest, LazyProgram } from "../held-out.js";
import { writeComponent } from "../model-folder.js";
import { type SceneBatch, toNetworkRange } from "../scenes.js";
import type { Evaluation, Stage, StageContext, TrainedModel } from "../stage.js";
import type { WrittenLoss } from "../trained-weights.js";

export class ClassifierStage implements Stage {
	readonly name = "classifier";
	readonly settings;
	readonly shapes;
	private readonly json: Record<string, unknown>;
	private readonly config: ResnetClassifierConfig;
	private measure: LazyProgram<Attribute> | null = null;

	constructor(private readonly context: StageContext) {
		const { recipe } = context;
		this.settings = recipe.stages.classifier;
		this.json = {
			...recipe.networks.classifier,
			image_size: PICTURE_SIDE,
			heads: Object.fromEntries(ATTRIBUTES.map((attribute) => [attribute, ATTRIBUTE_VALUES[attribute].length])),
			labels: ATTRIBUTE_VALUES,
		};
		this.config = readResnetClassifierConfig(this.json, "the recipe's classifier");
		this.shapes = classifierWeights(this.config);
	}

	writeLoss(graph: Graph, weights: Weights, batch: number): WrittenLoss {
		const pictures = graph.input("pictures", [batch, PICTURE_SIDE, PICTURE_SIDE, 3]);
		const { logits, statistics } = resnetClassifier(weights, this.config, pictures, { training: true });
		const { labelSmoothing } = this.settings;
		const losses = ATTRIBUTES.map((attribute) =>
			crossEntropy(logits[attribute]!, graph.input(attribute, [batch], "i32"), { labelSmoothing }),
		);
		const loss = mul(
			losses.reduce((a, b) => add(a, b)),
			1 / losses.length,
		);
		const metrics = Object.fromEntries(ATTRIBUTES.map((attribute, i) => [`loss_${attribute}`, losses[i]!]));
		return { loss, metrics, statistics };
	}

	inputs(_step: number, { pictures, attributes }: SceneBatch): Record<string, InputData> {
		return { pictures: toNetworkRange(pictures), ...attributes };
	}

	/** Share of held-out pictures whose attribute is read right. */
	async evaluate(model: TrainedModel): Promise<Evaluation> {
		this.measure ??= new LazyProgram(this.context.device, "classifier", (graph) => {
			const pictures = graph.input("pictures", [EVALUATION_BATCH, PICTURE_SIDE, PICTURE_SIDE, 3]);
			return resnetClassifier(model.open(graph), this.config, pictures).logits as Record<Attribute, Value>;
		});
		const right = new Map<Attribute, number>();
		const { data, evaluationPictures } = this.settings;
		for await (const { scenes, used } of heldOutBatches(data, evaluationPictures)) {
			const logits = await this.measure.run({ pictures: toNetworkRange(scenes.pictures) });
			for (const attribute of ATTRIBUTES) {
				const classes = ATTRIBUTE_VALUES[attribute].length;
				let hits = 0;
				for (let i = 0; i < used; i++)
					if (indexOfLargest(logits[attribute], i * classes, classes) === scenes.attributes[attribute][i]) hits++;
				right.set(attribute, (right.get(attribute) ?? 0) + hits);
			}
		}
		return {
			figures: Object.fromEntries(
				ATTRIBUTES.map((name) => [`accuracy_${name}`, right.get(name)! / evaluationPictures]),
			),
		};
	}

	save(model: TrainedModel): Promise<void> {
		return writeComponent(this.context.folder, "classifier", this.json, this.shapes, (name) => model.read(name));
	}

	dispose(): void {
		this.measure?.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}
