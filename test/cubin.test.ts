// How the gates of scripts/cuda-budgets.mjs read machine code. That real compilers write it so is shown there, by probes.
import { describe, expect, it } from "vitest";
import { instructionsOf } from "../scripts/cubin.mjs";

/** An ELF file with these sections of instructions, given by the first two bytes of each. */
function elf(sections: Record<string, number[]>): Buffer {
	const names = Object.keys(sections);
	const text = Buffer.from(`\0${[...names, ".shstrtab"].join("\0")}\0`);
	const bodies = names.map((name) =>
		Buffer.concat(
			(sections[name] ?? []).map((operation) => {
				const instruction = Buffer.alloc(16, 0xff);
				instruction.writeUInt16LE(operation);
				return instruction;
			}),
		),
	);
	const parts = [...bodies, text];
	let at = 64;
	const headers = parts.map((part, i) => {
		const header = Buffer.alloc(64);
		header.writeUInt32LE(text.indexOf(`\0${[...names, ".shstrtab"][i]}\0`) + 1);
		header.writeBigUInt64LE(BigInt(at), 24);
		header.writeBigUInt64LE(BigInt(part.length), 32);
		at += part.length;
		return header;
	});
	const start = Buffer.alloc(64);
	start.write("\x7fELF\x02", "latin1");
	start.writeBigUInt64LE(BigInt(at), 0x28);
	start.writeUInt16LE(64, 0x3a);
	start.writeUInt16LE(parts.length, 0x3c);
	start.writeUInt16LE(parts.length - 1, 0x3e);
	return Buffer.concat([start, ...parts, ...headers]);
}

describe("instructions of a cubin", () => {
	it("are counted by kernel, whatever the kinds of their operands", () => {
		const file = elf({
			".text.product": [0x23c, 0xfae, 0x23c, 0x94d, 0x83b],
			".text.plain": [0x981, 0x986, 0x94d],
			".nv.info": [0x23c],
			".text.spilling": [0x387, 0x983, 0x9f0, 0x5b4],
		});
		expect(Object.fromEntries(instructionsOf(file))).toEqual({
			product: { HMMA: 2, LDGSTS: 1, LDSM: 1 },
			plain: {},
			spilling: { STL: 1, LDL: 1, HGMMA: 1, UTMALDG: 1 },
		});
	});

	it("are not looked for in other files", () => {
		expect(() => instructionsOf(Buffer.from("x".repeat(100)))).toThrow("this is no cubin");
		expect(() => instructionsOf(Buffer.alloc(0))).toThrow("this is no cubin");
	});
});
