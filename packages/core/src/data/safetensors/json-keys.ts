/**
 * Finds a key that some object of a JSON text holds twice. `JSON.parse` keeps the last one silently, so two readers could
 * take such a file for different things.
 *
 * @param text must be valid JSON
 * @returns the first repeated key, or undefined
 */
export function repeatedKey(text: string): string | undefined {
	/** Keys of the objects around the current position; null stands for an array. */
	const around: (Set<string> | null)[] = [];
	for (let i = 0; i < text.length; i++) {
		const character = text[i];
		if (character === "{") around.push(new Set());
		else if (character === "[") around.push(null);
		else if (character === "}" || character === "]") around.pop();
		else if (character === '"') {
			const start = i++;
			while (text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
			const keys = around.at(-1);
			if (keys && isKey(text, i + 1)) {
				const key = JSON.parse(text.slice(start, i + 1)) as string;
				if (keys.has(key)) return key;
				keys.add(key);
			}
		}
	}
	return undefined;
}

/** A string is a key when a colon follows it; behind a value only a comma or a bracket can stand. */
function isKey(text: string, end: number): boolean {
	let i = end;
	while (text[i] === " " || text[i] === "\n" || text[i] === "\t" || text[i] === "\r") i++;
	return text[i] === ":";
}
