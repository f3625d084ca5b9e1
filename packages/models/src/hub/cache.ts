import { copyFile, link, mkdir, readdir, readFile, rename, rm, stat, symlink } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { fileError, writeFileAtomic } from "@dreamdist/core";
import { HubError } from "./errors.js";
import { communityMirror, isCommit, isCommitName, type ModelId, parseModelId } from "./model-id.js";
import { cacheFolder } from "./settings.js";

/**
 * One repository in the Hub's cache, laid out as `huggingface_hub` does:
 * `models--org--name/{refs/<revision>, blobs/<etag>, snapshots/<commit>/<path> → blob}`.
 */
export class CachedRepository {
	readonly folder: string;
	readonly #id: ModelId;

	constructor(cacheDir: string, id: ModelId) {
		this.#id = id;
		this.folder = join(cacheDir, `models--${id.name.replaceAll("/", "--")}`);
	}

	snapshot(commit: string): string {
		return join(this.folder, "snapshots", commit);
	}

	blob(etag: string): string {
		return join(this.folder, "blobs", etag);
	}

	/** The commit that the revision stood for when it was last fetched; undefined when it never was. */
	async commit(): Promise<string | undefined> {
		const { revision } = this.#id;
		if (isCommit(revision)) return revision;
		try {
			const text = (await readFile(join(this.folder, "refs", revision), "utf8")).trim();
			return isCommitName(text) ? text : undefined;
		} catch {
			return undefined;
		}
	}

	/** Whether a snapshot has a file, contents included. */
	async has(commit: string, path: string): Promise<boolean> {
		return (await sizeOf(join(this.snapshot(commit), path))) !== undefined;
	}

	/** Makes a blob appear in a snapshot under its path: by a link, or by a copy where the system has no links. */
	async place(etag: string, commit: string, path: string): Promise<void> {
		const target = join(this.snapshot(commit), path);
		const blob = this.blob(etag);
		const temporary = `${target}.${process.pid}.tmp`;
		try {
			await mkdir(dirname(target), { recursive: true });
			await rm(temporary, { force: true });
			try {
				await symlink(relative(dirname(target), blob), temporary);
			} catch {
				await link(blob, temporary).catch(() => copyFile(blob, temporary));
			}
			await rename(temporary, target);
		} catch (error) {
			await rm(temporary, { force: true }).catch(() => undefined);
			throw fileError(error, "write", target);
		}
	}

	/** Records what the revision stands for. Done last, so that a revision never names half a snapshot. */
	async setCommit(commit: string): Promise<void> {
		if (isCommit(this.#id.revision)) return;
		const ref = join(this.folder, "refs", this.#id.revision);
		try {
			await mkdir(dirname(ref), { recursive: true });
		} catch (error) {
			throw fileError(error, "make the folder", dirname(ref));
		}
		await writeFileAtomic(ref, commit);
	}
}

/** Bytes of a file, links followed; undefined when there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
	try {
		return (await stat(path)).size;
	} catch {
		return undefined;
	}
}

/**
 * The folder (or file) of a model that is already on this machine: a path, or the snapshot of an id `name[@revision]` in
 * the Hub's cache. Never uses the network.
 *
 * @throws HubError `HUB_NOT_CACHED` with the command that fetches it; ArgumentError when it is neither a path nor an id
 */
export async function resolveCached(
	idOrPath: string,
	options: { cacheDir?: string | undefined } = {},
): Promise<string> {
	if ((await sizeOf(idOrPath)) !== undefined) return resolve(idOrPath);
	if (/^[.~/\\]|^[A-Za-z]:|\.(safetensors|ckpt)$|\/.*\//.test(idOrPath)) {
		throw new HubError("HUB_NOT_CACHED", `There is no model at ${idOrPath}: no such file or folder.`);
	}
	const id = parseModelId(idOrPath);
	const cacheDir = cacheFolder(options.cacheDir);
	const found = await findSnapshot(cacheDir, id);
	if (found !== undefined) return found;
	throw await notCached(cacheDir, id);
}

async function findSnapshot(cacheDir: string, id: ModelId): Promise<string | undefined> {
	const repository = new CachedRepository(cacheDir, id);
	const commit = await repository.commit();
	if (commit === undefined) return undefined;
	const snapshot = repository.snapshot(commit);
	const entries = await readdir(snapshot).catch(() => []);
	return entries.length > 0 ? snapshot : undefined;
}

/** The error for a model that the cache in `cacheDir` lacks. */
export async function notCached(cacheDir: string, id: ModelId): Promise<HubError> {
	const at = id.revision === "main" ? id.name : `${id.name}@${id.revision}`;
	const mirror = communityMirror(id.name);
	if (mirror === undefined) {
		const message = `${at} is neither a folder nor in the Hub's cache (${cacheDir}); fetch it with "pull ${at}".`;
		return new HubError("HUB_NOT_CACHED", message);
	}
	const isHere = (await findSnapshot(cacheDir, { name: mirror, revision: "main" })) !== undefined;
	const message =
		`${at} is not in the Hub's cache (${cacheDir}) and was taken down from the Hub. Its files are kept as ${mirror}, a ` +
		`mirror run by the community: ${isHere ? `it is in the cache; use ${mirror}` : `fetch it with "pull ${mirror}"`}.`;
	return new HubError("HUB_NOT_CACHED", message);
}
