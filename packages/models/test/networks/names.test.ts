// The names and shapes of the full-size networks, from their configurations alone.
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { countParameters, type Shape } from "@dreamdist/core";
import { describe, expect, it } from "vitest";
import { AUTOENCODER, TEXT_ENCODER, UNET } from "../../src/index.js";
import { DEFAULT_CONFIGS } from "../../src/loading/default-configs.js";

const shared = process.env.DD_SHARED ?? resolve(import.meta.dirname, "../../../../../shared");

/** Lines "name [2, 3]" of a list in the shared folder; null, with the reason printed, where that is not beside the repository. */
function listed(name: string): Map<string, Shape> | null {
	const path = join(shared, "facts", name);
	if (!existsSync(path)) {
		console.warn(`Skipping ${name}: there is no ${path} (DD_SHARED names its folder).`);
		return null;
	}
	const lines = readFileSync(path, "utf8").trim().split("\n");
	return new Map(
		lines.map((line) => {
			const space = line.indexOf(" ");
			return [line.slice(0, space), JSON.parse(line.slice(space + 1)) as number[]];
		}),
	);
}

const sorted = (shapes: ReadonlyMap<string, Shape>) =>
	[...shapes].map(([name, shape]) => `${name} ${JSON.stringify(shape)}`).sort();

describe.each([
	{ name: "text encoder", list: "names_text.txt", count: 372, parameters: 340_387_840, kind: TEXT_ENCODER },
	{ name: "UNet", list: "names_unet.txt", count: 686, parameters: 865_910_724, kind: UNET },
	{ name: "autoencoder", list: "names_vae.txt", count: 248, parameters: 83_653_863, kind: AUTOENCODER },
])("Stable Diffusion 2.1's $name", ({ list, count, parameters, kind }) => {
	const json = DEFAULT_CONFIGS.sd21[kind.folder as "unet" | "vae" | "text_encoder"];
	const declared = (kind as typeof UNET).declare((kind as typeof UNET).readConfig(json, "config.json"));

	it("has its number of tensors and parameters", () => {
		expect(declared.size).toBe(count);
		expect(countParameters(declared)).toBe(parameters);
	});

	const expected = listed(list);
	it.skipIf(!expected)("has exactly the listed names and shapes", () => {
		expect(sorted(declared)).toEqual(sorted(expected!));
	});
});

describe("Stable Diffusion 1.5", () => {
	it("has its published number of parameters", () => {
		const count = (kind: typeof UNET | typeof TEXT_ENCODER) =>
			countParameters(
				(kind as typeof UNET).declare(
					(kind as typeof UNET).readConfig(DEFAULT_CONFIGS.sd15[kind.folder as "unet"], "config.json"),
				),
			);
		expect(count(UNET)).toBe(859_520_964);
		expect(count(TEXT_ENCODER)).toBe(123_060_480);
	});
});
