// What is taken from a request, and no more than that.
import type { IncomingMessage } from "node:http";
import { z } from "zod";
import { choicesSchema } from "./answer-log.js";
import { Refusal } from "./refusal.js";
import { opaqueId } from "./study-file.js";

/** An answer is a few hundred bytes. */
const MOST_BYTES = 16 * 1024;

/** A body up to this is read to its end, so that its sender, still sending, gets to read the refusal. */
const MOST_DRAINED = 8 * 1024 * 1024;

const code = z.string().max(200);

export const joinSchema = z.strictObject({ annotator: code });

export const answerRequestSchema = z.strictObject({
	annotator: code,
	item: opaqueId,
	submission: opaqueId,
	/** Null skips the item. */
	choices: choicesSchema.nullable(),
	milliseconds: z.int().min(0).max(1e10),
});

/** The bytes of a body. @throws Refusal for one over the limit, whatever its header says of its length */
async function bodyOf(request: IncomingMessage): Promise<Buffer> {
	const tooLarge = new Refusal(413, `A request here is ${MOST_BYTES} bytes at most.`, { connection: "close" });
	if (Number(request.headers["content-length"] ?? 0) > MOST_DRAINED) throw tooLarge;
	const parts: Buffer[] = [];
	let size = 0;
	for await (const part of request as AsyncIterable<Buffer>) {
		size += part.byteLength;
		if (size <= MOST_BYTES) parts.push(part);
		else if (size > MOST_DRAINED) break;
	}
	if (size > MOST_BYTES) throw tooLarge;
	return Buffer.concat(parts);
}

/** A JSON body of a known shape. @throws Refusal naming what is wrong with it */
export async function jsonBody<Schema extends z.ZodType>(
	request: IncomingMessage,
	schema: Schema,
): Promise<z.infer<Schema>> {
	// A page of another site can't send this type without asking first, and is not answered when it asks.
	if (request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase() !== "application/json")
		throw new Refusal(415, "Send JSON, with the content type application/json.");
	const body = await bodyOf(request);
	let json: unknown;
	try {
		json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
	} catch {
		throw new Refusal(400, "The request's body is not JSON.");
	}
	const parsed = schema.safeParse(json);
	if (parsed.success) return parsed.data;
	const { path, message } = parsed.error.issues[0]!;
	throw new Refusal(400, path.length > 0 ? `"${path.join(".")}": ${message}.` : `${message}.`);
}
