import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type InferenceSession, Tensor } from "onnxruntime-node";
import { expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { removeDeadNodes } from "../../src/edits/dead-nodes.ts";
import { attribute, encodeModel, printModel } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { addGradients } from "../../src/passes/add-gradients.ts";
import { computeEarly } from "../../src/passes/early-results.ts";
import { wave } from "../support/conv-net.ts";
import { openSession } from "../support/ort.ts";
import { temporaryFolder } from "../support/temporary.ts";
import { valuesOf } from "../support/tensor-values.ts";

const LAYERS = ["a", "b", "c"];
const [BATCH, LENGTH, WIDTH] = [2, 6, 5];
const SIZES = [BATCH, LENGTH, WIDTH];

/** Three layers y = tanh(x W^T + bias) over sequences, with the gradients of all parameters as outputs. */
function layers(): Model {
  const sketch = new Sketch("layers");
  sketch.input("x", float(SIZES));
  let from = "x";
  for (const name of LAYERS) {
    sketch.input(`${name}.weight`, float([WIDTH, WIDTH]));
    sketch.input(`${name}.bias`, float([WIDTH]));
    sketch.node("Transpose", [`${name}.weight`], [`${name}.turned`], [attribute.ints("perm", [1, 0])]);
    sketch.node("MatMul", [from, `${name}.turned`], [`${name}.product`]);
    sketch.node("Add", [`${name}.product`, `${name}.bias`], [`${name}.sum`]);
    sketch.node("Tanh", [`${name}.sum`], [`${name}.out`]);
    from = `${name}.out`;
  }
  sketch.node("ReduceSum", [from], ["loss"], [attribute.int("keepdims", 0)]);
  sketch.output("loss", float([]));
  const net = model(sketch.graph, 8, [["", 17]]);
  const { graph } = net;
  const [loss] = graph.outputs;
  const parameters = graph.inputs.slice(1);
  const gradients = loss && addGradients(net, loss, parameters);
  for (const parameter of parameters) {
    const gradient = gradients?.get(parameter);
    if (gradient === undefined) throw new Error(`no gradient of ${parameter.name}`);
    gradient.type = parameter.type;
    graph.addOutput(gradient);
  }
  removeDeadNodes(graph);
  return net;
}

function early(): Model {
  const net = layers();
  computeEarly(net);
  return net;
}

async function resultsOf(
  net: Model,
  options: InferenceSession.SessionOptions = {},
): Promise<InferenceSession.ReturnType> {
  const session = await openSession(encodeModel(net), options);
  const feeds = net.graph.inputs.map(({ name }, seed) => {
    const sizes = name === "x" ? SIZES : name.endsWith("weight") ? [WIDTH, WIDTH] : [WIDTH];
    return [
      name,
      new Tensor(
        "float32",
        wave(
          sizes.reduce((product, size) => product * size, 1),
          seed,
        ),
        sizes,
      ),
    ] as const;
  });
  const results = await session.run(Object.fromEntries(feeds));
  if (options.enableProfiling) session.endProfiling();
  await session.release();
  return results;
}

/** The parameters in the order in which ONNX Runtime computed their gradients. */
async function orderOf(net: Model): Promise<readonly string[]> {
  const folder = temporaryFolder();
  await resultsOf(net, { enableProfiling: true, profileFilePrefix: join(folder, "profile") });
  const [file = ""] = readdirSync(folder);
  const events = JSON.parse(readFileSync(join(folder, file), "utf8")) as readonly { name: string; ts: number }[];
  const began = new Map(events.map(({ name, ts }) => [name.replace("_kernel_time", ""), ts]));
  /** Where it writes a node anew, its name has something behind it. */
  const timeOf = (node: string): number => {
    const found = [...began].filter(([name]) => name === node || name.startsWith(`${node}/MatmulTranspose`));
    return Math.max(...found.map(([, ts]) => ts));
  };
  const made = net.graph.outputs.slice(1).map(({ name, producer }) => [name, timeOf(producer?.name ?? "")] as const);
  return made.sort(([, a], [, b]) => a - b).map(([name]) => name.replace("_grad", ""));
}

it("has ONNX Runtime compute each layer's gradients before those of the layer before it", async () => {
  const layersOf = (names: readonly string[]): string => names.map((name) => name[0]).join("");
  expect(layersOf(await orderOf(early()))).toBe("ccbbaa");
  expect(layersOf(await orderOf(layers()))).not.toBe("ccbbaa");
});

it("computes the same bits", async () => {
  const [before, after] = [await resultsOf(layers()), await resultsOf(early())];
  expect(Object.keys(after).sort()).toEqual(Object.keys(before).sort());
  for (const [name, result] of Object.entries(before)) {
    expect(valuesOf(after[name]), name).toEqual(valuesOf(result));
    expect(
      valuesOf(result).some((value) => value !== 0),
      name,
    ).toBe(true);
  }
});

it("puts what no node reads last, and writes products of transposed matrices", async () => {
  await expect(printModel(early())).toMatchFileSnapshot("../../fixtures/passes/early-results.txt");
});
