import { randomBytes } from "node:crypto";
import { type FileHandle, open, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileError } from "./file-system.js";

/** What to write: text (as UTF-8), bytes, or a function that writes to the open file itself, from its start. */
export type FileContents = string | ArrayBufferView | ((file: FileHandle) => Promise<void>);

/**
 * Writes a file so that its name never stands for anything but complete contents: a temporary file beside it is written,
 * synced to the disk and renamed over it, and the folder is synced. An existing file is replaced (through a symbolic link,
 * the file it points to); its folder must exist. On any failure the temporary file is removed and the old file stays.
 *
 * A process killed in the middle can leave a hidden `.dreamdist-*.tmp` file, which is safe to delete.
 *
 * @throws FileError in one sentence when the folder is missing or read-only, the disk is full, or the name is a folder's
 */
export async function writeFileAtomic(path: string, contents: FileContents): Promise<void> {
	const { target, mode } = await existing(path);
	const folder = dirname(target);
	const temporary = join(folder, `.dreamdist-${randomBytes(8).toString("hex")}.tmp`);
	let created = false;
	try {
		const file = await open(temporary, "wx", mode);
		created = true;
		try {
			// Opening took away what the umask forbids new files; this one replaces a file that had it.
			if (mode !== undefined) await file.chmod(mode);
			if (typeof contents === "function") await contents(file);
			else if (typeof contents === "string") await writeFully(file, Buffer.from(contents, "utf8"));
			else await writeFully(file, contents);
			await file.sync();
		} finally {
			await file.close();
		}
		await rename(temporary, target);
	} catch (error) {
		if (created) await rm(temporary, { force: true }).catch(() => undefined);
		// Before the temporary file exists, "no such file" can only mean its folder.
		if (!created && (error as NodeJS.ErrnoException).code === "ENOENT") {
			throw fileError(error, `write ${basename(path)} into ${folder}`, folder);
		}
		throw fileError(error, "write", path);
	}
	await syncFolder(folder);
}

/** A write asks for at most this much at once: Linux transfers no more than 2 GiB - 4 KiB in one call. */
const WRITE_CHUNK = 2 ** 30;

/** Appends all of `data` to an open file, in as many writes as that takes. */
export async function writeFully(file: FileHandle, data: ArrayBufferView): Promise<void> {
	const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
	let done = 0;
	while (done < bytes.byteLength) {
		const { bytesWritten } = await file.write(bytes, done, Math.min(WRITE_CHUNK, bytes.byteLength - done));
		done += bytesWritten;
	}
}

/** What `path` stands for: behind symbolic links, and with the permissions of the file that is there already. */
async function existing(path: string): Promise<{ target: string; mode?: number }> {
	try {
		const target = await realpath(path);
		return { target, mode: (await stat(target)).mode & 0o777 };
	} catch {
		// Usually there is no file yet. Whatever else is wrong, opening the temporary file says so.
		return { target: path };
	}
}

/** Makes the rename itself survive a power cut. Systems that cannot sync a folder (Windows) order renames themselves. */
async function syncFolder(folder: string): Promise<void> {
	try {
		const handle = await open(folder, "r");
		try {
			await handle.sync();
		} finally {
			await handle.close();
		}
	} catch {
		// The file is complete and in place; a folder that cannot be opened or synced takes nothing from that.
	}
}
