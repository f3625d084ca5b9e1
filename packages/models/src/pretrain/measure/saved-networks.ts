// Networks of a model folder, as the stages that trained them measure them.
import { join } from "node:path";
import { Checkpoint, type Device, type FrozenTensor, WeightSet } from "@dreamdist/core";
import type { ComponentFolder } from "../model-folder.js";
import type { Recipe } from "../recipe.js";
import type { Evaluation, Stage, StageContext, TrainedModel } from "../stage.js";
import { AutoencoderStage } from "../stages/autoencoder.js";
import { ClipStage } from "../stages/clip.js";

/** The weights in f16, as they were saved. */
async function withSaved<T>(
	folder: string,
	components: readonly ComponentFolder[],
	use: (model: TrainedModel) => Promise<T>,
): Promise<T> {
	const checkpoints: Checkpoint[] = [];
	try {
		const tensors = new Map<string, FrozenTensor>();
		for (const component of components) {
			const checkpoint = await Checkpoint.open(join(folder, component));
			checkpoints.push(checkpoint);
			for (const [name, tensor] of checkpoint.tensors) tensors.set(name, tensor);
		}
		const weights = new WeightSet(tensors, folder);
		return await use({
			open: (graph) => weights.open(graph),
			read: () => Promise.reject(new Error("saved weights are read from their files")),
		});
	} finally {
		for (const checkpoint of checkpoints) checkpoint.dispose();
	}
}

async function figuresOf(
	stage: Stage,
	folder: string,
	components: readonly ComponentFolder[],
): Promise<Evaluation["figures"]> {
	try {
		return (await withSaved(folder, components, (model) => stage.evaluate(model))).figures;
	} finally {
		stage.dispose();
	}
}

/** PSNR of held-out scenes, in dB, and the share of held-out captions whose own picture is the nearest. */
export async function measureEncoders(
	folder: string,
	recipe: Recipe,
	device: Device,
	signal: AbortSignal | undefined,
): Promise<{ psnr: number; retrieval: number; retrievalCaptions: number }> {
	const context: StageContext = { device, recipe, folder, signal };
	const { psnr } = await figuresOf(new AutoencoderStage(context), folder, ["vae"]);
	const clip = await ClipStage.load(context);
	const figures = await figuresOf(clip, folder, ["text_encoder", "image_encoder"]);
	const retrievalCaptions = recipe.stages.clip.evaluationPictures;
	return { psnr: psnr!, retrieval: figures[`retrieval_of_${retrievalCaptions}`]!, retrievalCaptions };
}
