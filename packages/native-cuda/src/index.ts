// @dreamdist/native-cuda: finds and loads the native engine, and gives its surface types.
import { loadAddon } from "./loader.js";
import type { NativeModule } from "./surface.js";

export { type CudaSurroundings, cardReason, cudaReason, driverVersion, emulatedReason } from "./devices.js";
export { glibcVersion, isMusl } from "./libc.js";
export {
	AddonNotFoundError,
	type BuildRecord,
	emulatedAddonPath,
	type FailedAttempt,
	type LoadedAddon,
	loadAddon,
	useEmulatedAddon,
} from "./loader.js";
export { readMemory, type SystemMemory } from "./memory.js";
export * from "./surface.js";

/**
 * The native engine, loaded at the first call.
 * @throws AddonNotFoundError when no addon works on this machine; its message says what to do
 */
export function loadNative(): NativeModule {
	return loadAddon().exports as NativeModule;
}
