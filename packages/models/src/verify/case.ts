// One case of a reference set, as the code that checks its kind sees it.
import {
	type Device,
	FormatError,
	type Graph,
	type HostArray,
	type InputData,
	type SafetensorsFile,
	type Value,
} from "@dreamdist/core";
import type { Component, ComponentKind } from "../loading/components.js";
import type { ModelFiles } from "../loading/model-files.js";
import { formulaWeights, hashedWeights } from "../weights/formula.js";
import { type Comparison, relativeError } from "./report.js";

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
		private readonly tensors: SafetensorsFile | null,
	) {}

	/** The model that the case, or else its set, names. */
	model(): Promise<ModelFiles> {
		return this.openModel();
	}

	/** One network: of that model, or made of the case's `config` and weights by formula. */
	async component<Config>(kind: ComponentKind<Config>): Promise<Component<Config>> {
		const { weights, config: json, salt } = this.attributes;
		if (weights !== "formula") return (await this.model()).load(kind);
		const config = kind.readConfig(json ?? {}, "config");
		const shapes = kind.declare(config);
		return { config, weights: salt === undefined ? formulaWeights(shapes) : hashedWeights(shapes, Number(salt)) };
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
		if (actual.length === data.length) this.note({ what: name, error: relativeError(actual, data), bound });
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
