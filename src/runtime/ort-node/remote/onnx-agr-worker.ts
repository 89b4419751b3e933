/** The other side of a `RemoteSession`: a session of ort-node in a thread or process of its own. Bundlers get it as `onnx-agr/worker`. */

import { parentPort } from "node:worker_threads";
import { WAYS } from "../ways.ts";
import type { Reply, Request } from "./protocol.ts";
import { Server } from "./serve.ts";

const server = new Server(WAYS);

function listen(on: (handler: (request: Request) => void) => void, post: (reply: Reply) => void): void {
  on((request) => {
    void server.answer(request).then(post);
  });
}

const port = parentPort;
if (port !== null) {
  listen(
    (handler) => port.on("message", handler),
    (reply) => port.postMessage(reply),
  );
} else {
  listen(
    (handler) => process.on("message", handler),
    (reply) => process.send?.(reply),
  );
  process.on("disconnect", () => process.exit());
  /** A terminal sends its signals to this process too; the caller decides what they mean, and its end is this one's. */
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
}
