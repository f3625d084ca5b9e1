// From what the user names (files, folders, patterns) to picture files.
import { readdir, stat } from "node:fs/promises";
import { basename, extname, join, resolve, sep } from "node:path";
import { fileError } from "../../data/file-system.js";
import { ArgumentError } from "../../errors.js";

/** Files of a folder that are taken for pictures; a file that is named is always tried. */
const EXTENSIONS = new Set([".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".gif"]);

export interface FoundPicture {
	readonly path: string;
	/** Name of the class, the folder it lies in; null without classes. */
	readonly className: string | null;
}

export interface FindPicturesOptions {
	/** Folders hold one folder per class. Default false. */
	readonly classes?: boolean;
	/** What relative paths are relative to. Default the working directory. */
	readonly directory?: string;
}

/**
 * Picture files behind files, folders and patterns (`*`, `?`, `[…]`, `**`), each once, sorted by path.
 *
 * @throws FileError for a path that is not there; ArgumentError when nothing is found, saying where it looked
 */
export async function findPictures(
	inputs: readonly string[],
	options: FindPicturesOptions = {},
): Promise<FoundPicture[]> {
	const { classes = false, directory = process.cwd() } = options;
	if (inputs.length === 0) throw new ArgumentError("no pictures were given; name a folder, files or a pattern");
	const found = new Map<string, FoundPicture>();
	const add = (path: string, className: string | null) => found.set(path, { path, className });
	for (const input of inputs) {
		for (const path of await expand(resolve(directory, input))) {
			const isFolder = (await stat(path)).isDirectory();
			if (!isFolder) add(path, classes ? basename(resolve(path, "..")) : null);
			else if (classes) {
				for (const name of await foldersOf(path))
					for (const file of await picturesOf(join(path, name))) add(file, name);
			} else for (const file of await picturesOf(path)) add(file, null);
		}
	}
	if (found.size === 0) throw new ArgumentError(await explainNothing(inputs, classes, directory));
	return [...found.values()].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

async function entriesOf(folder: string) {
	try {
		return await readdir(folder, { withFileTypes: true });
	} catch (error) {
		throw fileError(error, "read the folder", folder);
	}
}

/** Hidden files are what systems leave behind. */
async function picturesOf(folder: string): Promise<string[]> {
	return (await entriesOf(folder))
		.filter((entry) => !entry.isDirectory() && !entry.name.startsWith("."))
		.filter((entry) => EXTENSIONS.has(extname(entry.name).toLowerCase()))
		.map((entry) => join(folder, entry.name));
}

async function foldersOf(folder: string): Promise<string[]> {
	return (await entriesOf(folder))
		.filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
		.map((entry) => entry.name);
}

async function explainNothing(inputs: readonly string[], classes: boolean, directory: string): Promise<string> {
	const where = inputs.join(", ");
	if (classes) return `there are no pictures in folders of ${where}; with classes they lie in IMAGES/CLASS/`;
	for (const input of inputs) {
		const folders = await foldersOf(resolve(directory, input)).catch(() => []);
		if (folders.length > 0)
			return `there are no pictures in ${where} itself, but it has folders (${folders.slice(0, 3).join(", ")}); learn by class, or name the folders`;
	}
	return `there are no pictures in ${where}; JPEG, PNG, WebP, AVIF, TIFF and GIF are read`;
}

/** The path itself where there is such a file or folder, else what matches it as a pattern. */
async function expand(path: string): Promise<string[]> {
	try {
		await stat(path);
		return [path];
	} catch (error) {
		if (!/[*?[]/.test(path)) throw fileError(error, "read", path);
	}
	const parts = path.split(sep);
	const first = parts.findIndex((part) => /[*?[]/.test(part));
	const base = parts.slice(0, first).join(sep) || sep;
	return matchesBelow(base, parts.slice(first));
}

async function matchesBelow(folder: string, patterns: readonly string[]): Promise<string[]> {
	const [pattern, ...rest] = patterns;
	const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
	const matches: string[] = [];
	if (pattern === "**") {
		matches.push(...(await matchesBelow(folder, rest.length > 0 ? rest : ["*"])));
		for (const entry of entries)
			if (entry.isDirectory() && !entry.name.startsWith("."))
				matches.push(...(await matchesBelow(join(folder, entry.name), patterns)));
		return matches;
	}
	const expression = toExpression(pattern!);
	for (const entry of entries) {
		if (!expression.test(entry.name) || (entry.name.startsWith(".") && !pattern!.startsWith("."))) continue;
		const path = join(folder, entry.name);
		if (rest.length === 0) matches.push(path);
		else if (entry.isDirectory()) matches.push(...(await matchesBelow(path, rest)));
	}
	return matches;
}

/** `*`, `?` and `[…]` within one name. */
function toExpression(pattern: string): RegExp {
	const source = pattern.replace(/\[!?[^\]]+\]|[*?]|[.+^${}()|[\]\\]/g, (token) => {
		if (token === "*") return ".*";
		if (token === "?") return ".";
		if (token.length > 2) return token.replace(/^\[!/, "[^").replace(/\\/g, "\\\\");
		return `\\${token}`;
	});
	return new RegExp(`^${source}$`);
}
