import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, GraphFunction, GraphTensor, lowerTrainingOps, Node, Value } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, type Model, OnnxAgrError } from "../../src/index.ts";

const { ints } = attribute;

/** x W, then what `more` makes `y` of. */
function small(more: (sketch: Sketch) => void, shape: readonly number[] = [4, 4]): Model {
  const sketch = new Sketch("small");
  sketch.input("x", float(shape));
  sketch.initializer("W", GraphTensor.floats([4, 4], new Array<number>(16).fill(0.5)));
  sketch.node("MatMul", ["x", "W"], ["h"]);
  more(sketch);
  sketch.output("y", float(["n"]));
  const output = sketch.graph.outputs[0] as Value;
  output.type = { kind: "tensor", dtype: 1, shape: null };
  return model(sketch.graph, 8, [["", 17]]);
}

/** How a build ends, and that it does so soon. */
async function buildOf(subject: Model): Promise<string> {
  const began = performance.now();
  try {
    await buildTrainingArtifacts(subject, { loss: { kind: "mse" }, targets: ["portable"] });
    return "built";
  } catch (error) {
    if (error instanceof OnnxAgrError) return `${error.code} ${error.exitCode}`;
    throw error;
  } finally {
    expect(performance.now() - began).toBeLessThan(10_000);
  }
}

const image = [1, 1, 4, 4];
const pool =
  (op: string, kernel: number, more: Parameters<Sketch["node"]>[3] = []) =>
  (sketch: Sketch): void => {
    const pads = ints("pads", new Array<number>(4).fill(Math.floor(kernel / 2)));
    sketch.node(op, ["h"], ["y"], [ints("kernel_shape", [kernel, kernel]), pads, ...more]);
  };

describe("row 99: a few bytes that ask for much", () => {
  it.each<[string, Model, string]>([
    [
      "a shape of 2^28 ones",
      small((sketch) => {
        sketch.initializer("s", GraphTensor.ints([2 ** 28]));
        sketch.node("ConstantOfShape", ["s"], ["k"]);
        sketch.node("Reshape", ["h", "k"], ["y"]);
      }),
      "E_BUDGET 4",
    ],
    [
      "a shape that doubles 40 times",
      small((sketch) => {
        sketch.initializer("c0", GraphTensor.ints([1]));
        for (let level = 0; level < 40; level++) {
          sketch.node("Concat", [`c${level}`, `c${level}`], [`c${level + 1}`], [attribute.int("axis", 0)]);
        }
        sketch.node("Reshape", ["h", "c40"], ["y"]);
      }),
      "E_BUDGET 4",
    ],
    ["a max pool of a million places", small(pool("MaxPool", 1000), image), "E_NO_GRADIENT 4"],
    ["a max pool of 2^60 places", small(pool("MaxPool", 2 ** 30), image), "E_NO_GRADIENT 4"],
    ["an average pool of 2^60 places", small(pool("AveragePool", 2 ** 30), image), "E_NO_GRADIENT 4"],
    ["a stride of 2^20", small(pool("MaxPool", 2, [ints("strides", [2 ** 20, 2 ** 20])]), image), "E_NO_GRADIENT 4"],
  ])("%s", async (_, subject, end) => {
    expect(await buildOf(subject)).toBe(end);
  });
});

describe("row 100: gradients of convolutions and pools to be lowered, whose windows ask for much", () => {
  const convGrad = (weight: readonly number[], kernel: readonly number[]): Model => {
    const sketch = new Sketch("g");
    const image = [1, 1, ...weight.slice(2).map(() => 8)];
    for (const name of ["dy", "x"]) sketch.input(name, float(image));
    sketch.input("w", float(weight));
    sketch.node("ConvGrad", ["dy", "x", "w"], ["dx", "dw"], [ints("kernel_shape", kernel)], "com.microsoft");
    sketch.output("dx", float(image));
    sketch.output("dw", float(weight));
    return model(sketch.graph, 8, [
      ["", 17],
      ["com.microsoft", 1],
    ]);
  };
  const lowered = (subject: Model): string => {
    try {
      return String(lowerTrainingOps(subject).lowered["com.microsoft.ConvGrad"]);
    } catch (error) {
      if (error instanceof OnnxAgrError && error.message.length < 300) return `${error.code} ${error.exitCode}`;
      throw error;
    }
  };

  it.each([
    ["3 x 3", convGrad([1, 1, 3, 3], [3, 3]), "1"],
    ["a window of 2^40 places", convGrad([1, 1, 2 ** 20, 2 ** 20], [2 ** 20, 2 ** 20]), "E_NO_LOWERING 4"],
    ["a window of 500 axes", convGrad([1, 1, 3, 3], new Array<number>(500).fill(3)), "E_NO_LOWERING 4"],
    ["a window of 500 axes of one place", convGrad([1, 1, 3, 3], new Array<number>(500).fill(1)), "E_NO_LOWERING 4"],
    ["a window that is large and still is one", convGrad([1, 1, 1024, 1024], [1024, 1024]), "1"],
  ])("%s", (_, subject, end) => {
    const before = process.memoryUsage().rss;
    expect(lowered(subject)).toBe(end);
    expect(process.memoryUsage().rss - before).toBeLessThan(200e6);
  });
});

describe("row 100: functions that call another twice", () => {
  const doubling = (levels: number): Model => {
    const subject = small((sketch) => sketch.node(`F${levels}`, ["h"], ["y"], [], "local"));
    for (let level = 1; level <= levels; level++) {
      const made = new GraphFunction(`F${level}`, "local");
      const [a, b, c] = [new Value("a"), new Value("b"), new Value("c")];
      made.body.inputs.push(a);
      const call = level === 1 ? ["Relu", ""] : [`F${level - 1}`, "local"];
      const [op = "", domain = ""] = call;
      made.body.append(new Node(op, [a], [b], { domain }), new Node(op, [b], [c], { domain }));
      made.body.addOutput(c);
      made.opsets.set("", 17).set("local", 1);
      subject.functions.push(made);
    }
    subject.opsets.set("local", 1);
    return subject;
  };

  it("are put in where they are few, and refused by name where they come to a million nodes", async () => {
    expect(await buildOf(doubling(3))).toBe("built");
    expect(await buildOf(doubling(20))).toBe("E_BUDGET 4");
    expect(await buildOf(doubling(50))).toBe("E_BUDGET 4");
  });
});
