import { chmod, mkdir, mkdtemp, open, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { writeFileAtomic, writeFully } from "../../src/data/atomic.js";
import { FileError } from "../../src/errors.js";

let folder: string;
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "dd-atomic-"));
});
afterEach(async () => {
	await chmod(folder, 0o755);
	await rm(folder, { recursive: true });
});

async function failure(promise: Promise<unknown>): Promise<FileError> {
	const error = await promise.then(
		() => undefined,
		(reason: unknown) => reason,
	);
	expect(error).toBeInstanceOf(FileError);
	return error as FileError;
}

describe("writeFileAtomic", () => {
	test("writes text, views of part of a buffer, and what a function writes", async () => {
		await writeFileAtomic(join(folder, "text"), "naïve 猫\n");
		expect(await readFile(join(folder, "text"), "utf8")).toBe("naïve 猫\n");
		await writeFileAtomic(join(folder, "view"), Float32Array.of(1, 2, 3).subarray(1, 2));
		expect(await readFile(join(folder, "view"))).toEqual(Buffer.from(Float32Array.of(2).buffer));
		await writeFileAtomic(join(folder, "parts"), async (file) => {
			await writeFully(file, Uint8Array.of(1, 2));
			await writeFully(file, Uint8Array.of(3));
		});
		expect([...(await readFile(join(folder, "parts")))]).toEqual([1, 2, 3]);
		expect((await readdir(folder)).sort()).toEqual(["parts", "text", "view"]);
	});

	test("replaces a file whole and keeps its permissions", async () => {
		const path = join(folder, "secret");
		await writeFile(path, "a much longer first version", { mode: 0o600 });
		await writeFileAtomic(path, "short");
		expect(await readFile(path, "utf8")).toBe("short");
		expect((await stat(path)).mode & 0o777).toBe(0o600);
		await chmod(path, 0o666);
		await writeFileAtomic(path, "open to all");
		expect((await stat(path)).mode & 0o777).toBe(0o666);
	});

	test("writes through a symbolic link, which stays a link", async () => {
		await mkdir(join(folder, "real"));
		await writeFile(join(folder, "real", "file"), "old");
		await symlink(join("real", "file"), join(folder, "link"));
		await writeFileAtomic(join(folder, "link"), "new");
		expect(await readFile(join(folder, "real", "file"), "utf8")).toBe("new");
		expect(await readdir(join(folder, "real"))).toEqual(["file"]);
	});

	test("concurrent writers leave one complete version", async () => {
		const path = join(folder, "shared");
		const versions = Array.from({ length: 20 }, (_, i) => String(i).repeat(10_000));
		await Promise.all(versions.map((version) => writeFileAtomic(path, version)));
		expect(versions).toContain(await readFile(path, "utf8"));
		expect(await readdir(folder)).toEqual(["shared"]);
	});

	test("a failing writer leaves the old file and nothing else, and its own error comes through", async () => {
		const path = join(folder, "kept");
		await writeFile(path, "old");
		const mine = new Error("stopped by the caller");
		const write = writeFileAtomic(path, async (file) => {
			await writeFully(file, new Uint8Array(1000));
			throw mine;
		});
		await expect(write).rejects.toBe(mine);
		expect(await readFile(path, "utf8")).toBe("old");
		expect(await readdir(folder)).toEqual(["kept"]);
	});

	test.skipIf(process.platform !== "linux")("a full disk is one sentence and leaves nothing", async () => {
		const path = join(folder, "big");
		const error = await failure(
			writeFileAtomic(path, async () => {
				// The kernel's own "no space left" from the device that is always full.
				const full = await open("/dev/full", "w");
				await full.write(new Uint8Array(10)).finally(() => full.close());
			}),
		);
		expect(error.code).toBe("FILE_DISK_FULL");
		expect(error.message).toBe(`cannot write ${path}: the disk is full; free some space or choose another place`);
		expect(await readdir(folder)).toEqual([]);
	});

	test("a missing folder is named", async () => {
		const error = await failure(writeFileAtomic(join(folder, "missing", "file.txt"), ""));
		expect(error.code).toBe("FILE_NOT_FOUND");
		expect(error.message).toBe(`cannot write file.txt into ${join(folder, "missing")}: it does not exist`);
	});

	test("a file in the place of the folder, and a folder in the place of the file", async () => {
		await writeFile(join(folder, "file"), "");
		const inside = await failure(writeFileAtomic(join(folder, "file", "x"), ""));
		expect(inside.message).toContain("a part of its path is a file, not a folder");
		await mkdir(join(folder, "sub"));
		const onto = await failure(writeFileAtomic(join(folder, "sub"), ""));
		expect(onto.code).toBe("FILE_WRONG_KIND");
		expect((await readdir(folder)).sort()).toEqual(["file", "sub"]);
	});

	test.skipIf(process.platform === "win32")("a read-only folder is one sentence", async () => {
		await chmod(folder, 0o555);
		// Root may write anywhere, so root becomes an ordinary user for the length of the call.
		const root = process.geteuid?.() === 0;
		if (root) process.seteuid?.(65534);
		const error = await failure(writeFileAtomic(join(folder, "x"), "")).finally(() => {
			if (root) process.seteuid?.(0);
		});
		expect(error.code).toBe("FILE_ACCESS");
		expect(error.message).toContain(`cannot write ${join(folder, "x")}: permission was denied`);
	});

	test("names no file system allows", async () => {
		const zero = await failure(writeFileAtomic(join(folder, "a\0b"), ""));
		expect(zero.message).toContain("zero byte");
		const long = await failure(writeFileAtomic(join(folder, "n".repeat(300)), ""));
		expect(long.code).toBe("FILE_NAME");
		const empty = await failure(writeFileAtomic("", ""));
		expect(empty.message).toContain('""');
		expect(await readdir(folder)).toEqual([]);
	});
});
