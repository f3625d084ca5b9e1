// Settings from a file: JSON, or the part of YAML that settings need.
import { readFile } from "node:fs/promises";
import { CommandError } from "../errors.js";

/**
 * Reads a configuration file: one mapping of settings. YAML here is `key: value` lines, with comments, quoted text, numbers, true, false,
 * null and lists, as [a, b] or as lines that begin with "- ".
 *
 * @throws CommandError naming the file and the line
 */
export async function readConfigFile(path: string): Promise<Record<string, unknown>> {
	let text: string;
	try {
		text = await readFile(path, "utf8");
	} catch (error) {
		throw new CommandError(`The configuration ${path} can't be read (${(error as NodeJS.ErrnoException).code}).`);
	}
	if (!text.trimStart().startsWith("{")) return parseYaml(text, path);
	try {
		return JSON.parse(text) as Record<string, unknown>;
	} catch (error) {
		throw new CommandError(`The configuration ${path} is not JSON: ${(error as Error).message}.`);
	}
}

function parseYaml(text: string, path: string): Record<string, unknown> {
	const settings: Record<string, unknown> = {};
	let list: unknown[] | null = null;
	for (const [index, raw] of text.split(/\r?\n/).entries()) {
		const line = withoutComment(raw).trimEnd();
		if (line === "" || line === "---") continue;
		const fail = (problem: string) => new CommandError(`The configuration ${path}, line ${index + 1}: ${problem}.`);
		const item = /^\s*-\s+(.*)$/.exec(line);
		if (item) {
			if (!list) throw fail("a list stands under no key");
			list.push(parseValue(item[1]!, fail));
			continue;
		}
		const pair = /^([A-Za-z_][\w-]*)\s*:(?:\s+(.*))?$/.exec(line);
		if (!pair) throw fail('expected "key: value"');
		const [, key, value = ""] = pair as unknown as [string, string, string?];
		if (Object.hasOwn(settings, key)) throw fail(`"${key}" is there twice`);
		list = value.trim() === "" ? [] : null;
		settings[key] = list ?? parseValue(value, fail);
	}
	return settings;
}

/** Cuts off what follows a # outside of quotes. */
function withoutComment(line: string): string {
	let quote = "";
	for (let i = 0; i < line.length; i++) {
		const character = line[i]!;
		if (quote) quote = character === quote ? "" : quote;
		else if (character === '"' || character === "'") quote = character;
		else if (character === "#" && (i === 0 || /\s/.test(line[i - 1]!))) return line.slice(0, i);
	}
	return line;
}

function parseValue(text: string, fail: (problem: string) => Error): unknown {
	const value = text.trim();
	if (value.startsWith("[")) {
		if (!value.endsWith("]")) throw fail("a list that begins with [ must end with ]");
		const inner = value.slice(1, -1).trim();
		return inner === "" ? [] : splitList(inner).map((part) => parseValue(part, fail));
	}
	if (/^[{&*|>!]/.test(value)) throw fail(`"${value}" is a part of YAML that is not read here; use JSON`);
	if (value.startsWith('"')) {
		try {
			return JSON.parse(value) as string;
		} catch {
			throw fail(`${value} is not a quoted text`);
		}
	}
	if (value.startsWith("'")) {
		if (value.length < 2 || !value.endsWith("'")) throw fail(`${value} is not a quoted text`);
		return value.slice(1, -1).replace(/''/g, "'");
	}
	if (value === "true" || value === "false") return value === "true";
	if (value === "null" || value === "~") return null;
	return value !== "" && Number.isFinite(Number(value)) ? Number(value) : value;
}

/** At commas outside of quotes. */
function splitList(text: string): string[] {
	return text.match(/"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,]+/g)?.filter((part) => part.trim() !== "") ?? [];
}
