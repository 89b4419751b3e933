import { defaultThreads } from "./runtime/processors.ts";

/** The variable of the environment that leaves batches whole where it is "0". */
const SWITCH = "ONNX_AGR_SHARDS";

/** What ONNX Runtime's threads save by working on parts of their own was measured with two; more would add up more results. */
const PARTS = 2;

/**
 * Into how many parts a session cuts its batches that ONNX Runtime's CPU provider computes at the same time: one where there is one thread, and
 * where the environment says `ONNX_AGR_SHARDS=0`.
 * @param threads null: as many as ONNX Runtime takes by itself
 */
export function partsFor(threads: number | null): number {
  return process.env[SWITCH] === "0" || (threads ?? defaultThreads()) < PARTS ? 1 : PARTS;
}
