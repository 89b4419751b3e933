import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DataType } from "../../../src/graph/data-type.ts";
import { Graph, Node, Value } from "../../../src/graph/graph.ts";
import { Model } from "../../../src/graph/model.ts";
import { decodeModel } from "../../../src/graph/serde/decode.ts";
import { encodeModel } from "../../../src/graph/serde/encode.ts";
import { Tensor as GraphTensor } from "../../../src/graph/tensor.ts";
import { tensorType } from "../../../src/graph/value-type.ts";
import { chooseProvider } from "../../../src/runtime/ort-node/providers.ts";
import { BINDING } from "../../../src/runtime/ort-node/ways.ts";
import { temporaryFolder } from "../../support/temporary.ts";

/** y = s x W + b */
function affine(): Uint8Array {
  const graph = new Graph("affine");
  const model = new Model(8, graph);
  model.opsets.set("", 17);
  const value = (name: string, shape: readonly number[]): Value => new Value(name, tensorType(DataType.float, shape));
  const [x, w, b] = [value("x", [2, 3, 4]), value("w", [4, 5]), value("b", [5])];
  const scale = new Value("scale", tensorType(DataType.float, []));
  const [product, scaled, y] = [value("product", [2, 3, 5]), value("scaled", [2, 3, 5]), value("y", [2, 3, 5])];
  graph.inputs.push(x, w, b);
  scale.tensor = GraphTensor.scalar(DataType.float, 0.5);
  graph.initializers.push(scale);
  graph.append(
    new Node("MatMul", [x, w], [product]),
    new Node("Mul", [product, scale], [scaled]),
    new Node("Add", [scaled, b], [y]),
  );
  graph.addOutput(y);
  return encodeModel(model);
}

/** The operators that are left of a model when ONNX Runtime has optimized it, from the file that it writes then. */
async function operatorsOf(denormalsAsZero: boolean): Promise<readonly string[]> {
  const provider = await chooseProvider([BINDING], { denormalsAsZero, threads: 1 });
  const optimizedModelFilePath = join(temporaryFolder(), "optimized.onnx");
  const session = await provider.create(affine(), { optimizedModelFilePath });
  await session.release();
  return decodeModel(readFileSync(optimizedModelFilePath)).graph.nodes.map(({ opType }) => opType);
}

describe("optimizations of ONNX Runtime that make training slower on the CPU", () => {
  it.each([true, false])("are left out, with denormal numbers as zero or not (%s)", async (denormalsAsZero) => {
    expect(await operatorsOf(denormalsAsZero)).toEqual(["MatMul", "Mul", "Add"]);
  });
});
