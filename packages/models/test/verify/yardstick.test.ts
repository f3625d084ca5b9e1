// How a case in low precision is judged: by the naive computation's own error.
import { expect, it } from "vitest";
import type { VerifyRunner } from "../../src/verify/case.js";
import { verifyCase } from "../../src/verify/yardstick.js";

const runner = { name: "card" } as unknown as VerifyRunner;
const naive = { name: "naive", device: { activations: "bf16" } } as unknown as VerifyRunner;

const judged = (kind: string, errors: Record<string, number>, naiveErrors: Record<string, number>, count?: number) =>
	verifyCase(
		"case",
		kind,
		async (by) =>
			Object.entries(by === naive ? naiveErrors : errors).map(([what, error]) => ({
				...{ what, error, bound: 1e-4 },
				...(count === undefined ? {} : { count }),
			})),
		runner,
		naive,
	);

it("allows twice the naive error, and three times where steps follow on each other", async () => {
	expect(await judged("unet", { output: 0.019 }, { output: 0.01 })).toMatchObject({ pass: true, error: 0.019 });
	expect(await judged("unet", { output: 0.021 }, { output: 0.01 })).toMatchObject({ pass: false, bound: 0.02 });
	expect(await judged("generate", { output: 0.029 }, { output: 0.01 })).toMatchObject({ pass: true });
	expect(await judged("generate", { output: 0.031 }, { output: 0.01 })).toMatchObject({ pass: false });
});

it("never asks for more than f32 is asked for", async () => {
	expect(await judged("tokenizer", { ids: 9e-5 }, { ids: 0 })).toMatchObject({ pass: true, bound: 1e-4 });
});

it("allows few numbers one rounding, where the naive computation rounds them at all", async () => {
	expect(await judged("unet", { loss: 3e-3 }, { loss: 5e-4 }, 1)).toMatchObject({ pass: true, bound: 2 ** -8 });
	expect(await judged("unet", { loss: 3e-3 }, { loss: 9e-5 }, 1)).toMatchObject({ pass: true, bound: 2 ** -8 });
	expect(await judged("unet", { loss: 3e-3 }, { loss: 1e-6 }, 1)).toMatchObject({ pass: false, bound: 1e-4 });
	expect(await judged("unet", { loss: 4e-3 }, { loss: 5e-4 }, 1)).toMatchObject({ pass: false });
	expect(await judged("unet", { output: 3e-3 }, { output: 5e-4 }, 16)).toMatchObject({ pass: false });
	expect(await judged("unet", { loss: 3e-3 }, { loss: 0 }, 1)).toMatchObject({ pass: false, bound: 1e-4 });
});

it("allows a few wrong signs where numbers are signs, whatever the naive computation's luck", async () => {
	const change = (error: number) =>
		verifyCase(
			"case",
			"prompt_train",
			async (by) => [
				{ what: "tokens_0", error: by === naive ? 1e-3 : error, bound: 2e-2, ofOneSign: 2 / Math.sqrt(1600) },
			],
			runner,
			naive,
		);
	expect(await change(0.0999)).toMatchObject({ pass: true, bound: 0.1 });
	expect(await change(0.11)).toMatchObject({ pass: false });
});

it("compares each tensor with its own, and reports the one that is furthest over", async () => {
	const result = await judged("unet", { output: 0.01, gradient: 0.3 }, { output: 0.01, gradient: 0.1 });
	expect(result).toMatchObject({ pass: false, error: 0.3, bound: 0.2, message: "gradient is off by 3.00e-1" });
});

it("fails where either computation fails", async () => {
	const failing = verifyCase("case", "unet", async () => Promise.reject(new Error("no memory")), runner, naive);
	expect(await failing).toMatchObject({ pass: false, message: "no memory" });
	expect(await judged("unet", { output: Number.NaN }, { output: 0.01 })).toMatchObject({ pass: false });
});
