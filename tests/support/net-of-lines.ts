import { model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { DataType, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { madeUpFeeds } from "./made-up-feeds.ts";
import { openSession } from "./ort.ts";
import { valuesOf } from "./tensor-values.ts";

export type Sizes = readonly (number | string)[];

/** A net of float tensors that is written in a line. */
export interface Net {
  readonly inputs: Readonly<Record<string, Sizes>>;
  /** Of each node its operator, inputs and output; `half` is 0.5, `planes` the shape that has three planes of 8 x 8. */
  readonly lines: string;
  /** Default: y. */
  readonly outputs?: readonly string[];
  readonly dtype?: number;
  readonly gradients?: readonly string[];
}

export function netOf({ inputs, lines, outputs, dtype = DataType.float, gradients }: Net): Model {
  const sketch = new Sketch("net");
  for (const [name, sizes] of Object.entries(inputs)) sketch.input(name, tensor(dtype, sizes));
  sketch.initializer(
    "half",
    dtype === DataType.float ? GraphTensor.scalar(dtype, 0.5) : GraphTensor.scalar(DataType.double, 0.5),
  );
  for (const [name, sizes] of Object.entries(SHAPES)) {
    sketch.initializer(name, GraphTensor.from(DataType.int64, [sizes.length], BigInt64Array.from(sizes, BigInt)));
  }
  for (const line of lines.split(", ")) {
    const [op = "", ...names] = line.split(" ");
    sketch.node(op, names.slice(0, -1), names.slice(-1));
  }
  for (const name of outputs ?? ["y"]) sketch.output(name, tensor(dtype, ["a", "b", "c", "d"]));
  const net = model(sketch.graph, 8, [["", 17]]);
  for (const output of net.graph.outputs) output.type = null;
  if (gradients !== undefined) {
    const names = Object.fromEntries(gradients.map((name) => [name, "w"]));
    net.metadata.set("onnx-agr.gradients", JSON.stringify(names));
  }
  return net;
}

const SHAPES = { planes: [0, 3, 8, 8] } as const;

/** What ONNX Runtime gives for numbers made up. @param special the first numbers of the first input */
export async function resultsOf(net: Model, special: readonly number[] = []): Promise<readonly (readonly number[])[]> {
  const session = await openSession(encodeModel(net));
  try {
    const results = await session.run(madeUpFeeds(net, 2, special));
    return session.outputNames.map((name) => valuesOf(results[name]));
  } finally {
    await session.release();
  }
}
