// How much memory there is, for plans and reports: the machine's, and the limit of the control group (container, job, slice).
import { readFileSync } from "node:fs";
import { freemem, totalmem } from "node:os";
import { dirname, join } from "node:path";

/** Memory in bytes. */
export interface SystemMemory {
	/** Physical memory of the machine. */
	readonly totalBytes: number;
	/** What can be allocated now without swapping, within the limit. */
	readonly availableBytes: number;
	/** The lowest limit of a control group above this process; null where there is none. */
	readonly limitBytes: number | null;
}

/** A folder of a control group hierarchy and its files for the limit and the use. */
interface GroupFiles {
	folder: string;
	/** Where the hierarchy is mounted: the walk upwards ends here. */
	mount: string;
	limit: string;
	used: string;
	/** Field of memory.stat: file cache that is given back under pressure. */
	reclaimable: string;
}

function readText(path: string): string {
	try {
		return readFileSync(path, "utf8");
	} catch {
		return "";
	}
}

/** The memory control group of this process, in version 2 or 1 of the hierarchy. */
function memoryGroup(root: string): GroupFiles | undefined {
	for (const line of readText(join(root, "proc/self/cgroup")).split("\n")) {
		const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
		if (controllers === undefined || path === undefined) continue;
		if (controllers.split(",").includes("memory")) {
			const mount = join(root, "sys/fs/cgroup/memory");
			const files = {
				limit: "memory.limit_in_bytes",
				used: "memory.usage_in_bytes",
				reclaimable: "total_inactive_file",
			};
			return { folder: join(mount, path), mount, ...files };
		}
		if (controllers === "" && readText(join(root, "sys/fs/cgroup/cgroup.controllers")) !== "") {
			const mount = join(root, "sys/fs/cgroup");
			return {
				folder: join(mount, path),
				mount,
				limit: "memory.max",
				used: "memory.current",
				reclaimable: "inactive_file",
			};
		}
	}
	return undefined;
}

/**
 * Reads the memory of the machine and the limit of the control groups.
 * @param root where /proc and /sys are, for tests
 */
export function readMemory(root = "/", totalBytes = totalmem()): SystemMemory {
	const kilobytes = /^MemAvailable:\s+(\d+) kB$/m.exec(readText(join(root, "proc/meminfo")))?.[1];
	let availableBytes = kilobytes === undefined ? freemem() : Number(kilobytes) * 1024;
	let limitBytes: number | null = null;
	const group = memoryGroup(root);
	// A limit anywhere above holds too, so the walk goes up to the mount.
	for (let folder = group?.folder; group !== undefined && folder?.startsWith(group.mount); folder = dirname(folder)) {
		const limit = Number.parseInt(readText(join(folder, group.limit)), 10);
		// "max" in version 2 and a huge number in version 1 stand for no limit.
		if (!(limit < totalBytes)) continue;
		const used = Number.parseInt(readText(join(folder, group.used)), 10) || 0;
		const stat = readText(join(folder, "memory.stat"));
		const cache = Number(new RegExp(`^${group.reclaimable} (\\d+)$`, "m").exec(stat)?.[1] ?? 0);
		limitBytes = Math.min(limitBytes ?? limit, limit);
		availableBytes = Math.min(availableBytes, Math.max(0, limit - used + cache));
	}
	return { totalBytes, availableBytes, limitBytes };
}
