// What `train` says while it goes on: how far it is, and what came of it.
import { join } from "node:path";
import type { Device, StepMetrics } from "@dreamdist/core";
import { formatBytes, formatDuration } from "../format.js";
import type { Output } from "../output.js";

/** What every method plans. */
interface TrainingPlan {
	readonly settings: { readonly steps: number };
	readonly startStep: number;
	readonly plannedBytes: number;
	readonly notices: readonly string[];
}

/** A training whatever its method: its plan, its steps, its result. */
export class TrainingProgress {
	readonly #line: StepLine;
	readonly #started = performance.now();
	#steps = 0;
	#startStep = 0;

	constructor(
		options: { readonly quiet?: boolean; readonly json?: boolean },
		private readonly output: Output,
		private readonly device: Device,
	) {
		this.#line = new StepLine(!options.quiet && !options.json);
	}

	/** @param lines what the method says of its plan */
	plan(plan: TrainingPlan, model: string, lines: readonly string[]): void {
		const { startStep, plannedBytes, notices } = plan;
		const { steps } = plan.settings;
		this.#steps = steps;
		this.#startStep = startStep;
		for (const text of [
			`model     ${model} on ${this.device}`,
			`memory    ${formatBytes(plannedBytes)} planned of ${formatBytes(this.device.memoryLimit)}`,
			...lines,
			...(startStep >= steps ? [] : [`steps     ${startStep > 0 ? `${startStep + 1} to ${steps}` : steps}`]),
			...notices,
			...(startStep >= steps ? [`The run is finished: all ${steps} steps were taken.`] : []),
		])
			this.output.notice(text);
		this.output.event("plan", { model, device: this.device.toString(), ...plan });
	}

	async follow(run: AsyncIterable<StepMetrics>): Promise<void> {
		try {
			for await (const step of run) {
				this.#line.update(step, this.#steps);
				this.output.event("step", step);
			}
		} finally {
			this.#line.close();
		}
	}

	/** @param files paths that the method wrote */
	result(
		value: Readonly<Record<string, unknown>> & { readonly run: string },
		files: readonly string[],
		{ steps, last }: { steps: number; last: StepMetrics | null },
	): void {
		const page = join(value.run, "index.html");
		const stepsNow = steps - this.#startStep;
		const seconds = (performance.now() - this.#started) / 1000;
		this.output.result({ ...value, page, steps, stepsNow, loss: last?.loss ?? null, seconds }, () =>
			[...(stepsNow > 0 ? [`${stepsNow} steps in ${formatDuration(seconds)}`] : []), ...files, page].join("\n"),
		);
	}
}

const term = (name: string, value: number | undefined) => (value === undefined ? "" : `${name} ${value.toFixed(4)}  `);

/** A line that is written over on a terminal; a plain line now and then elsewhere. */
class StepLine {
	readonly #stream: NodeJS.WriteStream;
	readonly #enabled: boolean;
	#recent: number[] = [];
	#said = Number.NEGATIVE_INFINITY;
	#told = false;

	constructor(enabled: boolean, stream: NodeJS.WriteStream = process.stderr) {
		this.#enabled = enabled;
		this.#stream = stream;
	}

	update(step: StepMetrics & { orthogonal?: number; prior?: number }, steps: number): void {
		if (!this.#enabled) return;
		this.#recent = [...this.#recent.slice(-19), step.seconds];
		const each = this.#recent.reduce((a, b) => a + b) / this.#recent.length;
		const rest = each * (steps - step.step);
		if (!this.#told) {
			this.#told = true;
			this.#stream.write(`expected  about ${formatDuration(rest)} after the first step\n`);
		}
		const rate = each > 0 ? `${(1 / each).toPrecision(3)} steps/s` : "";
		const memory = `${formatBytes(process.memoryUsage.rss())} in use`;
		const text =
			`step ${step.step}/${steps}  loss ${step.loss.toFixed(4)}  ${term("ortho", step.orthogonal)}${term("prior", step.prior)}` +
			`lr ${step.learningRate.toPrecision(3)}  ${rate}  ${formatDuration(rest)} left  ${memory}`;
		if (this.#stream.isTTY) this.#stream.write(`\r\u001b[K${text}`);
		else if (performance.now() - this.#said > 10_000 || step.step === steps) {
			this.#said = performance.now();
			this.#stream.write(`${text}\n`);
		}
	}

	close(): void {
		if (this.#enabled && this.#stream.isTTY) this.#stream.write("\n");
	}
}
