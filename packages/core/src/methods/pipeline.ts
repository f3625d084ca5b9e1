// What methods need of a loaded model.
import type { Device } from "../device/device.js";
import type { Autoencoder, Denoiser, TextEncoder } from "../diffusion/interfaces.js";
import type { NoiseSchedule } from "../diffusion/noise-schedule.js";
import type { SchedulerConfig } from "../diffusion/scheduler-config.js";
import type { ModelIdentity } from "./prompts/distribution-file.js";

/** A frozen text-to-image model on a device. A loaded pipeline is one; so are four networks of your own. */
export interface FrozenModel {
	readonly device: Device;
	readonly textEncoder: TextEncoder;
	readonly denoiser: Denoiser;
	readonly autoencoder: Autoencoder;
	/** What the denoiser was trained with. */
	readonly noiseSchedule: NoiseSchedule;
	/** How pictures are sampled unless told otherwise. */
	readonly scheduler: SchedulerConfig;
	readonly identity: ModelIdentity;
	/** How pictures come out best, where the model says so; otherwise the field's usual values hold. */
	readonly sampling?: SamplingDefaults;
}

export interface SamplingDefaults {
	readonly steps?: number | undefined;
	/** Classifier-free guidance scale. */
	readonly guidance?: number | undefined;
	/** The same for prompts that were learned, which say less than a caption does. Default: `guidance`. */
	readonly learnedGuidance?: number | undefined;
}
