// Copies built packages with everything that they need at run time into one node_modules folder without links.
import { cpSync, existsSync, readFileSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { extname, join, relative, sep } from "node:path";

/** What building needs and running does not. */
const BUILD_ONLY = /^(@types\/.*|cmake-js|node-addon-api)$/;
const NEEDLESS = new Set([
	".map",
	".md",
	".markdown",
	".ts",
	".mts",
	".cts",
	".flow",
	".tsbuildinfo",
	".cc",
	".h",
	".gyp",
]);
const OURS = /^@dreamdist\//;

const readManifest = (folder) => JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));

/** The folder of a dependency as Node finds it from a package's folder; null where it is not installed. */
function resolvePackage(from, name) {
	for (const folder of createRequire(join(from, "package.json")).resolve.paths(name) ?? [])
		if (existsSync(join(folder, name, "package.json"))) return realpathSync(join(folder, name));
	return null;
}

/** Of our packages what is built and what is read beside it; of others all that is not for people or compilers. */
function isWanted(folder, path, isOurs) {
	const parts = relative(folder, path).split(sep);
	if (parts[0] === "") return true;
	if (parts.includes("node_modules")) return false;
	if (isOurs)
		return ["package.json", "dist", "recipes", "weights"].includes(parts[0]) && !/(\.d\.ts|\.map)$/.test(path);
	return !NEEDLESS.has(extname(path)) && !(parts.length === 1 && ["docs", "test", "tests", "src"].includes(parts[0]));
}

/**
 * @param start folders of packages
 * @param target the node_modules folder to fill
 * @returns name → version of everything copied
 */
export function collectPackages(start, target) {
	const versions = new Map();
	const queue = [...start];
	for (let folder = queue.pop(); folder !== undefined; folder = queue.pop()) {
		const { name, version, dependencies = {}, optionalDependencies = {} } = readManifest(folder);
		const before = versions.get(name);
		if (before === version) continue;
		if (before !== undefined)
			throw new Error(`${name} is needed in two versions, ${before} and ${version}; the kit has room for one`);
		versions.set(name, version);
		const isOurs = OURS.test(name);
		if (isOurs && !existsSync(join(folder, "dist")))
			throw new Error(`${name} is not built; run \`npm run build\` first`);
		cpSync(folder, join(target, name), {
			recursive: true,
			dereference: true,
			filter: (path) => isWanted(folder, path, isOurs),
		});
		for (const [dependency, optional] of [
			...Object.keys(dependencies).map((d) => [d, false]),
			...Object.keys(optionalDependencies).map((d) => [d, true]),
		]) {
			if (BUILD_ONLY.test(dependency)) continue;
			const found = resolvePackage(folder, dependency);
			if (found !== null) queue.push(found);
			else if (!optional)
				throw new Error(`${name} needs ${dependency}, which is not installed; run \`npm run build\` first`);
		}
	}
	return Object.fromEntries([...versions].sort());
}
