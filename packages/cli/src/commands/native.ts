// `dreamdist native build`: compiles the engine from the sources that came with the package.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { NativeInfo } from "@dreamdist/native-cuda";
import type { Command } from "commander";
import { addExample } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";
import { CommandError } from "../errors.js";

const require = createRequire(import.meta.url);

/** What DD_CUDA must be for the device that was asked for; undefined leaves the user's own setting. */
function cudaSetting(device: string): string | undefined {
	if (device === "cuda-emulated") {
		throw new CommandError("The emulated device is a module of the tests; no build of the engine has it.");
	}
	if (device === "cpu") return "OFF";
	return device.startsWith("cuda") ? "ON" : undefined;
}

/** Runs Node with `args` to its end. What is not shown on standard error is returned. */
async function runNode(args: string[], env: NodeJS.ProcessEnv, show: boolean, signal: AbortSignal) {
	// What a build says are notices: our standard output is for the result.
	const channel = show ? 2 : "pipe";
	const child = spawn(process.execPath, args, { env, signal, stdio: ["ignore", channel, channel] });
	const texts = ["", ""];
	[child.stdout, child.stderr].forEach((stream, index) => {
		stream?.setEncoding("utf8").on("data", (text: string) => {
			texts[index] += text;
		});
	});
	const code = await new Promise<number | null>((resolve, reject) => {
		child.once("error", reject).once("close", resolve);
	});
	return { code, out: texts[0] ?? "", errors: texts[1] ?? "" };
}

/** What the new addon says of itself, asked in a child process: an addon that is loaded here would be the old one. */
async function askNewAddon(signal: AbortSignal): Promise<{ path: string; info: NativeInfo }> {
	const script = `import { loadAddon } from ${JSON.stringify(import.meta.resolve("@dreamdist/native-cuda"))};
const { path, exports } = loadAddon();
console.log(JSON.stringify({ path, info: exports.info() }));`;
	const { code, out, errors } = await runNode(["--input-type=module", "-e", script], process.env, false, signal);
	if (code !== 0) throw new CommandError(`The engine was built, but it does not load: ${errors.trim()}`);
	return JSON.parse(out) as { path: string; info: NativeInfo };
}

async function build({ options, output, signal }: CommandContext): Promise<number> {
	const packageRoot = dirname(require.resolve("@dreamdist/native-cuda/package.json"));
	const cuda = cudaSetting(options.device);
	const env = cuda === undefined ? process.env : { ...process.env, DD_CUDA: cuda };
	const script = join(packageRoot, "scripts", "build-native.mjs");
	const { code, out, errors } = await runNode([script], env, !options.quiet && !options.json, signal);
	if (code !== 0) throw new CommandError(`${out}${errors}The native build failed.`);

	const { describeDevices, requestedDevice } = await import("../doctor/devices.js");
	const { path, info } = await askNewAddon(signal);
	const devices = describeDevices({ info, build: null, dtype: options.dtype });
	output.result({ path, compiler: info.compiler, devices }, () => {
		const usable = devices.filter(({ available }) => available).map(({ name, detail }) => `${name}: ${detail}`);
		return [`Built ${path} with ${info.compiler}.`, ...usable].join("\n");
	});
	const { available, reason } = requestedDevice(devices, options.device);
	if (!available) throw new CommandError(`The engine was built, but ${options.device} is not available: ${reason}.`);
	return 0;
}

const native: CommandModule = {
	configure(command: Command) {
		addExample(
			command
				.command("build")
				.description("compile the engine from the packaged sources (needs CMake and a C++ compiler)"),
			"native build --device cpu",
			"--device cpu leaves CUDA out, --device cuda demands it, auto compiles it where nvcc and a driver are found.",
		);
	},
	subcommands: { build },
};
export default native;
