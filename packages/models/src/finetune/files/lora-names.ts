// How LoRA files name the factors of a weight.

/** A factor: of which network's weight, and which it is. */
export interface LoraName {
	readonly network: "unet" | "text_encoder";
	/** As the network calls the weight. */
	readonly weight: string;
	readonly factor: "down" | "up" | "alpha";
}

/** Diffusers' name of a part called `unet.….to_q.weight.lora_A`: `unet.….to_q.lora.down.weight`; text encoders have `lora_linear_layer`. */
export function diffusersName(part: string): string {
	const match = /^(unet|text_encoder)\.(.*)\.weight\.lora_(A|B)$/.exec(part);
	if (!match) throw new RangeError(`"${part}" is no factor of a weight`);
	const [, network, module, letter] = match;
	const factor = letter === "A" ? "down" : "up";
	return network === "unet"
		? `unet.${module}.lora.${factor}.weight`
		: `text_encoder.text_model.${module}.lora_linear_layer.${factor}.weight`;
}

const FACTORS = { A: "down", B: "up", down: "down", up: "up" } as const;

/** What diffusers and PEFT write: with dots, `lora.down`, `lora_linear_layer.down` or `lora_A`, before or after modules were processors. */
function dottedName(name: string): LoraName | null {
	const match =
		/^(?:base_model\.model\.)?(?:(unet|text_encoder)\.)?(?:base_model\.model\.)?(.+?)(?:\.lora_linear_layer|\.lora)?[._](down|up|A|B)(?:\.default)?\.weight$/.exec(
			name,
		);
	if (!match || !/lora/i.test(name)) return null;
	const [, network = "unet", module, factor] = match;
	const weight = module!
		.replace(/[._]lora$/, "")
		.replace(".processor", "")
		.replace(/\.to_out$/, ".to_out.0")
		.replace(/^text_model\./, "");
	return {
		network: network as LoraName["network"],
		weight: `${weight}.weight`,
		factor: FACTORS[factor as keyof typeof FACTORS],
	};
}

/**
 * The file's names by what they mean.
 *
 * @param weights names that the networks have, for kohya's names, whose dots are underscores
 * @returns null for a name that is none of a LoRA's, or of a weight that is not there
 */
export function loraNames(weights: {
	readonly unet: Iterable<string>;
	readonly text_encoder: Iterable<string>;
}): (name: string) => LoraName | null {
	const flat = new Map<string, Pick<LoraName, "network" | "weight">>();
	const known = new Set<string>();
	for (const network of ["unet", "text_encoder"] as const)
		for (const weight of weights[network]) {
			known.add(`${network} ${weight}`);
			const module = weight.replace(/\.weight$/, "").replaceAll(".", "_");
			flat.set(network === "unet" ? `lora_unet_${module}` : `lora_te_text_model_${module}`, { network, weight });
		}
	return (name) => {
		const kohya = /^(lora_(?:unet|te)_[^.]+)\.(?:lora_(down|up)\.weight|(alpha))$/.exec(name);
		if (kohya) {
			const target = flat.get(kohya[1]!);
			return target ? { ...target, factor: (kohya[2] ?? kohya[3]) as LoraName["factor"] } : null;
		}
		const alpha = /^(.+)\.alpha$/.exec(name);
		const found = alpha ? dottedName(`${alpha[1]}.lora.down.weight`) : dottedName(name);
		if (!found || !known.has(`${found.network} ${found.weight}`)) return null;
		return alpha ? { ...found, factor: "alpha" } : found;
	};
}
