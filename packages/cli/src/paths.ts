// Whose folder a relative path is relative to.
import { dirname, resolve } from "node:path";

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
