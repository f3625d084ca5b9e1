import { ArgumentError } from "@dreamdist/core";
import { z } from "zod";
import { readJsonFile } from "../../loading/json-file.js";
import type { CaseKind } from "../case.js";

const schema = z.object({ cases: z.array(z.object({ text: z.string(), ids: z.array(z.int()) })).min(1) });

/** Texts to ids, all of them equal. */
export const tokenizerCase: CaseKind = async (one) => {
	const tokenizer = await (await one.model()).tokenizer();
	const parsed = schema.safeParse(await readJsonFile(one.file));
	if (!parsed.success) throw new ArgumentError(`${one.file} is not a list of texts with their ids`);
	for (const { text, ids } of parsed.data.cases) {
		const actual = [...tokenizer.encode(text).ids];
		const what = JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
		const at = ids.findIndex((id, i) => id !== actual[i]);
		const same = at < 0 && ids.length === actual.length;
		const detail = at < 0 ? `${what} has ${actual.length} ids` : `${what}: id ${at} is ${actual[at]}, not ${ids[at]}`;
		one.note({ what, error: same ? 0 : 1, bound: 0, detail });
	}
};
