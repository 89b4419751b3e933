import { InferenceSession, Tensor } from "onnxruntime-node";
import {
  CORPUS_OPTIMIZERS,
  CORPUS_VARIANTS,
  type CorpusStep,
  makeCorpusStep,
} from "../../fixtures/step-corpus/index.ts";
import { DataType, encodeModel } from "../../src/entries/graph.ts";
import { type InsertProvenOptions, insertProven, type Model, OnnxAgrError } from "../../src/index.ts";
import { valuesOf } from "./tensor-values.ts";

/** Rounding of the same formula written in another order, divided by roots of small numbers. */
const TOLERANCE = 1e-5;

/** The bits of a float16, cut off: of numbers that are neither tiny nor large. */
function halfOf(value: number): number {
  const [bits = 0] = new Uint32Array(Float32Array.of(value).buffer);
  return ((bits >>> 16) & 0x8000) | ((((bits >>> 23) & 0xff) - 112) << 10) | ((bits >>> 13) & 0x3ff);
}

/** The outputs of a step of the corpus on made-up numbers. */
export async function runStep(model: Model): Promise<ReadonlyMap<string, readonly number[]>> {
  const session = await InferenceSession.create(encodeModel(model), { logSeverityLevel: 3, intraOpNumThreads: 1 });
  const feeds = model.graph.inputs.map(({ name, type }, position): [string, Tensor] => {
    const shape = type?.kind === "tensor" ? (type.shape ?? []).map(Number) : [];
    const size = shape.reduce((product, dim) => product * dim, 1);
    const values = Float32Array.from({ length: size }, (_, index) => Math.sin(7 * position + index + 1));
    const given = name === "lr" ? 0.1 : name === "loss_scale" ? 64 : name === "step" ? 3 : name === "calls" ? 1 : null;
    if (given !== null) values.fill(given);
    if (type?.kind === "tensor" && type.dtype === DataType.float16)
      return [name, new Tensor("float16", Uint16Array.from(values, halfOf), shape)];
    return [name, new Tensor("float32", name.endsWith("_sq") ? values.map((value) => value * value) : values, shape)];
  });
  const results = await session.run(Object.fromEntries(feeds));
  await session.release();
  return new Map(Object.entries(results).map(([name, value]) => [name, valuesOf(value)]));
}

/** Relative to 1, or to the number where it is larger. */
export function worstDifference(
  a: ReadonlyMap<string, readonly number[]>,
  b: ReadonlyMap<string, readonly number[]>,
): number {
  return Math.max(
    ...[...a].flatMap(([name, values]) =>
      values.map((value, index) => {
        const other = b.get(name)?.[index] ?? Number.NaN;
        const difference = Math.abs(value - other) / Math.max(1, Math.abs(other));
        return Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
      }),
    ),
  );
}

/** What `insert` makes of a step: right, as AGR by hand; wrong; or the code it is refused with. */
export async function verdictOf(step: CorpusStep, options: InsertProvenOptions = {}): Promise<string> {
  const model = makeCorpusStep(step);
  try {
    await insertProven(model, options);
  } catch (error) {
    if (error instanceof OnnxAgrError && error.exitCode === 4) return `refused: ${error.code}`;
    throw error;
  }
  const expected = await runStep(makeCorpusStep({ ...step, agr: options.at ?? "transformed" }));
  const changed = worstDifference(await runStep(makeCorpusStep(step)), expected);
  if (!(changed > 10 * TOLERANCE) && !("isBlind" in CORPUS_OPTIMIZERS[step.optimizer]))
    throw new Error(`AGR by hand changes nothing of ${step.optimizer}, ${step.variant}`);
  const error = worstDifference(await runStep(model), expected);
  return error <= TOLERANCE ? "right" : `wrong: ${error.toExponential(1)}`;
}

/**
 * What the network reads of a schedule-free parameter is a mean of two tensors, of which only one would be float16; some
 * optimizers are written for matrices.
 */
const isWritten = ({ optimizer, variant }: CorpusStep): boolean =>
  !(optimizer === "schedule-free sgd" && variant === "half with masters") &&
  !(["muon", "shampoo", "adafactor"].includes(optimizer) && variant === "stacked layers");

/** Every optimizer with every variant. */
export const CORPUS: readonly CorpusStep[] = Object.keys(CORPUS_OPTIMIZERS)
  .flatMap((optimizer) => Object.keys(CORPUS_VARIANTS).map((variant) => ({ optimizer, variant }) as CorpusStep))
  .filter(isWritten);

/** The verdicts as the table that docs/forms.md holds: what all optimizers share is said once. */
export function corpusTable(verdicts: ReadonlyMap<CorpusStep, string>): string {
  const rows = Object.keys(CORPUS_VARIANTS).map((variant) => {
    const own = [...verdicts].filter(([step]) => step.variant === variant);
    const kinds = [...new Set(own.map(([, verdict]) => verdict))];
    const cells = kinds.map((kind) => {
      const names = own.filter(([, verdict]) => verdict === kind).map(([{ optimizer }]) => optimizer);
      return names.length === own.length ? kind : `${kind} (${names.join(", ")})`;
    });
    return `| ${variant} | ${own.length} | ${cells.join("; ")} |`;
  });
  return ["| step | optimizers | `insert` |", "|---|---|---|", ...rows].join("\n");
}

const BEGIN = "<!-- made by npm run docs -->\n";
const END = "\n<!-- end -->";

/** A document with its generated table replaced. */
export function withTable(text: string, table: string): string {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  return `${text.slice(0, begin + BEGIN.length)}${table}${text.slice(end)}`;
}
