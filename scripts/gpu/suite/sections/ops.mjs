// Every op of the op table on the device against its float64 reference: forward and gradient, with weights given and frozen (packed).
// The cases and bounds are those of the project's own tests.
import { openDevice, opTable } from "@dreamdist/core";
import { checkOp, FROZEN, rowsWithSamples } from "../../node_modules/@dreamdist/core/test/ops/device-cases.js";

export async function run(report, { device: kind, quick, seconds }) {
	const device = await openDevice(kind);
	report.check("the device passes its own test", true);
	const until = performance.now() + seconds * 900;
	const { rows, stored } = rowsWithSamples();
	const seeds = quick ? 1 : 2;
	const cases = [];
	for (let seed = 0; seed < seeds; seed++) {
		for (const op of rows) cases.push([op, { storage: "f32", frozen: null }, seed]);
		for (const name of Object.keys(FROZEN))
			for (const frozen of quick ? ["bf16"] : ["f32", "f16", "bf16"])
				cases.push([opTable().get(name), { storage: "f32", frozen }, seed]);
		for (const storage of quick ? ["bf16"] : ["bf16", "f16"])
			for (const op of stored) cases.push([op, { storage, frozen: null }, seed]);
	}
	let left = 0;
	for (const [op, variant, seed] of cases) {
		if (performance.now() > until) {
			left++;
			continue;
		}
		const frozen = variant.frozen === null ? "" : `, weights frozen in ${variant.frozen}`;
		await report.attempt(`${op.name} in ${variant.storage}${frozen} (${seed})`, () =>
			checkOp([device], op, variant, seed),
		);
	}
	if (left > 0) report.note(`${left} of ${cases.length} cases were left out for lack of time`);
	device.dispose();
}
