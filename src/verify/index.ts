import { NUMBER, OPTIONS, requireArgument } from "../arguments.ts";
import { NumericError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { A_MODEL } from "../graph/model.ts";
import type { InsertAgrOptions } from "../passes/insert-agr/options.ts";
import { loadOrtNode } from "../runtime/ort-node/load.ts";
import { type EdgeErrors, verifyEdges } from "./edges.ts";
import { verifyWhole, type WholeGraphErrors } from "./whole-graph.ts";

/** Fused operators round sums and products in another order: 2^-24 relative each, some thousand of them in a row. */
const OPTIMIZED_TOLERANCE = 2 ** -12;

export interface Verification extends EdgeErrors, WholeGraphErrors {
  readonly seed: number;
}

/**
 * Runs an insertion in onnxruntime-node on seeded random inputs: each regularized gradient against the formula, and, where
 * onnxruntime-node has the graph's operators, the whole graph with strength 0 against the graph without AGR, bit for bit.
 * @param original the model before the insertion
 * @param inserted the model after it; neither is changed
 * @param options those of the insertion
 * @throws NumericError `E_VERIFY` where a result is not what it must be; BackendError `E_RUNTIME_MISSING`
 */
export async function verifyInsertion(
  original: Model,
  inserted: Model,
  options: InsertAgrOptions = {},
  seed = 0,
): Promise<Verification> {
  requireArgument("original", original, A_MODEL);
  requireArgument("inserted", inserted, A_MODEL);
  requireArgument("options", options, OPTIONS);
  requireArgument("seed", seed, NUMBER);
  const verification = await measureInsertion(original, inserted, options, seed);
  const wrong = wrongEdge(verification);
  if (wrong !== undefined) {
    throw new NumericError(
      "E_VERIFY",
      `what the optimizer reads for "${wrong.gradient}" differs from the formula by ${wrong.error.toExponential(1)} of its largest entry`,
      {
        field: wrong.gradient,
        hint: "Report this model; do not use the result.",
      },
    );
  }
  if (isChangedAtZero(verification)) {
    throw new NumericError("E_VERIFY", "with strength 0 the graph's outputs are not what they were", {
      hint: "Report this model, unless it draws random numbers (Dropout); do not use the result.",
    });
  }
  return verification;
}

/** What `verifyInsertion` measures, without a judgement. @throws BackendError `E_RUNTIME_MISSING` */
export async function measureInsertion(
  original: Model,
  inserted: Model,
  options: InsertAgrOptions,
  seed: number,
): Promise<Verification> {
  const ort = await loadOrtNode();
  const edges = await verifyEdges(ort, original, inserted, options, seed);
  const whole = await verifyWhole(ort, original, options, seed);
  return { seed, ...edges, ...whole };
}

/** An edge that is not the formula. */
export function wrongEdge({ edges }: Verification): NonNullable<Verification["edges"]>[number] | undefined {
  return edges?.find(({ error, tolerance }) => !(error <= tolerance));
}

/** Whether strength 0 changes what the graph computes. */
export function isChangedAtZero({ identicalAtStrengthZero, optimizedDifference }: Verification): boolean {
  const differs = optimizedDifference !== null && !(optimizedDifference <= OPTIMIZED_TOLERANCE);
  return identicalAtStrengthZero === false || differs;
}
