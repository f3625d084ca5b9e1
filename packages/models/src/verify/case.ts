// One case of a reference set, as the code that checks its kind sees it.
import { resolve } from "node:path";
import {
	accountForWeights,
	type Device,
	FormatError,
	type Graph,
	type HostArray,
	type ImageU8,
	type InputData,
	type SafetensorsFile,
	type Value,
} from "@dreamdist/core";
import { z } from "zod";
import type { Component, ComponentKind } from "../loading/components.js";
import { readJsonFile } from "../loading/json-file.js";
import type { ModelFiles } from "../loading/model-files.js";
import { formulaWeights, hashedWeights } from "../weights/formula.js";
import { type Comparison, relativeError } from "./report.js";

const tensorList = z.array(z.tuple([z.string(), z.array(z.int().min(0))]));

/** Runs programs on the device under test, and counts. */
export class VerifyRunner {
	launches = 0;

	constructor(
		readonly device: Device,
		readonly signal?: AbortSignal,
	) {}

	/** For runs and compilations. */
	get options(): { signal?: AbortSignal } {
		return this.signal ? { signal: this.signal } : {};
	}

	/** Compiles a program, runs it once and lets it go. */
	async run<K extends string>(
		name: string,
		build: (graph: Graph) => Record<K, Value>,
		inputs: Readonly<Record<string, InputData>>,
	): Promise<Record<K, HostArray>> {
		const program = await this.device.compile(build, { name, ...this.options });
		try {
			const results = await program.run(inputs, this.options);
			this.launches += program.kernelCalls;
			return results;
		} finally {
			program.dispose();
		}
	}
}

/** Numbers of a case with their shape. */
export interface CaseTensor {
	readonly data: Float32Array;
	readonly shape: readonly number[];
}

/** Inputs and expected outputs of a case. Every tensor of its file must be read as an input or compared. */
export class VerifyCase {
	readonly comparisons: Comparison[] = [];
	private readonly used = new Set<string>();

	constructor(
		/** Absolute path of the case's file. */
		readonly file: string,
		/** Whatever else the set says about the case. */
		readonly attributes: Readonly<Record<string, unknown>>,
		readonly runner: VerifyRunner,
		private readonly openModel: () => Promise<ModelFiles>,
		/** The set's, which paths in its cases are relative to. */
		private readonly folder: string,
		private readonly tensors: SafetensorsFile | null,
	) {}

	/** What the set says about the case, as its kind needs it. @throws FormatError naming the first key that is wrong */
	read<T>(schema: z.ZodType<T>): T {
		const parsed = schema.safeParse(this.attributes);
		if (parsed.success) return parsed.data;
		const { path, message } = parsed.error.issues[0]!;
		throw new FormatError("BAD_SET", this.file, `the case's "${path.join(".")}" does not fit its kind (${message})`);
	}

	/** The model that the case, or else its set, names. */
	model(): Promise<ModelFiles> {
		return this.openModel();
	}

	/**
	 * One network: of that model, or made of the case's `config` and weights by formula.
	 *
	 * @param given what the case says of the network elsewhere than in a `config`
	 */
	async component<Config>(kind: ComponentKind<Config>, given: object = {}): Promise<Component<Config>> {
		const { weights, config: json, salt, weight_tensors } = this.attributes;
		if (weights !== "formula") return (await this.model()).load(kind);
		const config = kind.readConfig({ ...(json as object | undefined), ...given }, "config");
		const declared = kind.declare(config);
		const shapes = weight_tensors === undefined ? declared : await this.listedTensors(weight_tensors);
		const made = salt === undefined ? formulaWeights(shapes) : hashedWeights(shapes, Number(salt));
		accountForWeights(declared, made.tensors, "weight_tensors");
		return { config, weights: made };
	}

	/** Names and shapes of weights by formula: pairs, or the name of a file of the set that holds them. */
	private async listedTensors(listed: unknown): Promise<Map<string, readonly number[]>> {
		const json = typeof listed === "string" ? await readJsonFile(resolve(this.folder, listed)) : listed;
		const parsed = z.union([tensorList, z.looseObject({ tensors: tensorList })]).safeParse(json);
		if (!parsed.success)
			throw new FormatError("BAD_CASE", this.file, `"weight_tensors" is no list of names with their shapes`);
		return new Map(Array.isArray(parsed.data) ? parsed.data : parsed.data.tensors);
	}

	/** A picture, bytes [height, width, 3]. */
	async picture(name: string): Promise<ImageU8> {
		const { data, shape } = await this.input(name);
		const [height, width, channels] = shape as [number, number, number];
		if (shape.length !== 3 || channels !== 3)
			throw new FormatError("BAD_CASE", this.file, `"${name}" is no picture [height, width, 3]`);
		return { width, height, channels, data: Uint8Array.from(data) };
	}

	has(name: string): boolean {
		return this.tensors?.tensors.has(name) ?? false;
	}

	/** An input, integers as the same numbers. */
	async input(name: string): Promise<CaseTensor> {
		if (!this.tensors) throw new FormatError("BAD_CASE", this.file, `${this.file} is not a safetensors file`);
		const { shape, dtype } = this.tensors.entry(name);
		this.used.add(name);
		const isFloat = /^(BF|F)\d+$/.test(dtype);
		const data = isFloat ? await this.tensors.readF32(name) : Float32Array.from(await this.tensors.readI32(name));
		return { data, shape };
	}

	/** Compares with the expected tensor of this name. */
	async compare(name: string, actual: ArrayLike<number>, bound: number): Promise<void> {
		const { data, shape } = await this.input(name);
		if (actual.length === data.length)
			this.note({ what: name, error: relativeError(actual, data), bound, count: data.length });
		else {
			const detail = `${name} has ${actual.length} numbers; expected are ${data.length} as [${shape.join(", ")}]`;
			this.note({ what: name, error: Number.MAX_VALUE, bound, detail });
		}
	}

	/** Records a comparison that is not one of whole tensors. */
	note(comparison: Comparison): void {
		this.comparisons.push(comparison);
	}

	/** @throws FormatError naming tensors that the kind knows nothing of */
	requireAllUsed(): void {
		const unused = [...(this.tensors?.tensors.keys() ?? [])].filter((name) => !this.used.has(name));
		if (unused.length > 0)
			throw new FormatError(
				"BAD_CASE",
				this.file,
				`nothing is known to compare with ${unused.map((name) => `"${name}"`).join(", ")}`,
			);
	}
}

/** Checks the cases of one kind: reads inputs, runs, and compares everything. */
export type CaseKind = (one: VerifyCase) => Promise<void>;
