import { defineConfig } from "vitest/config";

// Tests run against the sources: each package's "source" export condition comes first.
const conditions = ["source", "node", "import", "module", "default"];

export default defineConfig({
	resolve: { conditions },
	ssr: { resolve: { conditions, externalConditions: conditions } },
	test: {
		include: ["test/**/*.test.ts", "packages/*/test/**/*.test.ts"],
		pool: "forks",
		testTimeout: 60_000,
		reporters: ["default", "./scripts/count-reporter.mjs"],
	},
});
