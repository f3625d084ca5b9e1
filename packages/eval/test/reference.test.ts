// Every case of the reference set for encoders, metrics and pixels.
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { openDevice } from "@dreamdist/core";
import { MODEL_CASE_KINDS, verifySet } from "@dreamdist/models";
import { describe, expect, test } from "vitest";
import { METRIC_CASE_KINDS } from "../src/index.js";

const folder = join(process.env.DD_SHARED ?? resolve(import.meta.dirname, "../../../../shared"), "reference/vision");
const isPresent = existsSync(join(folder, "cases.json"));
if (!isPresent) console.warn(`Skipping the vision set: there is no ${folder} (DD_SHARED names the folder around it).`);

describe.skipIf(!isPresent)("the vision set", () => {
	test("passes in every case", { timeout: 120_000 }, async () => {
		const device = await openDevice("cpu");
		const { cases } = await verifySet(folder, { device, kinds: { ...MODEL_CASE_KINDS, ...METRIC_CASE_KINDS } });
		device.dispose();
		expect(cases.filter(({ pass }) => !pass)).toEqual([]);
		expect(cases.length).toBeGreaterThan(40);
	});
});
