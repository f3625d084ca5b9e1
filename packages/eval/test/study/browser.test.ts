// The page in a real browser: scripted annotators judge by what the pictures show, with the keyboard, in two tabs, through reloads and
// while the server is away.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createStudy } from "../../src/study/create.js";
import { reportStudy } from "../../src/study/report.js";
import { type StudyServer, serveStudy } from "../../src/study/serve.js";
import { findChromium, launchChromium } from "./browser.js";
import { METHODS, SETS, writeTestComparison } from "./comparison.js";
import { CHOSEN, LOW_TARGETS, PAGE_WIDTH, placeOf } from "./in-page.js";

const chromium = findChromium();
if (!chromium)
	console.warn("skipped: there is no Chromium on PATH (Debian: apt-get install chromium), nor in DD_CHROMIUM");

let folder: string;
let server: StudyServer;
let browser: Browser;
let context: BrowserContext;
let faults: string[];
const at = (...names: string[]) => join(folder, ...names);

/** Where the grid of a method stands; on an attention item, the right one. */
const place = (page: Page, method: number): Promise<number> => page.evaluate<number>(placeOf(method));

const onItem = (page: Page, text: string) => page.locator("#item h1", { hasText: text }).waitFor();

async function join_(page: Page, name: string): Promise<void> {
	await page.goto(server.url);
	await page.fill("#annotator", name);
	await page.press("#annotator", "Enter");
	await onItem(page, "Practice");
}

/** Answers the item that is shown: the methods preferred for each question. */
async function judge(page: Page, similarity: number, diversity: number, overall: number): Promise<void> {
	for (const method of [similarity, diversity, overall])
		await page.keyboard.press(String.fromCharCode(97 + (await place(page, method))));
	await page.keyboard.press("Enter");
}

/** The practice item, and on to the first that counts. */
async function practise(page: Page): Promise<void> {
	await judge(page, 0, 0, 0);
	await page.locator("#feedback-text", { hasText: "Yes, set" }).waitFor();
	await page.keyboard.press("Enter");
	await onItem(page, "1 of 4");
}

const logged = (name: string) =>
	readFileSync(at("study/answers", `${name}.jsonl`), "utf8")
		.trimEnd()
		.split("\n")
		.slice(1)
		.map((line) => JSON.parse(line) as { item: string; choices: Record<string, string> | null; submission: string });

describe.skipIf(!chromium)("the study in a browser", () => {
	beforeAll(async () => {
		folder = mkdtempSync(join(tmpdir(), "dreamdist-browser-"));
		await writeTestComparison(at("comparison"), { pictures: () => 3 });
		browser = await launchChromium(chromium!);
	});
	afterAll(async () => {
		await browser?.close();
		rmSync(folder, { recursive: true, force: true });
	});
	beforeEach(async () => {
		await createStudy(at("comparison"), at("study"), { checks: 1 });
		server = await serveStudy(at("study"));
		context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
		faults = [];
		context.on("page", (page) => page.on("pageerror", (error) => faults.push(error.message)));
	});
	afterEach(async () => {
		await context.close();
		await server.close();
		rmSync(at("study"), { recursive: true });
		expect(faults).toEqual([]);
	});

	it("is walked through with the keyboard, and the report recovers what each annotator prefers", async () => {
		await Promise.all(
			[2, 2, 1].map(async (favourite, number) => {
				const page = await context.browser()!.newPage();
				await join_(page, `annotator-${number}`);
				await practise(page);
				for (let item = 1; item <= 4; item++) {
					await onItem(page, `${item} of 4`);
					await judge(page, favourite, 0, 3);
				}
				await page.locator("#end:not([hidden])").waitFor();
				await page.context().close();
			}),
		);
		const { report } = await reportStudy(at("study"), { resamples: 200 });
		const votes = report.questions.map(({ methods }) => methods.map((method) => method.votes));
		expect(votes).toEqual([
			[0, 3, 6, 0],
			[9, 0, 0, 0],
			[0, 0, 0, 9],
		]);
		expect(report.annotators.every(({ failed, passed }) => failed === 0 && passed === 1)).toBe(true);
	});

	it("keeps a half-made answer through a reload, and remembers who and where one was", async () => {
		const page = await context.newPage();
		await join_(page, "ann");
		await practise(page);
		await page.keyboard.press("c");
		await page.keyboard.press("2");
		const before = await page.evaluate<string[]>(CHOSEN);
		expect(before).toHaveLength(2);
		await page.reload();
		await onItem(page, "1 of 4");
		const after = await page.evaluate<string[]>(CHOSEN);
		expect(after).toEqual(before);
		// The third question is the open one, so a letter answers it.
		await page.keyboard.press("a");
		await page.keyboard.press("Enter");
		await onItem(page, "2 of 4");
		const { similarity, diversity } = logged("ann").at(-1)!.choices!;
		expect([similarity, diversity]).toEqual(before);
	});

	it("takes answers of two tabs, also of one left behind, and loses none", async () => {
		const [left, right] = [await context.newPage(), await context.newPage()];
		await join_(left, "ann");
		await practise(left);
		await right.goto(server.url);
		await onItem(right, "1 of 4");
		await judge(left, 0, 0, 0);
		await onItem(left, "2 of 4");
		await judge(left, 1, 1, 1);
		await onItem(left, "3 of 4");
		// The other tab still shows the first item.
		await judge(right, 2, 2, 2);
		await onItem(right, "3 of 4");
		await right.keyboard.press("s");
		await onItem(right, "4 of 4");
		await judge(left, 3, 3, 3);
		await onItem(left, "4 of 4");
		const lines = logged("ann");
		expect(lines).toHaveLength(6);
		expect(new Set(lines.map(({ item }) => item)).size).toBe(4);
		expect(new Set(lines.map(({ submission }) => submission)).size).toBe(6);
		expect(lines.map(({ choices }) => choices === null)).toEqual([false, false, false, false, true, false]);
	});

	it("keeps an answer while the server is away, through a reload too, and sends it when it is back", async () => {
		const page = await context.newPage();
		await join_(page, "ann");
		await practise(page);
		const port = Number(new URL(server.url).port);
		await server.close();
		await judge(page, 1, 1, 1);
		await page.locator("#trouble", { hasText: "can’t be reached. Your answers are kept here" }).waitFor();
		server = await serveStudy(at("study"), { port });
		await onItem(page, "2 of 4");
		await page.locator("#trouble").waitFor({ state: "hidden" });
		expect(logged("ann")).toHaveLength(2);

		// The reply is lost, and then the page: what was recorded is sent again and counts once.
		await page.route("**/api/answers", async (route) => {
			await route.fetch();
			await route.abort();
		});
		await judge(page, 2, 2, 2);
		await page.locator("#trouble:not([hidden])").waitFor();
		expect(logged("ann")).toHaveLength(3);
		await page.unroute("**/api/answers");
		await page.reload();
		await onItem(page, "3 of 4");
		expect(logged("ann")).toHaveLength(3);
	});

	it("goes back to change an answer, and skips", async () => {
		const page = await context.newPage();
		await join_(page, "ann");
		await practise(page);
		await judge(page, 0, 0, 0);
		await onItem(page, "2 of 4");
		await page.keyboard.press("s");
		await onItem(page, "3 of 4");
		await page.click("#previous");
		await onItem(page, "2 of 4");
		expect(await page.locator("#status").textContent()).toBe("You have skipped this one.");
		await page.keyboard.press("p");
		await onItem(page, "1 of 4");
		expect(await page.locator("input:checked").count()).toBe(3);
		await judge(page, 3, 3, 3);
		await onItem(page, "2 of 4");
		expect(logged("ann")).toHaveLength(4);
	});

	it("fits 400 pixels, works by touch, and shows no name of a method or set anywhere", async () => {
		const phone = await browser.newContext({ viewport: { width: 400, height: 800 }, hasTouch: true, isMobile: true });
		const page = await phone.newPage();
		const requests: string[] = [];
		page.on("request", (request) => requests.push(request.url()));
		page.on("pageerror", (error) => faults.push(error.message));
		await page.goto(server.url);
		await page.fill("#annotator", "<b>bold</b>");
		await page.tap("#join button");
		await page.locator("#join-problem", { hasText: "1 to 40 letters" }).waitFor();
		await page.fill("#annotator", "phone");
		await page.tap("#join button");
		await onItem(page, "Practice");
		expect(await page.evaluate<number>(PAGE_WIDTH)).toBe(400);
		for (const question of ["similarity", "diversity", "overall"]) await page.tap(`input[name="${question}"] >> nth=1`);
		await page.tap("#next");
		await page.locator("#feedback-text").waitFor();
		await page.tap("#begin");
		await onItem(page, "1 of 4");
		await page.tap(".pictures img >> nth=2");
		await page.locator("#zoom-caption", { hasText: "Set A, picture 3 of 3" }).waitFor();
		await page.tap("#zoom-next");
		await page.locator("#zoom-caption", { hasText: "Set A, picture 1 of 3" }).waitFor();
		await page.tap("#zoom-close");
		// Every button is large enough for a finger.
		const low = await page.evaluate<number>(LOW_TARGETS);
		expect(low).toBe(0);
		expect(await page.evaluate<number>(PAGE_WIDTH)).toBe(400);
		const html = await page.content();
		for (const word of [...METHODS, ...SETS]) expect(html + requests.join()).not.toContain(word);
		for (const url of requests) expect(url.startsWith(server.url)).toBe(true);
		await phone.close();
	});
});
