// Every metric: what it is called, which way is better, and whose features it is measured in.

/** Features of pictures, by what they are for. */
export type Space = "inception" | "dinov2" | "dino" | "clip" | "cmmd" | "classifier" | "image-tower";

export interface MetricRow {
	readonly name: string;
	readonly title: string;
	readonly better: "lower" | "higher" | "neither";
	/** Public encoder; null: measured on pictures themselves. */
	readonly space: Space | null;
	/** Of a model's own instruments; null: they have none for it. */
	readonly ownSpace: Space | null;
	/** Real and generated pictures that it needs at least; one of each where nothing is said. */
	readonly needs?: { readonly real: number; readonly generated: number };
	/** In a sentence, for reports. */
	readonly says: string;
}

const rows = [
	{
		name: "fid",
		title: "FID",
		better: "lower",
		space: "inception",
		ownSpace: "classifier",
		needs: { real: 2, generated: 2 },
		says: "Fréchet distance between the features of real and generated pictures.",
	},
	{
		name: "kid",
		title: "KID",
		better: "lower",
		space: "inception",
		ownSpace: "classifier",
		needs: { real: 2, generated: 2 },
		says: "Kernel distance between the same features, unbiased however few the pictures; it may be negative.",
	},
	{
		name: "fd-dinov2",
		title: "FD-DINOv2",
		better: "lower",
		space: "dinov2",
		ownSpace: null,
		needs: { real: 2, generated: 2 },
		says: "Fréchet distance in DINOv2's features.",
	},
	{
		name: "cmmd",
		title: "CMMD",
		better: "lower",
		space: "cmmd",
		ownSpace: "image-tower",
		says: "Kernel distance of CLIP embeddings, times 1000.",
	},
	{
		name: "clip-i",
		title: "CLIP-I",
		better: "higher",
		space: "clip",
		ownSpace: "image-tower",
		says: "Mean cosine of CLIP embeddings over all pairs of a real and a generated picture.",
	},
	{
		name: "dino",
		title: "DINO",
		better: "higher",
		space: "dino",
		ownSpace: "classifier",
		says: "The same with DINO's features, which tell individuals apart better.",
	},
	{
		name: "clip-t",
		title: "CLIP-T",
		better: "higher",
		space: "clip",
		ownSpace: "image-tower",
		says: "Mean cosine of a picture's CLIP embedding and its prompt's.",
	},
	{
		name: "precision",
		title: "Precision",
		better: "higher",
		space: "dinov2",
		ownSpace: "classifier",
		needs: { real: 3, generated: 3 },
		says: "Share of generated pictures within some real picture's neighbourhood.",
	},
	{
		name: "recall",
		title: "Recall",
		better: "higher",
		space: "dinov2",
		ownSpace: "classifier",
		needs: { real: 3, generated: 3 },
		says: "Share of real pictures within some generated picture's neighbourhood.",
	},
	{
		name: "density",
		title: "Density",
		better: "higher",
		space: "dinov2",
		ownSpace: "classifier",
		needs: { real: 3, generated: 3 },
		says: "Real neighbourhoods that a generated picture lies in, per neighbour.",
	},
	{
		name: "coverage",
		title: "Coverage",
		better: "higher",
		space: "dinov2",
		ownSpace: "classifier",
		needs: { real: 3, generated: 3 },
		says: "Share of real pictures with a generated one in their neighbourhood.",
	},
	{
		name: "vendi",
		title: "Vendi",
		better: "higher",
		space: "dinov2",
		ownSpace: "classifier",
		says: "Effective number of different generated pictures.",
	},
	{
		name: "lpips",
		title: "LPIPS diversity",
		better: "higher",
		space: null,
		ownSpace: null,
		needs: { real: 1, generated: 2 },
		says: "Mean perceptual distance between generated pictures.",
	},
	{
		name: "memorisation",
		title: "Memorisation",
		better: "neither",
		space: "dino",
		ownSpace: "image-tower",
		says: "Largest cosine of a generated picture to its nearest real one: near 1, a reference was copied.",
	},
] as const satisfies readonly MetricRow[];

export type MetricName = (typeof rows)[number]["name"];

export const METRICS: readonly (MetricRow & { readonly name: MetricName })[] = rows;

export const METRIC_NAMES: readonly MetricName[] = rows.map(({ name }) => name);

export function metricRow(name: MetricName): MetricRow {
	return METRICS.find((row) => row.name === name)!;
}
