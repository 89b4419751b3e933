import { readFileSync } from "node:fs";
import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { removeDeadNodes } from "../../src/edits/dead-nodes.ts";
import {
  type Attribute,
  attribute,
  checkModel,
  DataType,
  decodeModel,
  encodeModel,
  GraphTensor,
} from "../../src/entries/graph.ts";
import { GradientError, type Model } from "../../src/index.ts";
import { addGradients } from "../../src/passes/add-gradients.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

interface Numbers {
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

/** Made by scripts/reference/loops.py. */
const REFERENCE = JSON.parse(readFileSync(new URL("loops.json", import.meta.url), "utf8")) as Readonly<
  Record<
    string,
    {
      readonly inputs: Readonly<Record<string, Numbers>>;
      readonly loss: number;
      readonly gradients: Readonly<Record<string, Numbers>>;
    }
  >
>;

const double = (shape: readonly (number | string)[]) => tensor(DataType.double, shape);
const doubles = (dims: readonly number[], values: readonly number[]) =>
  GraphTensor.from(DataType.double, dims, Float64Array.from(values));
const { int, ints, graph, tensor: constant } = attribute;

/** The graph of a case under construction, in float64. */
class Network extends Sketch {
  #count = 0;

  constant(name: string, value: GraphTensor): void {
    this.node("Constant", [], [name], [constant("value", value)]);
  }

  /** Adds a value's elements to the loss, each with a weight of its own. */
  weigh(name: string, size: number, factor = 1): string {
    const part = `loss_${this.#count++}`;
    const weights = Array.from({ length: size }, (_, at) => factor * Math.cos(at));
    this.constant(`${part}_weights`, doubles([size], weights));
    this.constant(`${part}_flat`, GraphTensor.ints([-1]));
    this.node("Reshape", [name, `${part}_flat`], [`${part}_row`]);
    this.node("Mul", [`${part}_row`, `${part}_weights`], [`${part}_product`]);
    this.node("ReduceSum", [`${part}_product`], [part], [int("keepdims", 0)]);
    return part;
  }

  body(name: string, outer: readonly string[], fill: (inner: Network) => void): Attribute {
    const inner = new Network(name);
    for (const each of outer) inner.outer(this, each);
    fill(inner);
    return graph(name, inner.graph);
  }
}

/** h' = tanh(x w + h u + b), given as the state and piled up. */
function scan(net: Network, isBackward: boolean): void {
  const body = net.body("body", ["w", "u", "b"], (inner) => {
    inner.input("h_in", double([2, 2]));
    inner.input("x_in", double([2, 3]));
    inner.node("MatMul", ["x_in", "w"], ["xw"]);
    inner.node("MatMul", ["h_in", "u"], ["hu"]);
    inner.node("Sum", ["xw", "hu", "b"], ["sum"]);
    inner.node("Tanh", ["sum"], ["h_out"]);
    inner.node("Identity", ["h_out"], ["y_out"]);
    inner.output("h_out", double([2, 2]));
    inner.output("y_out", double([2, 2]));
  });
  const directions = isBackward ? [ints("scan_input_directions", [1]), ints("scan_output_directions", [1])] : [];
  net.node("Scan", ["h", "x"], ["last", "states"], [body, int("num_scan_inputs", 1), ...directions]);
  net.node("Sum", [net.weigh("states", 16), net.weigh("last", 4, 3)], ["loss"]);
}

function scanAlongOtherAxes(net: Network): void {
  const body = net.body("body", [], (inner) => {
    inner.input("s_in", double([2]));
    inner.input("x_in", double([2]));
    inner.input("y_in", double([2]));
    inner.node("Mul", ["s_in", "x_in"], ["part"]);
    inner.node("Add", ["part", "y_in"], ["s_out"]);
    inner.node("Mul", ["s_out", "s_out"], ["square"]);
    inner.output("s_out", double([2]));
    inner.output("square", double([2]));
  });
  net.node(
    "Scan",
    ["s", "x", "y"],
    ["last", "piled"],
    [
      body,
      int("num_scan_inputs", 2),
      ints("scan_input_axes", [-1, 0]),
      ints("scan_input_directions", [0, 1]),
      ints("scan_output_axes", [1]),
      ints("scan_output_directions", [1]),
    ],
  );
  net.node("Sum", [net.weigh("piled", 6), net.weigh("last", 2)], ["loss"]);
}

/** The number of the trip takes part, and the shape of what is carried is read inside. */
function tripCount(net: Network): void {
  net.constant("count", GraphTensor.from(DataType.int64, [], BigInt64Array.of(3n)));
  const body = net.body("body", ["w"], (inner) => {
    inner.input("i", tensor(DataType.int64, []));
    inner.input("go", tensor(DataType.bool, []));
    inner.input("v_in", double([2, 3]));
    inner.node("Identity", ["go"], ["go_out"]);
    inner.node("MatMul", ["v_in", "w"], ["vw"]);
    inner.node("Sin", ["vw"], ["sine"]);
    inner.node("Cast", ["i"], ["real"], [int("to", DataType.double)]);
    inner.constant("one", doubles([], [1]));
    inner.node("Add", ["real", "one"], ["factor"]);
    inner.node("Mul", ["sine", "factor"], ["scaled"]);
    inner.node("Shape", ["v_in"], ["shape"]);
    inner.node("Reshape", ["scaled", "shape"], ["v_out"]);
    inner.output("go_out", tensor(DataType.bool, []));
    inner.output("v_out", double([2, 3]));
    inner.node("Identity", ["v_out"], ["piled"]);
    inner.output("piled", double([2, 3]));
  });
  net.node("Loop", ["count", "", "v"], ["last", "all"], [body]);
  net.node("Sum", [net.weigh("last", 6), net.weigh("all", 18)], ["loss"]);
}

/** The condition, and a counter of whole numbers that is carried too. */
function condition(net: Network): void {
  net.constant("most", GraphTensor.from(DataType.int64, [], BigInt64Array.of(20n)));
  net.constant("start", GraphTensor.from(DataType.int64, [], BigInt64Array.of(0n)));
  net.constant("go", GraphTensor.from(DataType.bool, [], Uint8Array.of(1)));
  const body = net.body("body", ["w"], (inner) => {
    inner.input("i", tensor(DataType.int64, []));
    inner.input("go_in", tensor(DataType.bool, []));
    inner.input("n_in", tensor(DataType.int64, []));
    inner.input("v_in", double([3]));
    inner.constant("one", GraphTensor.from(DataType.int64, [], BigInt64Array.of(1n)));
    inner.constant("grow", doubles([], [1.5]));
    inner.constant("limit", doubles([], [40]));
    inner.node("Add", ["n_in", "one"], ["n_out"]);
    inner.node("Mul", ["v_in", "grow"], ["grown"]);
    inner.node("Add", ["grown", "w"], ["v_out"]);
    inner.node("ReduceSumSquare", ["v_out"], ["size"], [int("keepdims", 0)]);
    inner.node("Greater", ["size", "limit"], ["enough"]);
    inner.node("Not", ["enough"], ["go_out"]);
    inner.output("go_out", tensor(DataType.bool, []));
    inner.output("n_out", tensor(DataType.int64, []));
    inner.output("v_out", double([3]));
  });
  net.node("Loop", ["most", "go", "start", "v"], ["n", "last"], [body]);
  net.node("Cast", ["n"], ["factor"], [int("to", DataType.double)]);
  net.node("Mul", [net.weigh("last", 3), "factor"], ["loss"]);
}

function choosing(net: Network): void {
  net.constant("count", GraphTensor.from(DataType.int64, [], BigInt64Array.of(4n)));
  const body = net.body("body", ["w"], (inner) => {
    inner.input("i", tensor(DataType.int64, []));
    inner.input("go", tensor(DataType.bool, []));
    inner.input("v_in", double([3]));
    inner.node("Identity", ["go"], ["go_out"]);
    inner.constant("two", GraphTensor.from(DataType.int64, [], BigInt64Array.of(2n)));
    inner.constant("zero", GraphTensor.from(DataType.int64, [], BigInt64Array.of(0n)));
    inner.node("Mod", ["i", "two"], ["rest"]);
    inner.node("Equal", ["rest", "zero"], ["even"]);
    const yes = inner.body("then_branch", ["v_in", "w"], (branch) => {
      branch.node("Mul", ["v_in", "w"], ["yes_product"]);
      branch.node("Tanh", ["yes_product"], ["yes_out"]);
      branch.output("yes_out", double([3]));
    });
    const no = inner.body("else_branch", ["v_in", "w"], (branch) => {
      branch.node("Sub", ["v_in", "w"], ["no_out"]);
      branch.output("no_out", double([3]));
    });
    inner.node("If", ["even"], ["v_out"], [yes, no]);
    inner.output("go_out", tensor(DataType.bool, []));
    inner.output("v_out", double([3]));
  });
  net.node("Loop", ["count", "", "v"], ["last"], [body]);
  net.node("Identity", [net.weigh("last", 3)], ["loss"]);
}

const NETWORKS: Readonly<Record<string, (net: Network) => void>> = {
  scan: (net) => scan(net, false),
  "scan backward": (net) => scan(net, true),
  "scan along other axes": scanAlongOtherAxes,
  "loop with a trip count": tripCount,
  "loop with a condition": condition,
  "loop with an if": choosing,
};

/** A case with its gradients as outputs; the inputs are fed. */
function build(name: string): { readonly model: Model; readonly names: ReadonlyMap<string, string> } {
  const reference = REFERENCE[name];
  if (reference === undefined) throw new Error("there is no such case");
  const net = new Network("loops");
  for (const [key, { dims }] of Object.entries(reference.inputs)) net.input(key, double(dims));
  NETWORKS[name]?.(net);
  net.output("loss", double([]));
  const made = model(net.graph, 8, [["", 17]]);
  const { graph: top } = made;
  const inputs = top.inputs.slice();
  const [loss] = top.outputs;
  if (loss === undefined) throw new Error("no loss");
  const gradients = addGradients(made, loss, inputs);
  for (const [value, gradient] of gradients) {
    gradient.type = value.type;
    top.addOutput(gradient);
  }
  removeDeadNodes(top);
  checkModel(decodeModel(encodeModel(made)));
  return { model: made, names: new Map([...gradients].map(([value, gradient]) => [value.name, gradient.name])) };
}

describe("gradients through repeated graphs", () => {
  it("there is a reference for each network", () => {
    expect(Object.keys(NETWORKS).sort()).toEqual(Object.keys(REFERENCE).sort());
  });

  it.each(Object.entries(REFERENCE))("%s: PyTorch's numbers and central differences", async (name, reference) => {
    const { model: made, names } = build(name);
    const session = await openSession(encodeModel(made));
    const feeds = (moved?: string, at = 0, delta = 0): Record<string, Tensor> =>
      Object.fromEntries(
        Object.entries(reference.inputs).map(([key, { dims, data }]) => {
          const values = Float64Array.from(data);
          if (key === moved) values[at] = (values[at] ?? 0) + delta;
          return [key, new Tensor("float64", values, [...dims])];
        }),
      );
    const results = await session.run(feeds());
    /** Both in float64. */
    expect(Math.abs((valuesOf(results["loss"])[0] ?? 0) - reference.loss)).toBeLessThan(1e-10);
    for (const [key, expected] of Object.entries(reference.gradients)) {
      const actual = valuesOf(results[names.get(key) ?? ""]);
      expect(actual).toHaveLength(expected.data.length);
      const scale = Math.max(1e-3, ...expected.data.map(Math.abs));
      for (const [at, value] of expected.data.entries()) {
        expect(Math.abs((actual[at] ?? Number.NaN) - value) / scale, `${key}[${at}]`).toBeLessThan(1e-10);
        const side = async (delta: number): Promise<number> =>
          valuesOf((await session.run(feeds(key, at, delta), ["loss"]))["loss"])[0] ?? Number.NaN;
        const numeric = ((await side(1e-5)) - (await side(-1e-5))) / 2e-5;
        expect(Math.abs(numeric - value) / scale, `${key}[${at}] by differences`).toBeLessThan(1e-6);
      }
    }
    await session.release();
  });

  it("no gradient is taken through a loop that no parameter comes into", () => {
    const net = new Network("around");
    net.input("v", double([2, 3]));
    net.constant("w", doubles([3, 3], Array(9).fill(0.25)));
    net.initializer("p", doubles([2, 3], [1, 2, 3, 4, 5, 6]));
    tripCount(net);
    net.node("Mul", ["last", "p"], ["product"]);
    net.node("ReduceSum", ["product"], ["end"], [int("keepdims", 0)]);
    net.output("end", double([]));
    const made = model(net.graph, 8, [["", 17]]);
    const [end] = made.graph.outputs;
    if (end === undefined) throw new Error("no loss");
    const gradients = addGradients(made, end, made.graph.initializers);
    expect([...gradients.keys()].map(({ name }) => name)).toEqual(["p"]);
    expect(made.graph.nodes.filter(({ opType }) => opType === "Loop" || opType === "Scan")).toHaveLength(1);
  });

  it.each(["RandomNormalLike", "Bernoulli"])("a body that draws by chance (%s) is refused by name", (op) => {
    const net = new Network("noisy");
    net.input("x", double([4, 3]));
    net.initializer("h", doubles([3], [1, 2, 3]));
    const body = net.body("body", [], (inner) => {
      inner.input("h_in", double([3]));
      inner.input("x_in", double([3]));
      inner.node(op, ["x_in"], ["noise"]);
      inner.node("Mul", ["h_in", "noise"], ["h_out"]);
      inner.output("h_out", double([3]));
    });
    net.node("Scan", ["h", "x"], ["last"], [body, int("num_scan_inputs", 1)]);
    net.node("ReduceSum", ["last"], ["loss"], [int("keepdims", 0)]);
    net.output("loss", double([]));
    const made = model(net.graph, 8, [["", 17]]);
    const [loss] = made.graph.outputs;
    if (loss === undefined) throw new Error("no loss");
    expect(() => addGradients(made, loss, made.graph.initializers)).toThrow(GradientError);
    expect(() => addGradients(made, loss, made.graph.initializers)).toThrow(`"noise/${op}" (${op}) draws by chance`);
  });
});
