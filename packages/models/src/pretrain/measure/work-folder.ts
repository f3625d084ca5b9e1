// Long measurements in parts: each part's result is a file, so that what was interrupted goes on where it stopped.
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, fileError, writeFileAtomic } from "@dreamdist/core";
import { isNotThere, readJsonFile } from "../../loading/json-file.js";

export class WorkFolder {
	private constructor(readonly folder: string) {}

	/**
	 * Opens a folder for one measurement, or makes it.
	 *
	 * @param identity everything that the results depend on
	 * @throws FormatError `BAD_MEASUREMENT` where it holds another one's results
	 */
	static async open(folder: string, identity: unknown): Promise<WorkFolder> {
		try {
			await mkdir(folder, { recursive: true });
		} catch (error) {
			throw fileError(error, "make the folder", folder);
		}
		const work = new WorkFolder(folder);
		const own = createHash("sha256").update(JSON.stringify(identity)).digest("hex");
		const before = await work.read("measurement");
		if (before === undefined) await work.write("measurement", { of: own });
		else if ((before as { of?: unknown }).of !== own)
			throw new FormatError(
				"BAD_MEASUREMENT",
				folder,
				`${folder} holds a measurement of other weights or with other settings; choose another folder`,
			);
		return work;
	}

	/** A part's result: as it was found before, or made and kept. It must be what JSON can hold. */
	async part<T>(name: string, make: () => Promise<T>): Promise<T> {
		const kept = await this.read(name);
		if (kept !== undefined) return kept as T;
		const result = await make();
		await this.write(name, result);
		return result;
	}

	private async read(name: string): Promise<unknown> {
		try {
			return await readJsonFile(join(this.folder, `${name}.json`));
		} catch (error) {
			if (isNotThere(error)) return undefined;
			throw error;
		}
	}

	private async write(name: string, value: unknown): Promise<void> {
		await writeFileAtomic(join(this.folder, `${name}.json`), `${JSON.stringify(value)}\n`);
	}
}
