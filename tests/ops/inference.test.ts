import { readdirSync } from "node:fs";
import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import {
  attribute,
  DataType,
  dataTypeName,
  encodeModel,
  formatType,
  GraphTensor,
  type Value,
} from "../../src/entries/graph.ts";
import { type Model, readModel } from "../../src/index.ts";
import { inferTypes } from "../../src/ops/inference/infer-types.ts";
import { evaluateSize } from "../support/evaluate-size.ts";
import { openSession } from "../support/ort.ts";
import { hasShared, SHARED } from "../support/shared.ts";

/** Runs a model with every intermediate value as an output, and gives what ONNX Runtime made of each. */
async function runAll(subject: Model, sizes: (symbol: string) => number): Promise<Readonly<Record<string, Tensor>>> {
  const { graph } = subject;
  const made = graph.nodes.flatMap(({ outputs }) => outputs.filter((output) => output !== null));
  graph.replaceOutputs(made);
  const session = await openSession(encodeModel(subject), {
    graphOptimizationLevel: "disabled",
  });
  const feeds = Object.fromEntries(
    graph.inputs.map(({ name, type }) => {
      const shape = type?.kind === "tensor" ? (type.shape ?? []) : [];
      const dims = shape.map((dim) => (typeof dim === "number" ? dim : sizes(String(dim))));
      const size = dims.reduce((product, dim) => product * dim, 1);
      const isInteger = type?.kind === "tensor" && type.dtype === DataType.int64;
      return [
        name,
        isInteger
          ? new Tensor("int64", new BigInt64Array(size), dims)
          : new Tensor("float32", new Float32Array(size).fill(0.5), dims),
      ];
    }),
  );
  const results = await session.run(feeds);
  await session.release();
  return results;
}

const ORT_NAMES: Readonly<Record<string, string>> = { float32: "float", float64: "double" };

/** What was inferred must be what is there; a symbol stands for one size. */
function expectTrue(
  values: readonly Value[],
  results: Readonly<Record<string, Tensor>>,
  sizes: (symbol: string) => number,
): number {
  let known = 0;
  for (const { name, type } of values) {
    const result = results[name];
    if (type?.kind !== "tensor" || result === undefined) continue;
    expect([name, dataTypeName(type.dtype)]).toEqual([name, ORT_NAMES[result.type] ?? result.type]);
    if (type.shape === null) continue;
    const expected = type.shape.map((dim, axis) =>
      typeof dim === "number" ? dim : dim === null ? (result.dims[axis] ?? null) : evaluateSize(dim, sizes),
    );
    expect([name, formatType(type), expected]).toEqual([name, formatType(type), [...result.dims]]);
    if (type.shape.every((dim) => dim !== null)) known++;
  }
  return known;
}

const untyped = (subject: Model): void => {
  subject.graph.clearValueInfo();
  for (const node of subject.graph.nodes) {
    for (const output of node.outputs)
      if (output !== null && !subject.graph.outputs.includes(output)) output.type = null;
  }
};

describe.skipIf(!hasShared)("what is inferred of exported models is what ONNX Runtime makes", () => {
  const names = hasShared ? readdirSync(`${SHARED}zoo`).filter((name) => name.endsWith(".onnx")) : [];

  it.each(names)("%s", async (name) => {
    const subject = await readModel(`${SHARED}zoo/${name}`);
    untyped(subject);
    inferTypes(subject);
    const values = subject.graph.nodes.flatMap(({ outputs }) => outputs.filter((output) => output !== null));
    const sizes = (): number => 3;
    const known = expectTrue(values, await runAll(subject, sizes), sizes);
    expect(known / values.length).toBeGreaterThan(0.95);
  });
});

describe("shapes that the graph computes", () => {
  const sizes = (symbol: string): number => (symbol === "batch" ? 5 : 4);

  /** [batch, length, 6] -> [batch, length, 2, 3] -> [batch, 2, length, 3], as exporters of attention write it. */
  function attentionHead(): Model {
    const sketch = new Sketch("heads");
    sketch.input("x", float(["batch", "length", 6]));
    for (const [name, value] of [
      ["zero", 0],
      ["one", 1],
    ] as const) {
      sketch.initializer(name, GraphTensor.scalar(DataType.int64, value));
    }
    sketch.initializer("axis", GraphTensor.ints([0]));
    sketch.initializer("heads", GraphTensor.ints([2]));
    sketch.initializer("width", GraphTensor.ints([3]));
    sketch.node("Shape", ["x"], ["shape"]);
    sketch.node("Gather", ["shape", "zero"], ["b"], [attribute.int("axis", 0)]);
    sketch.node("Gather", ["shape", "one"], ["t"], [attribute.int("axis", 0)]);
    sketch.node("Unsqueeze", ["b", "axis"], ["b1"]);
    sketch.node("Unsqueeze", ["t", "axis"], ["t1"]);
    sketch.node("Concat", ["b1", "t1", "heads", "width"], ["target"], [attribute.int("axis", 0)]);
    sketch.node("Reshape", ["x", "target"], ["split"]);
    sketch.node("Transpose", ["split"], ["out"], [attribute.ints("perm", [0, 2, 1, 3])]);
    sketch.output("out", tensor(DataType.float, ["b", 2, "t", 3]));
    return model(sketch.graph, 8, [["", 17]]);
  }

  it("are followed, symbols too", async () => {
    const subject = attentionHead();
    inferTypes(subject);
    const split = subject.graph.nodes.find(({ opType }) => opType === "Reshape")?.outputs[0];
    expect(formatType(split?.type ?? null)).toBe("float[batch,length,2,3]");
    const values = subject.graph.nodes.flatMap(({ outputs }) => outputs.filter((output) => output !== null));
    expectTrue(values.slice(0, -1), await runAll(subject, sizes), sizes);
  });

  it.each([7, 8, 13])("are told of windows, joints, cuts and blocks over open sizes: %i", async (length) => {
    const sketch = new Sketch("open sizes");
    sketch.input("x", float(["batch", 1, "length"]));
    sketch.initializer("w", GraphTensor.floats([4, 1, 3], Array.from({ length: 12 }, Math.sin)));
    sketch.initializer("v", GraphTensor.floats([4, 2, 4], Array.from({ length: 32 }, Math.cos)));
    sketch.initializer("pads", GraphTensor.ints([0, 0, 2, 0, 0, 1]));
    for (const [name, value] of [
      ["from", 1],
      ["to", -1],
      ["axis", 2],
    ] as const) {
      sketch.initializer(name, GraphTensor.ints([value]));
    }
    sketch.initializer("zero", GraphTensor.ints([0]));
    sketch.initializer("end", GraphTensor.ints([Number.MAX_SAFE_INTEGER]));
    sketch.initializer("flat", GraphTensor.ints([0, -1]));
    sketch.node("Pad", ["x", "pads"], ["padded"]);
    sketch.node("Conv", ["padded", "w"], ["half"], [attribute.ints("strides", [2]), attribute.ints("pads", [1, 1])]);
    sketch.node("MaxPool", ["half"], ["pooled"], [attribute.ints("kernel_shape", [2])]);
    sketch.node(
      "ConvTranspose",
      ["half", "v"],
      ["wide"],
      [attribute.ints("strides", [2]), attribute.ints("pads", [1, 1])],
    );
    sketch.node("Slice", ["x", "from", "end", "axis"], ["rest"]);
    sketch.node("Slice", ["x", "zero", "to", "axis"], ["inner"]);
    sketch.node("Concat", ["rest", "inner"], ["both"], [attribute.int("axis", 2)]);
    sketch.node("Reshape", ["wide", "flat"], ["row"]);
    for (const name of ["pooled", "both", "row"]) sketch.output(name, float([]));
    const subject = model(sketch.graph, 8, [["", 17]]);
    const values = subject.graph.nodes.flatMap(({ outputs }) => outputs.filter((output) => output !== null));
    for (const value of values) value.type = null;
    inferTypes(subject);
    const of = (symbol: string): number => (symbol === "batch" ? 5 : length);
    const told = values.map(({ name, type }) => [name, formatType(type)]);
    expect([told, expectTrue(values, await runAll(subject, of), of)]).toEqual([told, values.length]);
  });

  /** Adds up rows: what is carried keeps its shape, what is stacked gets an axis of its own. */
  function turns(op: "Loop" | "Scan"): Model {
    const sketch = new Sketch("turns");
    sketch.input("x", float([4, 3, "batch"]));
    sketch.input("start", float([3, "batch"]));
    const body = new Sketch("body");
    const isLoop = op === "Loop";
    if (isLoop) {
      sketch.initializer("count", GraphTensor.scalar(DataType.int64, 4));
      body.input("turn", tensor(DataType.int64, []));
      body.input("going", tensor(DataType.bool, []));
    }
    body.input("sum", float([]));
    if (isLoop) {
      body.outer(sketch, "x");
      body.node("Gather", ["x", "turn"], ["row"]);
      body.node("Identity", ["going"], ["goes"]);
      body.output("goes", tensor(DataType.bool, []));
    } else body.input("row", float([]));
    body.node("Add", ["sum", "row"], ["next"]);
    body.node("Flatten", ["row"], ["flat"], [attribute.int("axis", 0)]);
    for (const name of ["next", "flat"]) body.output(name, float([]));
    for (const value of [...body.graph.inputs, ...body.graph.outputs]) value.type = null;
    const attributes = [attribute.graph("body", body.graph)];
    if (isLoop) sketch.node("Loop", ["count", "", "start"], ["last", "all"], attributes);
    else sketch.node("Scan", ["start", "x"], ["last", "all"], [attribute.int("num_scan_inputs", 1), ...attributes]);
    return model(sketch.graph, 8, [["", 17]]);
  }

  it.each([
    ["Loop", "float[3,?]", "float[?,1,3*batch]"],
    ["Scan", "float[3,batch]", "float[4,1,3*batch]"],
  ] as const)("are told of %s", async (op, last, all) => {
    const subject = turns(op);
    inferTypes(subject);
    const values = subject.graph.nodes.flatMap(({ outputs }) => outputs.filter((output) => output !== null));
    expect(values.map(({ type }) => formatType(type))).toEqual([last, all]);
    expectTrue(values, await runAll(subject, sizes), sizes);
  });

  it.each([
    [2, "float[batch,1,6]"],
    [3, "float[batch,6]"],
  ])("are those of the branch that is taken where the condition, a rank of %i, is known", async (rank, expected) => {
    const sketch = new Sketch("ranks");
    sketch.input("x", float(["batch", 6]));
    sketch.initializer("rank", GraphTensor.scalar(DataType.int64, rank));
    sketch.initializer("axis", GraphTensor.ints([1]));
    sketch.node("Shape", ["x"], ["shape"]);
    sketch.node("Size", ["shape"], ["own"]);
    sketch.node("Equal", ["own", "rank"], ["is"]);
    const branches = (["then_branch", "else_branch"] as const).map((name) => {
      const branch = new Sketch(name);
      branch.outer(sketch, "x");
      branch.outer(sketch, "axis");
      if (name === "then_branch") branch.node("Unsqueeze", ["x", "axis"], ["more"]);
      else branch.node("Identity", ["x"], ["same"]);
      branch.output(name === "then_branch" ? "more" : "same", float([]));
      for (const value of branch.graph.outputs) value.type = null;
      return attribute.graph(name, branch.graph);
    });
    sketch.node("If", ["is"], ["y"], branches);
    const subject = model(sketch.graph, 8, [["", 17]]);
    inferTypes(subject);
    const values = subject.graph.nodes.flatMap(({ outputs }) => outputs.filter((output) => output !== null));
    expect(formatType(values.at(-1)?.type ?? null)).toBe(expected);
    expectTrue(values, await runAll(subject, sizes), sizes);
  });

  it("are never guessed: what two different symbols broadcast to is open", () => {
    const sketch = new Sketch("open");
    sketch.input("a", float(["n", 3]));
    sketch.input("b", float(["m", 3]));
    sketch.node("Add", ["a", "b"], ["c"]);
    sketch.output("c", float(["k", 3]));
    const subject = model(sketch.graph, 8, [["", 17]]);
    const [output] = subject.graph.outputs;
    if (output === undefined) throw new Error("no output");
    output.type = null;
    inferTypes(subject);
    expect(formatType(output.type)).toBe("float[?,3]");
  });
});
