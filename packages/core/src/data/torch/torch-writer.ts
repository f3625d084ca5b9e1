// Writing files that torch.load opens: plain values and float32 tensors, in the archive form of PyTorch 1.6 and later.
import { writeZip } from "../archive/zip-writer.js";

/** A float32 tensor to store, row-major. */
export class TensorToSave {
	constructor(
		readonly shape: readonly number[],
		readonly data: Float32Array,
	) {}
}

export type ValueToSave = null | string | number | TensorToSave | { readonly [key: string]: ValueToSave };

const u32 = (value: number): Buffer => {
	const bytes = Buffer.alloc(4);
	bytes.writeUInt32LE(value);
	return bytes;
};
const code = (text: string) => Buffer.from(text, "latin1");

/** Protocol 2, as torch.save has it. */
class PickleWriter {
	readonly parts: Buffer[] = [Buffer.from([0x80, 2])];
	readonly storages: Float32Array[] = [];

	value(value: ValueToSave): void {
		if (value === null) this.parts.push(code("N"));
		else if (typeof value === "string") this.text(value);
		else if (typeof value === "number") this.number(value);
		else if (value instanceof TensorToSave) this.tensor(value);
		else {
			this.parts.push(code("}("));
			for (const [key, item] of Object.entries(value)) {
				this.text(key);
				this.value(item);
			}
			this.parts.push(code("u"));
		}
	}

	private text(text: string): void {
		const bytes = Buffer.from(text, "utf8");
		this.parts.push(code("X"), u32(bytes.length), bytes);
	}

	private number(value: number): void {
		if (Number.isInteger(value) && Math.abs(value) < 2 ** 31) this.parts.push(code("J"), u32(value >>> 0));
		else {
			const bytes = Buffer.alloc(8);
			bytes.writeDoubleBE(value);
			this.parts.push(code("G"), bytes);
		}
	}

	private tuple(items: readonly (() => void)[]): void {
		this.parts.push(code("("));
		for (const item of items) item();
		this.parts.push(code("t"));
	}

	private tensor({ shape, data }: TensorToSave): void {
		const key = String(this.storages.length);
		this.storages.push(data);
		const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
		const push = (text: string) => () => this.parts.push(code(text));
		const numbers = (list: readonly number[]) => () => this.tuple(list.map((one) => () => this.number(one)));
		push("ctorch._utils\n_rebuild_tensor_v2\n")();
		this.tuple([
			() => {
				this.tuple([
					() => this.text("storage"),
					push("ctorch\nFloatStorage\n"),
					() => this.text(key),
					() => this.text("cpu"),
					() => this.number(data.length),
				]);
				push("Q")();
			},
			() => this.number(0),
			numbers(shape),
			numbers(strides),
			() => this.parts.push(Buffer.from([0x89])),
			push("ccollections\nOrderedDict\n)R"),
		]);
		push("R")();
	}
}

/** Writes a value as torch.save does, whole or not at all. */
export async function writeTorch(path: string, value: ValueToSave): Promise<void> {
	const pickle = new PickleWriter();
	pickle.value(value);
	pickle.parts.push(code("."));
	await writeZip(path, [
		{ name: "archive/data.pkl", pieces: [Buffer.concat(pickle.parts)] },
		...pickle.storages.map((data, i) => ({
			name: `archive/data/${i}`,
			pieces: [new Uint8Array(data.buffer, data.byteOffset, data.byteLength)],
		})),
		{ name: "archive/version", pieces: [code("3\n")] },
	]);
}
