import { describe, expect, it } from "vitest";
import { model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { valueRanges } from "../../src/analysis/value-ranges.ts";
import { attribute, DataType, GraphTensor } from "../../src/entries/graph.ts";

/** Token ids that go through an embedding of `rows`, and labels that go through a loss over five classes. */
function languageModel(rows: number, ignoreIndex: number | null): Sketch {
  const sketch = new Sketch("lm");
  sketch.input("ids", tensor(DataType.int32, ["batch", "length"]));
  sketch.input("labels", tensor(DataType.int64, ["batch", "length"]));
  sketch.initializer("table", GraphTensor.floats([rows, 4], new Array(rows * 4).fill(0)));
  sketch.initializer("head", GraphTensor.floats([4, 5], new Array(20).fill(0)));
  sketch.initializer("flat", GraphTensor.from(DataType.int64, [1], BigInt64Array.of(-1n)));
  sketch.initializer("rows", GraphTensor.from(DataType.int64, [2], BigInt64Array.of(-1n, 5n)));
  sketch.node("Cast", ["ids"], ["ids64"], [attribute.int("to", DataType.int64)]);
  sketch.node("Gather", ["table", "ids64"], ["embedded"]);
  sketch.node("MatMul", ["embedded", "head"], ["scores"]);
  sketch.node("Reshape", ["scores", "rows"], ["flatScores"]);
  sketch.node("Reshape", ["labels", "flat"], ["flatLabels"]);
  const ignored = ignoreIndex === null ? [] : [attribute.int("ignore_index", ignoreIndex)];
  sketch.node("SoftmaxCrossEntropyLoss", ["flatScores", "flatLabels"], ["loss"], ignored);
  sketch.output("loss", tensor(DataType.float, []));
  return sketch;
}

const made = ({ graph }: Sketch) => model(graph, 8, [["", 17]]);

describe("the numbers that inputs take", () => {
  it("are those of the embedding and of the loss they go to", () => {
    const ranges = valueRanges(made(languageModel(7, -100)));
    expect([...ranges].map(([name, { least, greatest, ignored }]) => [name, least, greatest, ignored])).toEqual([
      ["ids", 0, 6, null],
      ["labels", 0, 4, -100],
    ]);
    expect(valueRanges(made(languageModel(7, null))).get("labels")?.ignored).toBeNull();
  });

  it("are those that fit every use", () => {
    const sketch = languageModel(7, -100);
    sketch.initializer("small", GraphTensor.floats([3, 2], new Array(6).fill(0)));
    sketch.node("Gather", ["small", "labels"], ["also"]);
    sketch.node("Gather", ["ids", "labels"], ["open"]);
    const labels = valueRanges(made(sketch)).get("labels");
    expect(labels).toMatchObject({ least: 0, greatest: 2, ignored: null, of: expect.stringContaining("3 rows") });
  });

  it("are the images of a batch, for boxes", () => {
    const sketch = new Sketch("boxes");
    sketch.input("images", tensor(DataType.float, [4, 3, 8, 8]));
    sketch.input("boxes", tensor(DataType.float, ["n", 4]));
    sketch.input("of", tensor(DataType.int64, ["n"]));
    sketch.node("RoiAlign", ["images", "boxes", "of"], ["y"]);
    expect(valueRanges(made(sketch)).get("of")).toMatchObject({
      least: 0,
      greatest: 3,
      of: expect.stringContaining("4 images"),
    });
  });
});
