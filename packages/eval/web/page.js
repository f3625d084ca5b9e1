// The study as an annotator walks through it.
import { ask, askUntilAnswered, newSubmission, Outbox, Refused, Storage } from "./outbox.js";
import { element, letter, Questions, showPictures, Zoom } from "./view.js";

const storage = new Storage();
const zoom = new Zoom();
const screens = ["start", "item", "end"];

/** @type {{ id: string, title: string, introduction: string, questions: import("./view.js").Question[] }} */
let study;
/** @type {Outbox} */
let outbox;
/** @type {Questions} */
let questions;
let annotator = "";
let total = 0;
/** @type {import("./view.js").Item | null} */
let item = null;
/** An answer is on its way. */
let sending = false;

/** @param {string} screen */
function show(screen) {
	for (const name of screens) element(name, HTMLElement).hidden = name !== screen;
	say("");
}

/** @param {string} text */
function say(text) {
	element("status", HTMLParagraphElement).textContent = text;
}

/** @param {string} text */
function trouble(text) {
	const place = element("trouble", HTMLParagraphElement);
	place.textContent = text;
	place.hidden = text === "";
}

/** @param {boolean} waiting */
function onWaiting(waiting) {
	trouble(
		waiting
			? "The study’s server can’t be reached. Your answers are kept here and are sent as soon as it is back."
			: "",
	);
}

/** What an item looks like before its answer is sent. @type {{ since: number, chosen: ReturnType<Questions["chosen"]> }} */
let draft = { since: 0, chosen: {} };

/** @param {string} id of an item */
const draftKey = (id) => `draft:${study.id}:${annotator}:${id}`;

function keepDraft() {
	if (!item) return;
	draft.chosen = questions.chosen();
	storage.set(draftKey(item.id), JSON.stringify(draft));
	element("next", HTMLButtonElement).disabled = questions.complete() === null;
}

/** @param {import("./view.js").Item} shown */
function readDraft(shown) {
	const kept = JSON.parse(storage.get(draftKey(shown.id)) ?? "null");
	return kept ?? { since: Date.now(), chosen: shown.answer?.choices ?? {} };
}

/** Brings the next item's pictures into the browser's cache. @param {number} number */
async function fetchAhead(number) {
	if (number > total) return;
	try {
		const next = await ask(`api/item?annotator=${annotator}&number=${number}`);
		for (const address of [
			...next.references,
			...next.grids.flatMap((/** @type {{ pictures: string[] }} */ g) => g.pictures),
		])
			new Image().src = address;
	} catch {
		// It is asked for again when it is shown.
	}
}

/** @param {number | null} number of an item; null is the end */
async function showItem(number) {
	if (number === null) {
		item = null;
		element("end-text", HTMLParagraphElement).textContent =
			`All ${total} sets are answered, and your answers are kept. You can close this page.`;
		show("end");
		element("end-heading", HTMLHeadingElement).focus();
		return;
	}
	/** @type {import("./view.js").Item} */
	const shown = await askUntilAnswered(`api/item?annotator=${annotator}&number=${number}`, undefined, onWaiting);
	item = shown;
	draft = readDraft(shown);
	showPictures(shown, zoom);
	questions.show(
		shown.grids.map(({ id }) => id),
		draft.chosen,
	);
	keepDraft();
	element("heading", HTMLHeadingElement).textContent = shown.practice ? "Practice" : `${shown.number} of ${total}`;
	const progress = element("progress", HTMLProgressElement);
	progress.max = total;
	progress.value = Math.max(0, shown.number - 1);
	element("who", HTMLSpanElement).textContent = annotator;
	const advice = element("advice", HTMLParagraphElement);
	advice.hidden = !shown.practice;
	advice.textContent =
		"Try it out: this first item does not count. One of the sets below shows the references’ own pictures.";
	element("previous", HTMLButtonElement).hidden = shown.practice;
	element("skip", HTMLButtonElement).hidden = shown.practice;
	element("feedback", HTMLDivElement).hidden = true;
	element("questions", HTMLFormElement).hidden = false;
	show("item");
	window.scrollTo(0, 0);
	element("heading", HTMLHeadingElement).focus({ preventScroll: true });
	if (shown.answer)
		say(shown.answer.choices ? "You have answered this one; you may change it." : "You have skipped this one.");
	void fetchAhead(shown.number + 1);
}

/** @param {import("./outbox.js").Choices | null} choices null skips */
async function answer(choices) {
	if (!item || sending) return;
	const answered = item;
	sending = true;
	for (const button of element("questions", HTMLFormElement).querySelectorAll("button")) button.disabled = true;
	try {
		outbox.put({
			annotator,
			item: answered.id,
			submission: newSubmission(),
			choices,
			milliseconds: Math.max(0, Date.now() - draft.since),
		});
		storage.remove(draftKey(answered.id));
		const progress = await outbox.deliver(annotator);
		if (progress?.practice) showFeedback(answered, choices, progress);
		// Further back, one goes on from there; at the first unanswered one, to the next.
		else await showItem(answered.answer && answered.number < total ? answered.number + 1 : (progress?.next ?? null));
	} catch (error) {
		await onError(error);
	} finally {
		sending = false;
		for (const button of element("questions", HTMLFormElement).querySelectorAll("button")) button.disabled = false;
		if (item) element("next", HTMLButtonElement).disabled = questions.complete() === null;
	}
}

/**
 * @param {import("./view.js").Item} answered
 * @param {import("./outbox.js").Choices | null} choices
 * @param {import("./outbox.js").Progress} progress
 */
function showFeedback(answered, choices, progress) {
	const right = answered.grids.findIndex(({ id }) => id === progress.practice?.right);
	const found = choices?.similarity === progress.practice?.right;
	element("feedback-text", HTMLParagraphElement).textContent = found
		? `Yes, set ${letter(right)} shows the references’ own pictures. Now the sets that count.`
		: `It was set ${letter(right)} that shows the references’ own pictures. Look again, and then begin with the sets that count.`;
	element("questions", HTMLFormElement).hidden = true;
	element("feedback", HTMLDivElement).hidden = false;
	const begin = element("begin", HTMLButtonElement);
	begin.onclick = () => void showItem(progress.next).catch(onError);
	begin.focus();
}

/** @param {unknown} error */
async function onError(error) {
	if (error instanceof Refused && error.status === 404) {
		// Another study, or one begun anew.
		leave();
		return;
	}
	trouble(error instanceof Error ? error.message : String(error));
}

function leave() {
	storage.remove("annotator");
	annotator = "";
	item = null;
	show("start");
	element("annotator", HTMLInputElement).focus();
}

/** @param {string} code */
async function takePart(code) {
	const joined = await ask("api/join", { annotator: code });
	annotator = joined.annotator;
	total = joined.total;
	storage.set("annotator", annotator);
	const delivered = await outbox.deliver(annotator);
	await showItem((delivered ?? joined).next);
}

element("join", HTMLFormElement).onsubmit = (event) => {
	event.preventDefault();
	const problem = element("join-problem", HTMLParagraphElement);
	problem.textContent = "";
	takePart(element("annotator", HTMLInputElement).value).catch((error) => {
		problem.textContent = error instanceof Refused ? error.message : "The study’s server can’t be reached; try again.";
	});
};
element("questions", HTMLFormElement).onsubmit = (event) => {
	event.preventDefault();
	const choices = questions.complete();
	if (choices) void answer(choices);
	else say("Choose a set for every question, or skip.");
};
element("skip", HTMLButtonElement).onclick = () => void answer(null);
element("previous", HTMLButtonElement).onclick = () => {
	if (item && item.number > 0) void showItem(item.number - 1).catch(onError);
};
element("look-over", HTMLButtonElement).onclick = () => void showItem(1).catch(onError);
element("leave", HTMLButtonElement).onclick = leave;

document.addEventListener("keydown", (event) => {
	if (event.ctrlKey || event.metaKey || event.altKey || zoom.dialog.open || !item || sending) return;
	if (event.target instanceof HTMLInputElement && event.target.type !== "radio") return;
	const form = element("questions", HTMLFormElement);
	if (form.hidden) return;
	const key = event.key.toLowerCase();
	const grid = /^[1-9]$/.test(key) ? Number(key) - 1 : /^[a-i]$/.test(key) ? key.charCodeAt(0) - 97 : -1;
	if (grid >= 0) questions.choose(grid);
	else if (key === "arrowdown") questions.activate(questions.active + 1);
	else if (key === "arrowup") questions.activate(questions.active - 1);
	else if (key === "s" && !item.practice) void answer(null);
	else if (key === "p" && item.number > 0) void showItem(item.number - 1).catch(onError);
	else if (key === "enter" && !(event.target instanceof HTMLButtonElement)) form.requestSubmit();
	else return;
	event.preventDefault();
});

async function begin() {
	study = await askUntilAnswered("api/study", undefined, onWaiting);
	document.title = study.title;
	element("title", HTMLHeadingElement).textContent = study.title;
	const paragraphs = study.introduction.split(/\n\s*\n/).filter((text) => text.trim() !== "");
	element("introduction", HTMLDivElement).replaceChildren(
		...paragraphs.map((text) => {
			const paragraph = document.createElement("p");
			paragraph.textContent = text;
			return paragraph;
		}),
	);
	outbox = new Outbox(storage, study.id, onWaiting);
	questions = new Questions(study.questions, keepDraft);
	const known = storage.get("annotator");
	if (known === null) {
		leave();
		return;
	}
	await takePart(known).catch(async (error) => {
		leave();
		await onError(error);
	});
}

begin().catch(onError);
