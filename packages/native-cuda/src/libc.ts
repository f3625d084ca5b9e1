// Which C library this process runs on.

/** The version of glibc, or null on musl and on other systems than Linux. */
export function glibcVersion(): string | null {
	if (process.platform !== "linux" || process.report === undefined) return null;
	// Without this the report looks up the names of every open socket's peer, which can take seconds.
	Object.assign(process.report, { excludeNetwork: true });
	const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
	return report.header?.glibcVersionRuntime ?? null;
}

/** Whether this is Linux with musl instead of glibc. */
export function isMusl(): boolean {
	return process.platform === "linux" && glibcVersion() === null;
}
