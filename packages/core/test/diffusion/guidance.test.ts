import { expect, test } from "vitest";
import { applyGuidance } from "../../src/diffusion/index.js";
import { relativeError } from "./shared.js";

const unconditional = Float32Array.of(0.1, 0.4, -0.3, 0.9, 1, -0.2, 0.3, 0);
const conditional = Float32Array.of(0.5, -0.4, 0.2, 0.3, 0.1, 0.8, -0.9, 0.2);

test("steps from the unconditional output past the conditional one", () => {
	const guided = applyGuidance(unconditional, conditional, 2, { scale: 7.5 });
	expect(relativeError(guided, [3.1, -5.6, 3.45, -3.6, -5.75, 7.3, -8.7, 1.5])).toBeLessThan(1e-6);
	expect(relativeError(applyGuidance(unconditional, conditional, 2, { scale: 1 }), conditional)).toBeLessThan(1e-6);
});

test("brings back the spread of each sample by the given share", () => {
	// Computed with torch: 0.7 · g · std(c)/std(g) + 0.3 · g per row.
	const expected = [1.11185085, -2.00850476, 1.23738239, -1.29118163, -2.11797329, 2.68890522, -3.20458567, 0.55251477];
	const guided = applyGuidance(unconditional, conditional, 2, { scale: 7.5, rescale: 0.7 });
	expect(relativeError(guided, expected)).toBeLessThan(1e-6);
});

test("leaves a constant sample finite", () => {
	const ones = new Float32Array(4).fill(1);
	expect([...applyGuidance(ones, ones, 1, { scale: 7.5, rescale: 1 })]).toEqual([1, 1, 1, 1]);
});

test("refuses what does not fit", () => {
	expect(() => applyGuidance(unconditional, conditional, 3, { scale: 2 })).toThrow(/3 samples do not divide/);
	expect(() => applyGuidance(unconditional, new Float32Array(7), 1, { scale: 2 })).toThrow(/8 and 7/);
	expect(() => applyGuidance(unconditional, conditional, 2, { scale: 2, rescale: 2 })).toThrow(/from 0 to 1/);
});
