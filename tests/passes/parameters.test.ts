import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import {
  buildTrainingArtifacts,
  DataType,
  decodeModel,
  encodeModel,
  GraphTensor,
  type Model,
} from "../../src/index.ts";

const wave = (size: number, seed = 1): Float32Array =>
  Float32Array.from({ length: size }, (_, index) => Math.sin(seed * 31 + index * 12.9898) * 0.5);

const weights = (dims: readonly number[], seed = 1): GraphTensor =>
  GraphTensor.from(
    DataType.float,
    dims,
    wave(
      dims.reduce((product, dim) => product * dim, 1),
      seed,
    ),
  );

/** A copy whose elements lie in the typed field that `onnx.helper.make_tensor` fills. */
function packed({ dtype, dims, data }: GraphTensor): GraphTensor {
  if (data.kind !== "raw") throw new Error("not raw");
  const field = dtype === DataType.double ? "doubleData" : "floatData";
  return new GraphTensor(dtype, dims, { kind: "packed", field, bytes: data.bytes });
}

/** A linear layer. */
function linear(change: (tensor: GraphTensor) => GraphTensor = (tensor) => tensor): Model {
  const sketch = new Sketch("linear");
  sketch.input("x", float(["N", 4]));
  sketch.initializer("w", change(weights([4, 3])));
  sketch.initializer("b", change(weights([3], 2)));
  sketch.node("Gemm", ["x", "w", "b"], ["y"]);
  sketch.output("y", float(["N", 3]));
  return model(sketch.graph, 8, [["", 17]]);
}

describe("initializers in typed fields", () => {
  it("build the same artifacts as those in raw_data", async () => {
    const [raw, typed] = await Promise.all(
      [linear(), decodeModel(encodeModel(linear(packed)))].map((each) =>
        buildTrainingArtifacts(each, { loss: { kind: "cross-entropy" } }),
      ),
    );
    expect(typed?.onnxruntime?.checkpoint).toEqual(raw?.onnxruntime?.checkpoint);
    expect(typed?.portable?.state).toEqual(raw?.portable?.state);
  });
});
