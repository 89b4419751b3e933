import { Tensor } from "onnxruntime-node";
import { expect, it } from "vitest";
import { imageGrad } from "../../src/autodiff/formulas/convolution.ts";
import { DataType, encodeModel, Graph, Value } from "../../src/entries/graph.ts";
import { Names } from "../../src/graph/names.ts";
import { tensorType } from "../../src/graph/value-type.ts";
import { Model } from "../../src/index.ts";
import { Builder } from "../../src/ops/builder.ts";
import { Formula } from "../../src/ops/formula.ts";
import { openSession } from "../support/ort.ts";

const N = 2;

/** The definition: dX[n, c, o + i - pad] gets dY[n, m, o] W[m, c, i]. */
function defined(dY: Float32Array, weight: Float32Array, k: Record<"C" | "M" | "K" | "P" | "SIZE" | "O", number>) {
  const { C, M, K, P, SIZE, O } = k;
  const dX = new Float64Array(N * C * SIZE * SIZE);
  for (let n = 0; n < N; n++)
    for (let m = 0; m < M; m++)
      for (let a = 0; a < O; a++)
        for (let b = 0; b < O; b++)
          for (let c = 0; c < C; c++)
            for (let i = 0; i < K; i++)
              for (let j = 0; j < K; j++) {
                const [row, column] = [a + i - P, b + j - P];
                if (row < 0 || column < 0 || row >= SIZE || column >= SIZE) continue;
                const at = ((n * C + c) * SIZE + row) * SIZE + column;
                const gradient = dY[((n * M + m) * O + a) * O + b] ?? Number.NaN;
                dX[at] = (dX[at] ?? Number.NaN) + gradient * (weight[((m * C + c) * K + i) * K + j] ?? Number.NaN);
              }
  return dX;
}

it.each([
  ["5x5 without pads, fewer channels than results", { C: 6, M: 16, K: 5, P: 0, SIZE: 14 }, "ConvTranspose"],
  ["3x3, one channel", { C: 1, M: 8, K: 3, P: 1, SIZE: 9 }, "ConvTranspose"],
  ["5x5, fewer channels than results, pads", { C: 2, M: 12, K: 5, P: 2, SIZE: 8 }, "ConvTranspose"],
  ["3x3, as many channels as results", { C: 8, M: 8, K: 3, P: 1, SIZE: 9 }, "Conv"],
  ["3x3, more channels than results", { C: 8, M: 4, K: 3, P: 1, SIZE: 9 }, "Conv"],
  ["one position", { C: 2, M: 16, K: 1, P: 0, SIZE: 5 }, "Conv"],
])("the image gradient of a convolution is what it is defined to be: %s", async (_, { C, M, K, P, SIZE }, operator) => {
  const O = SIZE + 2 * P - K + 1;
  const values = (length: number, by: number) => Float32Array.from({ length }, (_, at) => Math.sin(at * by));
  const [dY, weight] = [values(N * M * O * O, 1.7), values(M * C * K * K, 0.9)];
  const two = (value: number) => [value, value];
  const graph = new Graph("g");
  const model = new Model(8, graph);
  model.opsets.set("", 17);
  const [x, w, dy] = [
    new Value("x", tensorType(DataType.float, [N, C, SIZE, SIZE])),
    new Value("w", tensorType(DataType.float, [M, C, K, K])),
    new Value("dy", tensorType(DataType.float, [N, M, O, O])),
  ];
  graph.inputs.push(w, dy);
  const build = new Builder({ prefix: "t", names: new Names(model) });
  const window = { kernel: two(K), strides: two(1), dilations: two(1), begin: two(P), end: two(P) };
  const result = imageGrad(new Formula(build, 17), {
    ...{ dY: dy, x, weight: w, dims: [M, C, K, K], window, group: 1, spatial: two(SIZE) },
  });
  expect(result.producer?.opType).toBe(operator);
  graph.append(build.nodes);
  result.type = tensorType(DataType.float, [N, C, SIZE, SIZE]);
  graph.addOutput(result);
  const session = await openSession(encodeModel(model));
  const results = await session.run({
    w: new Tensor("float32", weight, [M, C, K, K]),
    dy: new Tensor("float32", dY, [N, M, O, O]),
  });
  await session.release();
  const actual = Array.from(results[result.name]?.data as Float32Array);
  const expected = defined(dY, weight, { C, M, K, P, SIZE, O });
  expect(actual).toHaveLength(expected.length);
  const scale = Math.max(...expected.map(Math.abs));
  const worst = Math.max(...actual.map((value, at) => Math.abs(value - (expected[at] ?? Number.NaN))));
  /** Sums of up to 400 float32 products. */
  expect(worst / scale).toBeLessThan(2e-6);
});
