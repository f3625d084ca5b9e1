import { constants, type FileHandle, mkdir, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { DreamdistError, FileError } from "../errors.js";

/** What each system error code means to the user: our code and the second half of the sentence. */
const MEANINGS: Record<string, [code: `FILE_${string}`, meaning: string]> = {
	ENOENT: ["FILE_NOT_FOUND", "it does not exist"],
	ENOTDIR: ["FILE_NOT_FOUND", "a part of its path is a file, not a folder"],
	EACCES: ["FILE_ACCESS", "permission was denied; check the owner and mode of the file and its folder"],
	EPERM: ["FILE_ACCESS", "the system does not permit it; check the owner and mode of the file and its folder"],
	EROFS: ["FILE_ACCESS", "its file system is read-only; choose another place"],
	ENOSPC: ["FILE_DISK_FULL", "the disk is full; free some space or choose another place"],
	EDQUOT: ["FILE_DISK_FULL", "the disk quota is used up; free some space or choose another place"],
	EFBIG: ["FILE_DISK_FULL", "the file is larger than its file system or the process's limit allows"],
	EISDIR: ["FILE_WRONG_KIND", "it is a folder, not a file"],
	ELOOP: ["FILE_WRONG_KIND", "its symbolic links go round in a circle"],
	ENAMETOOLONG: ["FILE_NAME", "the name is too long for its file system"],
	EMFILE: ["FILE_LIMIT", "too many files are open; raise the limit (ulimit -n)"],
	ENFILE: ["FILE_LIMIT", "too many files are open on this machine"],
	EIO: ["FILE_IO", "the device reported a read or write error"],
};

/**
 * The error of a failed file operation as one sentence: `cannot <action> <path>: <reason>`; when the action already ends in
 * the path, the path is not said twice. Errors that are already ours
 * pass through unchanged, as do errors that do not come from the file system.
 */
export function fileError(error: unknown, action: string, path: string): unknown {
	if (error instanceof DreamdistError || !(error instanceof Error)) return error;
	const { code } = error as NodeJS.ErrnoException;
	if (code === undefined) return error;
	if (code === "ERR_INVALID_ARG_VALUE") {
		// Node's refusal of a zero byte; the path itself is quoted so that it shows.
		const reason = "the name holds a zero byte, which no file system allows";
		return new FileError("FILE_NAME", path, `cannot ${action} ${JSON.stringify(path)}: ${reason}`, { cause: error });
	}
	if ((error as NodeJS.ErrnoException).syscall === undefined && !(code in MEANINGS)) return error;
	const [ours, meaning] = MEANINGS[code] ?? ["FILE_IO", `the system answered ${code}`];
	const what = action.endsWith(path) && path !== "" ? action : `${action} ${path === "" ? '""' : path}`;
	return new FileError(ours, path, `cannot ${what}: ${meaning}`, { cause: error });
}

/**
 * Opens a regular file for reading; folders, pipes and devices are refused. Opening without blocking matters for pipes,
 * where an ordinary open waits for the other end for ever.
 *
 * @returns the handle, which the caller closes, and the file's size in bytes
 */
export async function openRegularFile(path: string): Promise<{ handle: FileHandle; size: number }> {
	let handle: FileHandle | undefined;
	try {
		// Windows has no such flag, and no pipes among its files.
		handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
		const status = await handle.stat();
		if (!status.isFile()) {
			const kind = status.isDirectory() ? "a folder" : "a pipe or device";
			throw new FileError("FILE_WRONG_KIND", path, `cannot read ${path}: it is ${kind}, not a file`);
		}
		return { handle, size: status.size };
	} catch (error) {
		await handle?.close();
		throw fileError(error, "read", path);
	}
}

/**
 * Makes a folder and those above it. One by one: Node's own recursive mkdir never returns for a path below /proc, and says of a
 * read-only file system that the folder does not exist.
 *
 * @throws the system's error as it is; what it means depends on whose folder it is
 */
export async function makeFolders(path: string): Promise<void> {
	try {
		await mkdir(path);
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === "EEXIST" && (await stat(path)).isDirectory()) return;
		if (code !== "ENOENT" || dirname(path) === path || path.startsWith("/proc/")) throw error;
		await makeFolders(dirname(path));
		await mkdir(path).catch((again: NodeJS.ErrnoException) => {
			// Another process was faster.
			if (again.code !== "EEXIST") throw again;
		});
	}
}

/** One positioned read asks for at most this much: Linux transfers no more than 2 GiB - 4 KiB in one call. */
const READ_CHUNK = 2 ** 30;

/**
 * Fills `target` with the bytes of an open file from `position` on.
 *
 * @param path names the file in errors
 * @throws FileError when the file ends too early (it was cut while being read) or the device fails
 */
export async function readFully(handle: FileHandle, target: Uint8Array, position: number, path: string): Promise<void> {
	let done = 0;
	while (done < target.byteLength) {
		const length = Math.min(READ_CHUNK, target.byteLength - done);
		let bytesRead: number;
		try {
			({ bytesRead } = await handle.read(target, done, length, position + done));
		} catch (error) {
			throw fileError(error, "read", path);
		}
		if (bytesRead === 0) {
			const missing = target.byteLength - done;
			throw new FileError(
				"FILE_IO",
				path,
				`cannot read ${path}: it ended ${missing} bytes early, so it changed while open`,
			);
		}
		done += bytesRead;
	}
}

/**
 * A whole regular file as bytes.
 *
 * @param limit the size in bytes above which the file is refused, so that a wrong path never fills the memory
 */
export async function readWholeFile(path: string, limit: number): Promise<Uint8Array<ArrayBuffer>> {
	const { handle, size } = await openRegularFile(path);
	try {
		if (size > limit) {
			throw new FileError(
				"FILE_LIMIT",
				path,
				`cannot read ${path}: its ${size} bytes are over the limit of ${limit} for such a file`,
			);
		}
		const bytes = new Uint8Array(size);
		await readFully(handle, bytes, 0, path);
		return bytes;
	} finally {
		await handle.close();
	}
}
