/** What CLIP's vocabulary appends to the last symbol of a word. */
export const END_OF_WORD = "</w>";

/** Bytes that Latin-1 prints as themselves; the others are shown as the characters from U+0100 on. */
function isPrintable(byte: number): boolean {
	return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

const bytes = Array.from({ length: 256 }, (_, byte) => byte);

/** The 256 bytes in the order of CLIP's vocabulary: printable ones first, so that "!" has id 0. */
const ORDER = [...bytes.filter(isPrintable), ...bytes.filter((byte) => !isPrintable(byte))];

/** The character for each byte, in the order of CLIP's vocabulary. */
export const BYTE_SYMBOLS: readonly string[] = ORDER.map((byte, i) =>
	String.fromCharCode(isPrintable(byte) ? byte : 0x100 + i - ORDER.findIndex((other) => !isPrintable(other))),
);

/** The character for each byte, by the byte. */
export const SYMBOL_OF_BYTE: readonly string[] = bytes.map((byte) => BYTE_SYMBOLS[ORDER.indexOf(byte)]!);

const BYTE_OF_SYMBOL = new Map(BYTE_SYMBOLS.map((symbol, i) => [symbol, ORDER[i]!]));

/** The text that a run of vocabulary entries spells; bytes that are no UTF-8 become U+FFFD. */
export function spell(tokens: readonly string[]): string {
	const text: number[] = [];
	for (const token of tokens) {
		const endsWord = token.endsWith(END_OF_WORD);
		const symbols = endsWord ? token.slice(0, -END_OF_WORD.length) : token;
		for (const symbol of symbols) {
			const byte = BYTE_OF_SYMBOL.get(symbol);
			// An added token is spelled in plain text.
			text.push(...(byte === undefined ? Buffer.from(symbol, "utf8") : [byte]));
		}
		if (endsWord) text.push(0x20);
	}
	return Buffer.from(text).toString("utf8").trim();
}
