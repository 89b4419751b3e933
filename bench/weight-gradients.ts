/**
 * What each algorithm of a convolution's weight gradient costs, by shape: least milliseconds of processor time on one thread, so that
 * other work on the machine does little harm. The choice stands in src/autodiff/formulas/weight-gradients.ts.
 *
 *     npm run bench -- weight-gradients [--rounds 7]
 */

import {
  type AlgorithmName,
  chooseAlgorithm,
  WEIGHT_GRADIENT_ALGORITHMS,
} from "../src/autodiff/formulas/weight-gradients.ts";
import { DataType, encodeModel, Graph, Value } from "../src/entries/graph.ts";
import { loadOrtNode, type OrtSession } from "../src/entries/run.ts";
import { Names } from "../src/graph/names.ts";
import { tensorType } from "../src/graph/value-type.ts";
import { Model, type NamedTensors, Tensor } from "../src/index.ts";
import { Builder } from "../src/ops/builder.ts";
import { Formula } from "../src/ops/formula.ts";
import { processorTime } from "./processor-time.ts";
import { type Row, table } from "./table.ts";

interface Shape {
  readonly batch: number;
  readonly channels: number;
  readonly outputs: number;
  readonly size: number;
  readonly kernel: number;
  readonly group: number;
  readonly stride: number;
}

/** batch, channels, outputs, size, kernel; then group 1, stride 1. */
const SHAPES: readonly (readonly number[])[] = [
  [64, 1, 6, 28, 5],
  [64, 1, 8, 28, 3],
  [64, 1, 32, 28, 3],
  [64, 2, 8, 28, 5],
  [64, 3, 16, 32, 5],
  [64, 6, 16, 14, 5],
  [32, 3, 32, 32, 3],
  [16, 4, 8, 28, 3],
  [16, 16, 16, 16, 5],
  [32, 32, 32, 32, 3],
  [32, 64, 64, 16, 3],
  [32, 128, 128, 8, 3],
  [32, 256, 256, 4, 3],
  [16, 64, 128, 16, 1],
  [8, 64, 32, 32, 1],
  [8, 128, 64, 16, 1],
  [32, 16, 96, 28, 1],
  [32, 128, 256, 4, 1],
  [4, 256, 512, 8, 1],
  [16, 3, 192, 64, 8, 1, 8],
  [16, 128, 128, 16, 3, 4],
  [16, 128, 128, 16, 3, 32],
  [16, 96, 96, 16, 3, 96],
  [16, 96, 96, 16, 3, 96, 2],
  [16, 96, 96, 16, 5, 96],
  [16, 40, 40, 16, 7, 40],
  [16, 160, 160, 4, 7, 160],
];

const shapeOf = ([
  batch = 1,
  channels = 1,
  outputs = 1,
  size = 1,
  kernel = 1,
  group = 1,
  stride = 1,
]: readonly number[]): Shape => ({
  ...{ batch, channels, outputs, size, kernel, group, stride },
});

const two = (value: number): readonly number[] => [value, value];

function correlationOf({ batch, channels, outputs, size, kernel, group, stride }: Shape) {
  const pad = stride === 1 ? kernel >> 1 : 0;
  const window = { kernel: two(kernel), strides: two(stride), dilations: two(1), begin: two(pad), end: two(pad) };
  const placed = Math.floor((size + 2 * pad - kernel) / stride) + 1;
  const image = new Value("x", tensorType(DataType.float, [batch, channels, size, size]));
  const gradient = new Value("dy", tensorType(DataType.float, [batch, outputs, placed, placed]));
  return { window, group, image, gradient, channels, outputs, batch };
}

type Correlation = ReturnType<typeof correlationOf>;

function applies(algorithm: AlgorithmName, { group, channels, window }: Correlation): boolean {
  if (algorithm === "product" || algorithm === "products")
    return group === 1 && window.kernel.every((size) => size === 1);
  return algorithm !== "samples" || group === 1 || group === channels;
}

async function sessionOf(algorithm: AlgorithmName, correlation: Correlation): Promise<OrtSession> {
  const graph = new Graph("g");
  const model = new Model(8, graph);
  model.opsets.set("", 17);
  graph.inputs.push(correlation.image, correlation.gradient);
  const build = new Builder({ prefix: "t", names: new Names(model) });
  const result = WEIGHT_GRADIENT_ALGORITHMS[algorithm](new Formula(build, 17), correlation);
  graph.append(build.nodes);
  result.type = tensorType(DataType.float);
  graph.addOutput(result);
  const { InferenceSession } = await loadOrtNode();
  return InferenceSession.create(encodeModel(model), { logSeverityLevel: 3, intraOpNumThreads: 1 });
}

function feedOf({ type }: Value): Tensor {
  const dims = type?.kind === "tensor" ? (type.shape ?? []).map(Number) : [];
  const size = dims.reduce((product, dim) => product * dim, 1);
  return new Tensor(
    "float32",
    Float32Array.from({ length: size }, (_, at) => Math.sin(at)),
    dims,
  );
}

async function measure(shape: Shape, rounds: number): Promise<Row> {
  const { batch, channels, outputs, size, kernel, group, stride } = shape;
  const correlation = correlationOf(shape);
  const feeds: NamedTensors = { x: feedOf(correlation.image), dy: feedOf(correlation.gradient) };
  const algorithms = (Object.keys(WEIGHT_GRADIENT_ALGORITHMS) as AlgorithmName[]).filter((algorithm) =>
    applies(algorithm, correlation),
  );
  const runs: { readonly algorithm: AlgorithmName; readonly session: OrtSession; least: number }[] = [];
  for (const algorithm of algorithms) {
    runs.push({ algorithm, session: await sessionOf(algorithm, correlation), least: Number.POSITIVE_INFINITY });
  }
  for (let round = 0; round < 3 * rounds; round++) {
    for (const run of runs) {
      const began = processorTime();
      await run.session.run(feeds);
      run.least = Math.min(run.least, processorTime() - began);
    }
  }
  for (const { session } of runs) await session.release();
  return {
    shape: `${batch}, ${channels} -> ${outputs}, ${size}, ${kernel}x${kernel}`,
    groups: group,
    stride,
    ...Object.fromEntries(runs.map(({ algorithm, least }) => [algorithm, least])),
    chosen: chooseAlgorithm(correlation),
  };
}

export async function benchWeightGradients({ rounds }: { readonly rounds: number }): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const shape of SHAPES) rows.push(await measure(shapeOf(shape), rounds));
  console.error(table(rows));
  return rows;
}
