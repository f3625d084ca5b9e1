// Who takes part, what each has answered, and what each is to see next. In memory a mirror of the logs, changed only after them.
import { ANNOTATOR, type Answer, type AnswerHeader, AnswerLog, readAnswerLogs } from "./answer-log.js";
import { type PlannedItem, planFor } from "./plan.js";
import { Refusal } from "./refusal.js";
import { pictureFile, type Study, type StudyGrid } from "./study-file.js";

/** Limits on what strangers can fill a disk with. */
const MOST_ANNOTATORS = 10_000;
const MOST_ANSWERS_PER_ITEM = 50;

/** What the page gets of an item: nothing in it tells a judged item from a check, or a method from another. */
export interface ShownItem {
	readonly id: string;
	/** 0 for the practice item, then 1 … total. */
	readonly number: number;
	readonly practice: boolean;
	/** Addresses of pictures. */
	readonly references: readonly string[];
	readonly grids: readonly { readonly id: string; readonly pictures: readonly string[] }[];
	/** What was answered before. */
	readonly answer: { readonly choices: Answer["choices"] } | null;
}

export interface Progress {
	readonly annotator: string;
	/** Items that were answered or skipped, and all of them; the practice item is in neither. */
	readonly done: number;
	readonly total: number;
	/** The first item without an answer; null at the end. */
	readonly next: number | null;
}

export interface Recorded extends Progress {
	/** Whether the practice item was answered right. */
	readonly practice?: { readonly right: string };
}

/** An answer as the page sends it. */
export type SentAnswer = Pick<Answer, "item" | "submission" | "choices" | "milliseconds">;

const address = (picture: string) => `pictures/${pictureFile(picture)}`;
const shownGrid = ({ id, pictures }: StudyGrid) => ({ id, pictures: pictures.map(address) });

class Annotator {
	private readonly plan: readonly PlannedItem[];
	private readonly byItem = new Map<string, Answer[]>();
	/** Answers being written, and those written, by their submissions. */
	private readonly submissions = new Map<string, Promise<void>>();
	private readonly practices: number;

	constructor(
		study: Study,
		private readonly log: AnswerLog,
		answers: readonly Answer[],
	) {
		this.plan = planFor(study, log.header.number);
		this.practices = this.plan.filter(({ item }) => item.kind === "practice").length;
		for (const answer of answers) {
			this.submissions.set(answer.submission, Promise.resolve());
			this.keep(answer);
		}
	}

	private keep(answer: Answer): void {
		this.byItem.set(answer.item, [...(this.byItem.get(answer.item) ?? []), answer]);
	}

	progress(): Progress {
		const answered = this.plan.map(({ item }) => this.byItem.has(item.id));
		const next = answered.indexOf(false);
		return {
			annotator: this.log.header.annotator,
			done: answered.slice(this.practices).filter(Boolean).length,
			total: this.plan.length - this.practices,
			next: next < 0 ? null : next + 1 - this.practices,
		};
	}

	item(number: number): ShownItem {
		const planned = this.plan[number - 1 + this.practices];
		if (!planned) throw new Refusal(404, `There is no item ${number} in this study.`);
		const { item, grids } = planned;
		const last = this.byItem.get(item.id)?.at(-1);
		return {
			id: item.id,
			number,
			practice: item.kind === "practice",
			references: item.references.map(address),
			grids: grids.map(shownGrid),
			answer: last ? { choices: last.choices } : null,
		};
	}

	async record({ item, submission, choices, milliseconds }: SentAnswer): Promise<Recorded> {
		const planned = this.plan.find((each) => each.item.id === item);
		if (!planned) throw new Refusal(404, "This study has no such item; reload the page.");
		const layout = planned.grids.map(({ id }) => id);
		if (choices && Object.values(choices).some((id) => !layout.includes(id)))
			throw new Refusal(400, "The answer names a grid that this item does not have.");
		const known = this.submissions.get(submission);
		if (known) await known;
		else {
			if ((this.byItem.get(item)?.length ?? 0) >= MOST_ANSWERS_PER_ITEM)
				throw new Refusal(
					409,
					`This item was answered ${MOST_ANSWERS_PER_ITEM} times already; the last answer stands.`,
				);
			const answer = { item, submission, choices, layout, milliseconds, at: new Date().toISOString() };
			const written = this.log.append(answer);
			this.submissions.set(submission, written);
			try {
				await written;
			} catch (error) {
				this.submissions.delete(submission);
				throw error;
			}
			this.keep(answer);
		}
		const { right } = planned.item;
		return { ...this.progress(), ...(right !== undefined && { practice: { right } }) };
	}
}

/** All annotators of a study that is being served. */
export class Annotators {
	private readonly byCode = new Map<string, Annotator>();
	private joining: Promise<unknown> = Promise.resolve();
	private nextNumber = 0;

	private constructor(
		private readonly folder: string,
		private readonly study: Study,
	) {}

	/** Reads what the logs hold. */
	static async open(folder: string, study: Study): Promise<Annotators> {
		const all = new Annotators(folder, study);
		for (const contents of await readAnswerLogs(folder, study.id)) {
			const { annotator, number } = contents.header;
			all.byCode.set(annotator, new Annotator(study, await AnswerLog.continue(contents), contents.answers));
			all.nextNumber = Math.max(all.nextNumber, number + 1);
		}
		return all;
	}

	get count(): number {
		return this.byCode.size;
	}

	/** A code as it was typed, as it is kept. @throws Refusal where it can be none */
	static code(typed: string): string {
		const code = typed.trim().toLowerCase();
		if (ANNOTATOR.test(code)) return code;
		throw new Refusal(
			400,
			"A name here is 1 to 40 letters from a to z, digits, dashes and underscores, and begins with a letter or digit.",
		);
	}

	/** @throws Refusal for a code that nobody has joined with */
	get(typed: string): Annotator {
		const annotator = this.byCode.get(Annotators.code(typed));
		if (!annotator) throw new Refusal(404, "Nobody has joined this study under that name.");
		return annotator;
	}

	/** The annotator of that code, who is new or comes back. */
	join(typed: string): Promise<Progress> {
		const code = Annotators.code(typed);
		const joined = this.joining.then(async () => {
			let annotator = this.byCode.get(code);
			if (!annotator) {
				if (this.byCode.size >= MOST_ANNOTATORS) throw new Refusal(403, "This study takes no more annotators.");
				const header: AnswerHeader = {
					format: "dreamdist.study-answers",
					version: 1,
					study: this.study.id,
					annotator: code,
					number: this.nextNumber,
					joined: new Date().toISOString(),
				};
				annotator = new Annotator(this.study, await AnswerLog.create(this.folder, header), []);
				this.nextNumber++;
				this.byCode.set(code, annotator);
			}
			return annotator.progress();
		});
		this.joining = joined.catch(() => undefined);
		return joined;
	}
}
