import { Tensor } from "onnxruntime-node";
import { expect, it } from "vitest";
import { weightGrad } from "../../src/autodiff/formulas/weight-gradients.ts";
import { DataType, encodeModel, Graph, Value } from "../../src/entries/graph.ts";
import { Names } from "../../src/graph/names.ts";
import { tensorType } from "../../src/graph/value-type.ts";
import { Model } from "../../src/index.ts";
import { Builder } from "../../src/ops/builder.ts";
import { Formula } from "../../src/ops/formula.ts";
import { openSession } from "../support/ort.ts";

const N = 3;
const SIZE = 9;

/** The definition: dW[m, c, i] = sum over n and o of dY[n, m, o] X[n, c, o stride + i dilation - pad]. */
function defined(x: Float32Array, dY: Float32Array, k: Record<"C" | "M" | "G" | "K" | "S" | "D" | "P" | "O", number>) {
  const { C, M, G, K, S, D, P, O } = k;
  const perGroup = C / G;
  return Array.from({ length: M * perGroup * K * K }, (_, at) => {
    const [m, c] = [Math.floor(at / (perGroup * K * K)), Math.floor(at / (K * K)) % perGroup];
    const channel = Math.floor(m / (M / G)) * perGroup + c;
    const [i, j] = [Math.floor(at / K) % K, at % K];
    let sum = 0;
    for (let n = 0; n < N; n++)
      for (let a = 0; a < O; a++)
        for (let b = 0; b < O; b++) {
          const [row, column] = [a * S + i * D - P, b * S + j * D - P];
          if (row < 0 || column < 0 || row >= SIZE || column >= SIZE) continue;
          const gradient = dY[((n * M + m) * O + a) * O + b] ?? Number.NaN;
          sum += gradient * (x[((n * C + channel) * SIZE + row) * SIZE + column] ?? Number.NaN);
        }
    return sum;
  });
}

it.each([
  ["one channel, 5x5", { C: 1, M: 4, G: 1, K: 5, S: 1, D: 1, P: 2 }],
  ["six channels, 5x5", { C: 6, M: 3, G: 1, K: 5, S: 1, D: 1, P: 2 }],
  ["one channel, 5x5, strides that leave a rest", { C: 1, M: 2, G: 1, K: 5, S: 3, D: 1, P: 1 }],
  ["depthwise, 7x7", { C: 3, M: 3, G: 3, K: 7, S: 1, D: 1, P: 3 }],
  ["two outputs per channel, strides and dilations", { C: 3, M: 6, G: 3, K: 5, S: 2, D: 2, P: 4 }],
  ["one channel, few positions", { C: 1, M: 4, G: 1, K: 3, S: 1, D: 1, P: 1 }],
  ["two channels, dilations", { C: 2, M: 3, G: 1, K: 3, S: 1, D: 2, P: 2 }],
  ["strides that leave a rest", { C: 2, M: 3, G: 1, K: 3, S: 3, D: 1, P: 1 }],
  ["groups of two channels, strides and dilations", { C: 4, M: 6, G: 2, K: 3, S: 2, D: 2, P: 2 }],
  ["more outputs than places and channels", { C: 2, M: 40, G: 1, K: 3, S: 1, D: 1, P: 1 }],
  ["one position", { C: 5, M: 3, G: 1, K: 1, S: 1, D: 1, P: 0 }],
  ["one position, strides", { C: 5, M: 3, G: 1, K: 1, S: 2, D: 1, P: 0 }],
  ["one position, many weights", { C: 40, M: 50, G: 1, K: 1, S: 1, D: 1, P: 0 }],
  ["one position, many weights, strides", { C: 24, M: 36, G: 1, K: 1, S: 2, D: 1, P: 0 }],
  ["one position, groups", { C: 4, M: 6, G: 2, K: 1, S: 2, D: 1, P: 0 }],
  ["one position, pads", { C: 3, M: 2, G: 1, K: 1, S: 1, D: 1, P: 1 }],
  ["more than 49 positions", { C: 2, M: 2, G: 1, K: 8, S: 1, D: 1, P: 3 }],
  ["few positions", { C: 3, M: 3, G: 3, K: 3, S: 1, D: 1, P: 1 }],
  ["many channels", { C: 8, M: 2, G: 1, K: 5, S: 1, D: 1, P: 2 }],
])("the weight gradient of a convolution is what it is defined to be: %s", async (_, { C, M, G, K, S, D, P }) => {
  const O = Math.floor((SIZE + 2 * P - D * (K - 1) - 1) / S) + 1;
  const values = (length: number, by: number) => Float32Array.from({ length }, (_, at) => Math.sin(at * by));
  const [x, dY] = [values(N * C * SIZE * SIZE, 1.7), values(N * M * O * O, 0.9)];
  const two = (value: number) => [value, value];
  for (const batch of [N, null]) {
    const graph = new Graph("g");
    const model = new Model(8, graph);
    model.opsets.set("", 17);
    const image = new Value("x", tensorType(DataType.float, [batch, C, SIZE, SIZE]));
    const gradient = new Value("dy", tensorType(DataType.float, [batch, M, O, O]));
    graph.inputs.push(image, gradient);
    const build = new Builder({ prefix: "t", names: new Names(model) });
    const window = { kernel: two(K), strides: two(S), dilations: two(D), begin: two(P), end: two(P) };
    const result = weightGrad(new Formula(build, 17), {
      ...{ window, group: G, image, gradient, channels: C, outputs: M, batch },
    });
    graph.append(build.nodes);
    result.type = tensorType(DataType.float, [M, C / G, K, K]);
    graph.addOutput(result);
    const session = await openSession(encodeModel(model));
    const results = await session.run({
      x: new Tensor("float32", x, [N, C, SIZE, SIZE]),
      dy: new Tensor("float32", dY, [N, M, O, O]),
    });
    await session.release();
    const actual = Array.from(results[result.name]?.data as Float32Array);
    const expected = defined(x, dY, { C, M, G, K, S, D, P, O });
    expect(actual).toHaveLength(expected.length);
    const scale = Math.max(...expected.map(Math.abs));
    expect(Math.max(...actual.map((value, at) => Math.abs(value - (expected[at] ?? Number.NaN)))) / scale).toBeLessThan(
      1e-5,
    );
  }
});
