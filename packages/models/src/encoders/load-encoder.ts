// An encoder's files as a network: a folder in the Hub's layout, or the weights' file of an original repository.
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { Checkpoint, FileError, FormatError, type FrozenTensor } from "@dreamdist/core";
import { assemble, type Component, type ComponentKind } from "../loading/components.js";
import { DINO, DINOV2, INCEPTION, LPIPS } from "../loading/encoder-kinds.js";
import { readJsonFile } from "../loading/json-file.js";
import { INCEPTION_NORMS } from "../networks/inception.js";
import { foldBatchNorms } from "../weights/fold-batch-norm.js";

/** An encoder whose files stay mapped until it is disposed, which must not be before the last program that reads them is compiled. */
export interface LoadedEncoder<Config> extends Disposable {
	readonly component: Component<Config>;
	dispose(): void;
}

/**
 * Loads an encoder.
 *
 * @param path a folder with `config.json` and `model.safetensors` (or `pytorch_model.bin`), or a `.safetensors`, `.pth`, `.pt` or `.bin`
 *   file, whose configuration is then told by its weights. LPIPS takes a folder that holds the classifier's file and the mixing weights'.
 * @param config instead of a `config.json`
 * @throws FileError, FormatError or WeightsError in one sentence that names the file, key or weights at fault
 */
export async function loadEncoder<Config>(
	kind: ComponentKind<Config>,
	path: string,
	config?: unknown,
): Promise<LoadedEncoder<Config>> {
	if (!existsSync(path)) throw new FileError("FILE_NOT_FOUND", path, `there is no encoder at ${path}`);
	const checkpoints: Checkpoint[] = [];
	const dispose = () => {
		for (const checkpoint of checkpoints) checkpoint.dispose();
	};
	try {
		const tensors = new Map<string, FrozenTensor>();
		for (const file of weightFiles(kind as ComponentKind<unknown>, path)) {
			const checkpoint = await Checkpoint.open(file);
			checkpoints.push(checkpoint);
			for (const [name, tensor] of checkpoint.tensors) tensors.set(name, tensor);
		}
		const source = join(path, "config.json");
		const json = config ?? (existsSync(source) ? await readJsonFile(source) : inferredConfig(kind, tensors, path));
		const component = assemble(kind, kind.readConfig(json, source), tensors, path);
		if ((kind as ComponentKind<unknown>) !== INCEPTION) return { component, dispose, [Symbol.dispose]: dispose };
		const folded = { ...component, weights: foldBatchNorms(component.weights, INCEPTION_NORMS) };
		return { component: folded, dispose, [Symbol.dispose]: dispose };
	} catch (error) {
		dispose();
		throw error;
	}
}

const TORCH = /\.(pth|pt|bin)$/;

function weightFiles(kind: ComponentKind<unknown>, path: string): string[] {
	if (!statSync(path).isDirectory()) return [path];
	if (kind === LPIPS) return lpipsFiles(path);
	const inside = (name: string) => join(path, name);
	const hasSafetensors = ["model.safetensors", "model.safetensors.index.json"].some((name) => existsSync(inside(name)));
	return [!hasSafetensors && existsSync(inside("pytorch_model.bin")) ? inside("pytorch_model.bin") : path];
}

const LPIPS_FILES: readonly RegExp[] = [/^(alexnet|vgg16)-.*\.pth$/, /^(alex|vgg)\.pth$/];

function lpipsFiles(folder: string): string[] {
	const names = ["alexnet-owt-7be5be79.pth", "alex.pth", "vgg16-397923af.pth", "vgg.pth"];
	const present = names.filter((name) => existsSync(join(folder, name)));
	const whole = join(folder, "model.safetensors");
	if (existsSync(whole)) return [whole];
	if (!LPIPS_FILES.every((pattern) => present.some((name) => pattern.test(name))))
		throw new FileError(
			"FILE_NOT_FOUND",
			folder,
			`${folder} does not hold LPIPS: it needs the classifier (alexnet-owt-7be5be79.pth or vgg16-397923af.pth) and the mixing weights (alex.pth or vgg.pth)`,
		);
	return present.map((name) => join(folder, name));
}

/** What a file without a configuration says by its shapes: of the original repositories' vision transformers, heads are 64 wide. */
function inferredConfig<Config>(
	kind: ComponentKind<Config>,
	tensors: ReadonlyMap<string, FrozenTensor>,
	path: string,
): unknown {
	const any = kind as ComponentKind<unknown>;
	if (any === INCEPTION) return null;
	if (any === LPIPS) return { net: tensors.has("features.12.weight") ? "vgg" : "alex" };
	const patches = kind.rename(tensors).get("embeddings.patch_embeddings.projection.weight");
	const positions = kind.rename(tensors).get("embeddings.position_embeddings");
	if ((any !== DINO && any !== DINOV2) || !patches || !positions || !TORCH.test(path))
		throw new FormatError(
			"BAD_CONFIG",
			path,
			`${path} has no config.json beside it, and its weights do not say what it is`,
		);
	const [hidden_size, , patch_size] = patches.shape as [number, number, number];
	const blocks = [...tensors.keys()].map((name) => Number(name.match(/\bblocks\.(\d+)\./)?.[1] ?? -1));
	const layers = Math.max(...blocks) + 1;
	const side = Math.sqrt(positions.shape[1]! - 1);
	return {
		hidden_size,
		patch_size,
		num_hidden_layers: layers,
		num_attention_heads: hidden_size / 64,
		image_size: side * patch_size,
		layer_norm_eps: 1e-6,
		...(any === DINO
			? { intermediate_size: 4 * hidden_size }
			: { use_swiglu_ffn: tensors.has("blocks.0.mlp.w12.weight") }),
	};
}
