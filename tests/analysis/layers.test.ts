import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { vectorLayers } from "../../src/analysis/find-optimizers/plain-step/layers.ts";
import { attribute, GraphTensor } from "../../src/entries/graph.ts";
import { inferTypes } from "../../src/ops/inference/infer-types.ts";

type Cut = readonly [start: number, end: number, shape?: readonly number[]];

/** What is told of a vector of 12 numbers that is cut by Slice at these places. */
function told(cuts: readonly Cut[]): ReturnType<typeof vectorLayers> {
  const sketch = new Sketch("net");
  sketch.input("theta", float([12]));
  for (const [index, [from, to, shape]] of cuts.entries()) {
    sketch.initializer(`from${index}`, GraphTensor.ints([from]));
    sketch.initializer(`to${index}`, GraphTensor.ints([to]));
    sketch.node("Slice", ["theta", `from${index}`, `to${index}`], [`piece${index}`]);
    if (shape === undefined) continue;
    sketch.initializer(`shape${index}`, GraphTensor.ints([...shape]));
    sketch.node("Reshape", [`piece${index}`, `shape${index}`], [`layer${index}`]);
  }
  return toldOf(sketch);
}

function toldOf(sketch: Sketch): ReturnType<typeof vectorLayers> {
  const made = model(sketch.graph, 8, [["", 17]]);
  inferTypes(made);
  const [theta] = made.graph.inputs;
  return theta === undefined ? null : vectorLayers(theta);
}

const LAYERS = [
  { start: 0, size: 6, shape: [2, 3] },
  { start: 6, size: 2, shape: [2] },
  { start: 8, size: 4, shape: [2, 2] },
];

describe("layers in one vector", () => {
  it("are the pieces that the network cuts out, in their order", () => {
    expect(
      told([
        [8, 99, [2, 2]],
        [0, 6, [2, 3]],
        [-6, -4],
      ]),
    ).toEqual({ layers: LAYERS });
    // The optimizer cuts the same places once more.
    expect(
      told([
        [0, 6],
        [0, 6, [2, 3]],
        [6, 8],
        [8, 12, [2, 2]],
        [8, 12],
      ]),
    ).toEqual({ layers: LAYERS });
  });

  it("may be cut by Split, and pieces of pieces", () => {
    const sketch = new Sketch("net");
    sketch.input("theta", float([12]));
    sketch.initializer("sizes", GraphTensor.ints([8, 4]));
    sketch.initializer("inner", GraphTensor.ints([6, 2]));
    sketch.node("Split", ["theta", "sizes"], ["first", "w2"], [attribute.int("axis", 0)]);
    sketch.node("Split", ["first", "inner"], ["w1", "b1"], [attribute.int("axis", 0)]);
    for (const [name, shape] of [
      ["w1", [2, 3]],
      ["w2", [2, 2]],
    ] as const) {
      sketch.initializer(`${name}_shape`, GraphTensor.ints([...shape]));
      sketch.node("Reshape", [name, `${name}_shape`], [`${name}_matrix`]);
    }
    expect(toldOf(sketch)).toEqual({ layers: LAYERS });
  });

  it.each<[string, readonly Cut[], string]>([
    [
      "overlap",
      [
        [0, 6, [2, 3]],
        [5, 12],
      ],
      "overlap at element 5",
    ],
    [
      "leave a gap",
      [
        [0, 6, [2, 3]],
        [8, 12, [2, 2]],
      ],
      "elements from 6 to 7 are in no piece",
    ],
    [
      "end early",
      [
        [0, 6, [2, 3]],
        [6, 8],
      ],
      "elements from 8 to 11 are in no piece",
    ],
    [
      "have several shapes",
      [
        [0, 6, [2, 3]],
        [0, 6, [3, 2]],
        [6, 12],
      ],
      "several shapes",
    ],
    [
      "may be gates of one bias",
      [
        [0, 6, [1, 6]],
        [6, 12, [1, 6]],
      ],
      "none of the pieces that it is cut into is a matrix",
    ],
  ])("are not told where pieces %s", (_, cuts, reason) => {
    expect(told(cuts)).toEqual({ reason: expect.stringContaining(reason) });
  });

  it("are none where nothing is given a shape, or the vector is read as a whole", () => {
    expect(
      told([
        [0, 6],
        [6, 12],
      ]),
    ).toBeNull();
    expect(told([[0, 12, [3, 4]]])).toBeNull();
  });
});
