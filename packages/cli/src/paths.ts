// Whose folder a relative path is relative to.
import { access, constants } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { CommandError } from "./errors.js";

/**
 * The folder the user was in. Package managers run a script (`pnpm dd …`) in the package's folder and say in INIT_CWD where
 * they were called; a script that went elsewhere by itself (`cd sub && dreamdist …`) means where it went.
 */
export function callerDirectory(
	env: Readonly<Record<string, string | undefined>> = process.env,
	workingDirectory = process.cwd(),
): string {
	const { INIT_CWD: initial, npm_package_json: manifest } = env;
	const runByPackageManager = initial && manifest && resolve(dirname(manifest)) === resolve(workingDirectory);
	return runByPackageManager ? initial : workingDirectory;
}

/** An absolute path for a path that the user wrote. */
export function userPath(path: string, directory: string): string {
	return resolve(directory, path);
}

/** Makes a folder, with those above it, and sees that files can be written there. @throws CommandError in a sentence */
export async function writableFolder(path: string): Promise<void> {
	try {
		const { makeFolders } = await import("@dreamdist/core");
		await makeFolders(path);
		await access(path, constants.W_OK);
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === "EEXIST") throw new CommandError(`${path} is a file; choose a folder with --out.`);
		throw new CommandError(`The folder ${path} can't be written to (${code}); choose another with --out.`);
	}
}
