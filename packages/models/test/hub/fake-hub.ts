import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface FakeFile {
	data: Buffer;
	/** Kept outside of git: found under its SHA-256 on the storage host. */
	lfs: boolean;
}

export interface FakeRepository {
	commit: string;
	files: Record<string, FakeFile>;
	/** Tokens that may read the files; anyone may when absent. */
	gatedFor?: string[];
	/** Hidden from everyone without one of these tokens. */
	privateFor?: string[];
	revisions?: string[];
}

export interface SeenRequest {
	host: "hub" | "storage";
	method: string;
	path: string;
	authorization: string | undefined;
	range: string | undefined;
}

/** What goes wrong with one answer of the storage host. */
export type Fault =
	| { kind: "drop"; after: number }
	| { kind: "stall"; after: number }
	| { kind: "status"; status: number; headers?: Record<string, string> }
	| { kind: "ignore-range" }
	| { kind: "corrupt" }
	| { kind: "wrong-range" };

/** Servers on loopback that answer as the Hub and its storage do: the storage is another origin by its port. */
export class FakeHub {
	readonly repositories = new Map<string, FakeRepository>();
	/** Old names of repositories. */
	readonly renamed = new Map<string, string>();
	readonly seen: SeenRequest[] = [];
	/** Taken one by one by the requests to the storage; the last one stays when `keepsFailing`. */
	faults: Fault[] = [];
	keepsFailing = false;
	/** Answers of the Hub itself before it works. */
	hubFailures: { status: number; headers?: Record<string, string> }[] = [];
	/** Sizes announced for files instead of their own. */
	readonly announcedSizes = new Map<string, number>();
	readonly #hub: Server;
	readonly #storage: Server;

	private constructor() {
		this.#hub = createServer((request, response) => this.#answerHub(request, response));
		this.#storage = createServer((request, response) => this.#answerStorage(request, response));
	}

	static async start(): Promise<FakeHub> {
		const fake = new FakeHub();
		for (const server of [fake.#hub, fake.#storage]) {
			await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
		}
		return fake;
	}

	get endpoint(): string {
		return origin(this.#hub);
	}

	async stop(): Promise<void> {
		for (const server of [this.#hub, this.#storage]) {
			server.closeAllConnections();
			await new Promise((done) => server.close(done));
		}
	}

	/** The requests for files' contents. */
	downloads(): SeenRequest[] {
		return this.seen.filter(
			(one) =>
				one.method === "GET" && !one.path.startsWith("/api/") && (one.host === "storage" || !this.#isLfs(one.path)),
		);
	}

	#isLfs(path: string): boolean {
		const found = this.#file(path);
		return found?.lfs ?? false;
	}

	#file(path: string): FakeFile | undefined {
		const match = path.match(/^\/(.+?)\/resolve\/[^/]+\/(.+)$/);
		return match ? this.repositories.get(match[1]!)?.files[decodeURIComponent(match[2]!)] : undefined;
	}

	#note(host: "hub" | "storage", request: IncomingMessage): URL {
		const url = new URL(request.url ?? "/", "http://fake");
		const { authorization, range } = request.headers;
		this.seen.push({
			host,
			method: request.method ?? "",
			path: decodeURIComponent(url.pathname),
			authorization,
			range,
		});
		return url;
	}

	#answerHub(request: IncomingMessage, response: ServerResponse): unknown {
		const url = this.#note("hub", request);
		const failure = this.hubFailures.shift();
		if (failure) return end(response, failure.status, failure.headers ?? {});
		const path = decodeURIComponent(url.pathname);
		const match =
			path.match(/^\/api\/models\/(?<name>.+?)\/revision\/(?<revision>.+)$/) ??
			path.match(/^\/(?<name>[^/]+\/[^/]+)\/resolve\/(?<revision>[^/]+)\/(?<file>.+)$/);
		if (!match?.groups) return end(response, 404, {});
		const { name = "", revision = "", file } = match.groups;
		const present = this.renamed.get(name);
		if (present !== undefined) {
			return end(response, 307, { location: url.pathname.replace(name, present) + url.search });
		}
		const repository = this.repositories.get(name);
		const token = request.headers.authorization?.replace(/^Bearer /, "");
		if (!repository || (repository.privateFor && !repository.privateFor.includes(token ?? ""))) {
			return end(response, token === undefined ? 401 : 404, { "x-error-code": "RepoNotFound" });
		}
		if (![repository.commit, "main", ...(repository.revisions ?? [])].includes(revision)) {
			return end(response, 404, { "x-error-code": "RevisionNotFound" });
		}
		if (file === undefined) return this.#list(response, name, repository, url.searchParams.has("blobs"));
		if (repository.gatedFor && !repository.gatedFor.includes(token ?? "")) {
			return end(response, token === undefined ? 401 : 403, { "x-error-code": "GatedRepo" });
		}
		return this.#resolve(request, response, repository, file);
	}

	#list(response: ServerResponse, name: string, repository: FakeRepository, withBlobs: boolean): unknown {
		const siblings = Object.entries(repository.files).map(([rfilename, { data, lfs }]) => ({
			rfilename,
			...(withBlobs && {
				size: data.length,
				blobId: gitHash(data),
				...(lfs && { lfs: { sha256: sha256(data), size: data.length, pointerSize: 130 } }),
			}),
		}));
		return end(
			response,
			200,
			{ "content-type": "application/json" },
			JSON.stringify({ id: name, sha: repository.commit, siblings }),
		);
	}

	#resolve(request: IncomingMessage, response: ServerResponse, repository: FakeRepository, path: string): unknown {
		const file = repository.files[path];
		if (!file) return end(response, 404, { "x-error-code": "EntryNotFound", "x-repo-commit": repository.commit });
		const headers = { "x-repo-commit": repository.commit };
		if (!file.lfs) {
			const etag = `"${gitHash(file.data)}"`;
			return end(response, 200, { ...headers, etag, "content-length": String(file.data.length) }, file.data, request);
		}
		const hash = sha256(file.data);
		return end(response, 302, {
			...headers,
			location: `${origin(this.#storage)}/storage/${hash}?signature=secret`,
			"x-linked-etag": `"${hash}"`,
			"x-linked-size": String(this.announcedSizes.get(path) ?? file.data.length),
		});
	}

	#answerStorage(request: IncomingMessage, response: ServerResponse): unknown {
		const url = this.#note("storage", request);
		const hash = url.pathname.split("/").at(-1);
		const files = [...this.repositories.values()].flatMap((repository) => Object.values(repository.files));
		const whole = files.find((file) => file.lfs && sha256(file.data) === hash)?.data;
		if (!whole) return end(response, 404, {});
		const fault = this.keepsFailing && this.faults.length === 1 ? this.faults[0] : this.faults.shift();
		if (fault?.kind === "status") return end(response, fault.status, fault.headers ?? {});
		const data = fault?.kind === "corrupt" ? Buffer.from(whole).fill(whole[0]! ^ 1, 0, 1) : whole;

		const asked = Number(request.headers.range?.match(/^bytes=(\d+)-$/)?.[1] ?? 0);
		const start = fault?.kind === "ignore-range" ? 0 : asked;
		if (start >= data.length) return end(response, 416, { "content-range": `bytes */${data.length}` });
		const shown = fault?.kind === "wrong-range" ? start - 1 : start;
		response.writeHead(start > 0 ? 206 : 200, {
			"content-length": data.length - start,
			...(start > 0 && { "content-range": `bytes ${shown}-${data.length - 1}/${data.length}` }),
		});
		if (fault?.kind === "drop" || fault?.kind === "stall") {
			response.write(data.subarray(start, start + fault.after));
			if (fault.kind === "drop") setTimeout(() => response.destroy(), 20);
			return response;
		}
		return response.end(data.subarray(start));
	}
}

function end(
	response: ServerResponse,
	status: number,
	headers: Record<string, string>,
	body?: string | Buffer,
	request?: IncomingMessage,
): ServerResponse {
	response.writeHead(status, headers);
	return response.end(request?.method === "HEAD" ? undefined : body);
}

function origin(server: Server): string {
	return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export function sha256(data: Buffer): string {
	return createHash("sha256").update(data).digest("hex");
}

export function gitHash(data: Buffer): string {
	return createHash("sha1").update(`blob ${data.length}\0`).update(data).digest("hex");
}
