import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readMemory } from "../src/memory.js";

const GIB = 2 ** 30;
const MEMINFO = "MemTotal: 16777216 kB\nMemAvailable:    8388608 kB\n";
let root: string;

function write(path: string, text: string | number): void {
	const file = join(root, path);
	mkdirSync(dirname(file), { recursive: true });
	writeFileSync(file, `${text}\n`);
}

beforeEach(() => {
	root = mkdtempSync(join(tmpdir(), "dreamdist-memory-"));
	write("proc/meminfo", MEMINFO);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe("readMemory", () => {
	it("takes the machine's figures where there is no limit", () => {
		write("proc/self/cgroup", "0::/user.slice");
		write("sys/fs/cgroup/cgroup.controllers", "cpu memory");
		write("sys/fs/cgroup/user.slice/memory.max", "max");
		expect(readMemory(root, 16 * GIB)).toEqual({ totalBytes: 16 * GIB, availableBytes: 8 * GIB, limitBytes: null });
	});

	it("finds a version 2 limit above its own group, and counts cache as available", () => {
		write("proc/self/cgroup", "0::/job/step");
		write("sys/fs/cgroup/cgroup.controllers", "cpu memory");
		write("sys/fs/cgroup/job/step/memory.max", "max");
		write("sys/fs/cgroup/job/memory.max", 4 * GIB);
		write("sys/fs/cgroup/job/memory.current", 3 * GIB);
		write("sys/fs/cgroup/job/memory.stat", `anon 5\ninactive_file ${GIB}`);
		expect(readMemory(root, 16 * GIB)).toEqual({
			totalBytes: 16 * GIB,
			availableBytes: 2 * GIB,
			limitBytes: 4 * GIB,
		});
	});

	it("reads the limit of a container whose group is its root", () => {
		write("proc/self/cgroup", "0::/");
		write("sys/fs/cgroup/cgroup.controllers", "memory");
		write("sys/fs/cgroup/memory.max", GIB);
		write("sys/fs/cgroup/memory.current", GIB / 2);
		expect(readMemory(root, 16 * GIB)).toMatchObject({ availableBytes: GIB / 2, limitBytes: GIB });
	});

	it("reads version 1, where a huge number is no limit", () => {
		write("proc/self/cgroup", "9:name=systemd:/\n4:memory:/docker/abc");
		write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
		write("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", 2 * GIB);
		write("sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", GIB);
		expect(readMemory(root, 16 * GIB)).toMatchObject({ availableBytes: GIB, limitBytes: 2 * GIB });
		write("proc/self/cgroup", "4:memory:/");
		expect(readMemory(root, 16 * GIB).limitBytes).toBeNull();
	});

	it("makes sense of this machine", () => {
		const memory = readMemory();
		expect(memory.totalBytes).toBe(totalmem());
		expect(memory.availableBytes).toBeGreaterThan(0);
		expect(memory.availableBytes).toBeLessThanOrEqual(memory.limitBytes ?? memory.totalBytes);
	});
});
