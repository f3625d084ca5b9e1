// The pictures of a run: read, checked, and given to the autoencoder once per way of cutting them.
import { createHash } from "node:crypto";
import type { Program } from "../../compile/program.js";
import { readWholeFile } from "../../data/file-system.js";
import { imagesToF32 } from "../../data/image/convert.js";
import { decodeImage } from "../../data/image/decode.js";
import type { ImageU8 } from "../../data/image/image.js";
import type { Device } from "../../device/device.js";
import type { Autoencoder } from "../../diffusion/interfaces.js";
import { ArgumentError } from "../../errors.js";
import { concat } from "../../ops/shape.js";
import { type Augmentation, type AugmentationOptions, augment, augmentations, coverSize } from "./augmentation.js";
import type { FoundPicture } from "./find-pictures.js";

/** A picture file larger than this is refused. */
const MAX_FILE = 2 ** 30;

export interface SetPicture {
	readonly path: string;
	readonly className: string | null;
	/** SHA-256 of the file, hexadecimal. */
	readonly hash: string;
	/** Sides as stored, orientation applied. */
	readonly width: number;
	readonly height: number;
	readonly augmentations: readonly Augmentation[];
}

/** What was found while reading. */
export interface PictureReport {
	/** Files that were left out, each with the reason. */
	readonly skipped: readonly { readonly path: string; readonly reason: string }[];
	/** Files of the same contents as an earlier one. They are kept. */
	readonly duplicates: readonly { readonly path: string; readonly of: string }[];
	/** Files smaller than the size, which are enlarged. */
	readonly enlarged: readonly string[];
}

/** Keeps the most recently used values within a budget of bytes. */
class BoundedCache<T extends { readonly byteLength: number }> {
	private readonly values = new Map<string, T>();
	private bytes = 0;

	constructor(private readonly limit: number) {}

	get(key: string): T | undefined {
		const value = this.values.get(key);
		if (value !== undefined) {
			this.values.delete(key);
			this.values.set(key, value);
		}
		return value;
	}

	set(key: string, value: T): void {
		this.bytes += value.byteLength - (this.values.get(key)?.byteLength ?? 0);
		this.values.delete(key);
		this.values.set(key, value);
		for (const [oldest, old] of this.values) {
			if (this.bytes <= this.limit || oldest === key) break;
			this.values.delete(oldest);
			this.bytes -= old.byteLength;
		}
	}
}

/** Budget of resized pictures kept beside the files, and of moments. */
const PICTURE_BYTES = 256 * 2 ** 20;
const MOMENT_BYTES = 512 * 2 ** 20;

interface Resized extends ImageU8 {
	readonly byteLength: number;
}

/** Pictures of one size, from files. */
export class PictureSet {
	private readonly resized = new BoundedCache<Resized>(PICTURE_BYTES);

	private constructor(
		readonly pictures: readonly SetPicture[],
		readonly options: AugmentationOptions,
		readonly report: PictureReport,
	) {}

	/**
	 * Reads every file once. What can't be decoded is left out and reported.
	 *
	 * @throws ArgumentError when no picture is left
	 */
	static async read(
		files: readonly FoundPicture[],
		options: AugmentationOptions,
		signal?: AbortSignal,
	): Promise<PictureSet> {
		const pictures: SetPicture[] = [];
		const skipped: { path: string; reason: string }[] = [];
		const duplicates: { path: string; of: string }[] = [];
		const enlarged: string[] = [];
		const set = new PictureSet(pictures, options, { skipped, duplicates, enlarged });
		const known = new Map<string, string>();
		for (const { path, className } of files) {
			signal?.throwIfAborted();
			try {
				const bytes = await readWholeFile(path, MAX_FILE);
				const image = await decodeImage(bytes, path);
				const cover = set.keep(path, image);
				const hash = createHash("sha256").update(bytes).digest("hex");
				const earlier = known.get(hash);
				if (earlier !== undefined) duplicates.push({ path, of: earlier });
				else known.set(hash, path);
				const { width, height } = image;
				if (width < options.size[0] || height < options.size[1]) enlarged.push(path);
				pictures.push({
					path,
					className,
					hash,
					width,
					height,
					augmentations: augmentations(cover.width, cover.height, options),
				});
			} catch (error) {
				skipped.push({ path, reason: (error as Error).message });
			}
		}
		if (pictures.length === 0) {
			const [first] = skipped;
			throw new ArgumentError(
				`none of the ${files.length} picture files can be used${first ? `; the first: ${first.reason}` : ""}`,
			);
		}
		return set;
	}

	/** A picture cut in one of its ways. */
	async image(picture: number, augmentation: number): Promise<ImageU8> {
		const { path, augmentations: ways } = this.pictures[picture]!;
		const cover =
			this.resized.get(path) ?? this.keep(path, await decodeImage(await readWholeFile(path, MAX_FILE), path));
		return augment(cover, ways[augmentation]!, this.options);
	}

	private keep(path: string, image: ImageU8): Resized {
		const cover = coverSize(image, this.options);
		const kept = { ...cover, byteLength: cover.data.byteLength };
		this.resized.set(path, kept);
		return kept;
	}
}

/** The autoencoder's moments of a set's pictures: computed when first asked for, kept after. */
export class MomentCache implements Disposable {
	private readonly moments = new BoundedCache<Float32Array>(MOMENT_BYTES);
	/** How often the autoencoder ran. */
	encoded = 0;

	private constructor(
		private readonly set: PictureSet,
		private readonly program: Program<"moments">,
	) {}

	static async create(device: Device, autoencoder: Autoencoder, set: PictureSet, signal?: AbortSignal) {
		const [width, height] = set.options.size;
		const program = await device.compile(
			(graph) => {
				const { mean, logVariance } = autoencoder.encode(graph.input("picture", [1, height, width, 3]));
				return { moments: concat([mean, logVariance], 3) };
			},
			{ name: "picture encoder", lessMemory: ["smaller pictures (--size)"], ...(signal && { signal }) },
		);
		return new MomentCache(set, program);
	}

	/** Means and log variances of a picture's latents, [h, w, 2C]. */
	async get(picture: number, augmentation: number, signal?: AbortSignal): Promise<Float32Array> {
		const key = `${picture}/${augmentation}`;
		const known = this.moments.get(key);
		if (known) return known;
		const { data } = imagesToF32([await this.set.image(picture, augmentation)]);
		const { moments } = await this.program.run({ picture: data }, signal ? { signal } : {});
		this.encoded++;
		const kept = Float32Array.from(moments);
		this.moments.set(key, kept);
		return kept;
	}

	dispose(): void {
		this.program.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}
