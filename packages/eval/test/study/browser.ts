// A browser for tests, where this machine has one.
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

function isExecutable(path: string): boolean {
	try {
		accessSync(path, constants.X_OK);
		return true;
	} catch {
		return false;
	}
}

/** Chromium's path: DD_CHROMIUM, or one on PATH; undefined where there is none. */
export function findChromium(): string | undefined {
	if (process.env.DD_CHROMIUM) return process.env.DD_CHROMIUM;
	const folders = (process.env.PATH ?? "").split(delimiter);
	return folders.flatMap((folder) => NAMES.map((name) => join(folder, name))).find(isExecutable);
}

export function launchChromium(executablePath: string): Promise<Browser> {
	// A sandbox can't be had as root, and nothing here needs the network.
	const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
	const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"];
	return chromium.launch({ executablePath, args: [...args, ...quiet] });
}
