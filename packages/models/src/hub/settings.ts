import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { ArgumentError } from "@dreamdist/core";

/** Where the Hub is and how to talk to it; `huggingface_hub`'s environment variables set what a caller leaves out. */
export interface HubOptions {
	/** Address of the Hub or of a mirror of it; else `HF_ENDPOINT`, else https://huggingface.co. */
	endpoint?: string | undefined;
	/** Access token; null sends none. Else `HF_TOKEN`, else the file that `hf auth login` leaves. */
	token?: string | null | undefined;
	/** Folder of the cache; else `HF_HUB_CACHE`, else `hub` in `HF_HOME` (~/.cache/huggingface). */
	cacheDir?: string | undefined;
	/** Use the cache only; else `HF_HUB_OFFLINE`. */
	offline?: boolean | undefined;
	/** Seconds without an answer or a byte after which a connection counts as broken; else `HF_HUB_DOWNLOAD_TIMEOUT`, else 10. */
	timeout?: number | undefined;
}

export interface HubSettings {
	endpoint: URL;
	token: string | null;
	cacheDir: string;
	offline: boolean;
	timeoutMs: number;
}

const DEFAULT_TIMEOUT = 10;

export async function hubSettings(options: HubOptions): Promise<HubSettings> {
	const timeout = options.timeout ?? Number(variable("HF_HUB_DOWNLOAD_TIMEOUT") ?? DEFAULT_TIMEOUT);
	return {
		endpoint: parseEndpoint(options.endpoint ?? variable("HF_ENDPOINT") ?? "https://huggingface.co"),
		token: options.token === undefined ? await ambientToken() : options.token,
		cacheDir: cacheFolder(options.cacheDir),
		offline: options.offline ?? isOn(variable("HF_HUB_OFFLINE")),
		timeoutMs: (timeout > 0 ? timeout : DEFAULT_TIMEOUT) * 1000,
	};
}

/** The folder of the Hub's cache on this machine. */
export function cacheFolder(option?: string): string {
	const named = option ?? variable("HF_HUB_CACHE") ?? variable("HUGGINGFACE_HUB_CACHE");
	return named === undefined ? join(hubHome(), "hub") : resolve(expandHome(named));
}

function hubHome(): string {
	const home = variable("HF_HOME");
	if (home !== undefined) return resolve(expandHome(home));
	return join(resolve(expandHome(variable("XDG_CACHE_HOME") ?? "~/.cache")), "huggingface");
}

async function ambientToken(): Promise<string | null> {
	const given = variable("HF_TOKEN") ?? variable("HUGGING_FACE_HUB_TOKEN");
	if (given !== undefined) return given;
	const path = variable("HF_TOKEN_PATH");
	try {
		const text = await readFile(path === undefined ? join(hubHome(), "token") : expandHome(path), "utf8");
		return text.trim() || null;
	} catch {
		// Nobody has logged in on this machine.
		return null;
	}
}

function parseEndpoint(text: string): URL {
	const url = URL.canParse(text) ? new URL(text) : undefined;
	if (url?.protocol !== "https:" && url?.protocol !== "http:") {
		throw new ArgumentError(`The Hub's address "${text}" (HF_ENDPOINT) is not an http or https address.`);
	}
	return url;
}

/** An environment variable that is set to something. */
function variable(name: string): string | undefined {
	return process.env[name]?.trim() || undefined;
}

function isOn(value: string | undefined): boolean {
	return value !== undefined && ["1", "true", "yes", "on"].includes(value.toLowerCase());
}

function expandHome(path: string): string {
	return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(1)) : path;
}
