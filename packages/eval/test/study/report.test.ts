// Scripted annotators with known preferences, who see nothing but pixels: the report recovers what they prefer.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SeededRandom } from "../../src/statistics/random.js";
import { Annotators, type ShownItem } from "../../src/study/annotators.js";
import { createStudy } from "../../src/study/create.js";
import { reportStudy, type StudyReportWithVotes, writeStudyReport } from "../../src/study/report.js";
import { QUESTIONS, type Question, readStudy } from "../../src/study/study-file.js";
import { METHODS, markOf, writeTestComparison } from "./comparison.js";

const SETS = ["lamps", "boats", "owls", "trees", "cups", "cats"];
let folder: string;
let result: StudyReportWithVotes;
const at = (...names: string[]) => join(folder, ...names);

/** What the careful annotators were seen to choose: question, method, times. */
const chosen = new Map<string, number>();

/** How likely the careful ones choose each method. */
const PREFERENCES: Readonly<Record<Question, readonly number[]>> = {
	similarity: [0.1, 0.1, 0.7, 0.1],
	diversity: [0.85, 0.05, 0.05, 0.05],
	overall: [0.25, 0.25, 0.25, 0.25],
};

/** Which method and set a grid is of, by its pixels alone. */
async function lookAt(grid: ShownItem["grids"][number]) {
	return markOf(readFileSync(at("study", grid.pictures[0]!)));
}

async function careful(shown: ShownItem, random: SeededRandom) {
	const marks = await Promise.all(shown.grids.map(lookAt));
	const strip = await markOf(readFileSync(at("study", shown.references[0]!)));
	const own = marks.findIndex(({ method, set }) => method === -1 && set === strip.set);
	const choose = (question: Question): string => {
		if (own >= 0) return shown.grids[own]!.id;
		let left = random.next();
		const method = PREFERENCES[question].findIndex((share) => {
			left -= share;
			return left < 0;
		});
		chosen.set(`${question} ${method}`, (chosen.get(`${question} ${method}`) ?? 0) + 1);
		return shown.grids[marks.findIndex((mark) => mark.method === method)]!.id;
	};
	return { similarity: choose("similarity"), diversity: choose("diversity"), overall: choose("overall") };
}

/** Always the first grid. */
async function careless({ grids }: ShownItem) {
	const { id } = grids[0]!;
	return { similarity: id, diversity: id, overall: id };
}

beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "dreamdist-report-"));
	await writeTestComparison(at("comparison"), { sets: SETS, pictures: () => 1, references: 2 });
	await createStudy(at("comparison"), at("study"), { checks: 2, title: "<i>Which</i>?" });
	const annotators = await Annotators.open(at("study"), await readStudy(at("study")));
	let submission = 0;
	const people = [...Array.from({ length: 10 }, (_, i) => `careful-${i}`), "careless-0", "careless-1"];
	await Promise.all(
		people.map(async (name, stream) => {
			// Of one's own, so that the counts don't depend on who is faster.
			const random = new SeededRandom(5, stream);
			const { total } = await annotators.join(name);
			const annotator = annotators.get(name);
			for (let number = 0; number <= total; number++) {
				const shown = annotator.item(number);
				// One item is skipped, and one is changed from something else.
				const skips =
					name === "careful-0" && number === 1 && !(await lookAt(shown.grids[0]!).then(({ method }) => method < 0));
				const choices = skips
					? null
					: name.startsWith("careful")
						? await careful(shown, random)
						: await careless(shown);
				const answer = () => (++submission).toString(16).padStart(32, "0");
				const sent = { item: shown.id, submission: answer(), choices, milliseconds: 2_000 + number };
				if (name === "careful-1" && number === 2)
					await annotator.record({ ...sent, submission: answer(), choices: await careless(shown) });
				await annotator.record(sent);
				await annotator.record(sent);
			}
		}),
	);
	result = await reportStudy(at("study"), { resamples: 2_000 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the report", () => {
	it("counts exactly what the careful annotators chose", () => {
		for (const { question, methods, votes } of result.report.questions) {
			expect(votes).toBe(10 * SETS.length - 1);
			expect(methods.map(({ name }) => name)).toEqual([...METHODS]);
			for (const [i, { votes: own, share }] of methods.entries()) {
				expect(own).toBe(chosen.get(`${question} ${i}`) ?? 0);
				expect(share).toBe(own / votes);
			}
		}
	});

	it("recovers their preferences: the truth is in the intervals, and the tests tell preference from chance", () => {
		// Twelve 95 % intervals: one may well miss, three hardly.
		let missed = 0;
		for (const { question, methods, multinomial } of result.report.questions) {
			for (const [i, { wilson, bootstrap, share }] of methods.entries()) {
				const truth = PREFERENCES[question][i]!;
				if (truth < wilson[0] || truth > wilson[1]) missed++;
				expect(Math.abs(share - truth)).toBeLessThan(0.2);
				expect(bootstrap[0]).toBeLessThanOrEqual(share);
				expect(bootstrap[1]).toBeGreaterThanOrEqual(share);
			}
			if (question === "overall") expect(multinomial.p).toBeGreaterThan(0.01);
			else expect(multinomial.p).toBeLessThan(1e-6);
		}
		expect(missed).toBeLessThan(3);
		const leads = (question: number) => result.report.questions[question]!.methods.map((method) => method.leads);
		expect(leads(0)[2]).toBeGreaterThan(0.99);
		expect(leads(1)[0]).toBeGreaterThan(0.99);
		// The preferences are the same for all sets, so that two people agree on a set no more than by chance.
		for (const { kappa } of result.report.questions) {
			expect(Math.abs(kappa!.value)).toBeLessThan(0.15);
			expect(kappa!.items).toBe(SETS.length);
		}
	});

	it("leaves out who failed the checks, by the rule, and says so", () => {
		const { annotators, notes, questions } = result.report;
		expect(annotators.filter(({ excluded }) => excluded).map(({ annotator }) => annotator)).toEqual([
			"careless-0",
			"careless-1",
		]);
		for (const { annotator, passed, failed, answered, skipped, open, changed } of annotators) {
			expect(passed + failed).toBe(2);
			const one = annotator === "careful-0" ? 1 : 0;
			expect({ answered, skipped, open }).toEqual({ answered: SETS.length - one, skipped: one, open: 0 });
			expect(changed).toBe(annotator === "careful-1" ? 1 : 0);
		}
		expect(notes.some((note) => note.startsWith("2 of the annotators failed more than 0 attention checks"))).toBe(true);
		const everyone = questions[0]!.methods.reduce((sum, { votesOfEveryone }) => sum + votesOfEveryone, 0);
		expect(everyone).toBe(12 * SETS.length - 1);
		// Who counts has no favourite place; who was left out has.
		expect(questions[2]!.places.p).toBeGreaterThan(0.01);
		expect(result.votes.filter(({ annotator }) => annotator === "careless-0").every(({ place }) => place === 0)).toBe(
			true,
		);
	});

	it("adds up by sets", () => {
		const { sets, questions } = result.report;
		expect(sets.map(({ set }) => set).sort()).toEqual([...SETS].sort());
		for (const { question, methods } of questions)
			for (const [i, { votes }] of methods.entries())
				expect(sets.reduce((sum, each) => sum + each.votes[question][i]!, 0)).toBe(votes);
	});

	it("is written as a page, JSON, Markdown, a table and a chart, with names as text", async () => {
		await writeStudyReport(at("study/report"), result);
		const read = (name: string) => readFileSync(at("study/report", name), "utf8");
		expect(JSON.parse(read("report.json"))).toEqual(JSON.parse(JSON.stringify(result.report)));
		const page = read("index.html");
		expect(page).not.toContain("<i>");
		expect(page).not.toContain("<b>");
		expect(page).toContain("The method dreambooth &#60;b&#62;");
		expect(page).not.toMatch(/(src|href)="(https?:)?\/\//);
		expect(read("report.md")).toContain("| The method dreambooth \\<b\\> |");
		const [head, ...lines] = read("votes.csv").trimEnd().split("\n");
		expect(head).toBe("annotator,counts,set,seed,question,method,place,milliseconds,at");
		expect(lines).toHaveLength(result.votes.length);
		const chart = read("chart.svg");
		expect(chart.match(/class="bar"/g)).toHaveLength(QUESTIONS.length * METHODS.length);
		// A bar is as long as its share: between the labels (170) and the numbers (56) of 560.
		const widths = [...chart.matchAll(/class="bar"[^>]* width="([\d.]+)"/g)].map(([, width]) => Number(width));
		const shares = result.report.questions.flatMap(({ methods }) => methods.map(({ share }) => share));
		for (const [i, share] of shares.entries()) expect(widths[i]).toBeCloseTo(334 * share, 0);
	});

	it("says that there is nothing to report yet, or nothing that counts", async () => {
		await createStudy(at("comparison"), at("silent"), { checks: 2 });
		await expect(reportStudy(at("silent"))).rejects.toThrow("nobody has answered an item of");
		const study = await readStudy(at("silent"));
		const annotators = await Annotators.open(at("silent"), study);
		const { total } = await annotators.join("careless");
		for (let number = 1; number <= total; number++) {
			const shown = annotators.get("careless").item(number);
			const submission = number.toString(16).padStart(32, "0");
			const choices = await careless(shown);
			await annotators.get("careless").record({ item: shown.id, submission, choices, milliseconds: 1 });
		}
		const checks = study.items.filter(({ kind }) => kind === "check");
		expect(checks).toHaveLength(2);
		await expect(reportStudy(at("silent"))).rejects.toThrow("are of annotators who failed the attention checks");
		expect(existsSync(at("silent/report"))).toBe(false);
	});
});
