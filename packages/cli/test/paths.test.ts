import { resolve } from "node:path";
import { expect, it } from "vitest";
import { callerDirectory, userPath } from "../src/paths.js";

const root = resolve("/home/user/clone");
const manifest = resolve("/home/user/clone/package.json");
const caller = resolve("/home/user/pictures");

it("takes the caller's folder where a package manager runs the script in the package's", () => {
	expect(callerDirectory({ INIT_CWD: caller, npm_package_json: manifest }, root)).toBe(caller);
});

it("takes its own folder where nothing says that a package manager ran it", () => {
	expect(callerDirectory({}, root)).toBe(root);
	expect(callerDirectory({ INIT_CWD: caller }, root)).toBe(root);
});

it("takes its own folder where the script went there by itself", () => {
	const below = resolve(root, "sub");
	expect(callerDirectory({ INIT_CWD: caller, npm_package_json: manifest }, below)).toBe(below);
});

it("resolves the user's paths against that folder", () => {
	expect(userPath("a.png", caller)).toBe(resolve(caller, "a.png"));
	expect(userPath(manifest, caller)).toBe(manifest);
});
