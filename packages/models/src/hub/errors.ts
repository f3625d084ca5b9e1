import { DreamdistError } from "@dreamdist/core";

export type HubErrorCode =
	| "HUB_GATED"
	| "HUB_REPOSITORY_NOT_FOUND"
	| "HUB_REVISION_NOT_FOUND"
	| "HUB_FILE_NOT_FOUND"
	| "HUB_TOKEN"
	| "HUB_UNREACHABLE"
	| "HUB_RESPONSE"
	| "HUB_INTERRUPTED"
	| "HUB_CHECKSUM"
	| "HUB_OFFLINE"
	| "HUB_NOT_CACHED";

/** A model could not be fetched from the Hub or found in its cache. The message never holds a token or a signed address. */
export class HubError extends DreamdistError {
	constructor(code: HubErrorCode, message: string, options?: ErrorOptions) {
		super(code, message, options);
	}
}

/** A request that failed in a way that may pass: the connection broke, or the server was busy. */
export class TransientError extends Error {
	/** What the server asked to wait, in milliseconds. */
	readonly retryAfter: number | undefined;
	/** The server's name does not resolve or nothing listens there: unlikely to change within seconds. */
	readonly isUnreachable: boolean;

	constructor(
		reason: string,
		options: ErrorOptions & { retryAfter?: number | undefined; isUnreachable?: boolean } = {},
	) {
		super(reason, options);
		this.retryAfter = options.retryAfter;
		this.isUnreachable = options.isUnreachable ?? false;
	}
}
