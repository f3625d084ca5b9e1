// The page's elements: an item's pictures, its questions, and the picture that is looked at closely.

/**
 * @typedef {{ id: string, number: number, practice: boolean, references: string[], grids: { id: string, pictures: string[] }[],
 *   answer: { choices: import("./outbox.js").Choices | null } | null }} Item
 * @typedef {"similarity" | "diversity" | "overall"} Question
 */

/**
 * An element that index.html has.
 *
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function element(id, type) {
	const found = document.getElementById(id);
	if (!(found instanceof type)) throw new Error(`The page has no ${id}.`);
	return found;
}

/** What each question is called, and what it means. @type {Record<Question, [string, string]>} */
const QUESTIONS = {
	similarity: ["Most similar", "to the references"],
	diversity: ["Most diverse", "pictures that differ from one another"],
	overall: ["Best overall", "the set that you would rather have"],
};

/** Grids of no more pictures than this show them larger. */
const FEW = 12;

/** @param {number} index of a grid */
export const letter = (index) => String.fromCharCode(65 + index);

/**
 * @param {string} tag
 * @param {string} [className]
 * @param {string} [text]
 */
function made(tag, className, text) {
	const result = document.createElement(tag);
	if (className) result.className = className;
	if (text !== undefined) result.textContent = text;
	return result;
}

/** A picture close up, among those it stands with. */
export class Zoom {
	constructor() {
		this.dialog = element("zoom", HTMLDialogElement);
		this.picture = element("zoom-picture", HTMLImageElement);
		this.caption = element("zoom-caption", HTMLParagraphElement);
		/** @type {string[]} */
		this.pictures = [];
		this.index = 0;
		this.name = "";
		element("zoom-close", HTMLButtonElement).onclick = () => this.dialog.close();
		element("zoom-previous", HTMLButtonElement).onclick = () => this.move(-1);
		element("zoom-next", HTMLButtonElement).onclick = () => this.move(1);
		this.dialog.addEventListener("keydown", (event) => {
			if (event.key === "ArrowLeft") this.move(-1);
			else if (event.key === "ArrowRight") this.move(1);
		});
		this.dialog.addEventListener("click", (event) => {
			if (event.target === this.dialog) this.dialog.close();
		});
	}

	/**
	 * @param {string} name
	 * @param {string[]} pictures
	 * @param {number} index
	 */
	open(name, pictures, index) {
		this.name = name;
		this.pictures = pictures;
		this.index = index;
		this.move(0);
		this.dialog.showModal();
	}

	/** @param {number} by */
	move(by) {
		const count = this.pictures.length;
		this.index = (this.index + by + count) % count;
		this.picture.src = this.pictures[this.index] ?? "";
		this.caption.textContent = `${this.name}, picture ${this.index + 1} of ${count}`;
	}
}

/**
 * @param {string} name
 * @param {string[]} pictures
 * @param {Zoom} zoom
 */
function pictureElements(name, pictures, zoom) {
	return pictures.map((address, index) => {
		const picture = document.createElement("img");
		picture.src = address;
		picture.alt = `${name}, picture ${index + 1}`;
		picture.decoding = "async";
		picture.draggable = false;
		picture.onclick = () => zoom.open(name, pictures, index);
		return picture;
	});
}

/**
 * @param {string} name
 * @param {string[]} pictures
 * @param {Zoom} zoom
 */
function closerButton(name, pictures, zoom) {
	const button = document.createElement("button");
	button.type = "button";
	button.className = "closer";
	button.textContent = "Look closer";
	button.setAttribute("aria-label", `Look closer at ${name}`);
	button.onclick = () => zoom.open(name, pictures, 0);
	return button;
}

/**
 * @param {Item} item
 * @param {Zoom} zoom
 */
export function showPictures(item, zoom) {
	element("strip", HTMLDivElement).replaceChildren(...pictureElements("References", item.references, zoom));
	const sections = item.grids.map(({ id, pictures }, index) => {
		const name = `Set ${letter(index)}`;
		const section = made("section", "grid");
		section.dataset.grid = id;
		const heading = made("div", "grid-heading");
		heading.append(made("h2", "", letter(index)), closerButton(name, pictures, zoom));
		const grid = made("div", pictures.length > FEW ? "pictures" : "pictures few");
		grid.append(...pictureElements(name, pictures, zoom));
		section.append(heading, grid);
		return section;
	});
	element("grids", HTMLDivElement).replaceChildren(...sections);
}

/** The questions about an item, and what is chosen so far. */
export class Questions {
	/**
	 * @param {Question[]} questions
	 * @param {() => void} onChange
	 */
	constructor(questions, onChange) {
		this.questions = questions;
		this.onChange = onChange;
		this.active = 0;
		/** @type {string[]} */
		this.grids = [];
	}

	/**
	 * @param {string[]} grids their names, in the order of the page
	 * @param {Partial<Record<Question, string>>} chosen
	 */
	show(grids, chosen) {
		this.grids = grids;
		const sets = this.questions.map((question, row) => {
			const [title, hint] = QUESTIONS[question];
			const set = made("fieldset");
			const legend = made("legend", "", title);
			legend.append(" ", made("span", "soft", hint));
			const options = made("div", "options");
			for (const [index, id] of grids.entries()) {
				const label = made("label");
				const radio = document.createElement("input");
				radio.type = "radio";
				radio.name = question;
				radio.value = id;
				radio.checked = chosen[question] === id;
				radio.onchange = () => {
					this.activate(row);
					this.onChange();
				};
				label.append(radio, made("span", "", letter(index)));
				options.append(label);
			}
			set.append(legend, options);
			return set;
		});
		element("choices", HTMLDivElement).replaceChildren(...sets);
		const first = this.questions.findIndex((question) => chosen[question] === undefined);
		this.activate(Math.max(0, first));
	}

	/** @param {number} row the question that keys answer */
	activate(row) {
		this.active = Math.min(this.questions.length - 1, Math.max(0, row));
		const sets = element("choices", HTMLDivElement).querySelectorAll("fieldset");
		for (const [index, set] of sets.entries()) set.classList.toggle("active", index === this.active);
	}

	/** @param {number} index of a grid, chosen for the question that keys answer */
	choose(index) {
		const question = this.questions[this.active];
		const id = this.grids[index];
		if (question === undefined || id === undefined) return;
		const radio = document.querySelector(`input[name="${question}"][value="${id}"]`);
		if (!(radio instanceof HTMLInputElement)) return;
		radio.checked = true;
		this.onChange();
		this.activate(this.active + 1);
	}

	/** @returns {Partial<Record<Question, string>>} */
	chosen() {
		const data = new FormData(element("questions", HTMLFormElement));
		return Object.fromEntries([...data].map(([question, id]) => [question, String(id)]));
	}

	/** @returns {import("./outbox.js").Choices | null} null as long as a question is open */
	complete() {
		const { similarity, diversity, overall } = this.chosen();
		return similarity && diversity && overall ? { similarity, diversity, overall } : null;
	}
}
