import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Tensor } from "onnxruntime-common";
import { describe, expect, it } from "vitest";
import { DataType } from "../../../src/graph/data-type.ts";
import { Graph, Node, Value } from "../../../src/graph/graph.ts";
import { Model } from "../../../src/graph/model.ts";
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

/** The operators that a session ran, as ONNX Runtime's own profile has them. */
async function operatorsOf(denormalsAsZero: boolean): Promise<readonly string[]> {
  const provider = await chooseProvider([BINDING], { denormalsAsZero, threads: 1 });
  const folder = temporaryFolder();
  const session = await provider.create(affine(), { enableProfiling: true, profileFilePrefix: join(folder, "p") });
  const ones = (dims: readonly number[]): Tensor =>
    new Tensor("float32", new Float32Array(dims.reduce((size, dim) => size * dim, 1)).fill(1), [...dims]);
  await session.run({ x: ones([2, 3, 4]), w: ones([4, 5]), b: ones([5]) });
  session.endProfiling();
  await session.release();
  const [file = ""] = readdirSync(folder);
  return [...readFileSync(join(folder, file), "utf8").matchAll(/"op_name" ?: ?"(\w+)"/g)].map(([, name = ""]) => name);
}

describe("optimizations of ONNX Runtime that make training slower on the CPU", () => {
  it.each([true, false])("are left out, with denormal numbers as zero or not (%s)", async (denormalsAsZero) => {
    expect(await operatorsOf(denormalsAsZero)).toEqual(["MatMul", "Mul", "Add"]);
  });
});
