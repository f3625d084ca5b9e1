// Every kernel once on small, awkward shapes: what compute-sanitizer looks at. `node small-shapes.mjs DEVICE`
import { openDevice, opTable } from "@dreamdist/core";
import { checkOp } from "../node_modules/@dreamdist/core/test/ops/device-cases.js";

// Opening a card runs every kernel once; of the ops with shared memory and asynchronous copies more shapes follow.
const device = await openDevice(process.argv[2]);
for (const name of ["matmul", "conv2d", "attention", "groupNorm", "layerNorm", "softmax", "sum"]) {
	const op = opTable().get(name);
	if (op?.samples === undefined) throw new Error(`there is no op "${name}" with samples`);
	await checkOp([device], op, { storage: "f32", frozen: null }, 0);
	if (name === "matmul" || name === "conv2d") await checkOp([device], op, { storage: "f32", frozen: "bf16" }, 0);
	if (["matmul", "conv2d", "attention"].includes(name))
		await checkOp([device], op, { storage: "bf16", frozen: null }, 0);
}
device.dispose();
