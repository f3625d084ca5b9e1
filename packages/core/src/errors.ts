/**
 * The base of every error this project throws on purpose. `message` is one sentence that names the file, flag, tensor or
 * shape at fault and what to do about it; `code` is stable, so that programs need not read the sentence.
 */
export class DreamdistError extends Error {
	/** Stable upper-case identifier, for example `FILE_NOT_FOUND`. */
	readonly code: string;

	constructor(code: string, message: string, options?: ErrorOptions) {
		super(message, options);
		this.name = new.target.name;
		this.code = code;
	}
}

/** An argument of a public function is out of range or does not fit the others. Code `INVALID_ARGUMENT`. */
export class ArgumentError extends DreamdistError {
	constructor(message: string, options?: ErrorOptions) {
		super("INVALID_ARGUMENT", message, options);
	}
}

/** The file system refused: missing, not permitted, full. Codes begin with `FILE_`. */
export class FileError extends DreamdistError {
	/** The file or folder that the operation was about. */
	readonly path: string;

	constructor(code: `FILE_${string}`, path: string, message: string, options?: ErrorOptions) {
		super(code, message, options);
		this.path = path;
	}
}

/** A file could be read but does not hold what it should. Codes begin with `BAD_`, for example `BAD_SAFETENSORS`. */
export class FormatError extends DreamdistError {
	/** The file at fault, or the name given to bytes that came from elsewhere. */
	readonly path: string;

	constructor(code: `BAD_${string}`, path: string, message: string, options?: ErrorOptions) {
		super(code, message, options);
		this.path = path;
	}
}
