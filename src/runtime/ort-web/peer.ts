import type { Peer, Reply, StartPeer } from "../ort-node/remote/protocol.ts";

/** Where a session's worker is: its file, or the worker itself where a bundler has made it. */
export type WorkerSource = string | URL | Worker;

/** A session in a Web Worker, so that the page stays responsive while a step runs. */
export const startWorker =
  (source: WorkerSource | null): StartPeer =>
  ({ reply, gone }): Peer => {
    const worker =
      source === null
        ? new Worker(new URL("./onnx-agr-web-worker.js", import.meta.url), { type: "module" })
        : source instanceof Worker
          ? source
          : new Worker(source, { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<Reply>) => reply(data);
    worker.onmessageerror = () => gone("an answer of its worker cannot be read");
    worker.onerror = (event) => {
      event.preventDefault();
      gone(event.message === undefined ? "its worker cannot be loaded" : event.message);
    };
    return {
      post: (request) => worker.postMessage(request),
      /** A page lives as long as it is shown. */
      hold: () => undefined,
      end: async () => worker.terminate(),
    };
  };
