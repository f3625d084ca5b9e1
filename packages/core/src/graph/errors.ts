import { DreamdistError } from "../errors.js";

/** Shapes or element types that do not fit. Code `BAD_SHAPE`. */
export class ShapeError extends DreamdistError {
	constructor(message: string) {
		super("BAD_SHAPE", message);
	}
}

/** A graph, program or device used in a way it can't be. Code `BAD_GRAPH`. */
export class GraphError extends DreamdistError {
	constructor(message: string) {
		super("BAD_GRAPH", message);
	}
}

/** Something disposed was used again. Code `DISPOSED`. */
export class DisposedError extends DreamdistError {
	constructor(what: string) {
		super("DISPOSED", `${what} was disposed and can't be used any more`);
	}
}

/** A plan needs more memory than the device may use. Code `OUT_OF_MEMORY`. */
export class InsufficientMemoryError extends DreamdistError {
	constructor(
		message: string,
		/** Bytes the plan needs in all. */
		readonly needed: number,
		/** Bytes the device may use. */
		readonly limit: number,
	) {
		super("OUT_OF_MEMORY", message);
	}
}

/** The device reported a failure while it ran; the message names the op. Code `DEVICE`. */
export class DeviceError extends DreamdistError {
	constructor(message: string, options?: ErrorOptions) {
		super("DEVICE", message, options);
	}
}
