// Reads the machine code in a cubin (an ELF file of the CUDA compiler): which instructions each kernel has. The toolkit's own disassembler
// is not part of every installation of nvcc, and counting instructions needs no more than their operation.
//
// Since sm_70 an instruction is 16 bytes and the lowest nine bits of it name the operation (the three bits above say what kinds of
// operands it has). The names below are those of NVIDIA's disassembler; probes.cu, compiled beside the kernels, shows that they hold. Of
// mma.sync bits 82 and 83 say what it multiplies: 1 bf16, 2 tf32.

/** Operations that the gates look at. */
const OPERATIONS = new Map([
	[0x03c, "HMMA"], // tensor cores, a warp at a time: mma.sync
	[0x1f0, "HGMMA"], // tensor cores, four warps at a time: wgmma
	[0x03b, "LDSM"], // ldmatrix
	[0x1ae, "LDGSTS"], // cp.async
	[0x1b4, "UTMALDG"], // cp.async.bulk.tensor
	[0x183, "LDL"], // from local memory
	[0x187, "STL"], // to local memory
]);

const MMA = "HMMA";
const TF32 = 2;
const multiplicandOf = (file, at) => (file.readUInt32LE(at + 8) >>> 18) & 3;

const INSTRUCTION_BYTES = 16;
const SECTION_HEADERS_AT = 0x28;

/** The file's sections: name, first byte, length. */
function* sectionsOf(file) {
	if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2) throw new Error("this is no cubin");
	const table = Number(file.readBigUInt64LE(SECTION_HEADERS_AT));
	const [entryBytes, count, namesIndex] = [0x3a, 0x3c, 0x3e].map((at) => file.readUInt16LE(at));
	const header = (index) => {
		const at = table + index * entryBytes;
		return {
			name: file.readUInt32LE(at),
			at: Number(file.readBigUInt64LE(at + 24)),
			bytes: Number(file.readBigUInt64LE(at + 32)),
		};
	};
	const names = header(namesIndex).at;
	for (let index = 0; index < count; index++) {
		const { name, at, bytes } = header(index);
		yield { name: file.toString("latin1", names + name, file.indexOf(0, names + name)), at, bytes };
	}
}

/**
 * @param file the cubin's bytes
 * @returns mangled name of a kernel → how often each operation of the table above occurs in it
 */
export function instructionsOf(file) {
	const kernels = new Map();
	for (const { name, at, bytes } of sectionsOf(file)) {
		if (!name.startsWith(".text.")) continue;
		const counts = {};
		for (let i = at; i < at + bytes; i += INSTRUCTION_BYTES) {
			let operation = OPERATIONS.get(file.readUInt16LE(i) & 0x1ff);
			if (operation === undefined) continue;
			if (operation === MMA && multiplicandOf(file, i) === TF32) operation = `${MMA}_TF32`;
			counts[operation] = (counts[operation] ?? 0) + 1;
		}
		kernels.set(name.slice(".text.".length), counts);
	}
	return kernels;
}
