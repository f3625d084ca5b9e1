// What `train` says before it begins.
import type { LearnPlan, PictureReport } from "@dreamdist/core";
import type { FinetunePlan } from "@dreamdist/models";

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

/** What is fine-tuned, with what. */
export function finetunePlanLines(plan: FinetunePlan, label: string): string[] {
	const { settings, report, pictures, priorPictures, parameters } = plan;
	const { batch, accumulate, size } = settings;
	const each = batch * accumulate;
	return [
		...pictureLines(report, size),
		`method    ${label}`,
		`pictures  ${pictures} at ${size.join("×")}${priorPictures > 0 ? `, ${priorPictures} of the prior` : ""}`,
		`training  ${parameters.toLocaleString("en")} numbers; ${each} picture${each > 1 ? "s" : ""}${priorPictures > 0 ? ` and ${each} of the prior` : ""} a step`,
	];
}

/** What a distribution is learned from, and how much at a time. */
export function planLines(plan: LearnPlan): string[] {
	const { settings, report, classes } = plan;
	const { prompts, vectors, samples, batch, accumulate, size } = settings;
	const lines = pictureLines(report, size);
	lines.push(
		`pictures  ${plan.pictures} at ${size.join("×")}${classes ? ` of ${classes.length} classes` : ""}`,
		`learning  ${prompts} prompts of ${vectors} vectors; ${samples} samples of ${batch * accumulate} picture${batch * accumulate > 1 ? "s" : ""} a step`,
	);
	return lines;
}
