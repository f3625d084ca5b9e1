import { createHash } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { fileError } from "@dreamdist/core";
import { sizeOf } from "./cache.js";
import { HubError, TransientError } from "./errors.js";
import type { HubResponse, RetryPolicy } from "./http.js";
import { withLock } from "./lock.js";
import type { Checksum, RemoteFile } from "./repository.js";

/** What a download reports on its way. */
export interface DownloadListener {
	/** Bytes of the file that are here. */
	onBytes(loaded: number): void;
	/** The connection broke and is tried again in `waitMs`. */
	onRetry(reason: string, waitMs: number): void;
	/** Another process is fetching the same file. */
	onWait(): void;
	/** All bytes are here and are being checked. */
	onVerify(): void;
}

export interface DownloadOptions {
	file: RemoteFile;
	/** Where the complete file goes; until then its bytes are in `<target>.incomplete`. */
	target: string;
	/** Opens the file's contents from a byte on. */
	open: (from: number) => Promise<HubResponse>;
	retry: RetryPolicy;
	signal: AbortSignal | undefined;
	listener: DownloadListener;
}

/**
 * Fetches a file, going on from what an earlier try left in `<target>.incomplete`. The bytes are checked and synced before
 * they get their name.
 *
 * @throws HubError when the connection keeps breaking (what has come is kept) or the checksum is wrong (nothing is kept);
 *   FileError when it cannot be written; the signal's reason when it is aborted
 */
export async function download(options: DownloadOptions): Promise<void> {
	const { target, signal, listener } = options;
	try {
		await mkdir(dirname(target), { recursive: true });
	} catch (error) {
		throw fileError(error, "make the folder", dirname(target));
	}
	await withLock(`${target}.dreamdist-lock`, signal, listener.onWait, async () => {
		// Another process may have finished it in the meantime.
		if ((await sizeOf(target)) !== undefined) return;
		const partial = `${target}.incomplete`;
		for (let isFirst = true; ; isFirst = false) {
			const wasResumed = await fetchInto(partial, options);
			listener.onVerify();
			if (await isIntact(partial, options.file.checksum, signal)) break;
			await rm(partial, { force: true });
			// What an earlier try left may be at fault: once more from the start.
			if (!wasResumed || !isFirst) throw wrongChecksum(options.file);
		}
		await rename(partial, target);
	});
}

/** Brings the partial file to its full length. Returns whether it was put together from several pieces. */
async function fetchInto(partial: string, options: DownloadOptions): Promise<boolean> {
	const { file, retry, signal, listener } = options;
	const handle = await writing(partial, open(partial, constants.O_RDWR | constants.O_CREAT, 0o644));
	try {
		let loaded = (await handle.stat()).size;
		const restart = async (): Promise<void> => {
			loaded = 0;
			await writing(partial, handle.truncate(0));
		};
		if (file.size === null || loaded > file.size) await restart();
		let wasResumed = loaded > 0;
		for (let failures = 0; file.size === null || loaded < file.size; ) {
			const before = loaded;
			try {
				const response = await options.open(loaded);
				const start = startOf(response);
				if (start !== loaded) await restart();
				if (start !== loaded) {
					await response.discard();
					throw new TransientError(`${response.url.host} would not go on from byte ${before}`);
				}
				for await (const piece of response.body()) {
					await writing(partial, writeAll(handle, piece, loaded));
					loaded += piece.byteLength;
					listener.onBytes(loaded);
				}
				if (file.size === null || loaded >= file.size) break;
				throw new TransientError(`the connection closed after ${loaded} of ${file.size} bytes`);
			} catch (error) {
				if (!(error instanceof TransientError)) throw error;
				failures = loaded > before ? 1 : failures + 1;
				if (failures > retry.retries) throw interrupted(file, loaded, error);
				if (file.size === null) await restart();
				wasResumed ||= loaded > 0;
				listener.onRetry(error.message, retry.delay(failures, error));
				await retry.wait(failures, error, signal);
			}
		}
		await writing(partial, handle.sync());
		return wasResumed;
	} finally {
		await handle.close();
	}
}

/** The byte at which an answer starts; undefined when it has none of the file. */
function startOf(response: HubResponse): number | undefined {
	if (response.status === 200) return 0;
	if (response.status !== 206) return undefined;
	const range = response.headers.get("content-range")?.match(/^bytes (\d+)-/);
	return range ? Number(range[1]) : undefined;
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
	for (let done = 0; done < bytes.byteLength; ) {
		done += (await handle.write(bytes, done, bytes.byteLength - done, position + done)).bytesWritten;
	}
}

/** Tells the file's errors from the connection's. */
async function writing<T>(path: string, work: Promise<T>): Promise<T> {
	try {
		return await work;
	} catch (error) {
		throw fileError(error, "write", path);
	}
}

async function isIntact(path: string, checksum: Checksum | null, signal: AbortSignal | undefined): Promise<boolean> {
	if (checksum === null) return true;
	const hash = createHash(checksum.algorithm === "sha256" ? "sha256" : "sha1");
	// Git hashes a file's contents behind a header.
	if (checksum.algorithm === "git-sha1") hash.update(`blob ${await sizeOf(path)}\0`);
	for await (const piece of createReadStream(path, { highWaterMark: 2 ** 20 })) {
		signal?.throwIfAborted();
		hash.update(piece as Buffer);
	}
	return hash.digest("hex").startsWith(checksum.value);
}

function interrupted(file: RemoteFile, loaded: number, cause: TransientError): HubError {
	const amount = file.size === null ? `${loaded} bytes` : `${loaded} of ${file.size} bytes`;
	const message = `Fetching ${file.path} stopped after ${amount}: ${cause.message}. What came is kept; try again to go on.`;
	return new HubError("HUB_INTERRUPTED", message, { cause });
}

function wrongChecksum(file: RemoteFile): HubError {
	const message =
		`${file.path} was fetched but its contents are not those the Hub announced (${file.checksum?.algorithm} ` +
		`${file.checksum?.value}), so it was deleted. Try again, and another network or HF_ENDPOINT if it stays so.`;
	return new HubError("HUB_CHECKSUM", message);
}
