// The study's report: reads the logs and the key, and writes what they say together.
import { join } from "node:path";
import { DreamdistError, fileError, makeFolders, writeFileAtomic } from "@dreamdist/core";
import { type AnalyseOptions, analyse, type StudyReport } from "./analyse.js";
import { readAnswerLogs } from "./answer-log.js";
import { studyChart } from "./chart.js";
import { studyPage } from "./report-page.js";
import { studyMarkdown, votesCsv } from "./report-text.js";
import { readStudy, readStudyKey } from "./study-file.js";
import { unblind, type Vote } from "./votes.js";

export interface StudyReportWithVotes {
	readonly report: StudyReport;
	/** Everyone's votes, whose they are for. */
	readonly votes: readonly Vote[];
}

/**
 * Reads a study, also while it is being served.
 *
 * @param folder the study's, with its key
 * @throws FileError or FormatError naming a file that is missing or wrong; DreamdistError where no vote counts yet
 */
export async function reportStudy(folder: string, options: AnalyseOptions = {}): Promise<StudyReportWithVotes> {
	const study = await readStudy(folder);
	const key = await readStudyKey(folder, study);
	const unblinded = unblind(study, key, await readAnswerLogs(folder, study.id));
	const excluded = new Set(unblinded.annotators.filter((each) => each.excluded).map(({ annotator }) => annotator));
	if (unblinded.votes.every(({ annotator }) => excluded.has(annotator)))
		throw new DreamdistError(
			"STUDY_EMPTY",
			excluded.size > 0
				? `all votes in ${folder} are of annotators who failed the attention checks; there is nothing to report`
				: `nobody has answered an item of ${folder} yet; serve it with "study serve"`,
		);
	return { report: analyse(study, key, unblinded, options), votes: unblinded.votes };
}

/** Writes `index.html`, `report.json`, `report.md`, `votes.csv` and `chart.svg` into a folder, which is made where it is missing. */
export async function writeStudyReport(folder: string, { report, votes }: StudyReportWithVotes): Promise<void> {
	try {
		await makeFolders(folder);
	} catch (error) {
		throw fileError(error, "make the folder", folder);
	}
	const files: Readonly<Record<string, string>> = {
		"report.json": `${JSON.stringify(report, null, "\t")}\n`,
		"report.md": studyMarkdown(report),
		"votes.csv": votesCsv(votes, report.annotators),
		"chart.svg": studyChart(report),
		"index.html": studyPage(report),
	};
	for (const [name, text] of Object.entries(files)) await writeFileAtomic(join(folder, name), text);
}
