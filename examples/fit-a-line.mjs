// Finds the weights of y = 2a − b from three points: the smallest training there is.
import { adamw, gradients, linear, mse, openDevice } from "@dreamdist/core";

const device = await openDevice("auto");
const weight = await device.tensor([1, 2], { name: "weight" });
const optimizer = await adamw([{ tensor: weight }], { weightDecay: 0 });

const program = await device.compile((graph) => {
	const prediction = linear(graph.input("x", [3, 2]), graph.state(weight));
	const loss = mse(prediction, graph.input("y", [3, 1]));
	optimizer.update(graph, gradients(loss, [graph.state(weight)]));
	return { loss };
});
console.log(`${program}\n`);

const points = { x: [1, 0, 0, 1, 1, 1], y: [2, -1, 1] };
for (let step = 1; step <= 200; step++) {
	const { loss } = await program.run({ ...points, ...optimizer.inputs(step, 0.1) });
	if (step % 50 === 0) console.log(`step ${step}: loss ${loss[0].toExponential(2)}`);
}
console.log("weight:", await weight.read());
device.dispose();
