import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ZipArchive } from "../../src/data/archive/zip-reader.js";
import { writeZip } from "../../src/data/archive/zip-writer.js";
import { NpzFile, writeNpz } from "../../src/data/numpy/index.js";
import { bytes, zipBytes } from "./pickle-bytes.js";

let folder: string;
let path: string;
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "dd-npz-"));
	path = join(folder, "file.npz");
});
afterAll(() => rmSync(folder, { recursive: true }));

const npy = (header: string, data: Uint8Array, version = 1) =>
	bytes("\x93NUMPY", version, 0, header.length & 255, header.length >> 8, ...(version > 1 ? [0, 0] : []), header, data);
const array = (header: string, data: Uint8Array = new Uint8Array(), version = 1) =>
	zipBytes([{ name: "a.npy", data: npy(header, data, version) }]);

async function opened<T>(data: Uint8Array, use: (npz: NpzFile) => Promise<T>): Promise<T> {
	writeFileSync(path, data);
	const npz = await NpzFile.open(path);
	try {
		return await use(npz);
	} finally {
		await npz.close();
	}
}

const three = Buffer.from(Float32Array.from([1, 2.5, -3]).buffer);

describe("an .npz file", () => {
	it("comes back as it was written", async () => {
		const means = Float64Array.from({ length: 6 }, (_, i) => i / 7);
		await writeNpz(path, {
			means: { shape: [1, 2, 3], data: means },
			one: { shape: [2], data: Float32Array.from([0.5, 2]) },
			names: { texts: ["église 🏰", "", "b"] },
		});
		await opened(readFileSync(path), async (npz) => {
			expect(npz.names).toEqual(["means", "one", "names"]);
			expect(await npz.numbers("means")).toEqual({ shape: [1, 2, 3], data: means });
			expect(await npz.numbers("one")).toEqual({ shape: [2], data: Float64Array.from([0.5, 2]) });
			expect(await npz.texts("names")).toEqual(["église 🏰", "", "b"]);
			await expect(npz.numbers("stds")).rejects.toThrow('no array "stds", only "means", "one", "names"');
			await expect(npz.numbers("names")).rejects.toThrow(/type "<U8", not numbers/);
		});
		// Data begin at a multiple of 64 within each array's file, as NumPy has it.
		const archive = await ZipArchive.open(path);
		const member = await archive.read(archive.member("one.npy"), 1000);
		expect(member.length - 8).toBe(128);
		await archive.close();
	});

	it.each([
		["version 1", array("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", three)],
		["version 2", array("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }  \n", three, 2)],
		["keys in another order", array("{'shape': (3,), 'fortran_order': False, 'descr': '<f4'}", three)],
	])("is read in %s", async (_, data) => {
		await opened(data, async (npz) => {
			expect(await npz.numbers("a")).toEqual({ shape: [3], data: Float64Array.from([1, 2.5, -3]) });
		});
	});

	it("gives columns' order as rows'", async () => {
		const data = Buffer.from(Float64Array.from([0, 3, 1, 4, 2, 5]).buffer);
		await opened(array("{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }", data), async (npz) => {
			expect([...(await npz.numbers("a")).data]).toEqual([0, 1, 2, 3, 4, 5]);
		});
	});

	it.each([
		["no magic", zipBytes([{ name: "a.npy", data: bytes("hello, world") }]), "not in the .npy format"],
		[
			"Python objects",
			array("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", three),
			"Python objects, not numbers",
		],
		[
			"records",
			array("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }", three),
			"an array of records",
		],
		["big-endian numbers", array("{'descr': '>f4', 'fortran_order': False, 'shape': (3,), }", three), 'type ">f4"'],
		[
			"a shape that does not fit",
			array("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", three),
			"does not fit its 12 bytes",
		],
		[
			"a negative side",
			array("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }", three),
			"shape (-3,) can't be understood",
		],
		[
			"code",
			array("{'descr': __import__('os'), 'fortran_order': False, 'shape': (3,), }", three),
			"can't be understood",
		],
		["no shape", array("{'descr': '<f4', 'fortran_order': False, }", three), "lacks"],
		["version 9", array("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", three, 9), "version 9"],
	])("is refused with %s", async (_, data, message) => {
		await opened(data, async (npz) => {
			await expect(npz.numbers("a")).rejects.toThrow(message);
			await expect(npz.numbers("a")).rejects.toThrow(path);
		});
	});
});

describe("a zip archive", () => {
	const members = [
		{ name: "a", data: bytes("hello") },
		{ name: "b", data: bytes("x".repeat(1000)), deflated: true },
		{ name: "c", data: bytes("far"), zip64: true },
	];

	it("is read in every form", async () => {
		writeFileSync(path, bytes(zipBytes(members)));
		const archive = await ZipArchive.open(path);
		for (const { name, data } of members)
			expect(Buffer.from(await archive.read(archive.member(name), 10_000))).toEqual(data);
		await expect(archive.read(archive.member("b"), 999)).rejects.toThrow(/has 1000 bytes; at most 999 are read/);
		expect(() => archive.member("d")).toThrow(/no member "d"/);
		expect(await archive.storedAt(archive.member("a"))).toBe(36);
		expect(await archive.storedAt(archive.member("b"))).toBeNull();
		await archive.close();
	});

	it("written is the same bytes every time", async () => {
		await writeZip(path, [{ name: "é", pieces: [bytes("ab"), bytes("c")] }]);
		const first = readFileSync(path);
		await writeZip(path, [{ name: "é", pieces: [bytes("a"), bytes("bc")] }]);
		expect(readFileSync(path)).toEqual(first);
		const archive = await ZipArchive.open(path);
		expect(Buffer.from(await archive.read(archive.member("é"), 10)).toString()).toBe("abc");
		await archive.close();
	});

	it.each([
		[
			"a changed byte",
			(data: Buffer) => bytes(data.subarray(0, 38), "L", data.subarray(39)),
			/checksum of member "a" is wrong/,
		],
		[
			"a compressed bomb",
			(data: Buffer) => {
				const copy = Buffer.from(data);
				// The directory claims fewer bytes than come out.
				copy.writeUInt32LE(10, copy.indexOf("PK\x01\x02", copy.indexOf("PK\x01\x02") + 1) + 24);
				return copy;
			},
			/member "b" (can't be inflated|has 11 bytes instead of 10)/,
		],
		["no end", (data: Buffer) => data.subarray(0, -30), /no directory at its end/],
		["a name twice", () => zipBytes([members[0]!, members[0]!]), /two members "a"/],
	])("is refused with %s", async (_, change, message) => {
		writeFileSync(path, change(zipBytes(members)));
		const read = async () => {
			const archive = await ZipArchive.open(path);
			try {
				for (const member of archive.members.values()) await archive.read(member, 10_000);
			} finally {
				await archive.close();
			}
		};
		await expect(read()).rejects.toThrow(message);
	});
});
