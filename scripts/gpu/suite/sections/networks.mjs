// Whole networks on the device: stored numbers, the float64 interpreter, and the CPU; and the reference sets that the kit was packed with.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { openDevice } from "@dreamdist/core";
import { verifyBuiltIn, verifySet } from "@dreamdist/models";
import { deviceOptions } from "../arithmetic.mjs";

const take =
	(report, prefix) =>
	({ name, kind, pass, error, bound, message }) =>
		report.check(
			`${prefix}${name} [${kind}]`,
			pass,
			[error === null ? "" : `${error.toExponential(2)} (at most ${bound.toExponential(0)})`, message]
				.filter(Boolean)
				.join(" "),
		);

export async function run(report, { device: kind, home, dtypes, seconds }) {
	const until = performance.now() + seconds * 1000;
	const sets = join(home, "reference");
	const names = existsSync(sets) ? readdirSync(sets) : [];
	// f32 first: where it fails, low precision says nothing.
	for (const dtype of ["f32", ...dtypes.filter((other) => other !== "f32")]) {
		const device = await openDevice(kind, deviceOptions(dtype));
		// Low precision is measured by the naive computation of the same graphs.
		const yardstick = dtype === "f32" ? undefined : await openDevice("cpu", { ...deviceOptions(dtype), unfused: true });
		await verifyBuiltIn(device, { yardstick, onCase: take(report, `${dtype}: `) });
		for (const name of names) {
			if (performance.now() > until - 5000) report.note(`${name} in ${dtype} was left out for lack of time`);
			else await verifySet(join(sets, name), { device, yardstick, onCase: take(report, `${dtype}, ${name}: `) });
		}
		yardstick?.dispose();
		device.dispose();
	}
}
