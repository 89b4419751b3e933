import { Tensor } from "onnxruntime-common";
import { findOptimizers } from "../analysis/find-optimizers/index.ts";
import { NUMBER, OPTIONS, requireArgument } from "../arguments.ts";
import { AGR_RECORD, type RecordedEdge, readRecord } from "../edits/record.ts";
import { NumericError } from "../errors.ts";
import { DataType } from "../graph/data-type.ts";
import type { Model } from "../graph/model.ts";
import { A_MODEL } from "../graph/model.ts";
import { decodeModel } from "../graph/serde/decode.ts";
import { encodeModel } from "../graph/serde/encode.ts";
import { insertAgr } from "../passes/insert-agr/index.ts";
import { type InsertAgrOptions, type Settings, settingsOf } from "../passes/insert-agr/options.ts";
import { appliesTo, select } from "../passes/insert-agr/selection.ts";
import { loadOrtNode, type OrtModule } from "../runtime/ort-node/load.ts";
import type { NamedTensors } from "../runtime/session.ts";
import { NO_LOG } from "../runtime/session-options.ts";
import { type Gradient, regularizeAll } from "./formula.ts";
import { type Cut, isolate } from "./isolate.ts";
import { randomInputs, randomValues } from "./random-inputs.ts";

/** Sequences whose length is not known are tried with these. */
const TRIAL_SHAPES = [[4, 3], [5], [1], [2, 3, 2]];
/** Of gradients whose shape does not matter to the graph, no dimension is tried larger. */
const TRIAL_DIM = 16;
const MAX_ELEMENTS = 2 ** 24;

/** Rounding of a sum and four operations, relative to a gradient's largest entry, by the type that is worked in. */
const TOLERANCES = new Map<number, number>([
  [DataType.float16, 2 ** -10],
  [DataType.bfloat16, 2 ** -7],
]);
const FLOAT_TOLERANCE = 2e-6;
/** Fused operators round sums and products in another order: 2^-24 relative each, some thousand of them in a row. */
const OPTIMIZED_TOLERANCE = 2 ** -12;

export interface Verification {
  readonly seed: number;
  /**
   * What the optimizer reads, against the formula in float64: the largest difference of each edge, relative to the
   * gradient's largest entry. Null: could not be run, for the reason.
   */
  readonly edges: readonly { readonly gradient: string; readonly error: number; readonly tolerance: number }[] | null;
  readonly edgesReason: string | null;
  /**
   * Whether the whole graph gives the same bits with AGR of strength 0 as without, each operator run as it is written (graph
   * optimizations disabled: fused operators round otherwise). Null: could not be run.
   */
  readonly identicalAtStrengthZero: boolean | null;
  /** The same with ONNX Runtime's graph optimizations: the largest difference of an output, relative to its largest element. */
  readonly optimizedDifference: number | null;
  readonly wholeGraphReason: string | null;
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
  const whole = await verifyWhole(ort, encodeModel(original), options, seed);
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

async function verifyEdges(
  ort: OrtModule,
  original: Model,
  inserted: Model,
  options: InsertAgrOptions,
  seed: number,
): Promise<Pick<Verification, "edges" | "edgesReason">> {
  const not = (reason: string): Pick<Verification, "edges" | "edgesReason"> => ({ edges: null, edgesReason: reason });
  const others = othersOf(options);
  if (others !== null) return not(others);
  const copy = inserted.clone();
  const record = readRecord(copy, AGR_RECORD);
  if (record === null) return not("there is no AGR in the model");
  const settings = settingsOf(options);
  const trials = trialsOf(original, record.edges, options, settings);
  const total = trials.flatMap(({ shapes }) => shapes).reduce((sum, shape) => sum + product(shape), 0);
  if (total > MAX_ELEMENTS)
    return not(`the gradients have ${total} elements, more than the ${MAX_ELEMENTS} that are tried`);
  const isolated = isolate(copy, trials);
  if (isolated === null) return not("the gradients are inside a graph of a node");
  const gradients = trials.map(({ shapes, regularized }, cut) =>
    shapes.map((shape, element): Gradient => {
      const values = Float64Array.from(randomValues(product(shape), seed + 1000 * cut + element), Math.fround);
      return { shape, values, regularized: regularized[element] ?? true };
    }),
  );
  const feeds = isolated.gradients.flatMap(({ inputs }, cut) =>
    inputs.map((name, element): [string, Tensor] => {
      const { shape = [], values = new Float64Array() } = gradients[cut]?.[element] ?? {};
      return [name, new Tensor("float32", Float32Array.from(values), [...shape])];
    }),
  );
  const run = await tryRun(ort, encodeModel(isolated.model), Object.fromEntries(feeds));
  if (typeof run === "string") return not(run);
  const expected = regularizeAll(gradients.flat(), settings.scope, settings.strength);
  let next = 0;
  const edges = isolated.gradients.map(({ outputs }, cut) => {
    const { edge, dtype = DataType.float } = trials[cut] ?? {};
    const error = Math.max(
      ...outputs.map((name, element) =>
        difference(run[name], expected[next++] ?? new Float64Array(), gradients[cut]?.[element]),
      ),
    );
    return { gradient: edge?.from ?? "", error, tolerance: TOLERANCES.get(dtype) ?? FLOAT_TOLERANCE };
  });
  return { edges, edgesReason: null };
}

/** What keeps AGR's formula from being all that stands at an edge. */
function othersOf({ transforms = [] }: InsertAgrOptions): string | null {
  const others = transforms.filter((each) => each !== "agr");
  return others.length === 0 ? null : `${others.join(", ")} stand beside AGR, and change the gradients too`;
}

/** Every operator as it is written. */
const UNOPTIMIZED = { ...NO_LOG, graphOptimizationLevel: "disabled" };

interface Trial extends Cut {
  /** Which of the shapes' gradients AGR reaches. */
  readonly regularized: readonly boolean[];
}

function trialsOf(
  original: Model,
  edges: readonly RecordedEdge[],
  options: InsertAgrOptions,
  settings: Settings,
): readonly Trial[] {
  const sites = findOptimizers(original, options).sites.flatMap((site) => site.edges);
  return edges.map((edge): Trial => {
    const raw = edge.renamed ? edge.to : edge.from;
    const found = sites.find(({ value }) => value.name === raw);
    const dtype = found?.dtype ?? DataType.float;
    if (found?.form !== "sequence") {
      const known = found?.parameter?.shape ?? null;
      const shape = known?.map((dim) => Math.min(dim, TRIAL_DIM)) ?? [4, 3];
      return {
        edge,
        dtype,
        isSequence: false,
        shapes: [shape],
        regularized: [known !== null || appliesTo(settings, shape)],
      };
    }
    const { parameters, count } = options;
    const shapes =
      parameters?.map(({ shape }) => shape) ??
      Array.from(
        { length: count ?? TRIAL_SHAPES.length },
        (_, index) => TRIAL_SHAPES[index % TRIAL_SHAPES.length] ?? [],
      );
    const reached = select(settings, parameters).reached;
    const regularized = shapes.map(
      (shape, index) => reached?.includes(parameters?.[index]?.name ?? "") ?? appliesTo(settings, shape),
    );
    return { edge, dtype, isSequence: true, shapes, regularized };
  });
}

type Whole = Pick<Verification, "identicalAtStrengthZero" | "optimizedDifference" | "wholeGraphReason">;

async function verifyWhole(
  ort: OrtModule,
  original: Uint8Array,
  options: InsertAgrOptions,
  seed: number,
): Promise<Whole> {
  const not = (reason: string): Whole => ({
    identicalAtStrengthZero: null,
    optimizedDifference: null,
    wholeGraphReason: reason,
  });
  const others = othersOf(options);
  if (others !== null) return not(others);
  const zero = decodeModel(original);
  const feeds = randomInputs(zero.graph, seed);
  if (typeof feeds === "string") return not(feeds);
  insertAgr(zero, { ...options, strength: 0 });
  const edited = encodeModel(zero);
  const plain = await tryRun(ort, original, feeds, UNOPTIMIZED);
  if (typeof plain === "string") return not(plain);
  const changed = await tryRun(ort, edited, feeds, UNOPTIMIZED);
  if (typeof changed === "string")
    return { identicalAtStrengthZero: false, optimizedDifference: null, wholeGraphReason: changed };
  const bits = ({ data }: Tensor): Buffer => {
    const { buffer, byteOffset, byteLength } = data as Float32Array;
    return Buffer.from(buffer, byteOffset, byteLength);
  };
  const same = Object.entries(plain).every(([name, tensor]) => {
    const other = changed[name];
    return other !== undefined && bits(tensor).equals(bits(other));
  });
  const [fused, fusedChanged] = [await tryRun(ort, original, feeds), await tryRun(ort, edited, feeds)];
  const optimizedDifference =
    typeof fused === "string" || typeof fusedChanged === "string" ? null : largestDifference(fused, fusedChanged);
  return { identicalAtStrengthZero: same, optimizedDifference, wholeGraphReason: null };
}

/** The largest difference of any output's elements, relative to the output's largest; what is no number on both sides is alike. */
function largestDifference(a: NamedTensors, b: NamedTensors): number {
  const differences = Object.entries(a).map(([name, tensor]) => {
    const [left, right] = [tensor, b[name]].map((each) =>
      Array.from((each?.data ?? []) as ArrayLike<number | bigint>, Number),
    );
    if (left === undefined || right === undefined || left.length !== right.length) return Number.POSITIVE_INFINITY;
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

/** The outputs, or why the model does not run. */
async function tryRun(
  ort: OrtModule,
  model: Uint8Array,
  feeds: NamedTensors,
  options: Readonly<Record<string, unknown>> = NO_LOG,
): Promise<Readonly<Record<string, Tensor>> | string> {
  try {
    const session = await ort.InferenceSession.create(model, options);
    const results = await session.run(feeds);
    await session.release();
    return results;
  } catch (error) {
    const [line = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
    return `onnxruntime-node does not run it: ${line.slice(0, 200)}`;
  }
}

function difference(actual: Tensor | undefined, expected: Float64Array, gradient: Gradient | undefined): number {
  const values = actual?.data as Float32Array | undefined;
  if (values?.length !== expected.length) return Number.POSITIVE_INFINITY;
  const largest = gradient?.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) ?? 0;
  const scale = Math.max(largest, 2 ** -126);
  return expected.reduce(
    (worst, value, index) => Math.max(worst, Math.abs((values[index] ?? Number.NaN) - value) / scale),
    0,
  );
}

const product = (shape: readonly number[]): number => shape.reduce((size, dim) => size * dim, 1);
