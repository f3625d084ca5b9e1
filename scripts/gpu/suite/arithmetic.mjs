// What --dtypes names: a type of activations, or tf32, which is f32 whose products are in tf32.

export const DTYPES = ["bf16", "f16", "f32", "tf32"];

/** How a device is opened for it. */
export const deviceOptions = (dtype) =>
	dtype === "tf32" ? { activations: "f32", tf32: true } : { activations: dtype };

/** What numbers are stored in. */
export const storageOf = (dtype) => (dtype === "tf32" ? "f32" : dtype);
