// A program as text.
import { choiceName } from "../tune/tuning.js";
import type { Emitted } from "./emitter.js";
import type { Operand } from "./lowering.js";
import type { ProgramMemory } from "./program.js";
import type { Storage } from "./storage.js";

const mib = (bytes: number) =>
	bytes < 2 ** 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function place(storage: Storage, operand: Operand): string {
	const where = storage.inArena ? `@${storage.arenaOffset}` : storage.name.replace(/ /g, ":");
	return `${where}${operand.offset ? `+${operand.offset}` : ""}${operand.dtype === "f32" ? "" : `:${operand.dtype}`}[${operand.extent}]`;
}

export function printProgram(name: string, emitted: Emitted, memory: ProgramMemory): string {
	const width = Math.max(8, ...emitted.calls.map((call) => call.kernel.length));
	const lines = emitted.calls.map((call, i) => {
		const operands = call.operands.map((operand) => (operand ? place(operand.storage, operand) : "·")).join(" ");
		return `${String(i).padStart(4)}  ${call.kernel.padEnd(width)}  ${operands}  ${call.label}${call.choice === 0 ? "" : ` (${choiceName(call.choice)})`}`;
	});
	const sizes = `weights ${mib(memory.weights)}, state ${mib(memory.state)}, arena ${mib(memory.arena)}, fixed ${mib(memory.fixed)}, peak ${mib(memory.peak)}`;
	return [`${name}: ${emitted.calls.length} kernel calls; ${sizes}`, ...lines].join("\n");
}
