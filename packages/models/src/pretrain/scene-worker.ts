// A thread that draws scenes.
import { parentPort } from "node:worker_threads";
import { drawScenes, type SceneRequest } from "./scenes.js";

const port = parentPort!;
port.on("message", async ({ id, request }: { id: number; request: SceneRequest }) => {
	try {
		const batch = await drawScenes(request);
		port.postMessage({ id, batch }, [batch.pictures.buffer as ArrayBuffer]);
	} catch (error) {
		port.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
	}
});
