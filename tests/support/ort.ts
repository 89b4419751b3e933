import { InferenceSession } from "onnxruntime-node";

/** A session of one thread: threads of a pool wait by spinning, which takes the cores from other tests. */
export async function openSession(
  model: Uint8Array | string,
  options: InferenceSession.SessionOptions = {},
): Promise<InferenceSession> {
  const settings = { logSeverityLevel: 4, intraOpNumThreads: 1, ...options } as const;
  return typeof model === "string"
    ? InferenceSession.create(model, settings)
    : InferenceSession.create(model, settings);
}
