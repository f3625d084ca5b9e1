// A small model folder for tests, made once per test file.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Device } from "@dreamdist/core";
import { initModel } from "../src/index.js";

/** A temporary folder, and how to remove it. */
export function temporaryFolder(): { folder: string; remove: () => void } {
	const folder = mkdtempSync(join(tmpdir(), "dreamdist-models-"));
	return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Writes the "tiny" configuration with random weights into `<folder>/tiny`. */
export async function writeTinyModel(folder: string, device: Device, seed = 1): Promise<string> {
	const path = join(folder, "tiny");
	await initModel(path, { config: "tiny", seed, device });
	return path;
}
