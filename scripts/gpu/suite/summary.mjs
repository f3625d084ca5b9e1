// The suite's results as text.

/** Adds the verdict to what a section has found. */
export function judge(section) {
	const failed = section.checks.filter(({ pass }) => !pass).length + (section.ending === null ? 0 : 1);
	const nothing = section.checks.length === 0 && section.rows.length === 0 && Object.keys(section.facts).length === 0;
	const status = failed > 0 ? "failed" : section.skipped !== null && nothing ? "skipped" : "passed";
	return { ...section, seconds: Math.round(section.seconds * 10) / 10, status };
}

/** A line about a section, and its failures. */
export function summary({ name, status, seconds, checks, rows, notes, skipped, ending }) {
	const passed = checks.filter(({ pass }) => pass).length;
	const counts = [
		checks.length > 0 ? `${passed} of ${checks.length} checks` : "",
		rows.length > 0 ? `${rows.length} measurements` : "",
		skipped ?? "",
		ending ?? "",
	];
	const failures = checks.filter(({ pass }) => !pass).slice(0, 12);
	return [
		`${status.toUpperCase().padEnd(8)}${name.padEnd(10)} ${seconds.toFixed(0).padStart(4)} s  ${counts.filter(Boolean).join(", ")}`,
		...notes.map((note) => `         note ${note}`.slice(0, 300)),
		...failures.map((check) => `         FAIL ${check.name}${check.detail ? `: ${check.detail}` : ""}`.slice(0, 300)),
	].join("\n");
}

export const digits = (value) =>
	Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);

const percent = (share) => (share === null || share === undefined ? "" : `${(100 * share).toFixed(0)} %`);

/** One measurement in a line. */
function line({ name, value, unit, floor, detail }) {
	return `${name.padEnd(64)} ${digits(value).padStart(8)} ${unit.padEnd(9)} ${percent(floor).padStart(5)}  ${detail ?? ""}`.trimEnd();
}

/** Where PyTorch did the same work: how many times as fast as it this engine is, per measurement and kind of PyTorch. */
export function comparisons(rows) {
	const byId = new Map(rows.map((row) => [row.id, row]));
	return rows.flatMap((own) => {
		const what = /^(step|sampling|decode)\.(\d+)\.bf16(\.tuned)?$/.exec(own.id ?? "");
		if (!what) return [];
		return ["eager", "compiled"].flatMap((kind) => {
			const other = byId.get(`pytorch.${kind}.${what[1]}.${what[2]}`);
			if (!other) return [];
			const detail = `${digits(other.value)} ${other.unit} there`;
			return [
				{
					name: `${own.name}, beside PyTorch ${kind}`,
					value: other.value / own.value,
					unit: "times",
					floor: null,
					detail,
				},
			];
		});
	});
}

/** Everything that was measured, and a line per section; the last line counts the checks. */
export function table({ device, kit, sections, seconds }) {
	const facts = Object.assign({}, ...sections.map((section) => section.facts));
	const checks = sections.flatMap((section) => section.checks);
	const measured = sections.flatMap(({ rows }) => rows);
	const failed = checks.filter(({ pass }) => !pass).length + sections.filter(({ ending }) => ending !== null).length;
	const skipped = sections.filter(({ status }) => status === "skipped").length;
	return [
		`${facts.card ?? device}, driver ${facts.driver ?? "unknown"}, commit ${kit.commit ?? "unknown"}, ${seconds} s`,
		"",
		...measured.map(line),
		...comparisons(measured).map(line),
		"",
		...sections.map(summary),
		`${checks.length - checks.filter(({ pass }) => !pass).length} passed, ${failed} failed, ${skipped} skipped`,
	].join("\n");
}
