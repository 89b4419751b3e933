import type { Tensor } from "onnxruntime-common";
import type { Model } from "../graph/model.ts";
import { encodeModel } from "../graph/serde/encode.ts";
import { insertAgr } from "../passes/insert-agr/index.ts";
import type { InsertAgrOptions } from "../passes/insert-agr/options.ts";
import type { OrtModule } from "../runtime/ort-node/load.ts";
import { bytesIn } from "../runtime/ort-tensor.ts";
import type { NamedTensors } from "../runtime/session.ts";
import { mapTuple } from "../tuples.ts";
import { numbersOf } from "./proof/question.ts";
import { randomInputs } from "./random-inputs.ts";
import { othersOf, tryRun } from "./try-run.ts";

/** Every operator as it is written. */
const UNOPTIMIZED = { graphOptimizationLevel: "disabled" };

export interface WholeGraphErrors {
  /**
   * Whether the whole graph gives the same bits with AGR of strength 0 as without, each operator run as it is written (graph
   * optimizations disabled: fused operators round otherwise). Null: could not be run.
   */
  readonly identicalAtStrengthZero: boolean | null;
  /** The same with ONNX Runtime's graph optimizations: the largest difference of an output, relative to its largest element. */
  readonly optimizedDifference: number | null;
  readonly wholeGraphReason: string | null;
}

/** The whole graph with AGR of strength 0 against the graph without it. */
export async function verifyWhole(
  ort: OrtModule,
  original: Model,
  options: InsertAgrOptions,
  seed: number,
): Promise<WholeGraphErrors> {
  const not = (reason: string): WholeGraphErrors => ({
    identicalAtStrengthZero: null,
    optimizedDifference: null,
    wholeGraphReason: reason,
  });
  const others = othersOf(options);
  if (others !== null) return not(others);
  const zero = original.clone();
  const feeds = randomInputs(zero.graph, seed);
  if (typeof feeds === "string") return not(feeds);
  insertAgr(zero, { ...options, strength: 0, cautious: [] });
  const edited = encodeModel(zero);
  const unchanged = encodeModel(original);
  const plain = await tryRun(ort, unchanged, feeds, UNOPTIMIZED);
  if (typeof plain === "string") return not(plain);
  const changed = await tryRun(ort, edited, feeds, UNOPTIMIZED);
  if (typeof changed === "string")
    return { identicalAtStrengthZero: false, optimizedDifference: null, wholeGraphReason: changed };
  const same = Object.entries(plain).every(([name, tensor]) => {
    const other = changed[name];
    return other !== undefined && isSame(tensor, other);
  });
  const [fused, fusedChanged] = [await tryRun(ort, unchanged, feeds), await tryRun(ort, edited, feeds)];
  const optimizedDifference =
    typeof fused === "string" || typeof fusedChanged === "string" ? null : largestDifference(fused, fusedChanged);
  return { identicalAtStrengthZero: same, optimizedDifference, wholeGraphReason: null };
}

/** Bit for bit; NaNs of the same bits are alike. */
function isSame(a: Tensor, b: Tensor): boolean {
  if (a.type === "string" || b.type === "string") {
    return a.size === b.size && [...a.data].every((each, index) => each === b.data[index]);
  }
  return Buffer.from(bytesIn(a)).equals(bytesIn(b));
}

/** The largest difference of any output's elements, relative to the output's largest; what is no number on both sides is alike. */
function largestDifference(a: NamedTensors, b: NamedTensors): number {
  const differences = Object.entries(a).map(([name, tensor]) => {
    if (tensor.type === "string") return 0;
    const [left, right] = mapTuple([tensor, b[name]], numbersOf);
    if (left.length !== right.length) return Number.POSITIVE_INFINITY;
    const scale = left.reduce(
      (most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most),
      2 ** -126,
    );
    return left.reduce((worst, value, index) => {
      const other = right[index] ?? Number.NaN;
      return Object.is(value, other) || value === other ? worst : Math.max(worst, Math.abs(value - other) / scale);
    }, 0);
  });
  return Math.max(0, ...differences);
}
