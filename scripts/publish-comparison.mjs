// Puts a comparison's table and figure into the documentation: node scripts/publish-comparison.mjs runs/comparison
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import sharp from "sharp";

const [BEGIN, END] = ["<!-- comparison: written by scripts/publish-comparison.mjs -->", "<!-- end of comparison -->"];
const DOCUMENT = join("docs", "comparison.md");
const FIGURE = "comparison.webp";

const [folder] = process.argv.slice(2);
if (process.argv.length !== 3 || !existsSync(join(folder, "table.md"))) {
	console.error(
		"Usage: node scripts/publish-comparison.mjs FOLDER, where FOLDER is that of a finished `dreamdist compare` (it has a table.md)",
	);
	process.exit(2);
}
const text = readFileSync(DOCUMENT, "utf8");
const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
if (from < 0 || to < from) {
	console.error(`${DOCUMENT} has no place for the table: it lacks ${BEGIN} … ${END}`);
	process.exit(1);
}
const table = readFileSync(join(folder, "table.md"), "utf8").trim();
const [{ model }] = cpus();
const body = `![pictures of every method for every set](${FIGURE})\n\n${table}\n\nMachine: ${cpus().length} × ${model}.`;
await sharp(join(folder, "figure.png")).webp({ quality: 70 }).toFile(join("docs", FIGURE));
writeFileSync(DOCUMENT, `${text.slice(0, from + BEGIN.length)}\n\n${body}\n\n${text.slice(to)}`);
console.log(`${DOCUMENT} and docs/${FIGURE} are those of ${folder}`);
