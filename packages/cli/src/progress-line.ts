// One line on a terminal that shows how far something is and when it will be done; plain lines, few of them, elsewhere.
import { formatDuration } from "./format.js";

export class ProgressLine {
	private started = performance.now();
	private lastPlain = 0;
	private shown = false;

	constructor(
		private readonly enabled: boolean,
		private readonly unit: string,
		private readonly stream: NodeJS.WriteStream = process.stderr,
	) {}

	/** From here on time counts towards the work shown; before, things were being loaded. */
	begin(): void {
		this.started = performance.now();
	}

	update(done: number, total: number): void {
		if (!this.enabled) return;
		const elapsed = (performance.now() - this.started) / 1000;
		const left = (elapsed / done) * (total - done);
		const text = `${this.unit} ${done}/${total}, ${formatDuration(elapsed / done)} each, ${formatDuration(left)} left`;
		if (this.stream.isTTY) {
			this.stream.write(`\r\u001b[K${text}`);
			this.shown = true;
		} else if (done === total || elapsed - this.lastPlain > 30) {
			this.lastPlain = elapsed;
			this.stream.write(`${text}\n`);
		}
	}

	/** Takes the line away, so that something else can be printed. */
	clear(): void {
		if (this.shown) this.stream.write("\r\u001b[K");
		this.shown = false;
	}
}
