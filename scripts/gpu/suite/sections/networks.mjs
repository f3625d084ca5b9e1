// Whole networks on the device: stored numbers, the float64 interpreter, and the CPU; and the reference sets that the kit was packed with.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { openDevice } from "@dreamdist/core";
import { verifyBuiltIn, verifySet } from "@dreamdist/models";

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

export async function run(report, { device: kind, home }) {
	const device = await openDevice(kind);
	await verifyBuiltIn(device, { onCase: take(report, "") });
	const sets = join(home, "reference");
	for (const name of existsSync(sets) ? readdirSync(sets) : [])
		await verifySet(join(sets, name), { device, onCase: take(report, `${name}: `) });
	device.dispose();
}
