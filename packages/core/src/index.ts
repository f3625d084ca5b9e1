// @dreamdist/core: graphs, differentiation, compiled programs, and data in and out.
export type { CheckReport } from "./compile/check.js";
export type { CompileOptions } from "./compile/compile.js";
export type { InputData, Program, ProgramMemory, RunOptions } from "./compile/program.js";
export * from "./data/index.js";
export { Device, type DeviceMemory, type DeviceOptions, openDevice } from "./device/device.js";
export type { HostArray } from "./device/host.js";
export { type FrozenSource, FrozenTensor, Tensor } from "./device/tensor.js";
export { grad, gradients, type LossFunction, valueAndGrad } from "./differentiate/gradients.js";
export * from "./diffusion/index.js";
export * from "./errors.js";
export * from "./graph/errors.js";
export { Graph, type Node, Value } from "./graph/graph.js";
export { bytesOf, type DType, type Shape, sizeOf, type Type } from "./graph/types.js";
export { type InterpretOptions, interpret, type Precision } from "./interpret/interpreter.js";
export * from "./methods/index.js";
export * from "./ops/index.js";
export * from "./optimize/index.js";
export * from "./weights/index.js";
