import { mkdir, statfs } from "node:fs/promises";
import { FileError, fileError } from "@dreamdist/core";
import { CachedRepository, notCached, resolveCached, sizeOf } from "./cache.js";
import { download } from "./download.js";
import { HubError } from "./errors.js";
import { type RetryOptions, type RetryPolicy, retryPolicy } from "./http.js";
import { parseModelId } from "./model-id.js";
import { type RemoteFile, Repository, type RepositoryListing } from "./repository.js";
import { selectFiles, type WeightVariant } from "./select-files.js";
import { type HubOptions, type HubSettings, hubSettings } from "./settings.js";

/** What a pull reports on its way. Sizes are in bytes, and null where the Hub does not give them. */
export type PullEvent =
	| { type: "listed"; name: string; commit: string; files: number; toFetch: number; bytes: number | null }
	| { type: "notice"; message: string }
	| {
			type: "progress";
			file: string;
			loaded: number;
			size: number | null;
			/** Over all files that are fetched. */
			totalLoaded: number;
			totalSize: number | null;
	  }
	| { type: "retry"; file: string; reason: string; waitMs: number }
	| { type: "verify"; file: string }
	| { type: "file"; file: string; cached: boolean };

export interface PullOptions extends HubOptions {
	/** Branch, tag or commit; else what follows "@" in the id, else "main". */
	revision?: string | undefined;
	/** Exact paths or patterns with `*` (within a folder); else what the model needs. */
	files?: readonly string[] | undefined;
	/** Which weights to take where the repository has both; "fp16" when left out. */
	variant?: WeightVariant | undefined;
	signal?: AbortSignal | undefined;
	onProgress?: ((event: PullEvent) => void) | undefined;
	/** How to go on after a broken connection. */
	retry?: RetryOptions | undefined;
}

const PARALLEL_FILES = 3;

/** Progress of a file is reported at most this often. */
const PROGRESS_INTERVAL_MS = 100;

/**
 * Fetches a model from the Hub into the Hub's cache on this machine, where `huggingface_hub` finds it too: only the files
 * the model needs and does not have yet, continued where an earlier pull stopped, each checked against the Hub's checksum.
 *
 * @param id `organisation/name[@revision]`
 * @returns the snapshot's folder, complete
 * @throws HubError, FileError or ArgumentError in one sentence; the signal's reason when it is aborted
 */
export async function pull(id: string, options: PullOptions = {}): Promise<string> {
	const model = parseModelId(id, options.revision);
	const settings = await hubSettings(options);
	const { signal } = options;
	signal?.throwIfAborted();
	if (settings.offline) {
		try {
			return await resolveCached(`${model.name}@${model.revision}`, { cacheDir: settings.cacheDir });
		} catch (cause) {
			const reason = (await notCached(settings.cacheDir, model)).message;
			throw new HubError("HUB_OFFLINE", `Nothing is fetched while HF_HUB_OFFLINE is set: ${reason}`, { cause });
		}
	}

	const retry = retryPolicy(options.retry);
	const failed = new AbortController();
	const repository = new Repository(model, settings, retry, anySignal(signal, failed.signal));
	const cache = new CachedRepository(settings.cacheDir, model);
	const listing = await repository.list();
	if (listing.movedTo !== null) {
		const message = `${model.name} has moved to ${listing.movedTo}; its files come from there.`;
		options.onProgress?.({ type: "notice", message });
	}
	const job = new PullJob(repository, cache, listing, settings, retry, options, failed);
	await job.run();
	await cache.setCommit(listing.commit);
	return cache.snapshot(listing.commit);
}

function anySignal(outer: AbortSignal | undefined, own: AbortSignal): AbortSignal {
	return outer ? AbortSignal.any([outer, own]) : own;
}

/** The fetching of one snapshot's files. */
class PullJob {
	readonly #repository: Repository;
	readonly #cache: CachedRepository;
	readonly #listing: RepositoryListing;
	readonly #settings: HubSettings;
	readonly #retry: RetryPolicy;
	readonly #options: PullOptions;
	readonly #failed: AbortController;
	readonly #loaded = new Map<string, number>();
	#totalSize: number | null = 0;

	constructor(
		repository: Repository,
		cache: CachedRepository,
		listing: RepositoryListing,
		settings: HubSettings,
		retry: RetryPolicy,
		options: PullOptions,
		failed: AbortController,
	) {
		this.#repository = repository;
		this.#cache = cache;
		this.#listing = listing;
		this.#settings = settings;
		this.#retry = retry;
		this.#options = options;
		this.#failed = failed;
	}

	async run(): Promise<void> {
		const { commit, files: listed } = this.#listing;
		const { name } = this.#repository.id;
		const { variant = "fp16", files } = this.#options;
		const paths = selectFiles(
			name,
			listed.map((file) => file.path),
			variant,
			files,
		);
		const wanted = listed.filter((file) => paths.includes(file.path));
		const present = await Promise.all(wanted.map((file) => this.#cache.has(commit, file.path)));
		const missing = wanted.filter((_, i) => !present[i]);
		const remote = await this.#inParallel(missing, (file) => this.#repository.describe(file, commit));
		this.#totalSize = sum(remote.map((file) => file.size));
		this.#emit({
			type: "listed",
			name,
			commit,
			files: wanted.length,
			toFetch: remote.length,
			bytes: this.#totalSize,
		});
		for (const [i, file] of wanted.entries())
			if (present[i]) this.#emit({ type: "file", file: file.path, cached: true });
		if (remote.length === 0) return;
		await this.#checkSpace(remote);
		// Small files first: what is wrong with access shows before the gigabytes.
		await this.#inParallel(
			remote.toSorted((a, b) => (a.size ?? 0) - (b.size ?? 0)),
			(file) => this.#fetch(file),
		);
	}

	async #fetch(file: RemoteFile): Promise<void> {
		const { commit } = this.#listing;
		const target = this.#cache.blob(file.etag);
		const isHere = (await sizeOf(target)) !== undefined;
		if (!isHere) {
			let reported = 0;
			await download({
				file,
				target,
				open: (from) => this.#repository.open(file, commit, from),
				retry: this.#retry,
				signal: anySignal(this.#options.signal, this.#failed.signal),
				listener: {
					onBytes: (loaded) => {
						this.#loaded.set(file.path, loaded);
						if (performance.now() - reported < PROGRESS_INTERVAL_MS && loaded !== file.size) return;
						reported = performance.now();
						this.#reportProgress(file, loaded);
					},
					onRetry: (reason, waitMs) => this.#emit({ type: "retry", file: file.path, reason, waitMs }),
					onVerify: () => this.#emit({ type: "verify", file: file.path }),
					onWait: () =>
						this.#emit({ type: "notice", message: `Another process is fetching ${file.path}; waiting for it.` }),
				},
			});
		}
		await this.#cache.place(file.etag, commit, file.path);
		this.#emit({ type: "file", file: file.path, cached: isHere });
	}

	#reportProgress(file: RemoteFile, loaded: number): void {
		const totalLoaded = [...this.#loaded.values()].reduce((total, bytes) => total + bytes, 0);
		const { path, size } = file;
		this.#emit({ type: "progress", file: path, loaded, size, totalLoaded, totalSize: this.#totalSize });
	}

	#emit(event: PullEvent): void {
		this.#options.onProgress?.(event);
	}

	/** Refuses before the download what would fill the disk in its middle. */
	async #checkSpace(files: readonly RemoteFile[]): Promise<void> {
		const { cacheDir } = this.#settings;
		try {
			await mkdir(cacheDir, { recursive: true });
		} catch (error) {
			throw fileError(error, "make the folder", cacheDir);
		}
		const blobs = new Map(files.map((file) => [file.etag, file.size ?? 0]));
		let needed = 0;
		for (const [etag, size] of blobs) {
			const blob = this.#cache.blob(etag);
			const here = (await sizeOf(blob)) ?? (await sizeOf(`${blob}.incomplete`)) ?? 0;
			needed += Math.max(size - here, 0);
		}
		const disk = await statfs(cacheDir).catch(() => undefined);
		if (disk === undefined || needed <= disk.bavail * disk.bsize) return;
		const [need, free] = [needed, disk.bavail * disk.bsize].map((bytes) => `${(bytes / 1e9).toFixed(2)} GB`);
		const message =
			`${this.#repository.id.name} needs ${need} more in ${cacheDir}, where ${free} are free: free some space, or name ` +
			"another folder with HF_HUB_CACHE.";
		throw new FileError("FILE_DISK_FULL", cacheDir, message);
	}

	/** Works on a few items at a time. The first failure stops the others, and is thrown when all have let go. */
	async #inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
		const results: R[] = [];
		const failures: unknown[] = [];
		const queue = items.entries();
		const worker = async (): Promise<void> => {
			for (const [i, item] of queue) {
				if (failures.length > 0) return;
				try {
					results[i] = await work(item);
				} catch (error) {
					failures.push(error);
					this.#failed.abort(error);
				}
			}
		};
		await Promise.all(Array.from({ length: Math.min(PARALLEL_FILES, items.length) }, worker));
		if (failures.length > 0) throw failures[0];
		return results;
	}
}

function sum(sizes: readonly (number | null)[]): number | null {
	return sizes.reduce((total, size) => (total === null || size === null ? null : total + size), 0);
}
