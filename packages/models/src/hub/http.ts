import { TransientError } from "./errors.js";
import type { HubSettings } from "./settings.js";

const MAX_REDIRECTS = 10;

/** System errors that say that there is nobody to talk to, rather than that a connection broke. */
const UNREACHABLE = ["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "CERT_HAS_EXPIRED"];

export interface HubRequest {
	method: "GET" | "HEAD";
	headers?: Record<string, string>;
	signal?: AbortSignal | undefined;
}

/** A response and the connection that its body still comes through. */
export interface HubResponse {
	status: number;
	headers: Headers;
	/** Address that answered, after redirects. */
	url: URL;
	/** The body piece by piece. @throws TransientError when the connection breaks or falls silent */
	body(): AsyncGenerator<Uint8Array>;
	/** The whole body as text, for answers that are small. */
	text(): Promise<string>;
	/** Lets go of the connection without reading the body. */
	discard(): Promise<void>;
}

/**
 * Sends a request, following redirects by hand: the token goes to the Hub's own origin (scheme, host and port) only.
 * A HEAD stops before another origin, and at the first answer that already describes the file.
 *
 * @throws TransientError when there is no answer; the signal's reason when it was aborted
 */
export async function hubRequest(settings: HubSettings, address: URL, request: HubRequest): Promise<HubResponse> {
	let url = address;
	for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
		const response = await send(settings, url, request);
		const location = response.headers.get("location");
		const isRedirect = [301, 302, 303, 307, 308].includes(response.status) && location !== null;
		if (!isRedirect) return response;
		const next = URL.canParse(location, url.href) ? new URL(location, url) : undefined;
		if (next === undefined) return response;
		const isDescribed = response.headers.has("x-linked-etag") || next.origin !== settings.endpoint.origin;
		if (request.method === "HEAD" && isDescribed) return response;
		await response.discard();
		url = next;
	}
	throw new TransientError(`${address.host} redirects more than ${MAX_REDIRECTS} times`);
}

async function send(settings: HubSettings, url: URL, request: HubRequest): Promise<HubResponse> {
	const headers = new Headers(request.headers);
	headers.set("user-agent", "dreamdist");
	// A compressed answer has neither the file's length nor its ranges.
	headers.set("accept-encoding", "identity");
	if (settings.token !== null && url.origin === settings.endpoint.origin) {
		headers.set("authorization", `Bearer ${settings.token}`);
	}
	const watch = new Watchdog(settings.timeoutMs, url.host, request.signal);
	try {
		const response = await watch.guard(
			fetch(url, { method: request.method, headers, redirect: "manual", signal: watch.signal }),
		);
		return wrap(response, url, watch);
	} catch (error) {
		watch.stop();
		throw error;
	}
}

function wrap(response: Response, url: URL, watch: Watchdog): HubResponse {
	async function* body(): AsyncGenerator<Uint8Array> {
		const reader = response.body?.getReader();
		try {
			while (reader) {
				const { done, value } = await watch.guard(reader.read());
				if (done) return;
				yield value;
			}
		} finally {
			watch.stop();
			await reader?.cancel().catch(() => undefined);
		}
	}
	return {
		status: response.status,
		headers: response.headers,
		url,
		body,
		async text() {
			const pieces: Uint8Array[] = [];
			for await (const piece of body()) pieces.push(piece);
			return Buffer.concat(pieces).toString("utf8");
		},
		async discard() {
			watch.stop();
			await response.body?.cancel().catch(() => undefined);
		},
	};
}

/** Aborts a request when the caller asks for it or when nothing has come for too long, and tells the two apart. */
class Watchdog {
	readonly #controller = new AbortController();
	readonly #timeoutMs: number;
	readonly #host: string;
	readonly #outer: AbortSignal | undefined;
	readonly #onAbort = (): void => this.#controller.abort(this.#outer?.reason);

	constructor(timeoutMs: number, host: string, outer: AbortSignal | undefined) {
		this.#timeoutMs = timeoutMs;
		this.#host = host;
		this.#outer = outer;
		outer?.throwIfAborted();
		outer?.addEventListener("abort", this.#onAbort, { once: true });
	}

	get signal(): AbortSignal {
		return this.#controller.signal;
	}

	/** Waits for one answer or piece of it. */
	async guard<T>(work: Promise<T>): Promise<T> {
		let isSilent = false;
		const timer = setTimeout(() => {
			isSilent = true;
			this.#controller.abort();
		}, this.#timeoutMs);
		try {
			return await work;
		} catch (error) {
			this.#outer?.throwIfAborted();
			if (isSilent)
				throw new TransientError(`${this.#host} was silent for ${this.#timeoutMs / 1000} s`, { cause: error });
			throw connectionError(error, this.#host);
		} finally {
			clearTimeout(timer);
		}
	}

	stop(): void {
		this.#outer?.removeEventListener("abort", this.#onAbort);
	}
}

/** fetch hides the reason of a failure in nested causes. */
function connectionError(error: unknown, host: string): TransientError {
	const messages: string[] = [];
	let code: string | undefined;
	for (let at = error; at instanceof Error; at = at.cause) {
		code ??= (at as NodeJS.ErrnoException).code;
		const nested = at instanceof AggregateError ? at.errors[0] : undefined;
		if (nested instanceof Error) code ??= (nested as NodeJS.ErrnoException).code;
		if (at.message) messages.push(at.message);
	}
	const reason = messages.at(-1) || code || "unknown reason";
	const isUnreachable = code !== undefined && UNREACHABLE.includes(code);
	return new TransientError(`the connection to ${host} failed (${reason})`, { cause: error, isUnreachable });
}

/** How often and how patiently a request is tried again. */
export interface RetryOptions {
	/** Tries after the first; 5 when left out. */
	retries?: number | undefined;
	/** Wait before the first of them in milliseconds, doubled each time up to 30 s; 1000 when left out. */
	delayMs?: number | undefined;
}

const LONGEST_DELAY = 30_000;

export interface RetryPolicy {
	retries: number;
	/** Waits before try `failures` + 1. @throws the signal's reason when it is aborted */
	wait(failures: number, error: TransientError, signal: AbortSignal | undefined): Promise<void>;
	/** What {@link wait} will wait, in milliseconds. */
	delay(failures: number, error: TransientError): number;
}

export function retryPolicy(options: RetryOptions = {}): RetryPolicy {
	const { retries = 5, delayMs = 1000 } = options;
	const delay = (failures: number, error: TransientError): number =>
		Math.min(error.retryAfter ?? delayMs * 2 ** (failures - 1), LONGEST_DELAY);
	return {
		retries,
		delay,
		wait: (failures, error, signal) => sleep(delay(failures, error), signal),
	};
}

/** Waits, or throws the signal's reason as soon as it is aborted. */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
	return new Promise((done, fail) => {
		signal?.throwIfAborted();
		const onAbort = (): void => {
			clearTimeout(timer);
			fail(signal?.reason);
		};
		const timer = setTimeout(() => {
			signal?.removeEventListener("abort", onAbort);
			done();
		}, ms);
		signal?.addEventListener("abort", onAbort, { once: true });
	});
}
