/**
 * What wide 3x3 convolutions cost, forward and both gradients, as they are and as Winograd's products: least milliseconds of processor time on
 * one thread, so that other work on the machine does little harm. The choice stands in src/autodiff/formulas/winograd.ts.
 *
 *     npm run bench -- winograd [--rounds 7]
 */

import { winograd, winogradCostsLess } from "../src/autodiff/formulas/winograd.ts";
import { attribute, DataType, Graph, Value } from "../src/entries/graph.ts";
import { Names } from "../src/graph/names.ts";
import { tensorType } from "../src/graph/value-type.ts";
import { Model } from "../src/index.ts";
import { Builder } from "../src/ops/builder.ts";
import { Formula } from "../src/ops/formula.ts";
import { inferTypes } from "../src/ops/inference/infer-types.ts";
import { addGradients } from "../src/passes/add-gradients.ts";
import { leastOf } from "./least-time.ts";
import { type Row, table } from "./table.ts";

/** batch, channels, outputs, size */
const SHAPES = [
  [32, 256, 256, 4],
  [32, 128, 128, 8],
  [32, 64, 64, 16],
  [32, 48, 48, 16],
  [32, 32, 32, 16],
  [32, 32, 32, 32],
  [16, 32, 128, 16],
  [16, 128, 128, 16],
  [16, 256, 256, 14],
  [16, 512, 512, 7],
  [16, 512, 512, 4],
  [16, 64, 64, 32],
  [8, 128, 128, 28],
  [8, 64, 64, 56],
  [8, 64, 64, 16],
  [8, 128, 64, 16],
  [8, 128, 128, 8],
  [8, 64, 32, 32],
  [8, 512, 512, 4],
  [4, 256, 256, 8],
  [2, 128, 128, 16],
  [1, 256, 256, 16],
] as const;

const WINDOW = { kernel: [3, 3], strides: [1, 1], dilations: [1, 1], begin: [1, 1], end: [1, 1] };

type Layer = (f: Formula, x: Value, weight: Value) => Value;

const convolution: Layer = (f, x, weight) =>
  f.emit("Conv", [x, weight], { attributes: [attribute.ints("pads", [1, 1, 1, 1])] });

/** The layer's result and the gradients of its product with `slopes`. */
function modelOf(layer: Layer, [batch, channels, outputs, size]: (typeof SHAPES)[number]): Model {
  const graph = new Graph("layer");
  const model = new Model(8, graph);
  model.opsets.set("", 17);
  const float = (name: string, dims: readonly number[]): Value => new Value(name, tensorType(DataType.float, dims));
  const x = float("x", [batch, channels, size, size]);
  const weight = float("weight", [outputs, channels, 3, 3]);
  const slopes = float("slopes", [batch, outputs, size, size]);
  graph.inputs.push(x, weight, slopes);
  const f = new Formula(new Builder({ prefix: "t", names: new Names(model) }), 17);
  const y = layer(f, x, weight);
  const loss = f.sum(f.mul(y, slopes), null, false);
  graph.append(f.build.nodes);
  graph.addOutput(loss);
  const gradients = addGradients(model, loss, [x, weight], inferTypes(model));
  y.type = slopes.type;
  graph.replaceOutputs([y]);
  for (const [value, gradient] of gradients) {
    gradient.type = value.type;
    graph.addOutput(gradient);
  }
  return model;
}

async function measure(shape: (typeof SHAPES)[number], rounds: number): Promise<Row> {
  const [batch, channels, outputs, size] = shape;
  const sizes = { window: WINDOW, channels, outputs, spatial: [size, size] };
  const products: Layer = (f, x, weight) => winograd(f, { ...sizes, x, weight, bias: null });
  const least = await leastOf({ Conv: modelOf(convolution, shape), products: modelOf(products, shape) }, rounds);
  return {
    shape: `${batch}, ${channels} -> ${outputs}, ${size}`,
    ...least,
    chosen: winogradCostsLess({ ...sizes, batch }) ? "products" : "Conv",
  };
}

export async function benchWinograd({ rounds }: { readonly rounds: number }): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const shape of SHAPES) rows.push(await measure(shape, rounds));
  console.error(table(rows));
  return rows;
}
