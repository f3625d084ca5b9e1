import { describe, expect, it } from "vitest";
import {
	PickleError,
	PickleGlobal,
	PickleObject,
	type PickleReader,
	PickleTuple,
	type PickleValue,
	readPickle,
} from "../../src/data/pickle/index.js";
import { bytes, pickled } from "./pickle-bytes.js";

/** Knows one class, whose objects are kept as they are. */
const reader: PickleReader = {
	knows: (name) => String(name) === "shop.Thing",
	call: (name, args) => new PickleObject(name, args),
	persistent: (id) => new PickleTuple(["persistent", id]),
};
const read = (...parts: (number | string | Uint8Array)[]): PickleValue =>
	readPickle(bytes(...parts, "."), reader).value;

describe("a pickle", () => {
	// What CPython's pickle.dumps gives for each of these values and protocols.
	it.each([
		["None, protocol 0", bytes("N"), null],
		["True, protocol 0", bytes("I01\n"), true],
		["True, protocol 2", bytes(0x80, 2, 0x88), true],
		["-5, protocol 0", bytes("I-5\n"), -5],
		["300, protocol 2", bytes(0x80, 2, "M\x2c\x01"), 300],
		["-2**31", bytes("J\x00\x00\x00\x80"), -(2 ** 31)],
		["2**70", bytes(0x8a, 9, "\x00\x00\x00\x00\x00\x00\x00\x00\x40"), 2n ** 70n],
		["-2**70, protocol 0", bytes("L-1180591620717411303424L\n"), -(2n ** 70n)],
		["-1 as LONG1", bytes(0x8a, 1, 0xff), -1],
		["0.5, protocol 0", bytes("F0.5\n"), 0.5],
		["0.5, protocol 1", bytes("G\x3f\xe0\x00\x00\x00\x00\x00\x00"), 0.5],
		["-inf, protocol 0", bytes("F-inf\n"), -Infinity],
		["'a\\nb', Python 2", bytes("S'a\\nb\\x41'\n"), "a\nbA"],
		["'é', Python 2", bytes("U\x01\xe9"), "é"],
		["'é', protocol 4", bytes(0x80, 4, 0x95, 5, 0, 0, 0, 0, 0, 0, 0, 0x8c, 2, "\xc3\xa9", 0x94), "é"],
		["b'ab'", bytes("C\x02ab"), Uint8Array.from([97, 98])],
		["bytearray(b'ab')", bytes(0x96, 2, 0, 0, 0, 0, 0, 0, 0, "ab"), Uint8Array.from([97, 98])],
		["[1, [2]]", bytes("](K\x01](K\x02ee"), [1, [2]]],
		["[1], protocol 0", bytes("(lp0\nI1\na"), [1]],
		["(), (1,), (1, 2), (1, 2, 3)", bytes("]()K\x01\x85K\x01K\x02\x86K\x01K\x02K\x03\x87e"), null],
		["{1: 'a'}", bytes("}K\x01X\x01\x00\x00\x00as"), new Map([[1, "a"]])],
		["{}, protocol 0", bytes("(dp0\n"), new Map()],
		["{1, 2}", bytes(0x80, 4, 0x8f, "(K\x01K\x02", 0x90), new Set([1, 2])],
		["frozenset({1})", bytes(0x80, 4, "(K\x01", 0x91), new Set([1])],
	])("%s", (name, data, expected) => {
		const value = read(data);
		if (value instanceof Uint8Array) return expect([...value]).toEqual([...(expected as Uint8Array)]);
		if (!name.startsWith("()")) return expect(value).toEqual(expected);
		expect((value as PickleTuple[]).map(({ items }) => items)).toEqual([[], [1], [1, 2], [1, 2, 3]]);
	});

	it("keeps what is shared shared, cycles included", () => {
		// a = []; [a, a], and a list that holds itself
		const pair = read("](]q\x05h\x05e") as PickleValue[][];
		expect(pair[0]).toBe(pair[1]);
		const self = read("]q\x00h\x00a") as PickleValue[];
		expect(self[0]).toBe(self);
		expect(read("]", 0x94, "(", "h\x00", "2", "0e")).toEqual([expect.any(Array)]);
	});

	it("makes objects and persistent values of what its reader knows, and sets their state", () => {
		const object = read(pickled.call(pickled.global("shop", "Thing"), pickled.number(3)), "}X\x01\x00\x00\x00aK\x02sb");
		expect(object).toBeInstanceOf(PickleObject);
		expect((object as PickleObject).args).toEqual([3]);
		expect((object as PickleObject).state).toEqual(new Map([["a", 2]]));
		const modern = read(0x80, 4, 0x8c, 4, "shop", 0x8c, 5, "Thing", 0x93, ")", 0x81) as PickleObject;
		expect(modern.type).toEqual(new PickleGlobal("shop", "Thing"));
		expect(read("X\x02\x00\x00\x00idQ")).toEqual(new PickleTuple(["persistent", "id"]));
	});

	it("says where it ends, for what stands behind it", () => {
		expect(readPickle(bytes("K\x01.rest"), reader)).toEqual({ value: 1, length: 3 });
	});

	it.each([
		["a name", bytes("cos\nsystem\n"), "it names os.system, which is not read here"],
		["a name of protocol 4", bytes(0x8c, 2, "os", 0x8c, 6, "system", 0x93), "it names os.system"],
		["a name with line feeds", bytes(0x8c, 2, "o\n", 0x8c, 1, "x", 0x93), "it names o?.x"],
		["INST", bytes("(S'ls'\nios\nsystem\n"), "it uses INST"],
		["OBJ", bytes("(o"), "it uses OBJ"],
		["EXT1", bytes(0x82, 1), "it uses EXT1"],
		["a buffer", bytes(0x97), "it uses NEXT_BUFFER"],
		["a call of a text", bytes("X\x01\x00\x00\x00a)R"), "it calls a string"],
		["a call with a list", bytes(pickled.global("shop", "Thing"), "]R"), "it calls shop.Thing with a list"],
		["named arguments", bytes(pickled.global("shop", "Thing"), ")}K\x01K\x02s", 0x92), "named arguments"],
		["a state of a list", bytes("]Nb"), "sets the state of a list"],
		["an unknown byte", bytes(0xff), "0xff, which is no instruction"],
		["a protocol of the future", bytes(0x80, 9), "it has protocol 9"],
		["an empty stack", bytes("0"), "takes a value where there is none"],
		["a tuple below its mark", bytes("K\x01(\x85"), "takes a value where there is none"],
		["no mark", bytes("t"), "ends a sequence that has not begun"],
		["an unknown memo", bytes("h\x07"), "refers to value 7"],
		["a memo that is no number", bytes("gx\n"), "is no index"],
		["two values", bytes("K\x01K\x02"), "does not end in one value"],
		["an odd dict", bytes("}(K\x01u"), "a key without a value"],
		["appending to a dict", bytes("}(K\x01e"), "appends to a dict"],
		["entries of a list", bytes("]K\x01K\x02s"), "puts entries into a list"],
		["a number with letters", bytes("I1x\n"), "a damaged whole number"],
		["a long number", bytes("L", "9".repeat(400), "L\n"), "a damaged whole number"],
		["a number of 2 GiB", bytes(0x8b, "\xff\xff\xff\x7f"), "a whole number of 2147483647 bytes"],
		["a damaged float", bytes("Fx\n"), "a damaged number"],
		["a text of 4 GiB", bytes("X\xff\xff\xff\xff"), "goes on where the file ends"],
		["a text of 2**64 bytes", bytes(0x8d, "\xff".repeat(8)), "goes on where the file ends"],
		["marks without end", bytes("(".repeat(20_000)), "nested too deeply"],
		["nothing", bytes(), "does not end in one value"],
	])("is refused with %s", (_, data, message) => {
		expect(() => read(data)).toThrow(PickleError);
		expect(() => read(data)).toThrow(message);
	});
});
