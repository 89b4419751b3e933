import { Tensor } from "onnxruntime-common";
import { findOptimizers } from "../analysis/find-optimizers/index.ts";
import { AGR_RECORD, type RecordedEdge, readRecord } from "../edits/record.ts";
import { DataType } from "../graph/data-type.ts";
import type { Model } from "../graph/model.ts";
import { encodeModel } from "../graph/serde/encode.ts";
import { judgedLayers } from "../passes/insert-agr/layers.ts";
import { type InsertAgrOptions, type Settings, settingsOf } from "../passes/insert-agr/options.ts";
import { appliesTo, select } from "../passes/insert-agr/selection.ts";
import type { OrtModule } from "../runtime/ort-node/load.ts";
import { type Gradient, regularizeAll } from "./formula.ts";
import { type Cut, isolate } from "./isolate.ts";
import { randomValues } from "./random-inputs.ts";
import { othersOf, tryRun } from "./try-run.ts";

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

export interface EdgeErrors {
  /**
   * What the optimizer reads, against the formula in float64: the largest difference of each edge, relative to the
   * gradient's largest entry. Null: could not be run, for the reason.
   */
  readonly edges: readonly { readonly gradient: string; readonly error: number; readonly tolerance: number }[] | null;
  readonly edgesReason: string | null;
}

/** Each regularized gradient, run on random numbers, against the formula in float64. */
export async function verifyEdges(
  ort: OrtModule,
  original: Model,
  inserted: Model,
  options: InsertAgrOptions,
  seed: number,
): Promise<EdgeErrors> {
  const not = (reason: string): EdgeErrors => ({ edges: null, edgesReason: reason });
  const others = othersOf(options);
  if (others !== null) return not(others);
  const copy = inserted.clone();
  const record = readRecord(copy, AGR_RECORD);
  if (record === null) return not("there is no AGR in the model");
  const settings = settingsOf(options);
  const gradients = record.edges.filter(({ mask }) => mask !== true);
  const trials = trialsOf(original, gradients, options, settings);
  const total = trials.flatMap(({ shapes }) => shapes).reduce((sum, shape) => sum + product(shape), 0);
  if (total > MAX_ELEMENTS)
    return not(`the gradients have ${total} elements, more than the ${MAX_ELEMENTS} that are tried`);
  const isolated = isolate(copy, trials);
  if (isolated === null) return not("the gradients are inside a graph of a node");
  const given = trials.map(({ shapes, regularized, layers }, cut) =>
    shapes.map((shape, element): Gradient => {
      const values = Float64Array.from(randomValues(product(shape), seed + 1000 * cut + element), Math.fround);
      return { shape, values, regularized: regularized[element] ?? true, ...(layers === undefined ? {} : { layers }) };
    }),
  );
  const feeds = isolated.gradients.flatMap(({ inputs }, cut) =>
    inputs.map((name, element): [string, Tensor] => {
      const { shape = [], values = new Float64Array() } = given[cut]?.[element] ?? {};
      return [name, new Tensor("float32", Float32Array.from(values), [...shape])];
    }),
  );
  const run = await tryRun(ort, encodeModel(isolated.model), Object.fromEntries(feeds));
  if (typeof run === "string") return not(run);
  const expected = regularizeAll(given.flat(), settings.scope, settings.strength);
  let next = 0;
  const edges = isolated.gradients.map(({ outputs }, cut) => {
    const { edge, dtype = DataType.float } = trials[cut] ?? {};
    const error = Math.max(
      ...outputs.map((name, element) =>
        difference(run[name], expected[next++] ?? new Float64Array(), given[cut]?.[element]),
      ),
    );
    return { gradient: edge?.from ?? "", error, tolerance: TOLERANCES.get(dtype) ?? FLOAT_TOLERANCE };
  });
  return { edges, edgesReason: null };
}

interface Trial extends Cut {
  /** Which of the shapes' gradients AGR reaches. */
  readonly regularized: readonly boolean[];
  readonly layers?: Gradient["layers"];
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
    if (found?.kind !== "sequence") {
      const known = found?.parameter?.shape ?? null;
      const layers = found === undefined ? null : judgedLayers(settings, found);
      if (layers !== null) {
        const parts = layers.map(({ shape, reason }) => ({ shape, regularized: reason === null }));
        return { edge, dtype, isSequence: false, shapes: [known ?? []], regularized: [true], layers: parts };
      }
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
