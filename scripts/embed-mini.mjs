// Makes a model that `dreamdist pretrain` has filled the embedded one: node scripts/embed-mini.mjs MODEL [--out packages/models/mini]. Needs the built packages.
// MODEL/limits.md, where it is there, says in the card what is wrong with the pictures. Copies its networks, tokenizer and configurations, and distributions/ where there is one, and writes its card, curves and a grid of its pictures from its training folder.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { lossCurves, modelCard, readRecipe, readStageHistory, STAGES } from "@dreamdist/models";

const MOST_BYTES = 18e6;
const PARTS = ["text_encoder", "image_encoder", "unet", "vae", "classifier", "tokenizer", "scheduler"];
const FILES = ["model_index.json", "generation_config.json", "recipe.json"];

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values, positionals } = parseArgs({
	allowPositionals: true,
	options: { out: { type: "string", default: join(root, "packages", "models", "mini") } },
});
if (positionals.length !== 1) {
	console.error("Usage: node scripts/embed-mini.mjs MODEL [--out FOLDER]");
	process.exit(2);
}
const [model, out] = [resolve(positionals[0]), resolve(values.out)];

function fail(sentence) {
	console.error(sentence);
	process.exit(1);
}

function bytesIn(path) {
	if (!statSync(path).isDirectory()) return statSync(path).size;
	return readdirSync(path).reduce((sum, name) => sum + bytesIn(join(path, name)), 0);
}

for (const name of [...PARTS, ...FILES]) if (!existsSync(join(model, name))) fail(`${model} lacks ${name}`);
const bytes = PARTS.reduce((sum, name) => sum + bytesIn(join(model, name)), 0);
if (bytes > MOST_BYTES) fail(`the networks of ${model} have ${bytes} bytes; at most ${MOST_BYTES} are embedded`);

try {
	const recipe = await readRecipe(join(model, "recipe.json"));
	const histories = [];
	for (const stage of STAGES) histories.push(await readStageHistory(model, recipe, stage));
	// A table that was measured belongs to the weights before.
	rmSync(out, { recursive: true, force: true });
	mkdirSync(out, { recursive: true });
	for (const name of [...PARTS, ...FILES]) cpSync(join(model, name), join(out, name), { recursive: true });
	// What the UNet painted at its last measurement, of held-out captions.
	const samples = join(model, "training", "unet", "samples");
	const last = readdirSync(samples).sort().at(-1) ?? fail(`${samples} holds no pictures`);
	cpSync(join(samples, last), join(out, "pictures.png"));
	const limits = join(model, "limits.md");
	const seen = existsSync(limits) ? readFileSync(limits, "utf8") : "";
	const distributions = join(model, "distributions");
	if (existsSync(distributions)) cpSync(distributions, join(out, "distributions"), { recursive: true });
	writeFileSync(join(out, "curves.svg"), lossCurves(histories));
	writeFileSync(join(out, "README.md"), modelCard(recipe, histories, bytes / 1e6, seen));
	console.log(readFileSync(join(out, "README.md"), "utf8"));
	console.log(
		`${out}: ${(bytes / 1e6).toFixed(1)} MB. Now: node scripts/measure-mini.mjs quality --docs ${join(out, "README.md")}`,
	);
} catch (error) {
	fail(error.message);
}
