/** The other side of a session in a Web Worker. Bundlers get it as `onnx-agr/web/worker`. */

import type { Request } from "../runtime/ort-node/remote/protocol.ts";
import { Server } from "../runtime/ort-node/remote/serve.ts";
import { takeEnvironment, WEB_WAYS } from "../runtime/ort-web/ways.ts";

const server = new Server(WEB_WAYS, takeEnvironment);

globalThis.onmessage = ({ data }: MessageEvent<Request>) => {
  void server.answer(data).then((reply) => globalThis.postMessage(reply));
};
