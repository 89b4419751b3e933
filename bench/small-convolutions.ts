/**
 * What image gradients of convolutions cost as Conv and as ConvTranspose, and what convolutions of pictures cost with the pool behind them
 * apart and in one, forward with the gradients of weight and bias: least milliseconds of processor time on one thread, so that other work on
 * the machine does little harm. The choices stand in src/autodiff/formulas/convolution.ts and pooled-convolution.ts.
 *
 *     npm run bench -- small-convolutions [--rounds 7]
 */

import { imageGrad, transposedCostsLess } from "../src/autodiff/formulas/convolution.ts";
import { pooledConvolution, pooledCostsLess } from "../src/autodiff/formulas/pooled-convolution.ts";
import { windowAttributes } from "../src/autodiff/formulas/window.ts";
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

/** batch, channels, outputs, size, kernel, pad */
const GRADIENTS = [
  [64, 6, 16, 14, 5, 0],
  [64, 20, 50, 12, 5, 0],
  [64, 32, 32, 12, 5, 0],
  [64, 8, 64, 14, 3, 1],
  [64, 1, 8, 28, 3, 1],
  [64, 32, 64, 24, 3, 0],
  [64, 8, 16, 14, 3, 1],
  [64, 32, 64, 14, 3, 1],
  [16, 64, 64, 16, 3, 1],
  [64, 16, 8, 14, 3, 1],
] as const;

/** batch, channels, outputs, size, kernel, pad, pool */
const POOLED = [
  [64, 1, 6, 28, 5, 2, 2],
  [8, 1, 6, 28, 5, 2, 2],
  [64, 1, 8, 28, 3, 1, 2],
  [64, 1, 32, 28, 3, 1, 2],
  [64, 1, 32, 28, 5, 2, 2],
  [64, 3, 6, 32, 5, 0, 2],
  [64, 3, 32, 32, 3, 1, 2],
  [64, 3, 64, 32, 3, 1, 2],
  [64, 1, 8, 27, 3, 1, 3],
  [64, 3, 16, 27, 5, 2, 3],
] as const;

const two = (size: number): readonly number[] => [size, size];
const windowOf = (kernel: number, pad: number) => ({
  ...{ kernel: two(kernel), strides: two(1), dilations: two(1), begin: two(pad), end: two(pad) },
});

interface Inputs {
  readonly f: Formula;
  readonly model: Model;
  readonly input: (name: string, dims: readonly number[]) => Value;
}

/** A model of what `write` gives. */
function modelOf(write: (inputs: Inputs) => readonly Value[]): Model {
  const graph = new Graph("layer");
  const model = new Model(8, graph);
  model.opsets.set("", 17);
  const f = new Formula(new Builder({ prefix: "t", names: new Names(model) }), 17);
  const input = (name: string, dims: readonly number[]): Value => {
    const value = new Value(name, tensorType(DataType.float, dims));
    graph.inputs.push(value);
    return value;
  };
  const results = write({ f, model, input });
  for (const value of results) {
    value.type = tensorType(DataType.float, null);
    graph.addOutput(value);
  }
  return model;
}

function gradientModel(
  isTransposed: boolean,
  [batch, channels, outputs, size, kernel, pad]: (typeof GRADIENTS)[number],
) {
  return modelOf(({ f, model, input }) => {
    const placed = size + 2 * pad - kernel + 1;
    const dY = input("dy", [batch, outputs, placed, placed]);
    const weight = input("w", [outputs, channels, kernel, kernel]);
    const window = windowOf(kernel, pad);
    const rest = { x: dY, dims: [outputs, channels, kernel, kernel], window, group: 1, spatial: null };
    const result = isTransposed
      ? f.emit("ConvTranspose", [dY, weight], { attributes: windowAttributes(window, 1) })
      : imageGrad(f, { dY, weight, ...rest });
    model.graph.append(f.build.nodes);
    return [result];
  });
}

function pooledModel(isInOne: boolean, [batch, channels, outputs, size, kernel, pad, block]: (typeof POOLED)[number]) {
  return modelOf(({ f, model, input }) => {
    const pooled = (size + 2 * pad - kernel + 1) / block;
    const x = input("x", [batch, channels, size, size]);
    const weight = input("w", [outputs, channels, kernel, kernel]);
    const bias = input("b", [outputs]);
    const slopes = input("slopes", [batch, outputs, pooled, pooled]);
    const window = windowOf(kernel, pad);
    const call = { window, spatial: two(size), block, channels, outputs };
    const apart = (): Value =>
      f.emit(
        "MaxPool",
        [f.emit("Relu", [f.emit("Conv", [x, weight, bias], { attributes: windowAttributes(window, 1) })])],
        {
          attributes: [attribute.ints("kernel_shape", two(block)), attribute.ints("strides", two(block))],
        },
      );
    const y = isInOne ? f.emit("Relu", [pooledConvolution(f, call, { x, weight, bias })]) : apart();
    const loss = f.sum(f.mul(y, slopes), null, false);
    model.graph.append(f.build.nodes);
    return [...addGradients(model, loss, [weight, bias], inferTypes(model)).values()];
  });
}

export async function benchSmallConvolutions({ rounds }: { readonly rounds: number }): Promise<readonly Row[]> {
  const gradients: Row[] = [];
  for (const shape of GRADIENTS) {
    const [batch, channels, outputs, size, kernel, pad] = shape;
    const least = await leastOf(
      { Conv: gradientModel(false, shape), ConvTranspose: gradientModel(true, shape) },
      rounds,
    );
    const call = {
      dims: [outputs, channels, kernel, kernel],
      window: windowOf(kernel, pad),
      group: 1,
      spatial: two(size),
    };
    gradients.push({
      "image gradient": `${batch}, ${channels} -> ${outputs}, ${size}, ${kernel}x${kernel}, ${pad}`,
      ...least,
      chosen: transposedCostsLess(call) ? "ConvTranspose" : "Conv",
    });
  }
  const pooled: Row[] = [];
  for (const shape of POOLED) {
    const [batch, channels, outputs, size, kernel, pad, block] = shape;
    const least = await leastOf({ apart: pooledModel(false, shape), "in one": pooledModel(true, shape) }, rounds);
    const call = { window: windowOf(kernel, pad), spatial: two(size), block, channels, outputs };
    pooled.push({
      "with its pool": `${batch}, ${channels} -> ${outputs}, ${size}, ${kernel}x${kernel}, ${pad}, ${block}x${block}`,
      ...least,
      chosen: pooledCostsLess(call) ? "in one" : "apart",
    });
  }
  console.error(`${table(gradients)}\n\n${table(pooled)}`);
  return [...gradients, ...pooled];
}
