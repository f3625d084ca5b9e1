// The ops a graph is written with.
export * from "./elementwise.js";
export { type Activation, linear, type MatmulOptions, matmul } from "./matmul.js";
export { max, mean, meanAbs, min, type ReduceOptions, std, sum, sumSquares, variance } from "./reduce.js";
export { broadcastTo, concat, pad, reshape, slice, split, transpose, upsampleNearest2x } from "./shape.js";
export { type Op, opTable } from "./table.js";
