import { ArgumentError } from "../../errors.js";
import type { PredictionType } from "../noise-schedule.js";
import { type Combination, type Estimate, UNLIMITED } from "../sampling-plan.js";

/**
 * The clean sample from x_t = a x₀ + s ε and the model's output.
 *
 * @throws ArgumentError where x_t has no signal (a = 0) and the model predicts noise: x₀ cannot be told from it
 */
export function cleanEstimate(prediction: PredictionType, a: number, s: number, clip: number | null = null): Estimate {
	const limit = clip ?? UNLIMITED;
	switch (prediction) {
		case "epsilon":
			if (a === 0) {
				throw new ArgumentError(
					"A timestep without signal (rescale_betas_zero_snr) needs a model with prediction_type v_prediction or " +
						"sample, not epsilon.",
				);
			}
			return { latents: 1 / a, output: -s / a, limit };
		case "v_prediction":
			return { latents: a, output: -s, limit };
		case "sample":
			return { latents: 0, output: 1, limit };
	}
}

/** The noise ε in x_t = a x₀ + s ε, from x_t and the model's output. */
export function noiseEstimate(prediction: PredictionType, a: number, s: number): Combination {
	switch (prediction) {
		case "epsilon":
			return { output: 1 };
		case "v_prediction":
			return { latents: s, output: a };
		case "sample":
			return { latents: 1 / s, output: -a / s };
	}
}
