// What a section found. It is on disk after every line, so that a section that is ended keeps what it had.
import { renameSync, writeFileSync } from "node:fs";

export class Report {
	checks = [];
	rows = [];
	facts = {};
	notes = [];
	skipped = null;

	constructor(file) {
		this.file = file;
		this.save();
	}

	/** Something that must hold. `detail` says by how much, or why not. */
	check(name, pass, detail = "") {
		this.checks.push({ name, pass, detail });
		this.save();
	}

	/** Runs `work`; its error, or what it returns, is the check's detail. */
	async attempt(name, work) {
		try {
			this.check(name, true, (await work()) ?? "");
		} catch (error) {
			this.check(name, false, String(error?.message ?? error).split("\n")[0]);
		}
	}

	/** A measurement: `value` in `unit`, and its share of the floor where that is known. */
	row(row) {
		this.rows.push(row);
		this.save();
	}

	/** A fact about the machine or the run. */
	fact(name, value) {
		this.facts[name] = value;
		this.save();
	}

	note(text) {
		this.notes.push(text);
		this.save();
	}

	/** Nothing could be found out here, for a reason. */
	skip(reason) {
		this.skipped = reason;
		this.save();
	}

	save() {
		const { checks, rows, facts, notes, skipped } = this;
		writeFileSync(`${this.file}.new`, JSON.stringify({ checks, rows, facts, notes, skipped }));
		renameSync(`${this.file}.new`, this.file);
	}
}
