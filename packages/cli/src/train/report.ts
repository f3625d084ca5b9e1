// What `train` says: the plan, and how far it is.
import type { Device, LearnPlan, PictureReport, StepMetrics } from "@dreamdist/core";
import type { FinetunePlan } from "@dreamdist/models";

export function formatDuration(seconds: number): string {
	if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
	if (seconds < 90) return `${seconds.toFixed(1)} s`;
	return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export function formatBytes(bytes: number): string {
	return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(2)} GiB` : `${Math.ceil(bytes / 2 ** 20)} MiB`;
}

function listed(paths: readonly string[]): string {
	return `${paths.slice(0, 5).join(", ")}${paths.length > 5 ? ` and ${paths.length - 5} more` : ""}`;
}

/** What was noticed about the pictures. */
function pictureLines(report: PictureReport, size: readonly number[]): string[] {
	const lines = report.skipped.map(({ path, reason }) =>
		reason.includes(path) ? `left out: ${reason}` : `left out: ${path}: ${reason}`,
	);
	if (report.duplicates.length > 0)
		lines.push(`the same picture twice: ${listed(report.duplicates.map(({ path, of }) => `${path} and ${of}`))}`);
	if (report.enlarged.length > 0) lines.push(`smaller than ${size.join("×")} and enlarged: ${listed(report.enlarged)}`);
	return lines;
}

/** The plan of a method that fine-tunes, as lines. */
export function finetunePlanLines(plan: FinetunePlan, label: string, model: string, device: Device): string[] {
	const { settings, report, pictures, priorPictures, parameters, startStep } = plan;
	const { batch, accumulate, steps, size } = settings;
	const each = batch * accumulate;
	return [
		...pictureLines(report, size),
		`method    ${label}`,
		`model     ${model} on ${device}`,
		`memory    ${formatBytes(plan.plannedBytes)} planned of ${formatBytes(device.memoryLimit)}`,
		`pictures  ${pictures} at ${size.join("×")}${priorPictures > 0 ? `, ${priorPictures} of the prior` : ""}`,
		`training  ${parameters.toLocaleString("en")} numbers; ${each} picture${each > 1 ? "s" : ""}${priorPictures > 0 ? ` and ${each} of the prior` : ""} a step`,
		`steps     ${startStep > 0 ? `${startStep + 1} to ${steps}` : steps}`,
		...plan.notices,
	];
}

/** The plan as lines: what will be done with what, and what was noticed on the way. */
export function planLines(plan: LearnPlan, model: string, device: Device): string[] {
	const { settings, report, classes } = plan;
	const { prompts, vectors, samples, batch, accumulate, steps, size } = settings;
	const lines = pictureLines(report, size);
	lines.push(
		`model     ${model} on ${device}`,
		`memory    ${formatBytes(plan.plannedBytes)} planned of ${formatBytes(device.memoryLimit)}`,
		`pictures  ${plan.pictures} at ${size.join("×")}${classes ? ` of ${classes.length} classes` : ""}`,
		`learning  ${prompts} prompts of ${vectors} vectors; ${samples} samples of ${batch * accumulate} picture${batch * accumulate > 1 ? "s" : ""} a step`,
		`steps     ${plan.startStep > 0 ? `${plan.startStep + 1} to ${steps}` : steps}`,
	);
	return [...lines, ...plan.notices];
}

const term = (name: string, value: number | undefined) => (value === undefined ? "" : `${name} ${value.toFixed(4)}  `);

/** A line that is written over on a terminal; a plain line now and then elsewhere. */
export class StepLine {
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
