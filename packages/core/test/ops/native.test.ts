// Every op on every instruction set of this machine against its float64 reference.
import { loadNative } from "@dreamdist/native-cuda";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Device, openDevice, opTable } from "../../src/index.js";
import type { Op } from "../../src/ops/table.js";
import { checkOp, FROZEN, opsReached, rowsWithSamples, SEEDS, type Variant } from "./device-cases.js";

describe("every op on every instruction set", () => {
	const isas = loadNative().info().cpu.usable;
	const devices: Device[] = [];
	beforeAll(async () => {
		for (const isa of isas) devices.push(await openDevice("cpu", { isa, threads: 2 }));
	});
	afterAll(() => {
		for (const device of devices) device.dispose();
	});

	const check = async (op: Op, variant: Variant) => {
		for (let seed = 0; seed < SEEDS[variant.storage]; seed++) await checkOp(devices, op, variant, seed);
	};

	const { rows, stored } = rowsWithSamples();
	it.each(rows)("$name in f32", (op) => check(op, { storage: "f32", frozen: null }));

	for (const storage of ["f16", "bf16"] as const)
		it.each(stored)(`$name in ${storage}`, (op) => check(op, { storage, frozen: null }));

	for (const frozen of ["f32", "f16", "bf16"] as const)
		it.each(Object.keys(FROZEN))(`%s with weights frozen in ${frozen}`, (name) =>
			check(opTable().get(name)!, { storage: "f32", frozen }),
		);

	it("every row has samples, or is reached by the gradient of one that has", () => {
		const reached = new Set(rows.flatMap(opsReached));
		expect([...opTable().keys()].filter((name) => !reached.has(name))).toEqual([]);
	});
});
