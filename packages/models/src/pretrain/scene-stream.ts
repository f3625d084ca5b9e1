// Batches of scenes in the order of the steps, drawn ahead by worker threads.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { DreamdistError } from "@dreamdist/core";
import { drawScenes, type SceneBatch, type SceneRequest } from "./scenes.js";

const WORKER = new URL("./scene-worker.js", import.meta.url);

interface Pending {
	resolve(batch: SceneBatch): void;
	reject(error: Error): void;
}

export interface SceneStreamOptions {
	/** Threads that draw; 0 draws on the caller's. */
	threads: number;
	/** Batches drawn before they are asked for. */
	ahead: number;
}

export class SceneStream {
	private readonly batches = new Map<number, Promise<SceneBatch>>();
	private readonly pending = new Map<number, Pending>();
	private readonly workers: Worker[] = [];
	private next = 0;

	/** @param requestOf the request of each step */
	constructor(
		private readonly requestOf: (step: number) => SceneRequest,
		private readonly options: SceneStreamOptions,
	) {
		// Tests run from the TypeScript sources, beside which there is no compiled worker.
		const threads = existsSync(fileURLToPath(WORKER)) ? options.threads : 0;
		for (let i = 0; i < threads; i++) this.workers.push(this.startWorker());
	}

	/** The batch of a step; those of the next steps up to `last` are begun. */
	batch(step: number, last: number): Promise<SceneBatch> {
		const until = this.workers.length > 0 ? Math.min(last, step + this.options.ahead) : step;
		for (let each = step; each <= until; each++) {
			if (this.batches.has(each)) continue;
			const batch = this.draw(this.requestOf(each));
			// Whoever asks for it hears of the failure.
			batch.catch(() => undefined);
			this.batches.set(each, batch);
		}
		const wanted = this.batches.get(step)!;
		this.batches.delete(step);
		return wanted;
	}

	private draw(request: SceneRequest): Promise<SceneBatch> {
		if (this.workers.length === 0) return drawScenes(request);
		const id = this.next++;
		const worker = this.workers[id % this.workers.length]!;
		return new Promise((resolve, reject) => {
			this.pending.set(id, { resolve, reject });
			worker.postMessage({ id, request });
		});
	}

	private startWorker(): Worker {
		const worker = new Worker(WORKER);
		worker.unref();
		worker.on("message", ({ id, batch, error }: { id: number; batch?: SceneBatch; error?: string }) => {
			const waiting = this.pending.get(id);
			this.pending.delete(id);
			if (batch) waiting?.resolve(batch);
			else waiting?.reject(new DreamdistError("DRAWING_FAILED", `drawing the pictures of a step failed: ${error}`));
		});
		const fail = (reason: string) => {
			for (const { reject } of this.pending.values())
				reject(new DreamdistError("DRAWING_FAILED", `a thread that draws pictures ended: ${reason}`));
			this.pending.clear();
		};
		worker.on("error", (error) => fail(error.message));
		worker.on("exit", (code) => fail(`exit code ${code}`));
		return worker;
	}

	async close(): Promise<void> {
		this.batches.clear();
		await Promise.all(this.workers.map((worker) => worker.terminate()));
	}
}
