// What this machine is, and whether the device is there at all.
import { arch, cpus, release, totalmem } from "node:os";
import { cardReason, cudaReason, emulatedReason, loadAddon, loadNative } from "@dreamdist/native-cuda";
import { findProgram, runProgram } from "../program.mjs";
import { findPython } from "../python.mjs";

async function firstLine(command, args) {
	const { code, output } = await runProgram(command, args, { seconds: 10 });
	return code === 0 ? output.trim().split("\n")[0] : null;
}

/** Why the device can't be used, or null. */
function whyNot(device, info, build) {
	if (device === "cpu") return null;
	if (device === "cuda-emulated") return emulatedReason() ?? null;
	return cudaReason(info, build) ?? cardReason(info.cuda, Number(device.split(":")[1] ?? 0)) ?? null;
}

export async function run(report, { device }) {
	const addon = loadAddon();
	const info = loadNative().info();
	report.fact("system", `Linux ${release()}, ${arch}`);
	report.fact(
		"processor",
		`${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
	);
	report.fact("node", process.version);
	report.fact("build", addon.build);
	const smi = findProgram("nvidia-smi", ["/usr/local/nvidia/bin"]);
	if (smi) report.fact("driver", await firstLine(smi, ["--query-gpu=driver_version", "--format=csv,noheader"]));
	const python = await findPython();
	report.fact("python", python?.path ?? null);
	report.fact("torch", python?.torch ?? null);
	const reason = whyNot(device, info, addon.build);
	if (reason !== null) {
		report.fact("unavailable", `${device}: ${reason}`);
		report.check("the device is there", false, reason);
		return;
	}
	if (device.startsWith("cuda") && device !== "cuda-emulated") {
		const card = info.cuda.cards[Number(device.split(":")[1] ?? 0)];
		report.fact("card", card.name);
		report.fact("capability", card.capability);
		report.fact("cardGiB", card.totalBytes / 2 ** 30);
		report.fact("cards", info.cuda.cards.length);
	} else report.fact("card", device === "cpu" ? "the processor" : "the emulated device");
	report.check("the device is there", true);
}
