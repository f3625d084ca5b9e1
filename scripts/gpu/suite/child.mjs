// Runs one section in a process of its own: what breaks a card's context breaks nothing else.
//   node child.mjs NAME SETTINGS(JSON) RESULT-FILE
import { Report } from "./report.mjs";

const [name, settings, file] = process.argv.slice(2);
const report = new Report(file);
try {
	const { run } = await import(`./sections/${name}.mjs`);
	await run(report, JSON.parse(settings));
} catch (error) {
	report.check(`${name} runs to its end`, false, String(error?.message ?? error).split("\n")[0]);
	console.error(error);
}
// A device that hangs must not keep the process.
process.exit(0);
