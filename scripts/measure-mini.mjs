// How well a model painted by `dreamdist pretrain` paints: node scripts/measure-mini.mjs MODEL [--captions 600] [--guidance 4] [--steps 25] [--device cpu]
// Prints a table, and JSON with --json. Needs the built packages.
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { openDevice } from "@dreamdist/core";
import { measureModel } from "@dreamdist/models";

const { values, positionals } = parseArgs({
	allowPositionals: true,
	options: {
		captions: { type: "string", default: "600" },
		guidance: { type: "string", default: "4" },
		steps: { type: "string", default: "25" },
		device: { type: "string", default: "auto" },
		json: { type: "boolean", default: false },
	},
});
if (positionals.length !== 1) {
	console.error(
		"Usage: node scripts/measure-mini.mjs MODEL [--captions N] [--guidance G] [--steps N] [--device D] [--json]",
	);
	process.exit(2);
}

const device = await openDevice(values.device);
try {
	const result = await measureModel(resolve(positionals[0]), {
		device,
		captions: Number(values.captions),
		guidance: Number(values.guidance),
		steps: Number(values.steps),
		onPicture: (done, total) => {
			if (done % 24 === 0 || done === total) process.stderr.write(`\r${done}/${total} pictures`);
		},
	});
	process.stderr.write("\n");
	if (values.json) console.log(JSON.stringify(result, null, "\t"));
	else {
		console.log("| attribute | scenes | generated |\n|---|---|---|");
		const percent = (share) => `${(100 * share).toFixed(1)} %`;
		for (const name of Object.keys(result.generated))
			console.log(`| ${name} | ${percent(result.real[name])} | ${percent(result.generated[name])} |`);
		const { generated, real } = result.frechet;
		console.log(
			`\nFréchet distance ${generated.toFixed(2)}; of other scenes ${real.toFixed(2)}; ratio ${(generated / real).toFixed(2)}`,
		);
	}
} finally {
	device.dispose();
}
