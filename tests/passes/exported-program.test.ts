import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { attribute, DataType, GraphTensor } from "../../src/entries/graph.ts";
import {
  type BuildReport,
  buildTrainingArtifacts,
  checkGradients,
  type Model,
  Tensor,
  TrainingSession,
} from "../../src/index.ts";
import { valuesOf } from "../support/tensor-values.ts";

const wave = (dims: readonly number[], seed = 1): GraphTensor =>
  GraphTensor.floats(
    dims,
    Array.from({ length: dims.reduce((size, dim) => size * dim, 1) }, (_, index) =>
      Math.sin(seed * 31 + index * 12.9898),
    ),
  );
const filled = (dims: readonly number[], value: number): GraphTensor =>
  GraphTensor.floats(
    dims,
    Array.from({ length: dims.reduce((size, dim) => size * dim, 1) }, () => value),
  );

/** A graph with the metadata that PyTorch's default exporter writes. */
class Exported extends Sketch {
  readonly #targets: string[] = [];

  target(name: string, kind = "PARAMETER"): void {
    const letter = kind === "PARAMETER" ? "p" : "b";
    this.#targets.push(`${letter}_${name.replaceAll(".", "_").toLowerCase()}: ${kind} target='${name}'`);
  }

  /** Says what the last node was made from. */
  call(result: string, op: string, args: readonly string[], rule?: string): void {
    const node = this.graph.nodes.at(-1);
    const given = args.map((arg) => `%${arg}`).join(", ");
    node?.metadata.set(
      "pkg.torch.onnx.fx_node",
      `%${result} : [num_users=1] = call_function[target=torch.ops.aten.${op}](args = (${given}), kwargs = {})`,
    );
    if (rule !== undefined) node?.metadata.set("pkg.onnxscript.rewriter.rule_name", rule);
  }

  folded(name: string, sources: readonly string[]): void {
    const value = this.graph.initializers.find((each) => each.name === name);
    if (value === undefined) throw new Error(`no initializer "${name}"`);
    const text = `[${sources.map((source) => `'${source}'`).join(", ")}]`;
    this.graph.declare(value, new Map([["pkg.onnxscript.optimizer.folded_from", text]]));
  }

  model(): Model {
    const signature = `\n# inputs\n${this.#targets.join("\n")}\nx: USER_INPUT\n`;
    this.graph.metadata.set("pkg.torch.export.ExportedProgram.graph_signature", signature);
    return model(this.graph, 10, [["", 18]]);
  }
}

async function reportOf(forward: Model, parameters?: readonly string[]): Promise<BuildReport> {
  const options = { loss: { kind: "mse" }, optimizer: { name: "sgd" }, targets: ["portable"] } as const;
  const built = await buildTrainingArtifacts(forward, {
    ...options,
    ...(parameters === undefined ? {} : { parameters }),
  });
  return built.report;
}

const shapesOf = ({ trainable }: BuildReport): Record<string, string> =>
  Object.fromEntries(trainable.map(({ name, shape }) => [name, shape.join()]));

/** Linear layers as the exporter writes them: the weight transposed, biases of zeros shared. */
function linears(layers: readonly { readonly weight: string; readonly bias: string }[]): Exported {
  const sketch = new Exported("linears");
  sketch.input("x", float([2, 3, 4]));
  const shared = layers[0]?.bias ?? "bias";
  sketch.initializer(shared, filled([4], 0));
  for (const name of new Set(layers.flatMap(({ weight, bias }) => [weight, bias]))) sketch.target(name);
  const weights = [...new Set(layers.map(({ weight }) => weight))];
  for (const [index, weight] of weights.entries()) {
    sketch.initializer(`val_${weight}`, wave([4, 4], index));
    sketch.folded(`val_${weight}`, [weight]);
  }
  let from = "x";
  for (const [index, { weight, bias }] of layers.entries()) {
    const args = [weight, bias].map((name) => `p_${name.replaceAll(".", "_")}`);
    sketch.node("MatMul", [from, `val_${weight}`], [`m${index}`]);
    sketch.call(`linear_${index}`, "linear.default", ["x", ...args]);
    sketch.node("Add", [`m${index}`, shared], [`y${index}`]);
    sketch.call(`linear_${index}`, "linear.default", ["x", ...args]);
    from = `y${index}`;
  }
  sketch.output(from, float([2, 3, 4]));
  return sketch;
}

describe("the program that PyTorch's default exporter exported", () => {
  it("has a tensor of its own for each merged parameter, by name and in PyTorch's form", async () => {
    const report = await reportOf(
      linears([
        { weight: "a.weight", bias: "a.bias" },
        { weight: "b.weight", bias: "b.bias" },
      ]).model(),
    );
    expect(shapesOf(report)).toEqual({ "a.weight": "4,4", "b.weight": "4,4", "a.bias": "4", "b.bias": "4" });
    expect(report.notes.join("\n")).toMatch(/merged .*b\.bias/);
  });

  it("keeps what the program shares", async () => {
    const layer = { weight: "a.weight", bias: "a.bias" };
    const report = await reportOf(linears([layer, layer, { weight: "b.weight", bias: "b.bias" }]).model());
    expect(shapesOf(report)).toEqual({ "a.weight": "4,4", "b.weight": "4,4", "a.bias": "4", "b.bias": "4" });
  });

  it("gets dropped biases back", async () => {
    const sketch = new Exported("dropped");
    sketch.input("x", float([2, 4]));
    sketch.initializer("a.weight", wave([3, 4]));
    for (const name of ["a.weight", "a.bias"]) sketch.target(name);
    sketch.node("Gemm", ["x", "a.weight"], ["y"], [attribute.int("transB", 1)]);
    sketch.call("linear", "linear.default", ["x", "p_a_weight", "p_a_bias"], "RemoveOptionalBiasFromGemm");
    sketch.output("y", float([2, 3]));
    const report = await reportOf(sketch.model());
    expect(shapesOf(report)).toEqual({ "a.weight": "3,4", "a.bias": "3" });
    expect(report.notes.join("\n")).toMatch(/dropped .*a\.bias/);
  });

  it("trains parameters of one element, no constants unless they are named, and rows that were stretched once", async () => {
    const sketch = new Exported("constants");
    sketch.input("x", float([3, 2]));
    const row = [...(wave([1, 2]).values() as Float32Array)];
    sketch.initializer("expand", GraphTensor.floats([3, 2], [...row, ...row, ...row]));
    sketch.initializer("ramp", wave([3, 2], 2));
    sketch.initializer("scale", filled([1], 2));
    for (const name of ["token", "scale"]) sketch.target(name);
    sketch.folded("expand", ["token"]);
    sketch.folded("ramp", ["arange", "val_1"]);
    sketch.node("Add", ["x", "expand"], ["sum"]);
    sketch.call("add", "add.Tensor", ["x", "expand"]);
    sketch.node("Mul", ["sum", "scale"], ["scaled"]);
    sketch.call("mul", "mul.Tensor", ["add", "p_scale"]);
    sketch.node("Sub", ["scaled", "ramp"], ["y"]);
    sketch.call("sub", "sub.Tensor", ["mul", "arange"]);
    sketch.output("y", float([3, 2]));
    const report = await reportOf(sketch.model());
    expect(shapesOf(report)).toEqual({ token: "1,2", scale: "1" });
    expect(report.skipped).toEqual([
      { at: "ramp", reason: "it is computed from no parameter of the exported program" },
    ]);
    expect(shapesOf(await reportOf(sketch.model(), ["ramp"]))).toEqual({ ramp: "3,2" });
  });

  it("is trained as it is, and not by the parameter's name, where the exporter multiplied a buffer with it", async () => {
    const sketch = new Exported("product");
    sketch.input("x", float([3, 2]));
    sketch.initializer("val_4", wave([3, 2]));
    sketch.target("places", "BUFFER");
    sketch.target("rate");
    sketch.folded("val_4", ["places", "rate", "val_3"]);
    sketch.node("Add", ["x", "val_4"], ["y"]);
    sketch.call("add", "add.Tensor", ["x", "linear"]);
    sketch.output("y", float([3, 2]));
    const report = await reportOf(sketch.model());
    expect(shapesOf(report)).toEqual({ val_4: "3,2" });
    expect(report.notes.join("\n")).toMatch(/"val_4" is trained as the exporter left it.*of places and rate/);
  });

  it("is trained as it is where the exporter computed with a parameter, and says so", async () => {
    const sketch = new Exported("computed");
    sketch.input("x", float([3, 2]));
    sketch.initializer("softplus", wave([2]));
    sketch.target("rate");
    sketch.folded("softplus", ["rate"]);
    sketch.node("Mul", ["x", "softplus"], ["y"]);
    sketch.call("mul", "mul.Tensor", ["x", "softplus"]);
    sketch.output("y", float([3, 2]));
    const report = await reportOf(sketch.model());
    expect(shapesOf(report)).toEqual({ softplus: "2" });
    expect(report.notes.join("\n")).toMatch(/"softplus" is trained as the exporter left it.*computed it ahead of time/);
  });

  it("is not looked for in other models", async () => {
    const plain = linears([{ weight: "a.weight", bias: "a.bias" }]);
    const made = plain.model();
    made.graph.metadata.clear();
    expect(shapesOf(await reportOf(made))).toEqual({ "val_a.weight": "4,4", "a.bias": "4" });
  });

  /** y = table[ids]; the last argument is the padding row. */
  function embedding(padding: number): Model {
    const sketch = new Exported("embedding");
    sketch.input("ids", tensor(DataType.int64, [2, 3]));
    sketch.initializer("table", wave([4, 2]));
    sketch.target("table");
    sketch.node("Gather", ["table", "ids"], ["y"]);
    sketch.call("embedding", "embedding.default", ["p_table", "ids"]);
    const call = sketch.graph.nodes.at(-1)?.metadata;
    const key = "pkg.torch.onnx.fx_node";
    call?.set(key, (call.get(key) ?? "").replace("%ids)", `%ids, ${padding})`));
    sketch.output("y", float([2, 3, 2]));
    return sketch.model();
  }

  it.each([
    [1, [0, 2]],
    [-1, [0, 1, 2]],
  ])("gives the row of padding_idx %s no gradient, and gradcheck knows it", async (padding, rows) => {
    const options = { loss: { kind: "mse" }, optimizer: { name: "sgd" }, targets: ["portable"] } as const;
    const { portable, report } = await buildTrainingArtifacts(embedding(padding), options);
    if (portable === null) throw new Error("no portable artifacts");
    expect(report.notes.join("\n").includes("table[1]")).toBe(padding === 1);
    const session = await TrainingSession.create(portable, { learningRate: 1 });
    const feeds = {
      ids: new Tensor("int64", BigInt64Array.of(0n, 1n, 1n, 2n, 1n, 0n), [2, 3]),
      target: new Tensor("float32", new Float32Array(12), [2, 3, 2]),
    };
    await session.runTrainStep(feeds);
    const { table } = await session.getGradients();
    await session.release();
    const gradient = valuesOf(table);
    expect([0, 1, 2, 3].filter((row) => gradient[2 * row] !== 0 && gradient[2 * row + 1] !== 0)).toEqual(rows);
    const check = await checkGradients(embedding(padding), { loss: { kind: "mse" }, samples: 8, feeds });
    for (const { difference, tolerance } of check.parameters) expect(difference).toBeLessThanOrEqual(tolerance);
  });

  it("says what it cannot take back: tables looked up by element, or uniform, and what was joined", async () => {
    const sketch = new Exported("lost");
    sketch.input("x", float([2, 3]));
    sketch.initializer("unsqueeze", GraphTensor.floats([2, 3], [1, 2, 3, 2, 3, 1]));
    sketch.initializer("expand", filled([2, 3], 0));
    sketch.initializer("cat", wave([2, 3]));
    for (const name of ["bias_table", "token", "a", "b"]) sketch.target(name);
    sketch.folded("unsqueeze", ["bias_table", "index", "permute"]);
    sketch.folded("expand", ["token"]);
    sketch.folded("cat", ["a", "b"]);
    sketch.node("Mul", ["x", "unsqueeze"], ["first"]);
    sketch.node("Add", ["first", "expand"], ["second"]);
    sketch.node("Mul", ["second", "cat"], ["y"]);
    sketch.output("y", float([2, 3]));
    const notes = (await reportOf(sketch.model())).notes.join("\n");
    for (const name of ["unsqueeze", "expand", "cat"])
      expect(notes).toContain(`"${name}" is trained as the exporter left it`);
    expect(notes).toMatch(/ahead of time, of a, b/);
  });
});
