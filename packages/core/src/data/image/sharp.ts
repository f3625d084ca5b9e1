import type Sharp from "sharp";
import { DreamdistError } from "../../errors.js";

/**
 * The picture library, loaded at first use: loading takes a tenth of a second, which commands that touch no picture save.
 *
 * @throws DreamdistError `SHARP_MISSING` with the command that installs it
 */
export async function loadSharp(): Promise<typeof Sharp> {
	try {
		return (await import("sharp")).default;
	} catch (error) {
		const platform = `${process.platform}-${process.arch}`;
		throw new DreamdistError(
			"SHARP_MISSING",
			`the picture library sharp could not be loaded on ${platform}; reinstall it with: npm install --include=optional sharp`,
			{ cause: error },
		);
	}
}
