import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, DataType, encodeModel, GraphTensor, printModel } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts } from "../../src/index.ts";
import { joinUpdates } from "../../src/passes/joined/join-updates.ts";
import type { StepModel } from "../../src/passes/portable/step-model.ts";
import { repeatStep } from "../../src/passes/repeated/repeat-step.ts";
import { agr, setOf, stepOf, wave } from "../support/optimizer-cases.ts";
import { openSession } from "../support/ort.ts";
import { bodyOf, bothWays, floats, ints, loop, run, sketched, typesIn } from "../support/repeated-steps.ts";

const CASES: readonly (readonly [name: string, write: (sketch: Sketch) => void, left: readonly string[]])[] = [
  ["one input", (sketch) => sketch.node("Abs", ["x"], ["y"]), []],
  ["a constant of lower rank", (sketch) => sketch.node("Mul", ["x", "c"], ["y"]), []],
  ["an input of lower rank", (sketch) => sketch.node("Div", ["x", "r"], ["y"]), []],
  [
    "two inputs whose ranks differ, and a truth",
    (sketch) => {
      sketch.node("Greater", ["x", "r"], ["is"]);
      sketch.node("Where", ["is", "r", "x"], ["y"]);
    },
    [],
  ],
  [
    "the number of a step, cast",
    (sketch) => {
      sketch.node("Cast", ["t"], ["number"], [attribute.int("to", DataType.float)]);
      sketch.node("Sqrt", ["number"], ["y"]);
    },
    [],
  ],
  [
    "shapes with sizes that are left open or copied",
    (sketch) => {
      sketch.initializer("shape", GraphTensor.ints([0, -1]));
      sketch.node("Reshape", ["x", "shape"], ["matrix"]);
      sketch.initializer("flat", GraphTensor.ints([-1]));
      sketch.node("Reshape", ["matrix", "flat"], ["y"]);
    },
    [],
  ],
  [
    "axes counted from the last",
    (sketch) => {
      sketch.initializer("last", GraphTensor.ints([-2]));
      sketch.node("Squeeze", ["x", "last"], ["matrix"]);
      sketch.node("Transpose", ["matrix"], ["turned"], [attribute.ints("perm", [1, 0])]);
      sketch.initializer("ends", GraphTensor.ints([0, -1]));
      sketch.node("Unsqueeze", ["turned", "ends"], ["y"]);
    },
    [],
  ],
  [
    "limits that are constants",
    (sketch) => {
      sketch.initializer("least", GraphTensor.floats([], [-0.1]));
      sketch.node("Clip", ["x", "least"], ["y"]);
    },
    [],
  ],
  ["nothing but an input", (sketch) => sketch.node("Identity", ["x"], ["y"]), []],
  ["what reads state", (sketch) => sketch.node("Mul", ["x", "s"], ["y"]), ["Mul"]],
  ["what is rounded by its place", (sketch) => sketch.node("Tanh", ["x"], ["y"]), ["Tanh"]],
  [
    "an exponent that is one number",
    (sketch) => {
      sketch.initializer("two", GraphTensor.floats([], [2]));
      sketch.node("Pow", ["r", "two"], ["y"]);
    },
    ["Pow"],
  ],
  [
    "a limit of each step's own",
    (sketch) => {
      sketch.initializer("none", GraphTensor.ints([]));
      sketch.node("Reshape", ["r", "none"], ["least"]);
      sketch.node("Clip", ["x", "least"], ["y"]);
    },
    ["Clip"],
  ],
  [
    "many numbers",
    (sketch) => {
      sketch.initializer("many", GraphTensor.from(DataType.float, [1, 6000, 1], wave(6000, 3)));
      sketch.node("Mul", ["x", "many"], ["y"]);
    },
    ["Mul"],
  ],
];

describe("a training step several times in one call", () => {
  it.each(CASES)("%s: the bits of the steps one by one", async (_, write, left) => {
    const { repeated, together, apart } = await bothWays(sketched(write, ["y"]));
    expect(together).toEqual(apart);
    expect(typesIn(bodyOf(repeated))).toEqual(["Add", ...left]);
  });

  const sums = (size: number): StepModel =>
    sketched(
      (sketch) => {
        sketch.initializer("numbers", GraphTensor.from(DataType.float, [size, 1], wave(size, 3)));
        sketch.node("Mul", ["numbers", "r"], ["product"]);
        sketch.node("Tanh", ["product"], ["own"]);
        sketch.node("Neg", ["own"], ["negative"]);
        sketch.node("ReduceMean", ["negative"], ["mean"], [attribute.int("keepdims", 0)]);
        sketch.node("ReduceSum", ["own"], ["sum"]);
      },
      ["mean", "sum"],
    );

  it.each([16, 32, 48, 80, 112, 1008, 16_000])("sums of %d numbers behind the steps: their bits", async (size) => {
    const { repeated, together, apart } = await bothWays(sums(size));
    expect(together).toEqual(apart);
    expect(typesIn(bodyOf(repeated))).toEqual(["Add", "Tanh"]);
  });

  it.each([1, 5, 8, 20, 33])("sums of %d numbers lie otherwise there, and stay", async (size) => {
    const { repeated, together, apart } = await bothWays(sums(size));
    expect(together).toEqual(apart);
    expect(typesIn(bodyOf(repeated))).toEqual(["Add", "Tanh", "Neg", "ReduceMean", "ReduceSum"]);
  });

  it("leaves what the state reads, and what reads a lot", async () => {
    const step = sketched(
      (sketch) => {
        sketch.node("Mul", ["x", "s/next"], ["y"]);
        sketch.initializer("numbers", GraphTensor.from(DataType.float, [1, 2800, 1], wave(2800, 3)));
        sketch.node("Mul", ["y", "numbers"], ["much"]);
        sketch.node("Tanh", ["much"], ["own"]);
        sketch.node("Neg", ["own"], ["z"]);
        sketch.node("Neg", ["s/next"], ["u"]);
      },
      ["y", "z", "u"],
    );
    const { repeated, together, apart } = await bothWays(step);
    for (const [name, numbers] of apart) expect(together.get(name)?.join()).toBe(numbers.join());
    expect(typesIn(bodyOf(repeated))).toEqual(["Add", "Mul", "Mul", "Tanh", "Neg", "Identity"]);
  });

  it("picks elements of what steps give", async () => {
    const step = sketched(
      (sketch) => {
        sketch.node("Tanh", ["x"], ["own"]);
        sketch.initializer("ends", GraphTensor.ints([1, 2]));
        sketch.node("Unsqueeze", ["i", "ends"], ["places"]);
        sketch.node("GatherElements", ["own", "places"], ["y"], [attribute.int("axis", -1)]);
      },
      ["y"],
    );
    const { repeated, together, apart } = await bothWays(step);
    expect(together).toEqual(apart);
    expect(typesIn(bodyOf(repeated))).toEqual(["Add", "Tanh"]);
  });

  it("reads what is made of inputs before it, and gives what is read behind it, state among it", async () => {
    const step = sketched(
      (sketch) => {
        sketch.node("Neg", ["x"], ["negative"]);
        sketch.node("Mul", ["negative", "s"], ["y"]);
        sketch.node("Sub", ["negative", "x"], ["difference"]);
        sketch.node("Add", ["difference", "s/next"], ["sum"]);
        sketch.node("Mul", ["sum", "r"], ["z"]);
      },
      ["y", "z"],
    );
    const { repeated, together, apart } = await bothWays(step);
    expect(together).toEqual(apart);
    expect(typesIn(bodyOf(repeated))).toEqual(["Add", "Mul", "Identity"]);
    expect(bodyOf(repeated).inputs).toHaveLength(1 + 1);
  });

  it("powers of a constant: those of an optimizer's first ten thousand updates", async () => {
    const step = sketched(
      (sketch) => {
        sketch.node("Cast", ["t"], ["number"], [attribute.int("to", DataType.float)]);
        for (const [index, beta] of [0.9, 0.95, 0.99, 0.999].entries()) {
          sketch.initializer(`beta${index}`, GraphTensor.floats([], [beta]));
          sketch.node("Pow", [`beta${index}`, "number"], [`p${index}`]);
        }
      },
      ["p0", "p1", "p2", "p3"],
    );
    const steps = 10_000;
    const single = await openSession(encodeModel(step.model.clone()));
    const apart = step.outputs.map((): number[] => []);
    for (let index = 0; index < steps; index++) {
      const given = await single.run({
        ...{ x: floats(new Float32Array(6), [2, 1, 3]), i: ints([0, 0], [2]), r: floats(new Float32Array(1), [1]) },
        ...{ t: ints([1 + index], [1]), s: floats(new Float32Array(3), [3]) },
      });
      for (const [place, name] of step.outputs.entries()) apart[place]?.push(Number(given[name]?.data[0]));
    }
    await single.release();
    const repeated = loop(step);
    expect(typesIn(bodyOf(repeated))).not.toContain("Pow");
    const together = await run(repeated.model, {
      ...{
        x: floats(new Float32Array(6 * steps), [steps, 2, 1, 3]),
        i: ints(new Array(2 * steps).fill(0), [steps, 2]),
      },
      ...{ r: floats(new Float32Array(steps), [steps, 1]), t: ints([1], [1]), s: floats(new Float32Array(3), [3]) },
    });
    for (const [place, name] of step.outputs.entries()) expect(together.get(name)).toEqual(apart[place]);
  });

  it("an optimizer's own numbers are computed for all steps at once", async () => {
    const { step } = joinUpdates(stepOf(await setOf({ optimizer: { name: "adamw" }, agr }, 5)));
    const before = typesIn(step.model.graph);
    const repeated = loop(step);
    const within = typesIn(bodyOf(repeated));
    expect(before).toContain("Pow");
    expect(within).not.toContain("Pow");
    expect(within).not.toContain("Cast");
    expect(within.length).toBeLessThan(before.length - 12);
  });

  it("stays by itself where the axes of what it gives are not known", () => {
    const step = sketched(
      (sketch) => {
        sketch.node("Unique", ["i"], ["shape"]);
        sketch.node("Reshape", ["x", "shape"], ["y"]);
      },
      ["y"],
    );
    expect(repeatStep(step)).toBeNull();
  });

  it("golden text", async () => {
    const sketch = new Sketch("layer");
    sketch.input("x", float([2, 3]));
    sketch.initializer("w", GraphTensor.from(DataType.float, [4, 3], wave(12, 1)));
    sketch.node("Gemm", ["x", "w"], ["y"], [attribute.int("transB", 1)]);
    sketch.output("y", float([2, 4]));
    const { portable } = await buildTrainingArtifacts(model(sketch.graph, 8, [["", 17]]), {
      ...{ loss: { kind: "cross-entropy" }, optimizer: { name: "adamw", weightDecay: 0.01 }, targets: ["portable"] },
    });
    if (portable === null) throw new Error("no portable set was built");
    const text = printModel(loop(stepOf(portable)).model);
    await expect(text).toMatchFileSnapshot("../../fixtures/passes/portable/repeated-step.txt");
  });
});
