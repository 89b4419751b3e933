import { weightGrad } from "./autodiff/formulas/weight-gradients.ts";
import { type Attribute, attribute } from "./graph/attribute.ts";
import { DataType } from "./graph/data-type.ts";
import { Graph, Node, Value } from "./graph/graph.ts";
import { Model, ONNX_DOMAIN } from "./graph/model.ts";
import { Names } from "./graph/names.ts";
import { encodeModel } from "./graph/serde/encode.ts";
import { tensorType } from "./graph/value-type.ts";
import { Builder } from "./ops/builder.ts";
import { Formula } from "./ops/formula.ts";
import { dimsOf, known } from "./ops/value-types.ts";
import { blockConvolutions } from "./passes/blocked/block-convolutions.ts";
import { weighSums } from "./passes/weighted/weigh-sums.ts";
import { blockSizeOf, PROBE_OPTIONS } from "./runtime/ort-node/block-size.ts";
import type { OrtModule } from "./runtime/ort-node/load.ts";
import { type OrtNodeOptions, prefersCpu } from "./runtime/ort-node/providers.ts";
import type { Way } from "./runtime/ort-node/ways.ts";
import { floatsOf } from "./runtime/ort-tensor.ts";
import type { SessionModels } from "./session-settings.ts";

/** The variable of the environment that keeps convolutions as they are where it is "0". */
const SWITCH = "ONNX_AGR_BLOCKED";

let found: Promise<number | null> | null = null;

/**
 * How many channels ONNX Runtime's CPU provider puts into a block here, for models with convolutions. Null where it has no such layout, where
 * another provider is preferred, and where the environment says `ONNX_AGR_BLOCKED=0`. It is tried out once per process.
 */
export async function blockSizeFor(
  { gradients, trainStep }: SessionModels,
  ways: readonly Way[],
  options: OrtNodeOptions,
): Promise<number | null> {
  const nodes = (gradients ?? trainStep)?.graph.nodes ?? [];
  const convolves = nodes.some(({ domain, opType }) => domain === "" && opType === "Conv");
  if (!convolves || !prefersCpu(options) || process.env[SWITCH] === "0") return null;
  found ??= findBlockSize(ways);
  return found;
}

async function findBlockSize(ways: readonly Way[]): Promise<number | null> {
  for (const way of ways) {
    try {
      const ort = await way.load();
      const size = await blockSizeOf(ort);
      return size !== null && (await isRight(ort, size)) ? size : null;
    } catch {
      /** Whatever is wrong with this way is told where the session is made. */
    }
  }
  return null;
}

/** Whether convolutions of every form give in blocks what they give without, and so does a weighted sum. */
async function isRight(ort: OrtModule, block: number): Promise<boolean> {
  const plain = everyForm(block);
  const blocked = plain.clone();
  const always = { convolution: () => true, transposed: () => true, weightGradient: () => true };
  if (weighSums(blocked, block, () => true) !== 1) return false;
  if (blockConvolutions(blocked, block, always) !== 5) return false;
  const expected = await run(ort, plain);
  const given = await run(ort, blocked);
  const largest = expected.reduce((most, number) => Math.max(most, Math.abs(number)), 0);
  return largest > 0 && expected.every((number, at) => Math.abs(number - (given[at] ?? Number.NaN)) < 1e-5 * largest);
}

/**
 * From few channels to a block of them, from that to another, to the sum of two of twice the width, and each of these by itself; then the
 * positive part of that, times a number per channel, and of another; last a weight gradient, with that as the gradient. Images, kernels and
 * numbers are inputs.
 */
function everyForm(block: number): Model {
  const graph = new Graph("probe");
  const model = new Model(8, graph);
  model.opsets.set(ONNX_DOMAIN, 17);
  const input = (name: string, shape: readonly number[]): Value => {
    const value = new Value(name, tensorType(DataType.float, shape));
    graph.inputs.push(value);
    return value;
  };
  const emit = (op: string, name: string, inputs: readonly Value[], attributes: readonly Attribute[] = []): Value => {
    const y = new Value(name);
    graph.append(new Node(op, inputs, [y], { name, attributes }));
    return y;
  };
  const convolve = (name: string, x: Value, kernels: readonly number[], group = 1): Value =>
    emit(
      "Conv",
      name,
      [x, input(`${name}.weight`, kernels)],
      [attribute.ints("pads", [1, 1, 1, 1]), attribute.int("group", group)],
    );
  const widen = (name: string, x: Value, size: number): Value => {
    const pad = (size - 1) / 2;
    return emit(
      "ConvTranspose",
      name,
      [x, input(`${name}.weight`, [block, block, size, size])],
      [
        attribute.ints("strides", [2, 2]),
        attribute.ints("pads", [pad, pad, pad, pad]),
        attribute.ints("output_padding", [1, 1]),
      ],
    );
  };
  const few = convolve("few", input("x", [1, 3, 4, 4]), [block, 3, 3, 3]);
  const dense = convolve("dense", few, [block, block, 3, 3]);
  const wide = emit("Add", "wide", [widen("three", dense, 3), widen("one", dense, 1)]);
  const single = convolve("depthwise", wide, [block, 1, 3, 3], block);
  const weighted = emit("Mul", "weighted", [single, input("weights", [block, 1, 1])]);
  const out = emit("Relu", "out", [emit("Add", "sum", [weighted, input("more", [1, block, 8, 8])])]);
  out.type = tensorType(DataType.float, [1, block, 8, 8]);
  const build = new Builder({ prefix: "gradient", names: new Names(model) });
  const image = input("image", [1, 2 * block, 8, 8]);
  const gradient = weightGrad(new Formula(build, 17), {
    window: { kernel: [3, 3], strides: [1, 1], dilations: [1, 1], begin: [1, 1], end: [1, 1] },
    ...{ group: 1, image, gradient: out, channels: 2 * block, outputs: block, batch: 1 },
  });
  graph.append(build.nodes);
  gradient.type = tensorType(DataType.float, [block, 2 * block, 3, 3]);
  graph.addOutput(gradient);
  return model;
}

async function run(ort: OrtModule, model: Model): Promise<Float32Array> {
  const session = await ort.InferenceSession.create(encodeModel(model), PROBE_OPTIONS);
  try {
    const feeds = model.graph.inputs.map((input) => {
      const dims = known(dimsOf(input)) ?? [];
      const numbers = Float32Array.from(
        { length: dims.reduce((product, size) => product * size, 1) },
        (_, at) => Math.sin(at) / 4,
      );
      return [input.name, new ort.Tensor("float32", numbers, dims)] as const;
    });
    const [gradient] = Object.values(await session.run(Object.fromEntries(feeds)));
    return gradient === undefined ? new Float32Array() : floatsOf(gradient);
  } finally {
    await session.release();
  }
}
