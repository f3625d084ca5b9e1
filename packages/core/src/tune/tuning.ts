// Which ways of computing were measured to be the fastest on a card, kept in a file for each kind of card.
import { mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { DTYPE_CODES, type NativeDevice } from "@dreamdist/native-cuda";
import { writeFileAtomic } from "../data/atomic.js";
import { DreamdistError } from "../errors.js";
import type { DType } from "../graph/types.js";

/** What decides how a call is computed: the kernel, its integers, and its operands' types (null: absent). */
export interface CallShape {
	readonly kernel: string;
	readonly ints: readonly number[];
	readonly dtypes: readonly (DType | null)[];
}

/** A tile of a block (rows × columns) and the parts that the sum is cut into: "128x128/4". */
export type ChoiceName = string;

/** Times of one call shape, in microseconds. */
export interface TunedCall {
	/** The fastest; null: the kernel's own estimate. */
	readonly choice: ChoiceName | null;
	readonly microseconds: number;
	/** Of the kernel's own estimate. */
	readonly estimated: number;
}

/** The kernel's own estimate. */
export const ESTIMATE = 0;

export const choiceName = (code: number): ChoiceName => `${code >> 20}x${(code >> 8) & 0xfff}/${code & 0xff}`;

function choiceCode(name: ChoiceName): number {
	const match = /^(\d+)x(\d+)\/(\d+)$/.exec(name);
	if (!match) return ESTIMATE;
	const [rows, columns, parts] = match.slice(1).map(Number) as [number, number, number];
	return (rows << 20) | (columns << 8) | parts;
}

export const shapeKey = ({ kernel, ints, dtypes }: CallShape): string =>
	`${kernel} ${dtypes.map((dtype) => dtype ?? "-").join(" ")} | ${ints.join(" ")}`;

/** The choices of a call besides the kernel's own estimate. */
export const choicesOf = (native: NativeDevice, { kernel, ints, dtypes }: CallShape): number[] =>
	native.choices(
		kernel,
		[...ints],
		dtypes.map((dtype) => (dtype === null ? -1 : DTYPE_CODES[dtype])),
	);

const FORMAT = 1;

interface TuningFile {
	format: number;
	card: string;
	calls: Record<string, TunedCall>;
}

/** The file with measured choices can't be read. Code `TUNING`. */
export class TuningError extends DreamdistError {
	constructor(file: string, reason: string) {
		super("TUNING", `${file}: ${reason}; delete it, and measure anew with ${"`dreamdist tune`"}`);
	}
}

/** Where measured choices are kept: DD_TUNING, or `dreamdist/tuning` in the user's cache. */
export function tuningFolder(): string {
	const own = process.env.DD_TUNING?.trim();
	if (own) return resolve(own);
	const cache = process.env.XDG_CACHE_HOME?.trim();
	return join(cache ? resolve(cache) : join(homedir(), ".cache"), "dreamdist", "tuning");
}

/** The measured choices of one kind of card. */
export class Tuning {
	private readonly calls: Map<string, TunedCall>;

	/** @param file null: nothing is kept */
	constructor(
		readonly card: string,
		readonly file: string | null,
		calls: Readonly<Record<string, TunedCall>> = {},
	) {
		this.calls = new Map(Object.entries(calls));
	}

	/** What is known about a card; nothing where the folder has no file of it. @throws TuningError */
	static load(card: string, folder: string): Tuning {
		const file = join(folder, `${card.toLowerCase().replaceAll(/[^a-z0-9.]+/g, "-")}.json`);
		let text: string;
		try {
			text = readFileSync(file, "utf8");
		} catch (error) {
			if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return new Tuning(card, file);
			throw new TuningError(file, "it can't be read");
		}
		let content: TuningFile;
		try {
			content = JSON.parse(text) as TuningFile;
		} catch {
			throw new TuningError(file, "it is no JSON");
		}
		if (content?.format !== FORMAT || typeof content.calls !== "object" || content.calls === null)
			throw new TuningError(file, `it is no file of measured choices in format ${FORMAT}`);
		return new Tuning(card, file, content.calls);
	}

	get size(): number {
		return this.calls.size;
	}

	of(shape: CallShape): TunedCall | undefined {
		return this.calls.get(shapeKey(shape));
	}

	/** The code of the choice to compute a call with. One that the engine does not offer (any more) is not taken. */
	choice(native: NativeDevice, shape: CallShape): number {
		if (this.calls.size === 0) return ESTIMATE;
		const tuned = this.of(shape);
		if (!tuned || typeof tuned.choice !== "string") return ESTIMATE;
		const code = choiceCode(tuned.choice);
		return choicesOf(native, shape).includes(code) ? code : ESTIMATE;
	}

	record(shape: CallShape, tuned: TunedCall): void {
		this.calls.set(shapeKey(shape), tuned);
	}

	async save(): Promise<void> {
		if (this.file === null) return;
		const calls = Object.fromEntries([...this.calls].sort(([a], [b]) => (a < b ? -1 : 1)));
		mkdirSync(dirname(this.file), { recursive: true });
		const content: TuningFile = { format: FORMAT, card: this.card, calls };
		await writeFileAtomic(this.file, `${JSON.stringify(content, null, "\t")}\n`);
	}
}
