// Where the public encoders live, and where they are on this machine.
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { ArgumentError } from "@dreamdist/core";
import { resolveCached } from "../hub/cache.js";
import { download } from "../hub/download.js";
import { HubError } from "../hub/errors.js";
import { hubRequest, retryPolicy } from "../hub/http.js";
import { type PullOptions, pull } from "../hub/pull.js";
import { cacheFolder, hubSettings } from "../hub/settings.js";

/** A file that is not on the Hub. Its SHA-256 begins as its name ends, where the authors put it there. */
interface PublishedFile {
	readonly name: string;
	readonly url: string;
	readonly sha256?: string;
}

type EncoderSource = (
	| { readonly repository: string; readonly files?: never }
	| { readonly files: readonly PublishedFile[]; readonly repository?: never }
) & {
	/** Names of single files that hold the same weights, as other programs fetch them. */
	readonly others?: readonly string[];
};

const lpipsFile = (name: string): PublishedFile => ({
	name: `${name}.pth`,
	url: `https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/${name}.pth`,
});
const torchvisionFile = (name: string): PublishedFile => ({
	name,
	url: `https://download.pytorch.org/models/${name}`,
	sha256: name.slice(-12, -4),
});

const SOURCES = {
	inception: {
		files: [
			{
				name: "pt_inception-2015-12-05-6726825d.pth",
				url: "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
				sha256: "6726825d",
			},
		],
		// torch-fidelity's.
		others: ["pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth"],
	},
	"clip-vit-base-patch32": { repository: "openai/clip-vit-base-patch32" },
	"clip-vit-large-patch14": { repository: "openai/clip-vit-large-patch14" },
	"clip-vit-large-patch14-336": { repository: "openai/clip-vit-large-patch14-336" },
	"dino-vits16": { repository: "facebook/dino-vits16", others: ["dino_deitsmall16_pretrain.pth"] },
	"dinov2-small": { repository: "facebook/dinov2-small", others: ["dinov2_vits14_pretrain.pth"] },
	"dinov2-base": { repository: "facebook/dinov2-base", others: ["dinov2_vitb14_pretrain.pth"] },
	"dinov2-large": { repository: "facebook/dinov2-large", others: ["dinov2_vitl14_pretrain.pth"] },
	"lpips-alex": { files: [torchvisionFile("alexnet-owt-7be5be79.pth"), lpipsFile("alex")] },
	"lpips-vgg": { files: [torchvisionFile("vgg16-397923af.pth"), lpipsFile("vgg")] },
} satisfies Record<string, EncoderSource>;

export type PublicEncoder = keyof typeof SOURCES;

export const PUBLIC_ENCODERS = Object.keys(SOURCES) as PublicEncoder[];

export function isPublicEncoder(name: string): name is PublicEncoder {
	return Object.hasOwn(SOURCES, name);
}

/** Where PyTorch's programs keep the files that they fetch, pytorch-fid, torch-fidelity and the DINOs' among them. */
function torchFolder(): string {
	const cache = process.env.XDG_CACHE_HOME?.trim() || join(homedir(), ".cache");
	return join(process.env.TORCH_HOME?.trim() || join(cache, "torch"), "hub", "checkpoints");
}

/** Folder of encoders that are not on the Hub, beside its repositories. */
function filesFolder(encoder: PublicEncoder, cacheDir?: string): string {
	return join(cacheFolder(cacheDir), "dreamdist-encoders", encoder);
}

/** What `pull` is given to fetch an encoder. */
export function encoderPullName(encoder: PublicEncoder): string {
	const source: EncoderSource = SOURCES[encoder];
	return source.repository ?? encoder;
}

/**
 * Where an encoder's files are on this machine: in a folder of the user's, among what `pull` has fetched, or in PyTorch's own cache. Never uses
 * the network.
 *
 * @param options folder: looked into first, for `<encoder>/`, `<encoder>.pth` or the published files' own names
 * @throws HubError `HUB_NOT_CACHED` with the command that fetches it
 */
export async function findEncoder(
	encoder: PublicEncoder,
	{ folder, cacheDir }: { folder?: string | undefined; cacheDir?: string | undefined } = {},
): Promise<string> {
	const source: EncoderSource = SOURCES[encoder];
	const others = source.others ?? [];
	const candidates =
		folder === undefined ? [] : [encoder, `${encoder}.pth`, ...others].map((name) => join(folder, name));
	if (source.files) {
		const own = filesFolder(encoder, cacheDir);
		if (source.files.every(({ name }) => existsSync(join(own, name))))
			candidates.push(source.files.length === 1 ? join(own, source.files[0]!.name) : own);
	}
	const found = candidates.find((path) => existsSync(path));
	if (found !== undefined) return found;
	const fetchedByOthers = others.map((name) => join(torchFolder(), name)).find((path) => existsSync(path));
	const missing = `The encoder ${encoder} is not on this machine; fetch it with "pull ${encoderPullName(encoder)}".`;
	if (source.files) {
		if (fetchedByOthers !== undefined) return fetchedByOthers;
		throw new HubError("HUB_NOT_CACHED", missing);
	}
	try {
		return await resolveCached(source.repository, { cacheDir });
	} catch (cause) {
		if (fetchedByOthers !== undefined) return fetchedByOthers;
		throw new HubError("HUB_NOT_CACHED", missing, { cause });
	}
}

/**
 * Fetches an encoder's files: from the Hub, or from where its authors publish them, checked by the part of the SHA-256 that they publish.
 *
 * @returns the folder or file, as `findEncoder` gives it
 */
export async function pullEncoder(encoder: PublicEncoder, options: PullOptions = {}): Promise<string> {
	const source: EncoderSource = SOURCES[encoder];
	if (source.repository !== undefined) return pull(source.repository, options);
	if (options.files)
		throw new ArgumentError(`${encoder} is not a repository, so there are no files of it to choose from`);
	const settings = await hubSettings(options);
	const { signal, onProgress } = options;
	const folder = filesFolder(encoder, settings.cacheDir);
	const missing = source.files.filter(({ name }) => !existsSync(join(folder, name)));
	if (settings.offline && missing.length > 0)
		throw new HubError("HUB_OFFLINE", `Nothing is fetched while HF_HUB_OFFLINE is set, and ${encoder} is not here.`);
	for (const { name, url, sha256 } of missing) {
		const checksum = sha256 === undefined ? null : { algorithm: "sha256" as const, value: sha256 };
		const file = { path: name, etag: name, size: null, checksum };
		await download({
			file,
			target: join(folder, name),
			open: async (from) => {
				const headers: Record<string, string> = from > 0 ? { range: `bytes=${from}-` } : {};
				// No token goes along: the addresses are not the Hub's.
				const response = await hubRequest({ ...settings, token: null }, new URL(url), {
					method: "GET",
					headers,
					signal,
				});
				if (response.status === 200 || response.status === 206) return response;
				await response.discard();
				throw new HubError("HUB_FILE_NOT_FOUND", `${new URL(url).host} answered ${response.status} for ${url}.`);
			},
			retry: retryPolicy(options.retry),
			signal,
			listener: {
				onBytes: (loaded) =>
					onProgress?.({ type: "progress", file: name, loaded, size: null, totalLoaded: loaded, totalSize: null }),
				onRetry: (reason, waitMs) => onProgress?.({ type: "retry", file: name, reason, waitMs }),
				onVerify: () => onProgress?.({ type: "verify", file: name }),
				onWait: () => onProgress?.({ type: "notice", message: `Another process is fetching ${name}; waiting for it.` }),
			},
		});
		onProgress?.({ type: "file", file: name, cached: false });
	}
	return findEncoder(encoder, { cacheDir: settings.cacheDir });
}
