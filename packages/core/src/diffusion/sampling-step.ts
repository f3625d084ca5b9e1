// One sampling step on the device: model, guidance and sampler in one program whose every varying number is an input.
import type { Tensor } from "../device/tensor.js";
import type { Graph, Value } from "../graph/graph.js";
import type { Shape } from "../graph/types.js";
import { add, div, maximum, minimum, mul, neg, select, sqrt, sub } from "../ops/elementwise.js";
import { mean, sumSquares } from "../ops/reduce.js";
import { broadcastTo, reshape, slice } from "../ops/shape.js";
import { HISTORY_SLOTS, OPERANDS, STEP_COEFFICIENTS } from "./sampling-plan.js";

/** The state of a sampler on a device, kept between steps: latents [B, h, w, C] and HISTORY_SLOTS more of that shape. */
export interface DeviceSamplerState {
	readonly latents: Tensor;
	readonly history: readonly Tensor[];
}

export interface SamplingStepOptions {
	/**
	 * The model's output for inputs [B, h, w, C] at timesteps [B]: one per input, or with guidance two per input, [2·B, h, w, C], the
	 * unconditional before the conditional (what a `Denoiser` gives for contexts in that order).
	 */
	readonly predict: (input: Value, timesteps: Value) => Value;
	/** Classifier-free guidance. Its scale and rescale are inputs. */
	readonly guided: boolean;
	/** Fresh unit normal noise of the latents' shape, for samplers that add some; null where the plan adds none. */
	readonly noise: Value | null;
}

/**
 * Writes one step into the graph and assigns the state's next contents.
 *
 * Inputs it declares: `coefficients` [STEP_COEFFICIENTS.count], a row of `coefficientTable`; with guidance also the scalars
 * `guidanceScale` and `guidanceRescale` (0 … 1).
 *
 * @returns the next latents
 */
export function samplingStep(graph: Graph, state: DeviceSamplerState, options: SamplingStepOptions): Value {
	const coefficients = graph.input("coefficients", [STEP_COEFFICIENTS.count]);
	const scalar = (index: number) => reshape(slice(coefficients, 0, index, 1), []);
	const latents = graph.state(state.latents);
	const history = state.history.map((slot) => graph.state(slot));
	const batch = latents.shape[0]!;

	const input = mul(latents, scalar(STEP_COEFFICIENTS.inputScale));
	const timesteps = broadcastTo(slice(coefficients, 0, STEP_COEFFICIENTS.timestep, 1), [batch]);
	const predicted = options.predict(input, timesteps);
	const output = options.guided ? guide(graph, predicted, latents.shape) : predicted;

	const limit = scalar(STEP_COEFFICIENTS.estimateLimit);
	const raw = add(
		mul(latents, scalar(STEP_COEFFICIENTS.estimateLatents)),
		mul(output, scalar(STEP_COEFFICIENTS.estimateOutput)),
	);
	const estimate = minimum(maximum(raw, neg(limit)), limit);
	const operands = [latents, ...history, output, estimate, ...(options.noise ? [options.noise] : [])];
	const row = (index: number): Value =>
		operands
			.map((operand, column) => mul(operand, scalar(STEP_COEFFICIENTS.transition + index * OPERANDS + column)))
			.reduce((sum, term) => add(sum, term));
	const next = row(0);
	graph.assign(state.latents, next);
	for (let slot = 0; slot < HISTORY_SLOTS; slot++) graph.assign(state.history[slot]!, row(1 + slot));
	return next;
}

/** u + g (c − u), brought back towards the conditional output's spread by `guidanceRescale` (Lin et al. 2023, §3.4). */
function guide(graph: Graph, predicted: Value, shape: Shape): Value {
	const scale = graph.input("guidanceScale");
	const rescale = graph.input("guidanceRescale");
	const pairs = reshape(predicted, [shape[0]!, 2, ...shape.slice(1)]);
	const unconditional = reshape(slice(pairs, 1, 0, 1), shape);
	const conditional = reshape(slice(pairs, 1, 1, 1), shape);
	const guided = add(unconditional, mul(sub(conditional, unconditional), scale));
	const spreadOf = (x: Value): Value => {
		const axes = x.shape.map((_, i) => i).slice(1);
		return sumSquares(sub(x, mean(x, axes, { keepDims: true })), axes, { keepDims: true });
	};
	const spread = spreadOf(guided);
	// A constant sample has no spread to correct: its quotient would be 0/0.
	const safe = select(spread, spread, 1);
	const quotient = select(spread, sqrt(div(spreadOf(conditional), safe)), 1);
	return mul(guided, add(mul(sub(quotient, 1), rescale), 1));
}
