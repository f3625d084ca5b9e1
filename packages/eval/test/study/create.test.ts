// What a study's folder holds, and what it must not.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parsePngText } from "@dreamdist/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { attentionGrids } from "../../src/study/attention.js";
import { createStudy } from "../../src/study/create.js";
import { planFor } from "../../src/study/plan.js";
import { readStudy, readStudyKey, type Study, type StudyKey } from "../../src/study/study-file.js";
import { williamsDesign } from "../../src/study/williams.js";
import { type Mark, METHODS, markOf, SETS, writeTestComparison } from "./comparison.js";

let folder: string;
let study: Study;
let key: StudyKey;
const at = (...names: string[]) => join(folder, ...names);
const bytesOf = (id: string) => readFileSync(at("study/pictures", `${id}.png`));
const mark = (id: string): Promise<Mark> => markOf(bytesOf(id));

beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "dreamdist-study-"));
	await writeTestComparison(at("comparison"));
	await createStudy(at("comparison"), at("study"), { pictures: 5, checks: 2 });
	study = await readStudy(at("study"));
	key = await readStudyKey(at("study"), study);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("createStudy", () => {
	it("makes an item per set with a grid per method, a practice item and checks", () => {
		expect(study.items.map(({ kind }) => kind)).toEqual(["practice", "judged", "judged", "judged", "check", "check"]);
		for (const { grids, references } of study.items) {
			expect(grids.map(({ pictures }) => pictures.length)).toEqual([5, 5, 5, 5]);
			expect(references.length).toBe(3);
		}
	});

	it("writes a key that says truly whose each grid is", async () => {
		for (const item of key.items) {
			const { grids, references } = study.items.find(({ id }) => id === item.id)!;
			const set = SETS.indexOf(item.set as (typeof SETS)[number]);
			for (const id of references) expect(await mark(id)).toMatchObject({ method: -1, set });
			if (item.kind === "check") {
				const marks = await Promise.all(grids.map(({ pictures }) => mark(pictures[0]!)));
				expect(marks.filter((each) => each.set === set)).toHaveLength(1);
				expect(marks[grids.findIndex(({ id }) => id === item.right)]!.set).toBe(set);
				continue;
			}
			const shown: number[][] = [];
			for (const { id, pictures } of grids) {
				const marks = await Promise.all(pictures.map(mark));
				for (const each of marks) expect(each).toMatchObject({ set, method: METHODS.indexOf(item.grids[id] as never) });
				shown.push(marks.map(({ picture }) => picture));
			}
			// The same pictures of every method in the same places.
			expect(new Set(shown.map(String)).size).toBe(1);
		}
	});

	it("tells no method outside the key: not in names, file contents, metadata or times", () => {
		const words = [...METHODS, ...SETS];
		const files = readdirSync(at("study"), { recursive: true, withFileTypes: true }).filter((each) => each.isFile());
		expect(files.length).toBe(study.items.length * (3 + 4 * 5) + 2);
		const times = new Set<number>();
		for (const { parentPath, name } of files) {
			const path = join(parentPath, name);
			const bytes = readFileSync(path);
			for (const word of words)
				expect(name === "key.json" ? "" : `${name} ${bytes.toString("latin1")}`).not.toContain(word);
			if (!name.endsWith(".png")) continue;
			times.add(statSync(path).mtimeMs);
			expect(parsePngText(bytes, name).size).toBe(0);
			const chunks = [...bytes.toString("latin1").matchAll(/IHDR|iTXt|tEXt|zTXt|eXIf|tIME|pHYs/g)].map(
				([type]) => type,
			);
			expect(chunks.filter((type) => type !== "IHDR" && type !== "pHYs")).toEqual([]);
		}
		expect(times.size).toBe(1);
	});

	it("scales all methods to one size and takes as many pictures as all of them have", async () => {
		const shape = {
			sets: ["lamps"],
			pictures: (method: number) => 4 + method,
			side: (method: number) => 24 + 8 * method,
		};
		await writeTestComparison(at("uneven"), shape);
		const { study: small, notes } = await createStudy(at("uneven"), at("uneven-study"), { checks: 1 });
		expect(notes).toEqual([
			"The cells have 4 to 7 pictures; every grid shows 4.",
			"With one set only, attention checks are told by cut-up pictures.",
		]);
		const sides = small.items
			.flatMap(({ grids }) => grids.flatMap(({ pictures }) => pictures))
			.map((id) => readFileSync(at("uneven-study/pictures", `${id}.png`)).readUInt32BE(16));
		expect(new Set(sides)).toEqual(new Set([24]));
	});

	it("takes some of the sets, methods and seeds", async () => {
		await writeTestComparison(at("seeds"), { sets: ["lamps", "boats"], seeds: [3, 4], pictures: () => 1 });
		const options = { sets: ["boats"], methods: ["dreambooth", "prompt-distribution"], seeds: [3, 4], checks: 0 };
		const made = await createStudy(at("seeds"), at("seeds-study"), options);
		expect(made.key.methods.map(({ name }) => name)).toEqual(["prompt-distribution", "dreambooth"]);
		expect(made.key.items.map((item) => item.kind === "judged" && [item.set, item.seed])).toEqual([
			["boats", 3],
			["boats", 4],
		]);
	});

	it("refuses, in a sentence, what it can't make a study of, and leaves nothing", async () => {
		await writeTestComparison(at("open"), { planned: ["cells/boats/dreambooth/0"] });
		const refused = (options: object, comparison = "open") => createStudy(at(comparison), at("none"), options);
		await expect(refused({})).rejects.toThrow(
			"1 of the comparison's cells are not done, cells/boats/dreambooth/0 among them",
		);
		await expect(refused({ sets: ["cats"] })).rejects.toThrow(
			'the comparison has no set "cats"; it has lamps, boats, owls',
		);
		await expect(refused({ methods: ["dreambooth"] })).rejects.toThrow("a study compares 2 to 9 methods, not 1");
		await expect(refused({}, "nothing")).rejects.toThrow("comparison.json: it does not exist");
		await expect(createStudy(at("comparison"), at("study"))).rejects.toThrow(
			"is not empty; a study needs one of its own",
		);
		await writeTestComparison(at("broken"), { pictures: () => 2 });
		writeFileSync(at("broken/cells/owls/prompt-distribution/0/pictures/0001.png"), "no picture");
		await expect(refused({}, "broken")).rejects.toThrow("cells/owls/prompt-distribution/0/pictures/0001.png");
		expect(existsSync(at("none"))).toBe(false);
		expect(readdirSync(folder).filter((name) => name.startsWith("."))).toEqual([]);
	});
});

describe("the order of grids", () => {
	it.each([2, 3, 4, 5, 6, 9])("balances places and neighbours of %i", (k) => {
		const rows = williamsDesign(k);
		expect(rows.length).toBe(k % 2 === 0 ? k : 2 * k);
		const places = new Map<string, number>();
		const neighbours = new Map<string, number>();
		for (const row of rows) {
			expect([...row].sort((a, b) => a - b)).toEqual(Array.from({ length: k }, (_, i) => i));
			for (const [place, thing] of row.entries()) {
				places.set(`${place} ${thing}`, (places.get(`${place} ${thing}`) ?? 0) + 1);
				const next = row[place + 1];
				if (next !== undefined) neighbours.set(`${thing} ${next}`, (neighbours.get(`${thing} ${next}`) ?? 0) + 1);
			}
		}
		expect(places.size).toBe(k * k);
		expect(new Set(places.values()).size).toBe(1);
		expect(neighbours.size).toBe(k * (k - 1));
		expect(new Set(neighbours.values()).size).toBe(1);
	});

	it("puts each method in each place equally often over the annotators of an item, and shuffles the items", () => {
		const judged = study.items.filter(({ kind }) => kind === "judged");
		const plans = Array.from({ length: 8 }, (_, annotator) => planFor(study, annotator));
		for (const item of judged) {
			const counts = new Map<string, number>();
			for (const plan of plans) {
				const { grids } = plan.find((each) => each.item.id === item.id)!;
				for (const [place, { id }] of grids.entries())
					counts.set(`${place} ${id}`, (counts.get(`${place} ${id}`) ?? 0) + 1);
			}
			expect([...counts.values()]).toEqual(Array.from({ length: 16 }, () => 2));
		}
		const orders = plans.map((plan) => plan.map(({ item }) => study.items.indexOf(item)).join());
		expect(new Set(orders).size).toBeGreaterThan(4);
		for (const plan of plans) {
			expect(plan.map(({ item }) => item.kind).slice(0, 2)).toEqual(["practice", "judged"]);
			expect(new Set(plan.map(({ item }) => item.id)).size).toBe(study.items.length);
		}
		expect(planFor(study, 3)).toEqual(plans[3]);
	});
});

it("an attention item shows its own references once, beside other sets or its own cut to pieces", () => {
	expect(attentionGrids(1, 3, 4)).toEqual([
		{ set: 1, scrambled: false },
		{ set: 2, scrambled: false },
		{ set: 0, scrambled: false },
		{ set: 2, scrambled: false },
	]);
	expect(attentionGrids(0, 1, 2)).toEqual([
		{ set: 0, scrambled: false },
		{ set: 0, scrambled: true },
	]);
});
