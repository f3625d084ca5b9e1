// Reads Python pickles as data. A pickle is a program for a small stack machine that may name and call anything in Python; this
// machine calls nothing. What a name and its arguments become is decided by whoever reads the pickle, from a fixed list; every
// other name is refused.
// The format: https://docs.python.org/3/library/pickle.html and CPython's Lib/pickletools.py, protocols 0 to 5.
import { ByteReader, narrowed, PickleError } from "./byte-reader.js";
import { PickleExtension, PickleGlobal, PickleObject, PickleTuple, type PickleValue, pickleKind } from "./values.js";

/** What a pickle's names mean to the reader of a format. It throws PickleErrors. */
export interface PickleReader {
	/** Whether a pickle may name it at all. */
	knows(name: PickleGlobal): boolean;
	/** The value of a call. */
	call(name: PickleGlobal, args: readonly PickleValue[]): PickleValue;
	/** An object stored outside of the pickle. */
	persistent(id: PickleValue): PickleValue;
}

/** More nested marks than any value needs. */
const MAX_MARKS = 10_000;

type Instruction = (machine: PickleMachine) => void;

export class PickleMachine {
	private readonly stack: PickleValue[] = [];
	/** Heights of the stack. */
	private readonly marks: number[] = [];
	private readonly memo = new Map<number, PickleValue>();

	constructor(
		readonly input: ByteReader,
		readonly reader: PickleReader,
	) {}

	run(): PickleValue {
		for (;;) {
			const code = this.input.u8();
			if (code === STOP) {
				if (this.stack.length !== 1 || this.marks.length > 0) throw new PickleError("it does not end in one value");
				return this.stack[0]!;
			}
			const instruction = INSTRUCTIONS.get(code);
			if (!instruction) {
				const name = REFUSED.get(code);
				throw new PickleError(
					name ? `it uses ${name}, which is not read here` : `it holds 0x${code.toString(16)}, which is no instruction`,
				);
			}
			instruction(this);
		}
	}

	push(value: PickleValue): void {
		this.stack.push(value);
	}

	pop(): PickleValue {
		if (this.stack.length <= (this.marks.at(-1) ?? 0)) throw new PickleError("it takes a value where there is none");
		return this.stack.pop()!;
	}

	/** The value on top, which stays. */
	top(): PickleValue {
		const value = this.pop();
		this.stack.push(value);
		return value;
	}

	mark(): void {
		if (this.marks.length >= MAX_MARKS) throw new PickleError("it is nested too deeply");
		this.marks.push(this.stack.length);
	}

	/** The values since the last mark. */
	popMark(): PickleValue[] {
		const height = this.marks.pop();
		if (height === undefined) throw new PickleError("it ends a sequence that has not begun");
		return this.stack.splice(height);
	}

	/** POP takes a mark where that is on top. */
	drop(): void {
		if (this.marks.at(-1) === this.stack.length) this.marks.pop();
		else this.pop();
	}

	put(index: number): void {
		this.memo.set(index, this.top());
	}

	memoize(): void {
		this.put(this.memo.size);
	}

	get(index: number): void {
		const value = this.memo.get(index);
		if (value === undefined) throw new PickleError(`it refers to value ${index}, which it has not made`);
		this.push(value);
	}

	global(module: string, name: string): void {
		const value = new PickleGlobal(module, name);
		if (!this.reader.knows(value)) throw new PickleError(`it names ${shown(value)}, which is not read here`);
		this.push(value);
	}

	call(name: PickleValue, args: PickleValue): void {
		if (!(name instanceof PickleGlobal)) throw new PickleError(`it calls ${pickleKind(name)}`);
		if (!(args instanceof PickleTuple)) throw new PickleError(`it calls ${name} with ${pickleKind(args)}`);
		this.push(this.reader.call(name, args.items));
	}

	setItems(items: readonly PickleValue[]): void {
		const target = this.top();
		if (!(target instanceof Map)) throw new PickleError(`it puts entries into ${pickleKind(target)}`);
		if (items.length % 2 !== 0) throw new PickleError("it has a key without a value");
		for (let i = 0; i < items.length; i += 2) target.set(items[i]!, items[i + 1]!);
	}

	append(items: readonly PickleValue[]): void {
		const target = this.top();
		if (!Array.isArray(target)) throw new PickleError(`it appends to ${pickleKind(target)}`);
		for (const item of items) target.push(item);
	}

	addItems(items: readonly PickleValue[]): void {
		const target = this.top();
		if (!(target instanceof Set)) throw new PickleError(`it adds to ${pickleKind(target)}`);
		for (const item of items) target.add(item);
	}

	/** State of containers and extensions (an OrderedDict's attributes) says nothing about their values. */
	build(): void {
		const state = this.pop();
		const target = this.top();
		if (target instanceof PickleObject) target.state = state;
		else if (!(target instanceof Map) && !(target instanceof PickleExtension))
			throw new PickleError(`it sets the state of ${pickleKind(target)}`);
	}
}

/** A name from a file as it may stand in a sentence. */
function shown(name: PickleGlobal): string {
	const text = String(name).replace(/[^\x20-\x7e]/g, "?");
	return text.length > 120 ? `${text.slice(0, 119)}…` : text;
}

const dictionary = (items: readonly PickleValue[]): Map<PickleValue, PickleValue> => {
	if (items.length % 2 !== 0) throw new PickleError("it has a key without a value");
	const map = new Map<PickleValue, PickleValue>();
	for (let i = 0; i < items.length; i += 2) map.set(items[i]!, items[i + 1]!);
	return map;
};

const textLine = (machine: PickleMachine): number => {
	const line = machine.input.line();
	if (!/^\d{1,9}$/.test(line)) throw new PickleError(`"${line.slice(0, 20)}" is no index`);
	return Number(line);
};

function integerText(line: string): number | bigint | boolean {
	if (line === "00" || line === "01") return line === "01";
	const digits = line.replace(/L$/, "").trim();
	if (!/^[+-]?\d{1,150}$/.test(digits)) throw new PickleError("it holds a damaged whole number");
	return narrowed(BigInt(digits.replace(/^\+/, "")));
}

function floatText(line: string): number {
	const special = { inf: Infinity, "-inf": -Infinity, nan: NaN }[line.trim()];
	const value = special ?? Number(line);
	if (line.trim() === "" || (special === undefined && Number.isNaN(value)))
		throw new PickleError("it holds a damaged number");
	return value;
}

/** Protocol 0's quoted text, with Python's escapes. */
function quotedText(line: string): string {
	const match = /^(['"])(.*)\1$/s.exec(line.trim());
	if (!match) throw new PickleError("it holds a damaged string");
	return match[2]!.replace(/\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)/gs, (_, code: string) => {
		if (code.startsWith("x") && code.length === 3) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
		if (/^[0-7]/.test(code)) return String.fromCharCode(Number.parseInt(code, 8) & 0xff);
		return { n: "\n", r: "\r", t: "\t", a: "\x07", b: "\b", f: "\f", v: "\v" }[code] ?? code;
	});
}

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");

const STOP = 0x2e;

const push =
	(read: (input: ByteReader) => PickleValue): Instruction =>
	(machine) =>
		machine.push(read(machine.input));

/** Instructions by their byte, with the names of CPython's pickle.py. */
const INSTRUCTIONS: ReadonlyMap<number, Instruction> = new Map<number, Instruction>([
	// PROTO
	[
		0x80,
		(m) => {
			const protocol = m.input.u8();
			if (protocol > 5) throw new PickleError(`it has protocol ${protocol}; up to 5 are read`);
		},
	],
	// FRAME: only says how much to read at once.
	[0x95, (m) => void m.input.length64()],
	// MARK, POP, POP_MARK, DUP
	[0x28, (m) => m.mark()],
	[0x30, (m) => m.drop()],
	[0x31, (m) => void m.popMark()],
	[0x32, (m) => m.push(m.top())],
	// NONE, NEWTRUE, NEWFALSE
	[0x4e, (m) => m.push(null)],
	[0x88, (m) => m.push(true)],
	[0x89, (m) => m.push(false)],
	// INT, BININT, BININT1, BININT2, LONG, LONG1, LONG4
	[0x49, push((input) => integerText(input.line()))],
	[0x4a, push((input) => input.i32())],
	[0x4b, push((input) => input.u8())],
	[0x4d, push((input) => input.u16())],
	[0x4c, push((input) => integerText(input.line()))],
	[0x8a, push((input) => input.integer(input.u8()))],
	[0x8b, push((input) => input.integer(input.u32()))],
	// FLOAT, BINFLOAT
	[0x46, push((input) => floatText(input.line()))],
	[0x47, push((input) => input.f64())],
	// STRING, BINSTRING, SHORT_BINSTRING: Python 2's, whose bytes are read as Latin-1
	[0x53, push((input) => quotedText(input.line()))],
	[0x54, push((input) => latin1(input.bytes(input.u32())))],
	[0x55, push((input) => latin1(input.bytes(input.u8())))],
	// UNICODE, SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
	[0x56, push((input) => input.line())],
	[0x8c, push((input) => input.text(input.u8()))],
	[0x58, push((input) => input.text(input.u32()))],
	[0x8d, push((input) => input.text(input.length64()))],
	// SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8
	[0x43, push((input) => input.bytes(input.u8()))],
	[0x42, push((input) => input.bytes(input.u32()))],
	[0x8e, push((input) => input.bytes(input.length64()))],
	[0x96, push((input) => input.bytes(input.length64()))],
	// EMPTY_LIST, APPEND, APPENDS, LIST
	[0x5d, (m) => m.push([])],
	[
		0x61,
		(m) => {
			const item = m.pop();
			m.append([item]);
		},
	],
	[0x65, (m) => m.append(m.popMark())],
	[0x6c, (m) => m.push(m.popMark())],
	// EMPTY_TUPLE, TUPLE, TUPLE1, TUPLE2, TUPLE3
	[0x29, (m) => m.push(new PickleTuple([]))],
	[0x74, (m) => m.push(new PickleTuple(m.popMark()))],
	...[1, 2, 3].map((count): [number, Instruction] => [
		0x84 + count,
		(m) => {
			const items: PickleValue[] = [];
			for (let i = 0; i < count; i++) items.unshift(m.pop());
			m.push(new PickleTuple(items));
		},
	]),
	// EMPTY_DICT, DICT, SETITEM, SETITEMS
	[0x7d, (m) => m.push(new Map())],
	[0x64, (m) => m.push(dictionary(m.popMark()))],
	[
		0x73,
		(m) => {
			const value = m.pop();
			const key = m.pop();
			m.setItems([key, value]);
		},
	],
	[0x75, (m) => m.setItems(m.popMark())],
	// EMPTY_SET, ADDITEMS, FROZENSET
	[0x8f, (m) => m.push(new Set())],
	[0x90, (m) => m.addItems(m.popMark())],
	[0x91, (m) => m.push(new Set(m.popMark()))],
	// GET, BINGET, LONG_BINGET, PUT, BINPUT, LONG_BINPUT, MEMOIZE
	[0x67, (m) => m.get(textLine(m))],
	[0x68, (m) => m.get(m.input.u8())],
	[0x6a, (m) => m.get(m.input.u32())],
	[0x70, (m) => m.put(textLine(m))],
	[0x71, (m) => m.put(m.input.u8())],
	[0x72, (m) => m.put(m.input.u32())],
	[0x94, (m) => m.memoize()],
	// GLOBAL, STACK_GLOBAL
	[
		0x63,
		(m) => {
			const module = m.input.line();
			m.global(module, m.input.line());
		},
	],
	[
		0x93,
		(m) => {
			const name = m.pop();
			const module = m.pop();
			if (typeof module !== "string" || typeof name !== "string")
				throw new PickleError("it names something with other than text");
			m.global(module, name);
		},
	],
	// REDUCE, NEWOBJ, NEWOBJ_EX, BUILD
	[
		0x52,
		(m) => {
			const args = m.pop();
			m.call(m.pop(), args);
		},
	],
	[
		0x81,
		(m) => {
			const args = m.pop();
			m.call(m.pop(), args);
		},
	],
	[
		0x92,
		(m) => {
			const keywords = m.pop();
			const args = m.pop();
			if (!(keywords instanceof Map) || keywords.size > 0)
				throw new PickleError("it makes an object with named arguments, which is not read here");
			m.call(m.pop(), args);
		},
	],
	[0x62, (m) => m.build()],
	// PERSID, BINPERSID
	[0x50, (m) => m.push(m.reader.persistent(m.input.line()))],
	[0x51, (m) => m.push(m.reader.persistent(m.pop()))],
]);

/** Instructions that exist and are never followed: old ways to call, a registry of names, buffers outside of the pickle. */
const REFUSED: ReadonlyMap<number, string> = new Map([
	[0x69, "INST"],
	[0x6f, "OBJ"],
	[0x82, "EXT1"],
	[0x83, "EXT2"],
	[0x84, "EXT4"],
	[0x97, "NEXT_BUFFER"],
	[0x98, "READONLY_BUFFER"],
]);

/**
 * Reads the pickle at the start of some bytes. Time and memory are proportional to the bytes.
 *
 * @param data values of bytes share its memory
 * @param reader decides what names mean
 * @returns the value, and how many bytes the pickle has
 * @throws PickleError, its message half a sentence; PickleEndError where the bytes end too early
 */
export function readPickle(data: Uint8Array, reader: PickleReader): { value: PickleValue; length: number } {
	const input = new ByteReader(data);
	const value = new PickleMachine(input, reader).run();
	return { value, length: input.at };
}
