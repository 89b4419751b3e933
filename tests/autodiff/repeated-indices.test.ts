import { Tensor } from "onnxruntime-node";
import { expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { removeDeadNodes } from "../../src/edits/dead-nodes.ts";
import { attribute, DataType, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { addGradients } from "../../src/passes/add-gradients.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

const [ROWS, WIDTH, SAMPLES, LENGTH] = [5, 256, 8, 128];
const RUNS = 30;
const ids = BigInt64Array.from({ length: SAMPLES * LENGTH }, (_, at) => BigInt((at * at + 7 * at) % ROWS));
/** Whole numbers: their sums are the same in every order. */
const weights = Float32Array.from({ length: ids.length * WIDTH }, (_, at) => ((at * 31) % 17) - 8);

const sums = new Array<number>(ROWS * WIDTH).fill(0);
for (const [at, row] of ids.entries()) {
  for (let column = 0; column < WIDTH; column++) {
    const place = Number(row) * WIDTH + column;
    sums[place] = (sums[place] ?? 0) + (weights[at * WIDTH + column] ?? 0);
  }
}

const READS = {
  Gather: { dims: [SAMPLES, LENGTH], read: [SAMPLES, LENGTH, WIDTH] },
  "Gather of one axis": { dims: [SAMPLES * LENGTH], read: [SAMPLES * LENGTH, WIDTH] },
  GatherND: { dims: [SAMPLES, LENGTH, 1], read: [SAMPLES, LENGTH, WIDTH] },
};

it.each(Object.entries(READS))(
  "%s: rows that are read many times get every gradient, on several threads",
  async (name, { dims, read }) => {
    const sketch = new Sketch("lookup");
    sketch.input("ids", tensor(DataType.int64, dims));
    sketch.initializer("table", GraphTensor.floats([ROWS, WIDTH], new Array<number>(ROWS * WIDTH).fill(0)));
    sketch.initializer("weights", GraphTensor.floats(read, [...weights]));
    sketch.node(name.startsWith("GatherND") ? "GatherND" : "Gather", ["table", "ids"], ["rows"]);
    sketch.node("Mul", ["rows", "weights"], ["weighted"]);
    sketch.node("ReduceSum", ["weighted"], ["loss"], [attribute.int("keepdims", 0)]);
    sketch.output("loss", float([]));
    const net = model(sketch.graph, 8, [["", 17]]);
    const [loss] = net.graph.outputs;
    const table = net.graph.initializers.find((value) => value.name === "table");
    const gradient = loss && table && addGradients(net, loss, [table]).get(table);
    if (!gradient) throw new Error("no gradient");
    gradient.type = float([ROWS, WIDTH]);
    net.graph.replaceOutputs([gradient]);
    removeDeadNodes(net.graph);
    const session = await openSession(encodeModel(net), { intraOpNumThreads: 4 });
    for (let run = 0; run < RUNS; run++) {
      const results = await session.run({ ids: new Tensor("int64", ids, dims) });
      expect(valuesOf(results[gradient.name])).toEqual(sums);
    }
    await session.release();
  },
);
