// How good a model of `dreamdist pretrain` is, as tables: node scripts/measure-mini.mjs quality|method [--model FOLDER] [options]. Needs the built packages.
//
//   quality  what its networks do on held-out scenes and captions (--captions 600)
//   method   what distributions learned with it do, on the twelve reference sets (--sets a,b --pictures 40 --learning-steps N)
//
// Every part's result is kept in --work FOLDER (runs/measure-quality, runs/measure-method); the same command goes on from there. --docs FILE writes the table between
// the file's markers (may be given several times). --quick measures next to nothing, to see that it works.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { LEARN_PRESETS, openDevice } from "@dreamdist/core";
import { findModel, measureMethod, measureModel, methodTables, modelTable } from "@dreamdist/models";

const USAGE =
	"Usage: node scripts/measure-mini.mjs quality|method [--model FOLDER] [--work FOLDER] [--docs FILE] [--quick] [--json]";

function fail(sentence) {
	console.error(sentence);
	process.exit(2);
}

function options() {
	try {
		return parseArgs({
			allowPositionals: true,
			options: {
				model: { type: "string", default: "mini" },
				work: { type: "string" },
				docs: { type: "string", multiple: true, default: [] },
				quick: { type: "boolean", default: false },
				json: { type: "boolean", default: false },
				device: { type: "string", default: "auto" },
				captions: { type: "string", default: "600" },
				guidance: { type: "string" },
				steps: { type: "string" },
				sets: { type: "string" },
				pictures: { type: "string", default: "40" },
				"learning-steps": { type: "string" },
			},
		});
	} catch (error) {
		fail(`${error.message}\n${USAGE}`);
	}
}

const { values, positionals } = options();
const [what] = positionals;
if (positionals.length !== 1 || (what !== "quality" && what !== "method")) fail(USAGE);

function count(name) {
	const value = values[name];
	if (value === undefined) return undefined;
	if (!/^[1-9]\d*$/.test(value)) fail(`--${name} must be a whole number above 0, not ${value}`);
	return Number(value);
}

const [BEGIN, END] = [`<!-- ${what}: written by scripts/measure-mini.mjs -->`, `<!-- end of ${what} -->`];

/** A file's text around its table. */
function placeIn(path) {
	if (!existsSync(path)) fail(`there is no ${path} to write the table into`);
	const text = readFileSync(path, "utf8");
	const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
	if (from < 0 || to < from) fail(`${path} has no place for the table: it lacks ${BEGIN} … ${END}`);
	return [text.slice(0, from + BEGIN.length), text.slice(to)];
}

// Before hours of measuring, not after.
for (const path of values.docs) placeIn(path);
const guidance = values.guidance === undefined ? undefined : Number(values.guidance);
if (Number.isNaN(guidance)) fail(`--guidance must be a number, not ${values.guidance}`);
const work = resolve(values.work ?? join("runs", `measure-${what}`));
const controller = new AbortController();
process.once("SIGINT", () => controller.abort());
const device = await openDevice(values.device);
try {
	const folder = await findModel(values.model === "mini" ? "mini" : resolve(values.model));
	const shared = { device, work, guidance, steps: values.quick ? 2 : count("steps"), signal: controller.signal };
	const say = (text) => process.stderr.write(`${text}\n`);
	let result;
	if (what === "quality") {
		const captions = values.quick ? 5 : count("captions");
		result = await measureModel(folder, {
			...shared,
			captions,
			onPicture: (done, total) => say(`${done}/${total} pictures`),
		});
	} else {
		const learning = { ...LEARN_PRESETS.mini };
		if (values["learning-steps"]) learning.steps = count("learning-steps");
		if (values.quick) Object.assign(learning, { steps: 1, prompts: 2 });
		const sets = values.sets?.split(",") ?? (values.quick ? ["tipsy-robots", "two-moods"] : undefined);
		result = await measureMethod(folder, {
			...shared,
			learning,
			sets,
			pictures: values.quick ? 3 : count("pictures"),
			onPart: say,
		});
	}
	const text = what === "quality" ? modelTable(result) : methodTables(result);
	for (const path of values.docs) {
		const [before, after] = placeIn(path);
		writeFileSync(path, `${before}\n\n${text}\n\n${after}`);
	}
	console.log(values.json ? JSON.stringify(result, null, "\t") : text);
} catch (error) {
	console.error(controller.signal.aborted ? "Interrupted; the same command goes on." : error.message);
	process.exitCode = controller.signal.aborted ? 130 : 1;
} finally {
	device.dispose();
}
