// Scenes of which a denoiser's training keeps the latents and text features, so that it draws and encodes each of them once.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
	type Autoencoder,
	type Device,
	decodeF16,
	encodeF16,
	FormatError,
	fileError,
	type Graph,
	openSafetensors,
	type Shape,
	type TextEncoder,
	type Value,
	writeSafetensors,
} from "@dreamdist/core";
import { LazyProgram } from "./held-out.js";
import { SceneStream } from "./scene-stream.js";
import { type SceneRequest, toNetworkRange } from "./scenes.js";
import { encodeCaptions } from "./stages/clip.js";

/** Scenes in one file. */
const CHUNK = 2048;
/** Scenes encoded at once. */
const BATCH = 32;

const PARTS = ["means", "logVariances", "features"] as const;
type Part = (typeof PARTS)[number];
type Chunk = Readonly<Record<Part, Uint16Array>>;

/** Rows of some scenes: moments of latents [N, h, w, c], text features [N, L, width]. */
export type PoolRows = Readonly<Record<Part, Float32Array>>;

export interface LatentPoolOptions {
	readonly device: Device;
	/** Where its files are kept. */
	readonly folder: string;
	/** How many scenes. */
	readonly count: number;
	/** The request of so many scenes from one of the pool's on. */
	readonly request: (from: number, count: number) => SceneRequest;
	/** Everything that the networks' results depend on. */
	readonly identity: string;
	readonly textEncoder: TextEncoder;
	readonly autoencoder: Autoencoder;
	/** Of one picture's latents, [h, w, c]. */
	readonly latentShape: Shape;
	readonly pictureSide: number;
	readonly drawingThreads: number;
	readonly signal: AbortSignal | undefined;
	/** Told how many scenes are there. */
	readonly onProgress: ((done: number, total: number) => void) | undefined;
}

const sizeOf = (shape: Shape) => shape.reduce((a, b) => a * b, 1);

/** Kept in f16, in files of 2,048 scenes; what is there already is not made again. In use, all of it is in memory: 12 KB a scene and more. */
export class LatentPool {
	private constructor(
		readonly count: number,
		private readonly chunks: readonly Chunk[],
		private readonly sizes: Readonly<Record<Part, number>>,
		/** Text features of an empty caption. */
		private readonly empty: Float32Array,
	) {}

	/** Reads the pool, and draws and encodes what of it is not there. */
	static async open(options: LatentPoolOptions): Promise<LatentPool> {
		const { folder, count, signal, textEncoder, latentShape } = options;
		try {
			await mkdir(folder, { recursive: true });
		} catch (error) {
			throw fileError(error, "make the folder", folder);
		}
		const latents = sizeOf(latentShape);
		const sizes = { means: latents, logVariances: latents, features: textEncoder.length * textEncoder.width };
		const encoder = new SceneEncoder(options);
		try {
			const chunks: Chunk[] = [];
			for (let from = 0; from < count; from += CHUNK) {
				signal?.throwIfAborted();
				const size = Math.min(CHUNK, count - from);
				const path = join(folder, `scenes-${String(from).padStart(7, "0")}.safetensors`);
				const request = options.request(from, size);
				const of = createHash("sha256")
					.update(JSON.stringify([options.identity, request]))
					.digest("hex");
				chunks.push((await readChunk(path, of)) ?? (await makeChunk(path, of, request, sizes, encoder)));
				options.onProgress?.(from + size, count);
			}
			return new LatentPool(count, chunks, sizes, await encoder.textFeatures(""));
		} finally {
			await encoder.close();
		}
	}

	/** @param said of each scene: whether its caption is, or else the features are those of an empty one */
	rows(indices: readonly number[], said: readonly boolean[]): PoolRows {
		const rows = (part: Part) => {
			const size = this.sizes[part];
			const out = new Float32Array(indices.length * size);
			indices.forEach((index, i) => {
				const row = out.subarray(i * size, (i + 1) * size);
				const at = (index % CHUNK) * size;
				if (part === "features" && !said[i]) row.set(this.empty);
				else decodeF16(this.chunks[Math.floor(index / CHUNK)]![part].subarray(at, at + size), row);
			});
			return out;
		};
		return { means: rows("means"), logVariances: rows("logVariances"), features: rows("features") };
	}
}

/** Null where the file is not there or is of other networks or scenes. */
async function readChunk(path: string, of: string): Promise<Chunk | null> {
	if (!existsSync(path)) return null;
	const file = await openSafetensors(path);
	try {
		if (file.metadata.get("of") !== of) return null;
		const read = async (part: Part) => {
			if (!file.tensors.has(part))
				throw new FormatError("BAD_POOL", path, `${path} lacks "${part}"; delete it, and it is made anew`);
			return new Uint16Array((await file.read(part)).buffer);
		};
		return {
			means: await read("means"),
			logVariances: await read("logVariances"),
			features: await read("features"),
		};
	} finally {
		await file.close();
	}
}

async function makeChunk(
	path: string,
	of: string,
	request: SceneRequest,
	sizes: Readonly<Record<Part, number>>,
	encoder: SceneEncoder,
): Promise<Chunk> {
	const { count } = request;
	const chunk = Object.fromEntries(PARTS.map((part) => [part, new Uint16Array(count * sizes[part])])) as Chunk;
	for await (const { first, used, rows } of encoder.encode(request))
		for (const part of PARTS) {
			const size = sizes[part];
			encodeF16(rows[part].subarray(0, used * size), chunk[part].subarray(first * size, (first + used) * size));
		}
	const tensors = new Map(
		PARTS.map((part) => [part, { dtype: "F16" as const, shape: [count, sizes[part]], data: chunk[part] }]),
	);
	await writeSafetensors(path, tensors, { metadata: { of } });
	return chunk;
}

/** Draws scenes and runs them through the frozen networks. */
class SceneEncoder {
	private readonly moments: LazyProgram<Part>;
	private readonly text: LazyProgram<"features">;

	constructor(private readonly options: LatentPoolOptions) {
		const { device, textEncoder, autoencoder, pictureSide } = options;
		const features = (graph: Graph, batch: number): Value =>
			textEncoder.encode(textEncoder.embed(graph.input("ids", [batch, textEncoder.length], "i32")));
		this.moments = new LazyProgram(device, "scenes to latents", (graph) => {
			const pictures = graph.input("pictures", [BATCH, pictureSide, pictureSide, 3]);
			const { mean, logVariance } = autoencoder.encode(pictures);
			return { means: mean, logVariances: logVariance, features: features(graph, BATCH) };
		});
		this.text = new LazyProgram(device, "caption to features", (graph) => ({ features: features(graph, 1) }));
	}

	async *encode({ first, count, data }: SceneRequest): AsyncGenerator<{
		first: number;
		used: number;
		rows: PoolRows;
	}> {
		const { drawingThreads, signal, textEncoder } = this.options;
		const batches = Math.ceil(count / BATCH);
		// The last batch is drawn whole, for the programs' one shape.
		const scenes = new SceneStream((at) => ({ first: first + at * BATCH, count: BATCH, data }), {
			threads: drawingThreads,
			ahead: 2 * Math.max(1, drawingThreads),
		});
		try {
			for (let at = 0; at < batches; at++) {
				signal?.throwIfAborted();
				const batch = await scenes.batch(at, batches - 1);
				const pictures = toNetworkRange(batch.pictures);
				const { ids } = encodeCaptions(textEncoder.tokenizer, batch.captions);
				const rows = await this.moments.run({ pictures, ids });
				yield { first: at * BATCH, used: Math.min(BATCH, count - at * BATCH), rows };
			}
		} finally {
			await scenes.close();
		}
	}

	async textFeatures(caption: string): Promise<Float32Array> {
		const { ids } = encodeCaptions(this.options.textEncoder.tokenizer, [caption]);
		return (await this.text.run({ ids })).features;
	}

	async close(): Promise<void> {
		this.moments.dispose();
		this.text.dispose();
	}
}
