import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { DreamdistError } from "@dreamdist/core";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type PullEvent, type PullOptions, pull } from "../../src/hub/index.js";
import { FakeHub, type FakeRepository, gitHash, sha256 } from "./fake-hub.js";

const NAME = "someone/model";
const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const weights = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7919) % 251));
const text = (value: string) => ({ data: Buffer.from(value), lfs: false });
const large = (data: Buffer) => ({ data, lfs: true });

function pipeline(): FakeRepository {
	return {
		commit: COMMIT,
		revisions: ["v2", "refs/pr/1"],
		files: {
			".gitattributes": text("x"),
			"README.md": text("y"),
			"model_index.json": text("{}"),
			"scheduler/scheduler_config.json": text('{"a": 1}'),
			"tokenizer/vocab.json": text("{}"),
			"tokenizer/merges.txt": text("#version: 0.2\n"),
			"text_encoder/config.json": text('{"b": 2}'),
			"text_encoder/model.safetensors": large(Buffer.from("text weights")),
			"text_encoder/pytorch_model.bin": large(Buffer.from("pickle")),
			"unet/config.json": text('{"c": 3}'),
			"unet/diffusion_pytorch_model.safetensors": large(weights),
			"unet/diffusion_pytorch_model.bin": large(Buffer.from("pickle too")),
			"vae/config.json": text('{"d": 4}'),
			"vae/diffusion_pytorch_model.safetensors": large(Buffer.from("vae weights")),
			"v2-1_768-ema-pruned.ckpt": large(Buffer.from("everything")),
		},
	};
}

const UNET = "unet/diffusion_pytorch_model.safetensors";
const UNET_HASH = sha256(weights);

let fake: FakeHub;
let cacheDir: string;
let events: PullEvent[];
let options: PullOptions;

beforeEach(async () => {
	for (const name of ["HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"])
		vi.stubEnv(name, "");
	fake = await FakeHub.start();
	fake.repositories.set(NAME, pipeline());
	cacheDir = await mkdtemp(join(tmpdir(), "dd-hub-"));
	vi.stubEnv("HF_HOME", cacheDir);
	events = [];
	options = {
		endpoint: fake.endpoint,
		cacheDir,
		token: null,
		retry: { retries: 3, delayMs: 1 },
		onProgress: (event) => events.push(event),
	};
});
afterEach(async () => {
	vi.unstubAllEnvs();
	await fake.stop();
	await rm(cacheDir, { recursive: true });
});

const repositoryFolder = (): string => join(cacheDir, "models--someone--model");
const blob = (name: string): string => join(repositoryFolder(), "blobs", name);
const blobs = async (): Promise<string[]> => (await readdir(join(repositoryFolder(), "blobs")).catch(() => [])).sort();
const ofType = <T extends PullEvent["type"]>(type: T) =>
	events.filter((event): event is Extract<PullEvent, { type: T }> => event.type === type);

/** Whether a file has these contents; comparing as arrays takes seconds. */
const holds = async (path: string, data: Buffer): Promise<boolean> => data.equals(await readFile(path));

async function failure(work: Promise<unknown>): Promise<DreamdistError> {
	const error = await work.then(
		() => undefined,
		(caught: unknown) => caught,
	);
	expect(error).toBeInstanceOf(DreamdistError);
	return error as DreamdistError;
}

describe("a pull", () => {
	test("fetches what the model needs into the Hub's cache layout", async () => {
		const snapshot = await pull(NAME, options);
		expect(snapshot).toBe(join(repositoryFolder(), "snapshots", COMMIT));
		const wanted = Object.entries(pipeline().files).filter(([path]) => !/README|\.git|\.bin|\.ckpt/.test(path));
		const found = (await readdir(snapshot, { recursive: true, withFileTypes: true })).filter(
			(one) => !one.isDirectory(),
		);
		expect(found).toHaveLength(wanted.length);
		for (const [path, { data }] of wanted) expect(await holds(join(snapshot, path), data), path).toBe(true);

		expect(await readFile(join(repositoryFolder(), "refs/main"), "utf8")).toBe(COMMIT);
		expect(await readlink(join(snapshot, UNET))).toBe(`../../../blobs/${UNET_HASH}`);
		expect(await readlink(join(snapshot, "model_index.json"))).toBe(`../../blobs/${gitHash(Buffer.from("{}"))}`);
		expect((await blobs()).every((name) => /^[0-9a-f]{40}$|^[0-9a-f]{64}$/.test(name))).toBe(true);
		expect(fake.downloads()).toHaveLength(wanted.length - 1); // vocab.json has model_index.json's contents
	});

	test("reports totals, progress and files", async () => {
		await pull(NAME, options);
		const bytes = ofType("listed")[0]!.bytes!;
		expect(ofType("listed")).toMatchObject([{ name: NAME, commit: COMMIT, files: 10, toFetch: 10 }]);
		const progress = ofType("progress").filter((event) => event.file === UNET);
		expect(progress.at(-1)).toMatchObject({ loaded: weights.length, size: weights.length, totalSize: bytes });
		expect(progress.at(-1)!.totalLoaded).toBeLessThanOrEqual(bytes);
		expect(ofType("file").filter((event) => event.file === UNET)).toEqual([
			{ type: "file", file: UNET, cached: false },
		]);
	});

	test("again fetches nothing, and of a new commit only what changed", async () => {
		await pull(NAME, options);
		fake.seen.length = 0;
		await pull(NAME, options);
		expect(fake.seen.map((one) => one.path)).toEqual([`/api/models/${NAME}/revision/main`]);
		expect(ofType("file").filter((event) => event.cached)).toHaveLength(10);

		const next = pipeline();
		next.commit = COMMIT.replaceAll("0", "f");
		next.files["vae/config.json"] = text("new");
		fake.repositories.set(NAME, next);
		fake.seen.length = 0;
		const snapshot = await pull(NAME, options);
		expect(await readFile(join(snapshot, "vae/config.json"), "utf8")).toBe("new");
		expect(await holds(join(snapshot, UNET), weights)).toBe(true);
		expect(fake.downloads().map((one) => one.path)).toEqual([`/${NAME}/resolve/${next.commit}/vae/config.json`]);
	});

	test("takes a revision from the id or the options", async () => {
		await pull(`${NAME}@v2`, options);
		await pull(NAME, { ...options, revision: "refs/pr/1" });
		await pull(`${NAME}@${COMMIT}`, options);
		expect((await readdir(join(repositoryFolder(), "refs"))).sort()).toEqual(["refs", "v2"]);
		expect(await readFile(join(repositoryFolder(), "refs/refs/pr/1"), "utf8")).toBe(COMMIT);
	});

	test("takes the files asked for", async () => {
		const snapshot = await pull(NAME, { ...options, files: ["*.ckpt", "unet/config.json"] });
		expect(await readFile(join(snapshot, "v2-1_768-ema-pruned.ckpt"), "utf8")).toBe("everything");
		expect(ofType("listed")[0]).toMatchObject({ files: 2 });
		const error = await failure(pull(NAME, { ...options, files: ["nothing.bin"] }));
		expect(error.message).toMatch(/someone\/model has no file nothing\.bin\. It has .*README\.md/);
	});

	test("takes the half-precision weights where there are some", async () => {
		const repository = pipeline();
		repository.files["unet/diffusion_pytorch_model.fp16.safetensors"] = large(Buffer.from("half"));
		fake.repositories.set(NAME, repository);
		const snapshot = await pull(NAME, options);
		expect((await readdir(join(snapshot, "unet"))).sort()).toEqual([
			"config.json",
			"diffusion_pytorch_model.fp16.safetensors",
		]);
		await pull(NAME, { ...options, variant: "full" });
		expect(await holds(join(snapshot, UNET), weights)).toBe(true);
	});

	test("by two processes at once fetches each file once", async () => {
		const snapshots = await Promise.all([pull(NAME, options), pull(NAME, options)]);
		expect(snapshots[0]).toBe(snapshots[1]);
		const paths = fake.downloads().map((one) => one.path);
		expect(new Set(paths).size).toBe(paths.length);
		expect((await blobs()).filter((name) => name.includes("lock"))).toEqual([]);
	});

	test("takes over the lock of a process that was killed", async () => {
		await mkdir(join(repositoryFolder(), "blobs"), { recursive: true });
		const lock = `${blob(UNET_HASH)}.dreamdist-lock`;
		// No process has this number.
		await writeFile(lock, JSON.stringify({ pid: 2 ** 30, host: hostname() }));
		await pull(NAME, options);
		expect(await holds(blob(UNET_HASH), weights)).toBe(true);

		await rm(cacheDir, { recursive: true });
		await mkdir(join(repositoryFolder(), "blobs"), { recursive: true });
		await writeFile(lock, JSON.stringify({ pid: 1, host: "elsewhere" }));
		await utimes(lock, 0, 0);
		await pull(NAME, options);
		expect(await holds(blob(UNET_HASH), weights)).toBe(true);
	});
});

describe("the access token", () => {
	test("goes to the Hub and never to another origin", async () => {
		await pull(NAME, { ...options, token: "hf_secret" });
		const [hub, storage] = ["hub", "storage"].map((host) => fake.seen.filter((one) => one.host === host));
		expect(hub!.length).toBeGreaterThan(10);
		expect(hub!.every((one) => one.authorization === "Bearer hf_secret")).toBe(true);
		expect(storage!.length).toBe(3);
		expect(storage!.every((one) => one.authorization === undefined)).toBe(true);
	});

	test("comes from the environment or from the file of a login", async () => {
		const { token: _, ...ambient } = options;
		vi.stubEnv("HF_TOKEN", "hf_environment");
		await pull(NAME, { ...ambient, files: ["README.md"] });
		expect(fake.seen.at(-1)!.authorization).toBe("Bearer hf_environment");
		vi.stubEnv("HF_TOKEN", "");
		await writeFile(join(cacheDir, "token"), "hf_file\n");
		await pull(NAME, { ...ambient, files: [".gitattributes"] });
		expect(fake.seen.at(-1)!.authorization).toBe("Bearer hf_file");
	});

	test("is in no message", async () => {
		fake.repositories.set(NAME, { ...pipeline(), gatedFor: [] });
		const error = await failure(pull(NAME, { ...options, token: "hf_secret" }));
		expect(`${error.message}${error.stack}${JSON.stringify(events)}`).not.toContain("hf_secret");
	});
});

describe("a broken connection", () => {
	test("is gone on from where it broke", async () => {
		fake.faults = [
			{ kind: "drop", after: 100_000 },
			{ kind: "drop", after: 50_000 },
		];
		const only = { ...options, files: [UNET] };
		const snapshot = await pull(NAME, only);
		expect(await holds(join(snapshot, UNET), weights)).toBe(true);
		expect(fake.downloads().map((one) => one.range)).toEqual([undefined, "bytes=100000-", "bytes=150000-"]);
		expect(ofType("retry")).toHaveLength(2);
	});

	test("that breaks every time ends in a sentence, and the next pull goes on", async () => {
		fake.faults = [
			{ kind: "drop", after: 40_000 },
			{ kind: "status", status: 503 },
		];
		fake.keepsFailing = true;
		const only = { ...options, files: [UNET] };
		const error = await failure(pull(NAME, only));
		expect(error.code).toBe("HUB_INTERRUPTED");
		expect(error.message).toMatch(/stopped after 40000 of 300000 bytes: .*answered 503.*What came is kept/);
		expect(error.message).not.toContain("secret");
		expect(await blobs()).toEqual([`${UNET_HASH}.incomplete`]);
		expect(await readdir(repositoryFolder())).not.toContain("refs");

		Object.assign(fake, { faults: [], keepsFailing: false });
		await pull(NAME, only);
		expect(fake.downloads().at(-1)!.range).toBe("bytes=40000-");
		expect(await blobs()).toEqual([UNET_HASH]);
	});

	test("starts anew where the server answers a range with everything", async () => {
		fake.faults = [{ kind: "drop", after: 100_000 }, { kind: "ignore-range" }];
		const snapshot = await pull(NAME, { ...options, files: [UNET] });
		expect(await holds(join(snapshot, UNET), weights)).toBe(true);
		expect(fake.downloads()).toHaveLength(2);
	});

	test.each<[string, FakeHub["faults"]]>([
		[
			"refuses the range",
			[
				{ kind: "drop", after: 9 },
				{ kind: "status", status: 416 },
			],
		],
		["answers another range", [{ kind: "drop", after: 9 }, { kind: "wrong-range" }]],
		["has a signature that ran out", [{ kind: "status", status: 403 }]],
		["is busy", [{ kind: "status", status: 429, headers: { "retry-after": "0" } }]],
	])("is tried again where the storage %s", async (_, faults) => {
		fake.faults = faults;
		const snapshot = await pull(NAME, { ...options, files: [UNET] });
		expect(await holds(join(snapshot, UNET), weights)).toBe(true);
	});

	test("that falls silent is given up after the timeout", async () => {
		fake.faults = [{ kind: "stall", after: 70_000 }];
		const snapshot = await pull(NAME, { ...options, files: [UNET], timeout: 0.2 });
		expect(await holds(join(snapshot, UNET), weights)).toBe(true);
		expect(ofType("retry")[0]!.reason).toMatch(/was silent for 0\.2 s/);
	});

	test("to the Hub itself is tried again, but not when nobody is there", async () => {
		fake.hubFailures = [{ status: 500 }, { status: 502 }];
		await pull(NAME, { ...options, files: ["README.md"] });
		const gone = await FakeHub.start();
		const endpoint = gone.endpoint;
		await gone.stop();
		const error = await failure(pull(NAME, { ...options, endpoint, retry: { delayMs: 60_000 } }));
		expect(error.code).toBe("HUB_UNREACHABLE");
		expect(error.message).toMatch(
			/Cannot read someone\/model from http:\/\/127\.0\.0\.1:\d+: .*HF_ENDPOINT.*HF_HUB_OFFLINE=1/,
		);
	});
});

describe("contents other than announced", () => {
	test("are not kept", async () => {
		fake.faults = [{ kind: "corrupt" }];
		const error = await failure(pull(NAME, { ...options, files: [UNET] }));
		expect(error.code).toBe("HUB_CHECKSUM");
		expect(error.message).toContain(UNET);
		expect(await blobs()).toEqual([]);
		expect(fake.downloads()).toHaveLength(1);
		await expect(lstat(join(repositoryFolder(), "refs/main"))).rejects.toThrow();
	});

	test("are fetched anew when an earlier part may be at fault", async () => {
		await mkdir(join(repositoryFolder(), "blobs"), { recursive: true });
		await writeFile(`${blob(UNET_HASH)}.incomplete`, Buffer.alloc(1000, 1));
		const snapshot = await pull(NAME, { ...options, files: [UNET] });
		expect(await holds(join(snapshot, UNET), weights)).toBe(true);
		expect(fake.downloads().map((one) => one.range)).toEqual(["bytes=1000-", undefined]);
	});

	test("in a part that is too long or already whole need no range", async () => {
		await mkdir(join(repositoryFolder(), "blobs"), { recursive: true });
		await writeFile(`${blob(UNET_HASH)}.incomplete`, Buffer.concat([weights, weights]));
		await pull(NAME, { ...options, files: [UNET] });
		expect(fake.downloads().map((one) => one.range)).toEqual([undefined]);
		await rm(repositoryFolder(), { recursive: true });
		await mkdir(join(repositoryFolder(), "blobs"), { recursive: true });
		await writeFile(`${blob(UNET_HASH)}.incomplete`, weights);
		fake.seen.length = 0;
		await pull(NAME, { ...options, files: [UNET] });
		expect(fake.downloads()).toEqual([]);
	});

	test("are found in small files too", async () => {
		const repository = pipeline();
		fake.repositories.set(NAME, repository);
		// The listing is read before the contents change.
		const onProgress = (event: PullEvent): void => {
			if (event.type === "listed") repository.files["README.md"]!.data.write("z");
		};
		const error = await failure(pull(NAME, { ...options, files: ["README.md"], onProgress }));
		expect(error.message).toMatch(/README\.md .*git-sha1/);
	});
});

describe("an aborted pull", () => {
	test("stops at once, keeps what came and leaves no lock", async () => {
		fake.faults = [{ kind: "stall", after: 70_000 }];
		const controller = new AbortController();
		const only = { ...options, files: [UNET], signal: controller.signal };
		const pulling = pull(NAME, {
			...only,
			onProgress: (event) => event.type === "progress" && controller.abort(new Error("enough")),
		});
		await expect(pulling).rejects.toThrow("enough");
		expect(await blobs()).toEqual([`${UNET_HASH}.incomplete`]);
		await expect(pull(NAME, only)).rejects.toThrow("enough");
		await pull(NAME, { ...options, files: [UNET] });
		expect(fake.downloads().at(-1)!.range).toMatch(/^bytes=\d{5}-$/);
	});

	test("can be aborted while it waits to try again", async () => {
		fake.faults = [{ kind: "status", status: 503 }];
		const controller = new AbortController();
		const onProgress = (event: PullEvent): void => {
			if (event.type === "retry") setTimeout(() => controller.abort(new Error("enough")), 10);
		};
		const retry = { delayMs: 60_000 };
		await expect(pull(NAME, { ...options, retry, signal: controller.signal, onProgress })).rejects.toThrow("enough");
	});
});

describe("messages", () => {
	test("for a gated model say how to get in", async () => {
		fake.repositories.set(NAME, { ...pipeline(), gatedFor: ["hf_good"] });
		const without = await failure(pull(NAME, options));
		expect(without.code).toBe("HUB_GATED");
		expect(without.message).toMatch(
			/someone\/model is gated\. Accept its terms on .*\/someone\/model, then set HF_TOKEN/,
		);
		const refused = await failure(pull(NAME, { ...options, token: "hf_bad" }));
		expect(refused.message).toMatch(/gated\. The access token in use may not read it/);
		await pull(NAME, { ...options, token: "hf_good" });
	});

	test("for a missing model say so", async () => {
		const error = await failure(pull("nobody/nothing", options));
		expect(error.code).toBe("HUB_REPOSITORY_NOT_FOUND");
		expect(error.message).toMatch(/There is no model nobody\/nothing on 127\.0\.0\.1.*HF_TOKEN/);
		fake.repositories.set(NAME, { ...pipeline(), privateFor: ["hf_good"] });
		const hidden = await failure(pull(NAME, { ...options, token: "hf_bad" }));
		expect(hidden.message).toMatch(/or the access token in use may not see it/);
		await pull(NAME, { ...options, token: "hf_good" });
	});

	test.each(["stabilityai/stable-diffusion-2-1", "stabilityai/stable-diffusion-2-1-base"])(
		"for %s point to the community's mirror and call it one",
		async (name) => {
			const { message } = await failure(pull(name, options));
			expect(message).toContain(`${name} was taken down`);
			expect(message).toContain(name.replace("stabilityai", "sd2-community"));
			expect(message).toMatch(/a mirror run by the community and not by the model's makers/);
		},
	);

	test("for a model that was renamed say where it went", async () => {
		fake.renamed.set("someone/old-name", NAME);
		const snapshot = await pull("someone/old-name", options);
		expect(snapshot).toContain("models--someone--old-name");
		expect(await holds(join(snapshot, UNET), weights)).toBe(true);
		expect(ofType("notice")[0]!.message).toBe(
			"someone/old-name has moved to someone/model; its files come from there.",
		);
	});

	test("for a missing revision or file name it", async () => {
		expect((await failure(pull(`${NAME}@v9`, options))).message).toMatch(/someone\/model has no revision "v9"/);
		const repository = pipeline();
		delete repository.files["vae/diffusion_pytorch_model.safetensors"];
		repository.files["vae/diffusion_pytorch_model.ckpt"] = large(Buffer.from("p"));
		fake.repositories.set(NAME, repository);
		const { message } = await failure(pull(NAME, options));
		expect(message).toMatch(
			/neither vae\/diffusion_pytorch_model\.safetensors nor the same as \.bin.*vae\/diffusion_pytorch_model\.ckpt/,
		);
	});

	test("for an address that is no Hub say so", async () => {
		fake.repositories.set(NAME, { ...pipeline(), commit: "../main" });
		expect((await failure(pull(NAME, options))).message).toMatch(/did not answer with a model's files .*is it a Hub\?/);
		expect((await failure(pull(NAME, { ...options, endpoint: "hub" }))).message).toMatch(/"hub" \(HF_ENDPOINT\)/);
	});

	test.each(["", "a/b/c", "../x", "a//b", "-a", "a b", "x@../y", "x@a:b", "x@"])("refuse the id %j", async (id) => {
		const { code } = await failure(pull(id, options));
		expect(code).toBe("INVALID_ARGUMENT");
		expect(fake.seen).toEqual([]);
	});

	test("refuse a disk that is too small, before anything is fetched", async () => {
		fake.announcedSizes.set(UNET, 2 ** 60);
		const error = await failure(pull(NAME, options));
		expect(error.code).toBe("FILE_DISK_FULL");
		expect(error.message).toMatch(/needs 1152921504\.\d\d GB more in .* are free/);
		expect(fake.downloads()).toEqual([]);
	});

	test("name a cache that cannot be written", async () => {
		const file = join(cacheDir, "file");
		await writeFile(file, "");
		expect((await failure(pull(NAME, { ...options, cacheDir: join(file, "hub") }))).code).toBe("FILE_NOT_FOUND");
	});
});

test("paths that leave the snapshot are never written", async () => {
	const repository = pipeline();
	repository.files["../../../escaped"] = text("bad");
	repository.files["unet\\..\\escaped"] = text("bad");
	fake.repositories.set(NAME, repository);
	await pull(NAME, options);
	expect((await failure(pull(NAME, { ...options, files: ["../../../escaped"] }))).code).toBe("HUB_FILE_NOT_FOUND");
});

describe("offline", () => {
	test("nothing is fetched, and what is there is found", async () => {
		const snapshot = await pull(NAME, options);
		fake.seen.length = 0;
		expect(await pull(NAME, { ...options, offline: true })).toBe(snapshot);
		vi.stubEnv("HF_HUB_OFFLINE", "1");
		expect(await pull(`${NAME}@main`, options)).toBe(snapshot);
		const error = await failure(pull("someone/else", options));
		expect(error.code).toBe("HUB_OFFLINE");
		expect(error.message).toMatch(/HF_HUB_OFFLINE is set: someone\/else is neither a folder nor in the Hub's cache/);
		expect(fake.seen).toEqual([]);
	});
});

test("the environment names the Hub and the cache", async () => {
	vi.stubEnv("HF_ENDPOINT", fake.endpoint);
	vi.stubEnv("HF_HUB_CACHE", join(cacheDir, "elsewhere"));
	expect(await pull(NAME, { token: null })).toBe(join(cacheDir, "elsewhere/models--someone--model/snapshots", COMMIT));
	vi.stubEnv("HF_HUB_CACHE", "");
	expect(await pull(NAME, { token: null })).toContain(join(cacheDir, "hub/models--someone--model"));
});
