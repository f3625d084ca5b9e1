// The ops a graph is written with.
export { type AttentionOptions, attention } from "./attention.js";
export { type Conv2dOptions, type ConvActivation, conv2d, upsampleConv2d } from "./conv.js";
export * from "./elementwise.js";
export {
	embedding,
	gather,
	oneHot,
	scatterAdd,
	type TimestepEmbeddingOptions,
	timestepEmbedding,
} from "./embedding.js";
export { type GroupNormOptions, groupNorm } from "./group-norm.js";
export { type CrossEntropyOptions, crossEntropy, type LossReduction, l1, l2Normalize, mse } from "./loss.js";
export { type Activation, linear, type MatmulOptions, matmul } from "./matmul.js";
export { type BatchNormOptions, type BatchNormResult, batchNorm, type LayerNormOptions, layerNorm } from "./norm.js";
export { avgPool2d, maxPool2d, type PoolOptions } from "./pool.js";
export { philox4x32, philoxBits, philoxNormal, philoxUniform } from "./random.js";
export { max, mean, meanAbs, min, type ReduceOptions, std, sum, sumSquares, variance } from "./reduce.js";
export { broadcastTo, concat, pad, reshape, slice, split, transpose, upsampleNearest2x } from "./shape.js";
export { logSoftmax, softmax } from "./softmax.js";
export { type Op, opTable } from "./table.js";
export type { Padding, Pair } from "./window.js";
