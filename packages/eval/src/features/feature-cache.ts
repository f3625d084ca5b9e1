// Features of folders of pictures, kept between evaluations.
import { createHash } from "node:crypto";
import { mkdir, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { fileError, openSafetensors, writeSafetensors } from "@dreamdist/core";
import { type FeatureSet, featureSet } from "./feature-set.js";

/** Where features are kept: `$XDG_CACHE_HOME/dreamdist/features`, ~/.cache without it. */
export function featureCacheFolder(): string {
	const cache = process.env.XDG_CACHE_HOME?.trim();
	return join(cache ? resolve(cache) : join(homedir(), ".cache"), "dreamdist", "features");
}

/** Raised when features of the same files and encoder would come out differently. */
const VERSION = 1;

/** Features by encoder and files. A file that was written to since counts as another one. */
export class FeatureCache {
	/** @param folder null: nothing is kept */
	constructor(private readonly folder: string | null) {}

	/** The features of these files, from the cache or made now. */
	async get(encoderKey: string, files: readonly string[], make: () => Promise<FeatureSet>): Promise<FeatureSet> {
		if (this.folder === null) return make();
		const path = join(this.folder, `${await keyOf(encoderKey, files)}.safetensors`);
		const kept = await readKept(path, files.length);
		if (kept) return kept;
		const made = await make();
		try {
			await mkdir(this.folder, { recursive: true });
		} catch (error) {
			throw fileError(error, "make the folder", this.folder);
		}
		const data = Float32Array.from(made.data);
		await writeSafetensors(path, { features: { dtype: "F32", shape: [made.rows, made.width], data } });
		return made;
	}
}

async function keyOf(encoderKey: string, files: readonly string[]): Promise<string> {
	const hash = createHash("sha256").update(`${VERSION} ${encoderKey}\n`);
	for (const path of files) {
		const { size, mtimeMs } = await stat(path).catch((error) => {
			throw fileError(error, "read", path);
		});
		hash.update(`${resolve(path)} ${size} ${mtimeMs}\n`);
	}
	return hash.digest("hex").slice(0, 32);
}

/** What an earlier evaluation kept; a file that can't be read is made anew. */
async function readKept(path: string, rows: number): Promise<FeatureSet | null> {
	try {
		const file = await openSafetensors(path);
		try {
			const { shape } = file.entry("features");
			return shape[0] === rows ? featureSet(await file.readF32("features"), shape[1]!) : null;
		} finally {
			await file.close();
		}
	} catch {
		return null;
	}
}
