import { HubError, TransientError } from "./errors.js";
import { type HubRequest, type HubResponse, hubRequest, type RetryPolicy } from "./http.js";
import { communityMirror, isCommit, isCommitName, isSafePath, type ModelId } from "./model-id.js";
import type { HubSettings } from "./settings.js";

/** How a file's contents can be checked: LFS files by SHA-256, those in git itself by their blob's SHA-1. */
export interface Checksum {
	algorithm: "sha256" | "git-sha1";
	/** Lower-case hexadecimal; the beginning of it where no more is published. */
	value: string;
}

/** A file of a repository as the listing has it. */
export interface ListedFile {
	path: string;
	size: number | null;
	checksum: Checksum | null;
}

/** A file ready to be fetched. */
export interface RemoteFile extends ListedFile {
	/** Name of the file's contents in the cache. */
	etag: string;
}

export interface RepositoryListing {
	/** The commit that the revision stands for. */
	commit: string;
	files: ListedFile[];
	/** The repository's present name, where it was renamed. */
	movedTo: string | null;
}

/** Reads one model repository through the Hub's HTTP interface. */
export class Repository {
	readonly id: ModelId;
	readonly #settings: HubSettings;
	readonly #retry: RetryPolicy;
	readonly #signal: AbortSignal | undefined;

	constructor(id: ModelId, settings: HubSettings, retry: RetryPolicy, signal: AbortSignal | undefined) {
		this.id = id;
		this.#settings = settings;
		this.#retry = retry;
		this.#signal = signal;
	}

	/** The files of the revision, and the commit it stands for. */
	async list(): Promise<RepositoryListing> {
		const { name, revision } = this.id;
		const address = this.#address(`api/models/${name}/revision/${encodeURIComponent(revision)}`);
		address.searchParams.set("blobs", "true");
		const response = await this.#request(address, { method: "GET" });
		const info = parseInfo(await response.text());
		if (info === undefined) {
			throw new HubError(
				"HUB_RESPONSE",
				`${address.host} did not answer with a model's files for ${name}: is it a Hub?`,
			);
		}
		const present = response.url.pathname.match(/\/api\/models\/(.+)\/revision\//)?.[1];
		return { ...info, movedTo: present !== undefined && present !== name ? present : null };
	}

	/** Asks for a file's size and the name of its contents. */
	async describe(file: ListedFile, commit: string): Promise<RemoteFile> {
		const response = await this.#request(
			this.fileAddress(file.path, commit),
			{
				method: "HEAD",
			},
			file.path,
		);
		await response.discard();
		const { headers } = response;
		const linked = headers.get("x-linked-etag");
		const etag = cleanEtag(linked ?? headers.get("etag")) ?? file.checksum?.value;
		if (etag === undefined) {
			throw new HubError(
				"HUB_RESPONSE",
				`${this.#settings.endpoint.host} gave no ETag for ${this.id.name}/${file.path}.`,
			);
		}
		const isFinal = response.status < 300;
		const length = headers.get("x-linked-size") ?? (isFinal ? headers.get("content-length") : null);
		const checksum: Checksum | null = /^[0-9a-f]{64}$/.test(etag)
			? { algorithm: "sha256", value: etag }
			: file.checksum;
		return { path: file.path, etag, checksum, size: length === null ? file.size : Number(length) };
	}

	/** Starts to fetch a file from byte `from` on. Does not retry; the caller knows how far it got. */
	async open(file: RemoteFile, commit: string, from: number): Promise<HubResponse> {
		const headers: Record<string, string> = from > 0 ? { range: `bytes=${from}-` } : {};
		const address = this.fileAddress(file.path, commit);
		const response = await hubRequest(this.#settings, address, { method: "GET", headers, signal: this.#signal });
		if (response.status === 200 || response.status === 206 || response.status === 416) return response;
		throw await this.#failure(response, file.path);
	}

	fileAddress(path: string, commit: string): URL {
		const file = path.split("/").map(encodeURIComponent).join("/");
		return this.#address(`${this.id.name}/resolve/${encodeURIComponent(commit)}/${file}`);
	}

	#address(path: string): URL {
		return new URL(`${this.#settings.endpoint.href.replace(/\/$/, "")}/${path}`);
	}

	async #request(address: URL, request: HubRequest, file?: string): Promise<HubResponse> {
		for (let failures = 1; ; failures++) {
			try {
				const response = await hubRequest(this.#settings, address, { ...request, signal: this.#signal });
				if (response.status < 400) return response;
				throw await this.#failure(response, file);
			} catch (error) {
				if (!(error instanceof TransientError)) throw error;
				if (error.isUnreachable || failures > this.#retry.retries) throw this.#unreachable(error);
				await this.#retry.wait(failures, error, this.#signal);
			}
		}
	}

	#unreachable(error: TransientError): HubError {
		const proxy = process.env.HTTPS_PROXY ?? process.env.https_proxy;
		const hint = proxy ? " Node uses HTTPS_PROXY only with NODE_USE_ENV_PROXY=1 (Node 24 and later)." : "";
		const message =
			`Cannot read ${this.id.name} from ${this.#settings.endpoint.origin}: ${error.message}. Check the connection, ` +
			`name a mirror with HF_ENDPOINT, or use what is in the cache with HF_HUB_OFFLINE=1.${hint}`;
		return new HubError("HUB_UNREACHABLE", message, { cause: error });
	}

	/** What a refusal of the Hub means. */
	async #failure(response: HubResponse, file?: string): Promise<HubError | TransientError> {
		const { status, headers, url } = response;
		await response.discard();
		const isStorage = url.origin !== this.#settings.endpoint.origin;
		if (status === 429 || status >= 500 || status === 408 || (isStorage && status === 403)) {
			// A storage server's 403 is an address whose signature ran out; the next try gets a new one.
			const seconds = Number(headers.get("retry-after") ?? Number.NaN);
			const retryAfter = Number.isFinite(seconds) ? seconds * 1000 : undefined;
			return new TransientError(`${url.host} answered ${status}`, { retryAfter });
		}
		return this.#refusal(status, headers.get("x-error-code"), file);
	}

	#refusal(status: number, code: string | null, file: string | undefined): HubError {
		const { name, revision } = this.id;
		const { endpoint, token } = this.#settings;
		const page = `${endpoint.origin}/${name}`;
		if (code === "GatedRepo" || (status === 403 && code === null)) {
			const how =
				token === null
					? `Accept its terms on ${page}, then set HF_TOKEN to an access token of yours (${endpoint.origin}/settings/tokens)`
					: `The access token in use may not read it: accept its terms on ${page} with the token's account`;
			return new HubError("HUB_GATED", `${name} is gated. ${how} and try again.`);
		}
		if (code === "RevisionNotFound") {
			return new HubError("HUB_REVISION_NOT_FOUND", `${name} has no revision "${revision}"; see ${page}/tree/main.`);
		}
		if (code === "EntryNotFound" || (status === 404 && file !== undefined && code === null)) {
			return new HubError("HUB_FILE_NOT_FOUND", `${name} has no file ${file ?? ""} at revision "${revision}".`);
		}
		if (code === "RepoNotFound" || status === 404 || (status === 401 && token === null)) return this.#noRepository();
		if (status === 401) {
			return new HubError("HUB_TOKEN", `${endpoint.host} did not accept the access token in HF_TOKEN; make a new one.`);
		}
		const what = file === undefined ? name : `${name}/${file}`;
		return new HubError("HUB_RESPONSE", `${endpoint.host} answered ${status}${code ? ` (${code})` : ""} for ${what}.`);
	}

	#noRepository(): HubError {
		const { name } = this.id;
		const { endpoint, token } = this.#settings;
		const mirror = communityMirror(name);
		if (mirror !== undefined) {
			const message =
				`${name} was taken down from the Hub by its owner. The same files are kept as ${mirror}, a mirror run by the ` +
				`community and not by the model's makers; to use it, pull ${mirror}.`;
			return new HubError("HUB_REPOSITORY_NOT_FOUND", message);
		}
		const access =
			token === null
				? "if it is private, set HF_TOKEN to an access token that may read it"
				: "or the access token in use may not see it";
		return new HubError("HUB_REPOSITORY_NOT_FOUND", `There is no model ${name} on ${endpoint.host}; ${access}.`);
	}
}

/** The parts of the model listing that matter; undefined when it is something else. */
function parseInfo(text: string): { commit: string; files: ListedFile[] } | undefined {
	let info: unknown;
	try {
		info = JSON.parse(text);
	} catch {
		return undefined;
	}
	if (!isRecord(info) || !isCommitName(info.sha) || !Array.isArray(info.siblings)) return undefined;
	const files = info.siblings.filter(isRecord).flatMap((sibling): ListedFile[] => {
		const { rfilename: path, size, blobId, lfs } = sibling;
		// A path that leaves its folder is never a model's file.
		if (typeof path !== "string" || !isSafePath(path)) return [];
		const sha256 = isRecord(lfs) ? (lfs.sha256 ?? lfs.oid) : undefined;
		return [{ path, size: typeof size === "number" ? size : null, checksum: listedChecksum(sha256, blobId) }];
	});
	return { commit: info.sha, files };
}

function listedChecksum(sha256: unknown, blobId: unknown): Checksum | null {
	if (typeof sha256 === "string" && /^[0-9a-f]{64}$/.test(sha256)) return { algorithm: "sha256", value: sha256 };
	if (typeof blobId === "string" && isCommit(blobId)) return { algorithm: "git-sha1", value: blobId };
	return null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null;
}

/** An ETag without its quotes, if it can be a file's name. */
function cleanEtag(header: string | null): string | undefined {
	const etag = header?.trim().replace(/^W\//, "").replaceAll('"', "");
	return etag !== undefined && /^[A-Za-z0-9_-]{1,128}$/.test(etag) ? etag : undefined;
}
