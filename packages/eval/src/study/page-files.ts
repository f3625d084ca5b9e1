// The page's files, as they lie in the package.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { fileError } from "@dreamdist/core";

export interface PageFile {
	readonly type: string;
	readonly bytes: Buffer;
}

const TYPES: Readonly<Record<string, string>> = {
	"index.html": "text/html; charset=utf-8",
	"page.css": "text/css; charset=utf-8",
	"page.js": "text/javascript; charset=utf-8",
	"outbox.js": "text/javascript; charset=utf-8",
	"view.js": "text/javascript; charset=utf-8",
};

/** By their address. */
export async function readPageFiles(): Promise<ReadonlyMap<string, PageFile>> {
	// Browsers ask for an icon; there is none.
	const files = new Map<string, PageFile>([["/favicon.ico", { type: "image/x-icon", bytes: Buffer.alloc(0) }]]);
	for (const [name, type] of Object.entries(TYPES)) {
		const path = fileURLToPath(new URL(`../../web/${name}`, import.meta.url));
		try {
			files.set(name === "index.html" ? "/" : `/${name}`, { type, bytes: await readFile(path) });
		} catch (error) {
			throw fileError(error, "read the study's page", path);
		}
	}
	return files;
}
