// The study's server: a page, pictures under random names, and the answers. Plain HTTP for one machine or a trusted network.
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { DreamdistError } from "@dreamdist/core";
import { Annotators } from "./annotators.js";
import { type PageFile, readPageFiles } from "./page-files.js";
import { Refusal } from "./refusal.js";
import { answerRequestSchema, joinSchema, jsonBody } from "./request.js";
import { lockStudy } from "./serve-lock.js";
import { PICTURES_FOLDER, pictureFile, QUESTIONS, readStudy, type Study } from "./study-file.js";

export interface ServeStudyOptions {
	/** Default 127.0.0.1: this machine alone. */
	readonly host?: string;
	/** Default 0: any that is free. */
	readonly port?: number;
	/** Told of what went wrong inside; the annotator is only told that something did. */
	onError?(error: unknown): void;
}

export interface StudyServer {
	readonly url: string;
	readonly study: Study;
	/** Annotators who have joined so far. */
	readonly annotators: number;
	/** Stops taking requests; answers under way are written first. */
	close(): Promise<void>;
}

const SECURITY: Readonly<Record<string, string>> = {
	"content-security-policy":
		"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"x-content-type-options": "nosniff",
	"referrer-policy": "no-referrer",
	"cross-origin-resource-policy": "same-origin",
	"cross-origin-opener-policy": "same-origin",
};

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** What a request is answered from. */
class StudySite {
	private readonly pictures: ReadonlySet<string>;

	constructor(
		private readonly folder: string,
		private readonly study: Study,
		private readonly annotators: Annotators,
		private readonly files: ReadonlyMap<string, PageFile>,
		/** Names that this machine may be called by; null where any may. Against other sites' names that lead here. */
		private readonly hosts: ReadonlySet<string> | null,
	) {
		const shown = study.items.flatMap(({ references, grids }) => [
			...references,
			...grids.flatMap(({ pictures }) => pictures),
		]);
		this.pictures = new Set(shown.map(pictureFile));
	}

	async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
		const host = request.headers.host ?? "";
		if (this.hosts && !this.hosts.has(host.replace(/:\d+$/, "").toLowerCase()))
			throw new Refusal(403, "This study is served to this machine under its own name only.");
		const { path, query } = target(request);
		const file = this.files.get(path);
		const picture = /^\/pictures\/([0-9a-f]{32}\.png)$/.exec(path)?.[1];
		if (file) {
			allow(request, "GET");
			send(response, 200, file.type, file.bytes, { "cache-control": "no-cache" });
		} else if (picture !== undefined && this.pictures.has(picture)) {
			allow(request, "GET");
			await this.sendPicture(response, picture);
		} else if (path === "/api/study") {
			allow(request, "GET");
			const { id, title, introduction } = this.study;
			sendJson(response, 200, { id, title, introduction, questions: QUESTIONS });
		} else if (path === "/api/join") {
			allow(request, "POST");
			const { annotator } = await jsonBody(request, joinSchema);
			sendJson(response, 200, await this.annotators.join(annotator));
		} else if (path === "/api/item") {
			allow(request, "GET");
			const annotator = this.annotators.get(query.get("annotator") ?? "");
			sendJson(response, 200, annotator.item(itemNumber(query.get("number"))));
		} else if (path === "/api/answers") {
			allow(request, "POST");
			const { annotator, ...answer } = await jsonBody(request, answerRequestSchema);
			sendJson(response, 200, await this.annotators.get(annotator).record(answer));
		} else throw new Refusal(404, "There is nothing at this address.");
	}

	private async sendPicture(response: ServerResponse, name: string): Promise<void> {
		const path = join(this.folder, PICTURES_FOLDER, name);
		const { size } = await stat(path);
		response.writeHead(200, {
			...SECURITY,
			"content-type": "image/png",
			"content-length": size,
			"cache-control": "private, max-age=31536000, immutable",
		});
		if (response.req.method === "HEAD") response.end();
		else await pipeline(createReadStream(path), response);
	}
}

function target({ url = "/" }: IncomingMessage): { path: string; query: URLSearchParams } {
	// No address here needs an escape, so none is undone: a path is one of ours letter by letter, or it is nothing.
	const [path = "/", query = ""] = url.split("?", 2);
	return { path, query: new URLSearchParams(query) };
}

function itemNumber(text: string | null): number {
	if (text !== null && /^\d{1,6}$/.test(text)) return Number(text);
	throw new Refusal(400, "An item's number is a whole number from 0 on.");
}

function allow({ method = "" }: IncomingMessage, allowed: "GET" | "POST"): void {
	if (method === allowed || (method === "HEAD" && allowed === "GET")) return;
	throw new Refusal(405, `This address takes ${allowed}, not ${method}.`, {
		allow: allowed === "GET" ? "GET, HEAD" : allowed,
	});
}

function send(
	response: ServerResponse,
	status: number,
	type: string,
	body: Buffer,
	headers: Readonly<Record<string, string>> = {},
): void {
	response.writeHead(status, { ...SECURITY, "content-type": type, "content-length": body.byteLength, ...headers });
	response.end(response.req.method === "HEAD" ? undefined : body);
}

function sendJson(
	response: ServerResponse,
	status: number,
	value: object,
	headers: Readonly<Record<string, string>> = {},
): void {
	const body = Buffer.from(JSON.stringify(value), "utf8");
	send(response, status, "application/json; charset=utf-8", body, { "cache-control": "no-store", ...headers });
}

function fail(response: ServerResponse, error: unknown, onError: (error: unknown) => void): void {
	// A reader who left is no failure.
	if (response.destroyed || response.req.errored) return;
	if (response.headersSent) {
		onError(error);
		response.destroy();
	} else if (error instanceof Refusal) sendJson(response, error.status, { error: error.message }, error.headers);
	else {
		onError(error);
		sendJson(response, 500, {
			error: "The study's server could not do this; try again, and tell whoever runs the study.",
		});
	}
}

/** Starts listening. @throws DreamdistError in a sentence where the address can't be had */
function listen(server: Server, host: string, port: number): Promise<void> {
	return new Promise((resolve, reject) => {
		server.once("error", (error: NodeJS.ErrnoException) => {
			const reasons: Readonly<Record<string, string>> = {
				EADDRINUSE: "something else listens there; choose another with --port",
				EACCES: "that is not permitted; choose a port from 1024 on with --port",
				EADDRNOTAVAIL: "this machine has no such address; choose another with --host",
				ENOTFOUND: "there is no such name; choose another with --host",
			};
			const reason = reasons[error.code ?? ""] ?? `the system answered ${error.code}`;
			reject(new DreamdistError("LISTEN", `can't listen at ${host}, port ${port}: ${reason}`, { cause: error }));
		});
		server.listen(port, host, resolve);
	});
}

/**
 * Serves a study until it is closed. Every answer is on the disk before it is acknowledged, so that a server that is killed loses none.
 *
 * @param folder the study's
 * @throws FormatError or FileError where it is no study; DreamdistError where it is served already, or the address can't be had
 */
export async function serveStudy(folder: string, options: ServeStudyOptions = {}): Promise<StudyServer> {
	const { host = "127.0.0.1", port = 0, onError = () => undefined } = options;
	const study = await readStudy(folder);
	const files = await readPageFiles();
	const unlock = await lockStudy(folder);
	try {
		const annotators = await Annotators.open(folder, study);
		const own = host.includes(":") ? `[${host}]` : host;
		const hosts = LOOPBACK.has(own.toLowerCase()) ? LOOPBACK : null;
		const site = new StudySite(folder, study, annotators, files, hosts);
		const server = createServer({ requestTimeout: 30_000, headersTimeout: 15_000 }, (request, response) => {
			site.answer(request, response).catch((error: unknown) => fail(response, error, onError));
		});
		await listen(server, host, port);
		server.on("error", onError);
		const { port: actual } = server.address() as AddressInfo;
		return {
			url: `http://${own}:${actual}/`,
			study,
			get annotators() {
				return annotators.count;
			},
			async close() {
				const closed = new Promise<void>((resolve) => server.close(() => resolve()));
				server.closeIdleConnections();
				// What is under way may end; connections that say nothing may not hold us.
				const timer = setTimeout(() => server.closeAllConnections(), 2_000);
				await closed;
				clearTimeout(timer);
				await unlock();
			},
		};
	} catch (error) {
		await unlock();
		throw error;
	}
}
