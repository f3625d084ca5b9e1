// The text encoder and an image encoder, by contrast (Radford et al. 2021), with a vocabulary of their own.
import { join } from "node:path";
import {
	add,
	crossEntropy,
	exp,
	type Graph,
	gather,
	type InputData,
	l2Normalize,
	linear,
	matmul,
	minimum,
	mul,
	reshape,
	type Shape,
	type Tokenizer,
	transpose,
	type Value,
	type Weights,
} from "@dreamdist/core";
import { PICTURE_SIDE } from "@dreamdist/world";
import { clipTextModel, clipTokenEmbeddings } from "../../networks/clip-text.js";
import { type ClipTextConfig, readClipTextConfig } from "../../networks/clip-text-config.js";
import { clipVisionModel } from "../../networks/clip-vision.js";
import { type ClipVisionConfig, readClipVisionConfig } from "../../networks/clip-vision-config.js";
import { imageEncoderWeights, textEncoderWeights } from "../../networks/declare.js";
import { loadTokenizer, trainBytePairs, writeBytePairTokenizer } from "../../tokenizer/index.js";
import { EVALUATION_BATCH, heldOutBatches, indexOfLargest, LazyProgram } from "../held-out.js";
import { writeComponent } from "../model-folder.js";
import type { Recipe, RecipeData } from "../recipe.js";
import { captionOf, type SceneBatch, sceneOf, toNetworkRange } from "../scenes.js";
import type { Evaluation, Stage, StageContext, TrainedModel } from "../stage.js";
import type { WrittenLoss } from "../trained-weights.js";

/** The largest factor that similarities are multiplied by, as in CLIP. */
const LARGEST_SCALE = 100;
/** Under which the text encoder's weights are saved. */
const TEXT_PREFIX = "text_model.";

/** Retrieval is measured with captions that say everything. */
const FULL_DETAIL = { plainCaptions: 0, captionDetail: 1 } as const;

export class ClipStage implements Stage {
	readonly name = "clip";
	readonly settings;
	readonly shapes: ReadonlyMap<string, Shape>;
	private readonly textShapes: ReadonlyMap<string, Shape>;
	private readonly imageShapes: ReadonlyMap<string, Shape>;
	private measure: LazyProgram<"images" | "texts"> | null = null;

	private constructor(
		private readonly context: StageContext,
		private readonly tokenizer: Tokenizer,
		private readonly textJson: Record<string, unknown>,
		private readonly imageJson: Record<string, unknown>,
		private readonly textConfig: ClipTextConfig,
		private readonly imageConfig: ClipVisionConfig,
	) {
		this.settings = context.recipe.stages.clip;
		const text = [...textEncoderWeights(textConfig)].map(([name, shape]) => [TEXT_PREFIX + name, shape] as const);
		const projection = [imageConfig.projectionSize, textConfig.hiddenSize];
		this.textShapes = new Map([...text, ["text_projection.weight", projection]]);
		this.imageShapes = imageEncoderWeights(imageConfig);
		this.shapes = new Map([...this.textShapes, ...this.imageShapes, ["logit_scale", []]]);
	}

	/** Makes the vocabulary and writes it into the model folder. */
	static async create(context: StageContext): Promise<ClipStage> {
		const { recipe, folder } = context;
		const path = join(folder, "tokenizer");
		await writeBytePairTokenizer(path, trainBytePairs(captionsOf(recipe), recipe.tokenizer.vocabulary));
		return ClipStage.load(context);
	}

	/** With the vocabulary that is in the model folder. */
	static async load(context: StageContext): Promise<ClipStage> {
		const { recipe, folder } = context;
		const tokenizer = await loadTokenizer(join(folder, "tokenizer"));
		const textJson = { ...recipe.networks.text_encoder, vocab_size: tokenizer.vocabularySize };
		const imageJson = { ...recipe.networks.image_encoder, image_size: PICTURE_SIDE };
		return new ClipStage(
			context,
			tokenizer,
			textJson,
			imageJson,
			readClipTextConfig(textJson, "the recipe's text_encoder"),
			readClipVisionConfig(imageJson, "the recipe's image_encoder"),
		);
	}

	constant = (name: string): number | null =>
		name === "logit_scale" ? Math.log(1 / this.settings.initialTemperature) : null;

	writeLoss(graph: Graph, weights: Weights, batch: number): WrittenLoss {
		const { images, texts } = this.embed(graph, weights, batch);
		const scale = minimum(exp(weights.get("logit_scale", [])), LARGEST_SCALE);
		const logits = mul(matmul(images, transpose(texts)), scale);
		const own = graph.constant(
			Array.from({ length: batch }, (_, i) => i),
			[batch],
			"i32",
		);
		const loss = mul(add(crossEntropy(logits, own), crossEntropy(transpose(logits), own)), 0.5);
		return { loss, metrics: { scale } };
	}

	/** Unit vectors of pictures and captions, [batch, projection]. */
	private embed(graph: Graph, weights: Weights, batch: number): { images: Value; texts: Value } {
		const { textConfig, imageConfig } = this;
		const { hiddenSize } = textConfig;
		const length = this.settings.captionLength;
		const pictures = graph.input("pictures", [batch, PICTURE_SIDE, PICTURE_SIDE, 3]);
		const ids = graph.input("ids", [batch, length], "i32");
		/** Of the end tokens, among all positions of the batch. */
		const ends = graph.input("ends", [batch], "i32");
		const text = weights.scope("text_model");
		const features = clipTextModel(text, textConfig, clipTokenEmbeddings(text, textConfig, ids));
		const pooled = gather(reshape(features, [batch * length, hiddenSize]), ends);
		const projection = weights.get("text_projection.weight", [imageConfig.projectionSize, hiddenSize]);
		const { embeddings } = clipVisionModel(weights, imageConfig, pictures);
		return { images: l2Normalize(embeddings), texts: l2Normalize(linear(pooled, projection)) };
	}

	inputs(_step: number, { pictures, captions }: SceneBatch): Record<string, InputData> {
		return {
			pictures: toNetworkRange(pictures),
			...encodeCaptions(this.tokenizer, captions, this.settings.captionLength),
		};
	}

	/** Share of held-out captions whose own picture is the nearest of all. */
	async evaluate(model: TrainedModel): Promise<Evaluation> {
		this.measure ??= new LazyProgram(this.context.device, "text and image encoders", (graph) =>
			this.embed(graph, model.open(graph), EVALUATION_BATCH),
		);
		const { evaluationPictures: count } = this.settings;
		const data: RecipeData = { ...this.settings.data, ...FULL_DETAIL };
		const width = this.imageConfig.projectionSize;
		const images = new Float32Array(count * width);
		const texts = new Float32Array(count * width);
		for await (const { scenes, first, used } of heldOutBatches(data, count)) {
			const result = await this.measure.run(this.inputs(0, scenes));
			images.set(result.images.subarray(0, used * width), first * width);
			texts.set(result.texts.subarray(0, used * width), first * width);
		}
		let hits = 0;
		for (let t = 0; t < count; t++) {
			const similarities = Float64Array.from({ length: count }, (_, p) =>
				dot(texts, t * width, images, p * width, width),
			);
			if (indexOfLargest(similarities, 0, count) === t) hits++;
		}
		return { figures: { [`retrieval_of_${count}`]: hits / count } };
	}

	async save(model: TrainedModel): Promise<void> {
		const { folder } = this.context;
		const read = (name: string) => model.read(name);
		await writeComponent(folder, "text_encoder", this.textJson, this.textShapes, read);
		await writeComponent(folder, "image_encoder", this.imageJson, this.imageShapes, read);
	}

	dispose(): void {
		this.measure?.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}

/** Captions that the vocabulary is made from: every phrase comes up in some. */
function* captionsOf({ seed, stages, tokenizer }: Recipe): Generator<string, void, undefined> {
	const data: RecipeData = { ...stages.clip.data, constraints: {} };
	const request = { first: seed, count: tokenizer.captions, data };
	for (let i = 0; i < tokenizer.captions; i++) yield captionOf(sceneOf(request, i), data);
}

/**
 * Token ids [N, length], and where each text's end token is among all positions. A text that is longer loses what stands before its end.
 *
 * @param length at most the tokenizer's
 */
export function encodeCaptions(
	tokenizer: Tokenizer,
	captions: readonly string[],
	length = tokenizer.length,
): { ids: Int32Array; ends: Int32Array } {
	const ids = new Int32Array(captions.length * length);
	const ends = new Int32Array(captions.length);
	captions.forEach((caption, i) => {
		const encoded = tokenizer.encode(caption);
		const end = Math.min(encoded.endPosition, length - 1);
		ids.set(encoded.ids.subarray(0, length), i * length);
		ids[i * length + end] = tokenizer.endId;
		ends[i] = i * length + end;
	});
	return { ids, ends };
}

function dot(a: Float32Array, atA: number, b: Float32Array, atB: number, size: number): number {
	let sum = 0;
	for (let i = 0; i < size; i++) sum += a[atA + i]! * b[atB + i]!;
	return sum;
}
