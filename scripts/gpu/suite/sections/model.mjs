// A model of Stable Diffusion 2.1's shape with random weights, for the sections that follow.
import { join } from "node:path";
import { openDevice } from "@dreamdist/core";
import { initModel } from "@dreamdist/models";
import { secondsOf } from "../numbers.mjs";

export async function run(report, { work, quick }) {
	const config = quick ? "tiny" : "sd21";
	const folder = join(work, `model-${config}`);
	const device = await openDevice("cpu");
	let parameters;
	const seconds = await secondsOf(async () => {
		parameters = await initModel(folder, { config, seed: 1, device });
	});
	const total = Object.values(parameters).reduce((a, b) => a + b, 0);
	report.fact("model", folder);
	report.fact("config", config);
	report.check(
		"a model of random weights is written",
		total > 0,
		`${(total / 1e6).toFixed(1)} M parameters in ${seconds.toFixed(1)} s`,
	);
}
