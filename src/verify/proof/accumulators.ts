import { Tensor } from "onnxruntime-common";
import { type Anatomy, dependsOn } from "../../analysis/find-optimizers/plain-step/anatomy.ts";
import type { FlatStep } from "../../analysis/find-optimizers/plain-step/flat-step.ts";
import type { StatePair } from "../../analysis/find-optimizers/plain-step/pair-state.ts";
import { removeDeadNodes } from "../../edits/dead-nodes.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { Names } from "../../graph/names.ts";
import { encodeModel } from "../../graph/serde/encode.ts";
import { tensorType } from "../../graph/value-type.ts";
import { Builder } from "../../ops/builder.ts";
import { Formula } from "../../ops/formula.ts";
import type { OrtModule } from "../../runtime/ort-node/load.ts";
import { randomInputs } from "../random-inputs.ts";
import { plainly } from "../try-run.ts";

/** Gradients of up to so many steps are looked for in sums. */
const MOST_STEPS = 64;

/**
 * The state that gradients are added up in: tensors of a parameter's shape that become zero at some count of the steps. Found
 * by counting.
 */
export async function accumulatorsOf(
  ort: OrtModule,
  { model, graph }: FlatStep,
  anatomy: Anatomy,
): Promise<ReadonlySet<StatePair>> {
  const counters = graph.inputs.filter((input) => input.tensor === null && isCounter(input, anatomy));
  const feeders = anatomy.parameters.flatMap((parameter) =>
    anatomy.feedersOf(parameter).filter(({ input }) => shapeOf(input) === shapeOf(parameter.input)),
  );
  const sums = [...new Set(feeders)].filter(({ output }) => dependsOn(output, counters));
  if (sums.length === 0) return new Set();
  const copy = model.clone();
  const { graph: own } = copy;
  const outputs = new Map(own.outputs.map((value) => [value.name, value]));
  const build = new Builder({ prefix: "proof", names: new Names(copy) });
  const f = new Formula(build, copy.opset);
  const sizes = sums.flatMap((sum) => {
    const value = outputs.get(sum.output.name);
    if (value === undefined) return [];
    const size = f.cast(f.sum(f.emit("Abs", [value]), null, false), DataType.float);
    size.type = tensorType(DataType.float);
    return [{ sum, size }];
  });
  own.append(build.nodes);
  own.replaceOutputs(sizes.map(({ size }) => size));
  removeDeadNodes(own);
  const isCounted = new Set(counters.map(({ name }) => name));
  own.replaceInputs(own.inputs.filter(({ isUsed }) => isUsed));
  const feeds = randomInputs(own, 1);
  if (typeof feeds === "string") return new Set();
  const found = new Set<StatePair>();
  const read = own.inputs.filter(({ name }) => isCounted.has(name));
  try {
    const session = await ort.InferenceSession.create(encodeModel(copy), plainly());
    // What is added up is used at the same count: the first that shows some shows all.
    for (let count = 0; count < MOST_STEPS && found.size === 0; count++) {
      const counts = Object.fromEntries(read.map((input) => [input.name, counted(input, count)]));
      const results = await session.run({ ...feeds, ...counts });
      for (const { sum, size } of sizes) if (Number(results[size.name]?.data[0]) === 0) found.add(sum);
    }
    await session.release();
  } catch {
    return new Set();
  }
  return found;
}

/** Whole numbers and truth values of one element, and such state of any type: neither data nor parameters. */
function isCounter(input: Value, anatomy: Anatomy): boolean {
  const type = input.type?.kind === "tensor" ? input.type : null;
  if (type?.shape?.every((dim) => dim === 1) !== true || anatomy.data.includes(input)) return false;
  const pair = anatomy.pairs.find((each) => each.input === input);
  if (pair !== undefined && anatomy.isParameter(pair)) return false;
  return pair !== undefined || WHOLE.has(type.dtype);
}

const WHOLE: ReadonlySet<number> = new Set([DataType.int32, DataType.int64, DataType.bool]);

function counted({ type }: Value, count: number): Tensor {
  const { dtype = DataType.float, shape = [] } = type?.kind === "tensor" ? type : {};
  const dims = (shape ?? []).map(Number);
  if (dtype === DataType.int64) return new Tensor("int64", BigInt64Array.of(BigInt(count)), dims);
  if (dtype === DataType.int32) return new Tensor("int32", Int32Array.of(count), dims);
  if (dtype === DataType.bool) return new Tensor("bool", Uint8Array.of(count % 2), dims);
  return new Tensor("float32", Float32Array.of(count), dims);
}

const shapeOf = ({ type }: Value): string => (type?.kind === "tensor" ? (type.shape?.join() ?? "?") : "?");
