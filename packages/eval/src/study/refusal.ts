/** A request that is not answered as it asks, with the sentence that says why. */
export class Refusal extends Error {
	override readonly name: string = "Refusal";

	constructor(
		/** HTTP status. */
		readonly status: number,
		message: string,
		readonly headers: Readonly<Record<string, string>> = {},
	) {
		super(message);
	}
}
