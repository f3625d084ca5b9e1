// The study's server as any client meets it: what it keeps, what it tells, and what it refuses.
import {
	appendFileSync,
	cpSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readFileSync,
	rmSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Progress, ShownItem } from "../../src/study/annotators.js";
import { createStudy } from "../../src/study/create.js";
import { type StudyServer, serveStudy } from "../../src/study/serve.js";
import { METHODS, SETS, writeTestComparison } from "./comparison.js";

let folder: string;
let server: StudyServer;
let problems: unknown[];
const at = (...names: string[]) => join(folder, ...names);
const answers = () => at("study/answers");

beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "dreamdist-serve-"));
	await writeTestComparison(at("comparison"), { pictures: () => 2 });
	await createStudy(at("comparison"), at("created"), { checks: 1, introduction: "Please be kind." });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(async () => {
	problems = [];
	cpSync(at("created"), at("study"), { recursive: true });
	server = await serveStudy(at("study"), { onError: (error) => problems.push(error) });
});
afterEach(async () => {
	await server.close();
	rmSync(at("study"), { recursive: true });
	expect(problems).toEqual([]);
});

const get = (path: string, init: RequestInit = {}) => fetch(server.url + path, init);
const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
	get(path, {
		method: "POST",
		headers: { "content-type": "application/json", ...headers },
		body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body),
	});
async function json<T = Record<string, unknown>>(response: Promise<Response>): Promise<T> {
	return (await (await response).json()) as T;
}
const join_ = (annotator: string) => json<Progress>(post("api/join", { annotator }));
const item = (annotator: string, number: number) =>
	json<ShownItem>(get(`api/item?annotator=${annotator}&number=${number}`));
const submission = (digit: string) => digit.repeat(32);
const log = (annotator: string) =>
	readFileSync(join(answers(), `${annotator}.jsonl`), "utf8")
		.trimEnd()
		.split("\n")
		.map((line) => JSON.parse(line) as Record<string, unknown>);

/** An answer that chooses the grid in one place for everything. */
function choosing({ id, grids }: ShownItem, place: number, annotator: string, digit: string) {
	const grid = grids[place]!.id;
	const choices = { similarity: grid, diversity: grid, overall: grid };
	return { annotator, item: id, submission: submission(digit), choices, milliseconds: 1200 };
}

/** The same study by another server, as after a crash: what was in memory is gone. */
async function restart(): Promise<void> {
	await server.close();
	server = await serveStudy(at("study"), { onError: (error) => problems.push(error) });
}

describe("the page", () => {
	it("is three kinds of files that load nothing from elsewhere", async () => {
		const page = await get("");
		expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
		expect(page.headers.get("content-security-policy")).toMatch(/^default-src 'none'; script-src 'self'/);
		const html = await page.text();
		for (const [, address] of html.matchAll(/(?:src|href)="([^"]+)"/g)) expect((await get(address!)).status).toBe(200);
		for (const name of ["page.js", "view.js", "outbox.js", "page.css"])
			expect(html + (await (await get(name)).text())).not.toMatch(/https?:\/\/|@import|url\(/);
		expect(await json(get("api/study"))).toMatchObject({
			title: "A study of pictures",
			introduction: "Please be kind.",
		});
	});
});

describe("answers", () => {
	it("are kept, line by line, and lead on through all items", async () => {
		expect(await join_(" Ann-1 ")).toEqual({ annotator: "ann-1", done: 0, total: 4, next: 0 });
		const practice = await item("ann-1", 0);
		expect(practice).toMatchObject({ number: 0, practice: true, answer: null });
		const first = await json(post("api/answers", choosing(practice, 1, "ann-1", "0")));
		expect(practice.grids.map(({ id }) => id)).toContain((first.practice as { right: string }).right);
		expect(first).toMatchObject({ done: 0, total: 4, next: 1 });
		for (let number = 1; number <= 4; number++) {
			const shown = await item("ann-1", number);
			expect(shown).toMatchObject({ number, practice: false });
			const next = await json(post("api/answers", choosing(shown, 2, "ann-1", String(number))));
			expect(next).toEqual({ annotator: "ann-1", done: number, total: 4, next: number < 4 ? number + 1 : null });
		}
		const [header, ...lines] = log("ann-1");
		expect(header).toMatchObject({ format: "dreamdist.study-answers", annotator: "ann-1", number: 0 });
		expect(lines).toHaveLength(5);
		for (const line of lines) {
			expect(line).toMatchObject({ milliseconds: 1200, layout: expect.any(Array) });
			expect(Date.parse(line.at as string)).toBeGreaterThan(Date.now() - 60_000);
		}
	});

	it("count once however often they are sent, also at the same time and to a server begun anew", async () => {
		await join_("ann");
		const sent = choosing(await item("ann", 1), 0, "ann", "a");
		const replies = await Promise.all(Array.from({ length: 8 }, () => json(post("api/answers", sent))));
		expect(new Set(replies.map((reply) => JSON.stringify(reply))).size).toBe(1);
		await restart();
		expect(await json(post("api/answers", sent))).toEqual(replies[0]);
		expect(log("ann")).toHaveLength(2);
	});

	it("may be changed: both lines stay and the page is shown the last", async () => {
		await join_("ann");
		const shown = await item("ann", 1);
		await post("api/answers", choosing(shown, 0, "ann", "a"));
		const skipped = { ...choosing(shown, 0, "ann", "b"), choices: null };
		expect(await json(post("api/answers", skipped))).toMatchObject({ done: 1, next: 0 });
		expect((await item("ann", 1)).answer).toEqual({ choices: null });
		await post("api/answers", choosing(shown, 3, "ann", "c"));
		await restart();
		expect((await item("ann", 1)).answer!.choices!.overall).toBe(shown.grids[3]!.id);
		expect(
			log("ann")
				.slice(1)
				.map(({ submission: id }) => (id as string)[0]),
		).toEqual(["a", "b", "c"]);
	});

	it("are all there after a crash in the middle of a line, which was never acknowledged", async () => {
		await join_("ann");
		const [one, two, three] = await Promise.all([1, 2, 3].map((number) => item("ann", number)));
		await post("api/answers", choosing(one!, 0, "ann", "1"));
		await post("api/answers", choosing(two!, 0, "ann", "2"));
		const path = join(answers(), "ann.jsonl");
		const whole = readFileSync(path).length;
		truncateSync(path, whole - 40);
		await restart();
		expect(await join_("ann")).toMatchObject({ done: 1 });
		await post("api/answers", choosing(three!, 0, "ann", "3"));
		// The page still had the second one, and sends it again.
		expect(await json(post("api/answers", choosing(two!, 0, "ann", "2")))).toMatchObject({ done: 3 });
		const lines = readFileSync(path, "utf8").trimEnd().split("\n");
		expect(lines).toHaveLength(5);
		expect(() => JSON.parse(lines[2]!)).toThrow();
		await restart();
		expect(await join_("ann")).toMatchObject({ done: 3 });
	});

	it("of many annotators at once each find their own log, and everyone an order of their own", async () => {
		const names = Array.from({ length: 12 }, (_, i) => `annotator-${i}`);
		await Promise.all(names.flatMap((name) => [join_(name), join_(name)]));
		const numbers = names.map((name) => log(name)[0]!.number as number);
		expect([...numbers].sort((a, b) => a - b)).toEqual(names.map((_, i) => i));
		await restart();
		expect(server.annotators).toBe(12);
		await join_("late");
		expect(log("late")[0]).toMatchObject({ number: 12 });
	});
});

describe("nothing reachable", () => {
	it("tells a method, a set, or a check from an item", async () => {
		await join_("ann");
		const seen: string[] = [];
		const shapes = new Set<string>();
		for (let number = 0; number <= 4; number++) {
			const response = await get(`api/item?annotator=ann&number=${number}`);
			seen.push(JSON.stringify([...response.headers]), await response.clone().text());
			const shown = (await response.json()) as ShownItem;
			if (number > 0) shapes.add(JSON.stringify({ ...shown, id: 0, number: 0 }).replace(/[0-9a-f]{32}/g, "0"));
			for (const address of [...shown.references, ...shown.grids.flatMap(({ pictures }) => pictures)]) {
				expect(address).toMatch(/^pictures\/[0-9a-f]{32}\.png$/);
				const picture = await get(address);
				expect(picture.headers.get("content-type")).toBe("image/png");
				seen.push(JSON.stringify([...picture.headers]), Buffer.from(await picture.arrayBuffer()).toString("latin1"));
			}
		}
		expect(shapes.size).toBe(1);
		for (const word of [...METHODS, ...SETS, "check", "last-modified", "etag"])
			expect(seen.filter((text) => text.includes(word))).toEqual([]);
	});

	it("is at paths that are not the page's own", async () => {
		await join_("ann");
		for (const path of [
			"key.json",
			"study.json",
			"answers/ann.jsonl",
			"serving.lock",
			"pictures/",
			"pictures/..%2fkey.json",
			"pictures/%2e%2e/key.json",
			"pictures/..\\key.json",
			`pictures/${"0".repeat(32)}.png`,
			"%",
			"%00",
			"constructor",
			"__proto__",
			"api/",
			"api/item/../../key.json",
			"//etc/passwd",
		]) {
			const refused = await get(path);
			expect([path, refused.status]).toEqual([path, 404]);
			expect(await refused.json()).toEqual({ error: "There is nothing at this address." });
		}
	});

	it("answers to raw requests", async () => {
		for (const line of [
			"GET /../key.json",
			"GET /pictures/../key.json",
			"GET ../key.json",
			"GET http://127.0.0.1/key.json",
		]) {
			expect(await raw(`${line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`)).toMatch(
				/^HTTP\/1\.1 40[04] /,
			);
		}
	});
});

/** What the server says to these bytes, until it ends the connection. */
function raw(bytes: string): Promise<string> {
	const { hostname, port } = new URL(server.url);
	return new Promise((resolve, reject) => {
		const socket = connect(Number(port), hostname, () => socket.write(bytes));
		let text = "";
		socket.setEncoding("latin1").on("data", (part) => {
			text += part;
		});
		socket.on("error", reject).on("close", () => resolve(text));
	});
}

describe("hostile input gets a clear refusal", () => {
	const markup = '<img src=x onerror="alert(1)">';

	it("as a name", async () => {
		for (const name of [markup, "", "../../key", "a/b", "a\0b", "x".repeat(41), "-a", "ä", "con .", "."]) {
			const refused = await post("api/join", { annotator: name });
			expect(refused.status).toBe(400);
			expect((await json(Promise.resolve(refused))).error).toMatch(/^A name here is 1 to 40 letters from a to z/);
			expect(existsSync(join(answers(), `${name}.jsonl`.replaceAll("\0", "")))).toBe(false);
		}
	});

	it("as a body", async () => {
		for (const [what, body, status, sentence] of [
			["no JSON", "{", 400, "The request's body is not JSON."],
			["no UTF-8", Buffer.from([0x22, 0xff, 0x22]), 400, "The request's body is not JSON."],
			["a list", [], 400, /./],
			["null", null, 400, /./],
			["no name", {}, 400, /"annotator"/],
			["a name that is a number", { annotator: 3 }, 400, /"annotator"/],
			["more than was asked for", { annotator: "ann", admin: true }, 400, /admin/],
			["a long name", { annotator: "a".repeat(5000) }, 400, /"annotator"/],
		] as const) {
			const refused = await post("api/join", body);
			expect([what, refused.status]).toEqual([what, status]);
			const { error } = await json<{ error: string }>(Promise.resolve(refused));
			expect(error).toMatch(sentence);
		}
	});

	it("for bodies over 16 KiB, whatever they say of their length", async () => {
		const refused = await post("api/join", { annotator: "a".repeat(1_000_000) });
		expect(refused.status).toBe(413);
		expect(await refused.json()).toEqual({ error: "A request here is 16384 bytes at most." });
		const chunked = await new Promise<number>((resolve, reject) => {
			const sending = request(
				`${server.url}api/join`,
				{ method: "POST", headers: { "content-type": "application/json" } },
				(response) => resolve(response.statusCode!),
			);
			sending.on("error", reject);
			for (let i = 0; i < 64; i++) sending.write(" ".repeat(16_384));
			sending.end();
		});
		expect(chunked).toBe(413);
		const announced = await raw(
			"POST /api/join HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{",
		);
		expect(announced).toMatch(/^HTTP\/1\.1 413 .*A request here is 16384 bytes at most/s);
	});

	it("for other types, methods, hosts and unknown people", async () => {
		const form = await post("api/join", '{"annotator":"ann"}', { "content-type": "text/plain" });
		expect([form.status, await form.json()]).toEqual([
			415,
			{ error: "Send JSON, with the content type application/json." },
		]);
		const wrong = await get("api/join");
		expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "POST"]);
		expect((await get("api/study", { method: "DELETE" })).status).toBe(405);
		expect((await get("api/study", { method: "OPTIONS" })).headers.get("access-control-allow-origin")).toBeNull();
		expect(await raw("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")).toMatch(/^HTTP\/1\.1 403 /);
		expect((await get("api/item?annotator=nobody&number=1")).status).toBe(404);
		expect(await raw(`GET /?${"a".repeat(40_000)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
		expect(await raw("nonsense\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /);
	});

	it("for answers that don't fit the item, none of which is kept", async () => {
		await join_("ann");
		const [one, two] = await Promise.all([item("ann", 1), item("ann", 2)]);
		const good = choosing(one!, 0, "ann", "a");
		const foreign = { ...good, choices: { ...good.choices, overall: two!.grids[0]!.id } };
		for (const [body, sentence] of [
			[foreign, "names a grid that this item does not have"],
			[{ ...good, item: submission("f") }, "no such item"],
			[{ ...good, item: "../key" }, '"item"'],
			[{ ...good, submission: markup }, '"submission"'],
			[{ ...good, milliseconds: -1 }, '"milliseconds"'],
			[{ ...good, milliseconds: 1e308 }, '"milliseconds"'],
			[{ ...good, choices: { overall: good.choices.overall } }, '"choices.similarity"'],
			[{ ...good, choices: [] }, '"choices"'],
			[{ ...good, annotator: "other" }, "Nobody has joined"],
		] as const) {
			const refused = await post("api/answers", body);
			expect(refused.status).toBeGreaterThanOrEqual(400);
			expect(((await refused.json()) as { error: string }).error).toContain(sentence);
		}
		for (const number of ["-1", "99", "1e1", "", "0x1"])
			expect([400, 404]).toContain((await get(`api/item?annotator=ann&number=${number}`)).status);
		expect(log("ann")).toHaveLength(1);
	});

	it("for more answers to one item than anyone changes their mind", async () => {
		await join_("ann");
		const shown = await item("ann", 1);
		const send = (i: number) =>
			post("api/answers", { ...choosing(shown, 0, "ann", "0"), submission: i.toString(16).padStart(32, "0") });
		for (let i = 0; i < 50; i++) expect((await send(i)).status).toBe(200);
		const refused = await send(50);
		expect([refused.status, await refused.json()]).toEqual([
			409,
			{ error: "This item was answered 50 times already; the last answer stands." },
		]);
		expect(log("ann")).toHaveLength(51);
	});
});

describe("whoever runs the study", () => {
	it("is told that the study is served already, that a port is taken, or that a folder is none", async () => {
		await expect(serveStudy(at("study"))).rejects.toThrow("is served already, by this process");
		await expect(serveStudy(at("comparison"))).rejects.toThrow("study.json: it does not exist");
		cpSync(at("created"), at("other"), { recursive: true });
		const port = Number(new URL(server.url).port);
		await expect(serveStudy(at("other"), { port })).rejects.toThrow(
			`can't listen at 127.0.0.1, port ${port}: something else listens there; choose another with --port`,
		);
		expect(existsSync(at("other/serving.lock"))).toBe(false);
		rmSync(at("other"), { recursive: true });
	});

	it("goes on after a killed server, whose lock is still there, but not beside a living one", async () => {
		await server.close();
		const lock = at("study/serving.lock");
		const holder = (fields: object) => writeFileSync(lock, JSON.stringify(fields));
		holder({ process: process.ppid, host: hostname() });
		await expect(serveStudy(at("study"))).rejects.toThrow(`by process ${process.ppid} on`);
		// No process has this number.
		holder({ process: 2 ** 30, host: hostname() });
		server = await serveStudy(at("study"));
		expect((await get("")).status).toBe(200);
	});

	it("is told of a log that belongs elsewhere", async () => {
		await join_("ann");
		await server.close();
		const path = join(answers(), "ann.jsonl");
		const text = readFileSync(path, "utf8");
		writeFileSync(path, text.replace(/"study":"[0-9a-f]+"/, `"study":"${submission("0")}"`));
		await expect(serveStudy(at("study"))).rejects.toThrow("ann.jsonl holds answers of another study; move it away");
		writeFileSync(path, "");
		await expect(serveStudy(at("study"))).rejects.toThrow(
			"ann.jsonl is no log of answers: its first line is no header",
		);
		writeFileSync(path, text);
		appendFileSync(path, "{}\n");
		server = await serveStudy(at("study"));
		expect(await join_("ann")).toMatchObject({ done: 0 });
	});

	it("is told when an answer can't be written, and the annotator may send it again", async () => {
		await join_("ann");
		const sent = choosing(await item("ann", 1), 0, "ann", "a");
		const path = join(answers(), "ann.jsonl");
		const text = readFileSync(path, "utf8");
		rmSync(path);
		mkdirSync(path);
		expect((await post("api/answers", sent)).status).toBe(500);
		expect(String(problems.pop())).toContain("cannot write the answer to");
		rmSync(path, { recursive: true });
		writeFileSync(path, text);
		expect(await json(post("api/answers", sent))).toMatchObject({ done: 1 });
		expect(log("ann")).toHaveLength(2);
	});
});
