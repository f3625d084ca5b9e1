// Every method of fine-tuning by its name.
import type { Pipeline } from "../pipeline/pipeline.js";
import { customDiffusion } from "./custom-diffusion.js";
import { dreambooth, dreamboothLora } from "./dreambooth.js";
import type { TuningMethod } from "./method.js";
import type { FinetuneMethod, FinetuneSettingsByMethod } from "./settings.js";
import { textualInversion } from "./textual-inversion.js";

type MakeMethods = {
	readonly [M in FinetuneMethod]: (pipe: Pipeline, settings: FinetuneSettingsByMethod[M]) => TuningMethod;
};

const METHODS: MakeMethods = {
	"textual-inversion": textualInversion,
	dreambooth,
	"dreambooth-lora": dreamboothLora,
	"custom-diffusion": customDiffusion,
};

/** @throws ArgumentError for settings that do not fit the model */
export function makeMethod<M extends FinetuneMethod>(
	method: M,
	pipe: Pipeline,
	settings: FinetuneSettingsByMethod[M],
): TuningMethod {
	return METHODS[method](pipe, settings);
}
