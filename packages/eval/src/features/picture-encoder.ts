// An encoder at work: pictures in, features out, a batch at a time.
import {
	type Device,
	fingerprintWeights,
	type Graph,
	type ImageU8,
	type Program,
	type Value,
	type WeightSet,
} from "@dreamdist/core";

/** What an encoder is made of. */
export interface EncoderParts {
	/** Named in results: the encoder and how pictures are brought to it. */
	readonly name: string;
	/** Side of the pictures it reads. */
	readonly side: number;
	prepare(image: ImageU8): Float32Array;
	/** @param pictures [B, side, side, 3] */
	write(graph: Graph, pictures: Value): Value;
	readonly weights: WeightSet;
	readonly files: Disposable;
}

/** Pictures of one run. More gain nothing on a CPU; a card takes more. */
const BATCH = { cpu: 8, other: 32 } as const;

export class PictureEncoder implements Disposable {
	private program: Program<"features"> | null = null;

	private constructor(
		private readonly device: Device,
		private readonly parts: EncoderParts,
		/** Hash of the weights. */
		readonly fingerprint: string,
	) {}

	get name(): string {
		return this.parts.name;
	}

	/** Tells features apart that must not be taken for one another. */
	get key(): string {
		return `${this.parts.name} ${this.fingerprint}`;
	}

	/** Takes over the files, and lets them go with itself. */
	static async open(device: Device, parts: EncoderParts): Promise<PictureEncoder> {
		return new PictureEncoder(device, parts, await fingerprintWeights(device, parts.weights));
	}

	/**
	 * Encodes pictures as they come. While a batch runs on the device the next one is read and prepared; no more pictures than that are held.
	 *
	 * @param onPictures how many are done
	 * @returns [pictures, width], row-major
	 */
	async encode(
		pictures: AsyncIterable<ImageU8> | Iterable<ImageU8>,
		options: { signal?: AbortSignal | undefined; onPictures?: ((done: number) => void) | undefined } = {},
	): Promise<{ data: Float32Array; width: number }> {
		const { signal, onPictures } = options;
		const batch = this.device.kind === "cpu" ? BATCH.cpu : BATCH.other;
		const { side } = this.parts;
		const size = side * side * 3;
		const program = await this.compile(batch, signal);
		const width = program.outputs.features.shape[1]!;
		const chunks: Float32Array[] = [];
		let done = 0;
		let running: Promise<void> = Promise.resolve();
		// Each side of the pair is filled while the other is read by the device.
		const buffers = [new Float32Array(batch * size), new Float32Array(batch * size)];
		let filled = 0;
		const run = async (buffer: Float32Array, count: number): Promise<void> => {
			const { features } = await program.run({ pictures: buffer }, signal ? { signal } : {});
			chunks.push((features as Float32Array).slice(0, count * width));
			done += count;
			onPictures?.(done);
		};
		const flush = async (): Promise<void> => {
			const [buffer, count] = [buffers[0]!, filled];
			buffers.reverse();
			filled = 0;
			await running;
			running = run(buffer, count);
			// A failure is thrown where it is awaited; until then nobody may call it unhandled.
			running.catch(() => undefined);
		};
		for await (const picture of pictures) {
			signal?.throwIfAborted();
			buffers[0]!.set(this.parts.prepare(picture), filled++ * size);
			if (filled === batch) await flush();
		}
		if (filled > 0) await flush();
		await running;
		const data = new Float32Array(done * width);
		let at = 0;
		for (const chunk of chunks) {
			data.set(chunk, at);
			at += chunk.length;
		}
		return { data, width };
	}

	private async compile(batch: number, signal: AbortSignal | undefined): Promise<Program<"features">> {
		const { side, write, name } = this.parts;
		this.program ??= await this.device.compile(
			(graph) => ({ features: write(graph, graph.input("pictures", [batch, side, side, 3])) }),
			// Features are kept and compared with those of other runs: always of one arithmetic.
			{ name, tf32: false, ...(signal && { signal }) },
		);
		return this.program;
	}

	dispose(): void {
		this.program?.dispose();
		this.parts.weights.release(this.device);
		this.parts.files[Symbol.dispose]();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}
