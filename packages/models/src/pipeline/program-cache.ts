// Compiled programs by shape, the least recently used one going when there are too many.
import type { Program } from "@dreamdist/core";

export class ProgramCache implements Disposable {
	private readonly programs = new Map<string, Promise<Program>>();

	/** @param capacity programs kept; each holds little memory of its own, as weights and arena belong to the device */
	constructor(readonly capacity = 16) {}

	get size(): number {
		return this.programs.size;
	}

	/** The program of this key, compiled now if there is none. Who asks while it is compiled waits for the same one. */
	get<K extends string>(key: string, compile: () => Promise<Program<K>>): Promise<Program<K>> {
		const known = this.programs.get(key);
		const program = known ?? compile();
		this.programs.delete(key);
		this.programs.set(key, program as Promise<Program>);
		if (!known) {
			// A failure, such as too little memory, may not be one next time.
			program.catch(() => {
				if (this.programs.get(key) === program) this.programs.delete(key);
			});
			this.evict();
		}
		return program as Promise<Program<K>>;
	}

	private evict(): void {
		for (const [key, program] of this.programs) {
			if (this.programs.size <= this.capacity) return;
			this.programs.delete(key);
			release(program);
		}
	}

	dispose(): void {
		for (const program of this.programs.values()) release(program);
		this.programs.clear();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}

function release(program: Promise<Program>): void {
	program.then(
		(compiled) => compiled.dispose(),
		() => undefined,
	);
}
