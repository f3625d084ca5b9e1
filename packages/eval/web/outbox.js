// Answers on their way: each is kept in the browser until the server has it on its disk, so that a reload, a second tab or a server that
// is gone for a while loses none.

/**
 * @typedef {{ similarity: string, diversity: string, overall: string }} Choices
 * @typedef {{ annotator: string, item: string, submission: string, choices: Choices | null, milliseconds: number }} Answer
 * @typedef {{ annotator: string, done: number, total: number, next: number | null, practice?: { right: string } }} Progress
 */

/** What the server refused, in its own words. */
export class Refused extends Error {
	/**
	 * @param {number} status
	 * @param {string} message
	 */
	constructor(status, message) {
		super(message);
		this.status = status;
	}
}

/** localStorage, or memory where the browser has none for us. */
export class Storage {
	constructor() {
		/** @type {Map<string, string>} */
		this.memory = new Map();
		this.prefix = "dreamdist-study:";
	}

	/** @param {string} key */
	get(key) {
		try {
			return localStorage.getItem(this.prefix + key);
		} catch {
			return this.memory.get(key) ?? null;
		}
	}

	/**
	 * @param {string} key
	 * @param {string} value
	 */
	set(key, value) {
		try {
			localStorage.setItem(this.prefix + key, value);
		} catch {
			this.memory.set(key, value);
		}
	}

	/** @param {string} key */
	remove(key) {
		this.memory.delete(key);
		try {
			localStorage.removeItem(this.prefix + key);
		} catch {
			// It was never there.
		}
	}

	/** @param {string} beginning of keys */
	keys(beginning) {
		const keys = [...this.memory.keys()];
		try {
			for (let i = 0; i < localStorage.length; i++) {
				const key = localStorage.key(i);
				if (key?.startsWith(this.prefix)) keys.push(key.slice(this.prefix.length));
			}
		} catch {
			// Memory is all there is.
		}
		return keys.filter((key) => key.startsWith(beginning));
	}
}

const TIMEOUT = 20_000;

/**
 * One request and its JSON.
 *
 * @param {string} address
 * @param {object} [body] sent by POST where it is given
 */
export async function ask(address, body) {
	const signal = AbortSignal.timeout(TIMEOUT);
	const response = await fetch(
		address,
		body === undefined
			? { signal }
			: { method: "POST", signal, headers: { "content-type": "application/json" }, body: JSON.stringify(body) },
	);
	const answer = await response.json();
	if (!response.ok) throw new Refused(response.status, String(answer.error));
	return answer;
}

/** @param {unknown} error */
const passing = (error) => !(error instanceof Refused) || error.status >= 500;

/**
 * Asks until there is an answer: a server that is away or in trouble is asked again.
 *
 * @param {string} address
 * @param {object | undefined} body
 * @param {(waiting: boolean) => void} onWaiting told when the server is away, and when it is back
 */
export async function askUntilAnswered(address, body, onWaiting) {
	for (let wait = 500; ; wait = Math.min(8_000, wait * 2)) {
		try {
			const answer = await ask(address, body);
			onWaiting(false);
			return answer;
		} catch (error) {
			if (!passing(error)) {
				onWaiting(false);
				throw error;
			}
			onWaiting(true);
			await new Promise((resolve) => setTimeout(resolve, wait));
		}
	}
}

/** 16 random bytes; `crypto.randomUUID` is there for secure pages only. */
export function newSubmission() {
	const bytes = crypto.getRandomValues(new Uint8Array(16));
	return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Outbox {
	/**
	 * @param {Storage} storage
	 * @param {string} study
	 * @param {(waiting: boolean) => void} onWaiting
	 */
	constructor(storage, study, onWaiting) {
		this.storage = storage;
		this.prefix = `outbox:${study}:`;
		this.onWaiting = onWaiting;
	}

	/** @param {Answer} answer */
	put(answer) {
		this.storage.set(this.prefix + answer.submission, JSON.stringify(answer));
	}

	/**
	 * Sends what is kept of an annotator, and resolves when all of it is on the server's disk.
	 *
	 * @param {string} annotator
	 * @returns {Promise<Progress | null>} what the server said last; null where there was nothing to send
	 */
	async deliver(annotator) {
		/** @type {Progress | null} */
		let progress = null;
		for (const key of this.storage.keys(this.prefix)) {
			/** @type {Answer} */
			const answer = JSON.parse(this.storage.get(key) ?? "null");
			if (answer?.annotator !== annotator) continue;
			try {
				progress = await askUntilAnswered("api/answers", answer, this.onWaiting);
			} finally {
				// Refused, it would be refused for ever.
				this.storage.remove(key);
			}
		}
		return progress;
	}
}
