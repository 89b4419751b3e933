import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { type Attribute, attribute, DataType, GraphTensor } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { rejectionOf } from "../support/errors.ts";
import { around, choice, number, table, weights } from "../support/forward-models.ts";

/** x cos(positions * frequencies) - x sin(...), as exporters write it: a product of one frequency and one position each. */
function rotary(frequencies: string, positions: string, op = "MatMul", attributes: readonly Attribute[] = []): Model {
  return around(
    (sketch) => {
      sketch.node("Identity", [positions], ["moved"]);
      sketch.node(op, ["moved", frequencies], ["angles"], attributes);
      sketch.node("Cos", ["angles"], ["cos"]);
      sketch.node("Sin", ["angles"], ["sin"]);
      sketch.node("Mul", ["p", "cos"], ["a"]);
      sketch.node("Mul", ["p", "sin"], ["b"]);
      sketch.node("Sub", ["a", "b"], ["h"]);
    },
    {
      [frequencies]: GraphTensor.floats([1, 4], [1, 0.1, 0.01, 0.001]),
      [positions]: GraphTensor.floats([4, 1], [0, 1, 2, 3]),
    },
    "hidden",
  );
}

describe("constants of the program are told by their use", () => {
  const infinity = GraphTensor.floats(
    [4, 4],
    Array.from({ length: 16 }, (_, at) => (at % 4 > at / 4 ? -3.4e38 : 0)),
  );
  const CONSTANTS: readonly (readonly [string, Model, string])[] = [
    [
      "a mean image",
      around((sketch) => sketch.node("Sub", ["x", "c"], ["h"]), { c: weights([4], 6) }),
      "an offset of the model's input",
    ],
    [
      "a deviation behind a mean",
      around(
        (sketch) => {
          sketch.node("Sub", ["x", "mean"], ["a"]);
          sketch.node("Div", ["a", "c"], ["h"]);
        },
        { mean: weights([4], 6), c: GraphTensor.floats([4], [1, 2, 3, 4]) },
      ),
      "an offset of the model's input",
    ],
    [
      "a variance behind a mean, whose root is kept from zero",
      around(
        (sketch) => {
          sketch.node("Sub", ["x", "mean"], ["a"]);
          sketch.node("Sqrt", ["c"], ["root"]);
          sketch.node("Max", ["root", "least"], ["deviation"]);
          sketch.node("Div", ["a", "deviation"], ["h"]);
        },
        {
          mean: weights([4], 6),
          c: GraphTensor.floats([4], [1, 2, 3, 4]),
          least: GraphTensor.scalar(DataType.float, 1e-7),
        },
      ),
      "an offset of the model's input",
    ],
    [
      "a base of a scatter",
      around(
        (sketch) => sketch.node("ScatterND", ["c", "at", "p"], ["h"]),
        {
          c: GraphTensor.floats(
            [3, 4],
            Array.from({ length: 12 }, () => 0),
          ),
          at: GraphTensor.from(DataType.int64, [3, 1], BigInt64Array.of(0n, 1n, 2n)),
        },
        "hidden",
      ),
      "what a scatter begins with",
    ],
    [
      "an additive mask",
      around((sketch) => sketch.node("Add", ["p", "c"], ["h"]), { c: infinity }, "hidden"),
      "a mask",
    ],
    [
      "a mask behind what moves it",
      around(
        (sketch) => {
          sketch.node("Transpose", ["c"], ["turned"]);
          sketch.node("Add", ["p", "turned"], ["h"]);
        },
        { c: infinity },
        "hidden",
      ),
      "a mask",
    ],
    [
      "sinusoids",
      around(
        (sketch) => sketch.node("Add", ["p", "c"], ["h"]),
        {
          c: GraphTensor.floats(
            [4, 4],
            Array.from({ length: 16 }, (_, at) =>
              (at % 2 === 0 ? Math.sin : Math.cos)(Math.floor(at / 4) * 0.1 ** Math.floor((at % 4) / 2)),
            ),
          ),
        },
        "hidden",
      ),
      "a table of sinusoids",
    ],
    [
      "a rotation's table",
      around(
        (sketch) => {
          sketch.node("Mul", ["p", "c"], ["a"]);
          sketch.node("Neg", ["p"], ["n"]);
          sketch.node("Mul", ["n", "s"], ["b"]);
          sketch.node("Add", ["a", "b"], ["h"]);
        },
        { c: table(Math.cos), s: table(Math.sin) },
        "hidden",
      ),
      "a table of cosines or sines",
    ],
    ["frequencies of a rotary embedding", rotary("c", "at"), "angles of a table of cosines and sines"],
    ["positions of a rotary embedding", rotary("f", "c"), "angles of a table of cosines and sines"],
    ["frequencies, broadcast", rotary("c", "at", "Mul"), "angles of a table of cosines and sines"],
    [
      "frequencies, by Einsum",
      rotary("c", "at", "Einsum", [attribute.string("equation", "ik,kj->ij")]),
      "angles of a table of cosines and sines",
    ],
    [
      "an exponent",
      around((sketch) => sketch.node("Pow", ["p", "c"], ["h"]), { c: number(2, [1]) }, "hidden"),
      "an exponent",
    ],
    ["a bound", around((sketch) => sketch.node("Clip", ["p", "c"], ["h"]), { c: number(0) }, "hidden"), "a bound"],
    [
      "a number without axes",
      around((sketch) => sketch.node("Mul", ["p", "c"], ["h"]), { c: number(0.5) }, "hidden"),
      "a number of the program",
    ],
    [
      "what guards a root",
      around(
        (sketch) => {
          sketch.node("Mul", ["p", "p"], ["a"]);
          sketch.node("Add", ["a", "c"], ["b"]);
          sketch.node("Sqrt", ["b"], ["h"]);
        },
        { c: number(1e-5, [1]) },
        "hidden",
      ),
      "a number that guards",
    ],
  ];
  it.each(CONSTANTS)("%s", async (_, forward, reason) => {
    const { trained, constants } = await choice(forward);
    expect(trained).toEqual([]);
    expect(constants["c"]).toContain(reason);
    /** Asked for by name, it is trained; a glob that names weights too does not ask for it. */
    const asked = await choice(forward, { parameters: ["*", "c"] });
    expect(asked.trained).toEqual(["c"]);
    expect((await choice(forward, { parameters: ["*"] })).trained).toEqual([]);
  });

  it("what has no elements is not trained, asked for or not", async () => {
    const adapter = around(
      (sketch) => {
        sketch.node("MatMul", ["x", "c"], ["low"]);
        sketch.node("MatMul", ["low", "d"], ["change"]);
        sketch.node("Add", ["x", "change"], ["h"]);
      },
      { c: weights([4, 0]), d: weights([0, 4]) },
    );
    for (const parameters of [["*"], ["*", "c", "d"]]) {
      const { trained, constants } = await choice(adapter, { parameters });
      expect([trained, constants]).toEqual([[], { c: "it is empty", d: "it is empty" }]);
    }
  });

  it("initial states of recurrent layers", async () => {
    const sketch = new Sketch("recurrent");
    sketch.input("x", float([5, 2, 3]));
    for (const [name, dims] of [
      ["W", [1, 16, 3]],
      ["R", [1, 16, 4]],
      ["B", [1, 32]],
      ["h0", [1, 2, 4]],
      ["c0", [1, 1, 4]],
    ] as const) {
      sketch.initializer(name, weights(dims));
    }
    sketch.initializer("shape", GraphTensor.ints([1, 2, 4]));
    sketch.node("Expand", ["c0", "shape"], ["c"]);
    sketch.node("LSTM", ["x", "W", "R", "B", "", "h0", "c"], ["", "y"], [attribute.int("hidden_size", 4)]);
    sketch.output("y", float([1, 2, 4]));
    const { trained, constants } = await choice(model(sketch.graph, 8, [["", 17]]));
    expect(trained).toEqual(["W", "R", "B"]);
    expect(constants).toEqual({ h0: "it is an initial state", c0: "it is an initial state" });
  });

  it("a model of nothing else is refused with the way to train them", async () => {
    const sketch = new Sketch("line");
    sketch.input("x", float(["N", 1]));
    sketch.initializer("slope", number(2, [1]));
    sketch.initializer("offset", number(1, [1]));
    sketch.node("Mul", ["x", "slope"], ["a"]);
    sketch.node("Add", ["a", "offset"], ["y"]);
    sketch.output("y", float(["N", 1]));
    const line = model(sketch.graph, 8, [["", 17]]);
    const error = await rejectionOf(choice(line));
    expect([error.code, error.exitCode, error.hint]).toEqual([
      "E_NO_PARAMETERS",
      4,
      expect.stringContaining("--params 'slope'"),
    ]);
    expect((await choice(line, { parameters: ["slope", "offset"] })).trained).toEqual(["slope", "offset"]);
  });
});
