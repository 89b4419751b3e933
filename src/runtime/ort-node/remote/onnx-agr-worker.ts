/** The other side of a `RemoteSession`: a session of ort-node in a thread or process of its own. Bundlers get it as `onnx-agr/worker`. */

import { parentPort } from "node:worker_threads";
import { BackendError } from "../../../errors.ts";
import { decodeModel } from "../../../graph/serde/decode.ts";
import { DEFAULT_LEARNING_RATE } from "../../learning-rate.ts";
import type { TrainingSession } from "../../session.ts";
import { OrtNodeSession } from "../session.ts";
import { WAYS } from "../ways.ts";
import { pack, unpack } from "./packing.ts";
import type { Opened, Opening, Reply, Request } from "./protocol.ts";

let session: OrtNodeSession | null = null;

async function open({ models, state, stepsPerCall, options }: Opening): Promise<Opened> {
  const decode = (bytes: Uint8Array | null) => (bytes === null ? null : decodeModel(bytes));
  const opened = await OrtNodeSession.create(
    WAYS,
    {
      gradients: decode(models.gradients),
      trainStep: decode(models.trainStep),
      overwriting: decode(models.overwriting),
      adding: decode(models.adding),
      apply: decode(models.apply),
      evalModel: decode(models.evalModel),
      repeated: decode(models.repeated),
      state,
      stepsPerCall,
      learningRate: () => DEFAULT_LEARNING_RATE,
      exporter: () => {
        throw new BackendError("E_UNSUPPORTED", "models are exported on the other side");
      },
    },
    options,
  );
  session = opened;
  const { trainingInputNames, trainingOutputNames, trainingInputs, executionProvider, passedOver, way, steps } = opened;
  return {
    ...{ trainingInputNames, trainingOutputNames, trainingInputs, executionProvider, passedOver, way, steps },
    evaluation: opened.evaluationSpecs,
    stepsPerCall: opened.stepsPerCall,
  };
}

async function answer({ id, method, args }: Request): Promise<Reply> {
  try {
    const given = unpack(args) as readonly unknown[];
    if (method === "open") return { id, result: pack(await open(given[0] as Opening)), steps: session?.steps ?? 0 };
    if (session === null) throw new RangeError(`${method} was called before the session was opened`);
    const run = session[method] as (this: TrainingSession, ...all: readonly unknown[]) => Promise<unknown>;
    const result = pack(await run.call(session, ...given));
    return { id, result, steps: session.steps };
  } catch (error) {
    return { id, error: pack(error), steps: session?.steps ?? 0 };
  }
}

function listen(on: (handler: (request: Request) => void) => void, post: (reply: Reply) => void): void {
  on((request) => {
    void answer(request).then(post);
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
