// The bytes of a pickle, read one piece after another.

/** The pickle is damaged, or holds what is not read here. Its message is half a sentence. */
export class PickleError extends Error {}

/** The pickle goes on where its bytes end. */
export class PickleEndError extends PickleError {
	constructor() {
		super("it goes on where the file ends");
	}
}

const MAX_LINE = 2 ** 20;
const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });

export class ByteReader {
	private readonly view: DataView;
	/** Position of the next byte. */
	at = 0;

	constructor(private readonly data: Uint8Array) {
		this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
	}

	u8(): number {
		return this.view.getUint8(this.skip(1));
	}

	u16(): number {
		return this.view.getUint16(this.skip(2), true);
	}

	u32(): number {
		return this.view.getUint32(this.skip(4), true);
	}

	i32(): number {
		return this.view.getInt32(this.skip(4), true);
	}

	/** Big-endian, as pickles have it. */
	f64(): number {
		return this.view.getFloat64(this.skip(8), false);
	}

	/** A 64-bit length. */
	length64(): number {
		const value = this.view.getBigUint64(this.skip(8), true);
		if (value > BigInt(this.data.length)) throw new PickleEndError();
		return Number(value);
	}

	/** Shares memory. */
	bytes(length: number): Uint8Array {
		const from = this.skip(length);
		return this.data.subarray(from, from + length);
	}

	/** UTF-8 in which Python may have put lone surrogates; those become U+FFFD. */
	text(length: number): string {
		return UTF8.decode(this.bytes(length));
	}

	/** Up to the next line feed, which is taken too. */
	line(): string {
		const end = this.data.indexOf(0x0a, this.at);
		if (end < 0) throw new PickleEndError();
		if (end - this.at > MAX_LINE) throw new PickleError("a line of text has more than a million characters");
		const text = this.text(end - this.at);
		this.at++;
		return text;
	}

	/** A two's complement number, little-endian. */
	integer(length: number): number | bigint {
		if (length > MAX_INTEGER_BYTES) throw new PickleError(`it holds a whole number of ${length} bytes`);
		const bytes = this.bytes(length);
		let value = 0n;
		for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
		return narrowed(length > 0 && bytes[length - 1]! >= 0x80 ? value - (1n << BigInt(8 * length)) : value);
	}

	private skip(length: number): number {
		if (length > this.data.length - this.at) throw new PickleEndError();
		this.at += length;
		return this.at - length;
	}
}

/** Larger ones mean nothing here, and take longer than linear time to read. */
const MAX_INTEGER_BYTES = 64;

/** A number where a double holds the value exactly. */
export function narrowed(value: bigint): number | bigint {
	return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}
