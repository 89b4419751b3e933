import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { model, Sketch } from "../../fixtures/sketch.ts";
import { DataType, dataTypeName, encodeModel } from "../../src/entries/graph.ts";
import { TypeInference } from "../../src/ops/inference/inference.ts";
import { INFERENCE_RULES } from "../../src/ops/inference/table.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";
import { INFERENCE_CASES, type InferenceCase, WITHOUT_CASE } from "./inference-cases.ts";
import { SIGNALS } from "./signal-cases.ts";

const CASES = [...INFERENCE_CASES, ...SIGNALS];

const ORT_NAMES: Readonly<Record<string, string>> = { float32: "float", float64: "double" };
const FEED_TYPES = new Map<number, "float32" | "int64" | "bool">([
  [DataType.float, "float32"],
  [DataType.int64, "int64"],
  [DataType.bool, "bool"],
]);

function titleOf({ op, opset, inputs, attributes, outputs }: InferenceCase): string {
  const show = (data: ArrayLike<number | bigint>): string => (data.length > 12 ? "..." : Array.from(data).join(","));
  const given = inputs.map((input) => {
    if (input === null) return "-";
    const { dtype, dims } = input.tensor;
    return `${dataTypeName(dtype)}[${dims.join(",")}]${input.isFed ? "" : `{${show(input.tensor.values())}}`}`;
  });
  const named = attributes.map(({ name, kind, value }) =>
    kind === "int" || kind === "ints" || kind === "float" ? `${name}=${value}` : name,
  );
  return `${op}-${opset}(${given.join(", ")}) ${named.join(" ")} ${outputs > 1 ? `${outputs} outputs` : ""}`.trim();
}

/** The node, what is inferred of it, and what ONNX Runtime makes of it. */
async function both(each: InferenceCase) {
  const sketch = new Sketch("case");
  const feeds: Record<string, Tensor> = {};
  const names = each.inputs.map((input, index) => {
    if (input === null) return "";
    const { dtype, dims } = input.tensor;
    const name = `in${index}`;
    if (input.isFed) {
      sketch.input(name, { kind: "tensor", dtype, shape: dims });
      feeds[name] = new Tensor(FEED_TYPES.get(dtype) ?? "float32", input.tensor.values() as Float32Array, dims);
    } else sketch.initializer(name, input.tensor);
    return name;
  });
  const results = Array.from({ length: each.outputs }, (_, index) => `out${index}`);
  const dot = each.op.lastIndexOf(".");
  const [op, domain] = [each.op.slice(dot + 1), each.op.slice(0, Math.max(0, dot))];
  sketch.node(op, names, results, each.attributes, domain);
  const { graph } = sketch;
  const outputs = graph.nodes.flatMap((node) => node.outputs.filter((output) => output !== null));
  for (const output of outputs) graph.addOutput(output);
  const subject = model(graph, 10, [
    ["", each.opset],
    ["com.microsoft", 1],
    ["ai.onnx.ml", 1],
  ]);
  const bytes = encodeModel(subject);
  const types = new TypeInference(each.opset);
  types.graph(graph);
  const session = await openSession(bytes, { graphOptimizationLevel: "disabled" });
  const made = await session.run(feeds);
  await session.release();
  return outputs.map((output) => ({ output, content: types.content(output), result: made[output.name] }));
}

describe("what is inferred of an operator is what ONNX Runtime makes:", () => {
  it.each(CASES.map((each) => [titleOf(each), each] as const))("%s", async (_, each) => {
    for (const { output, content, result } of await both(each)) {
      if (result === undefined) throw new Error("there is no result");
      const { type } = output;
      if (type?.kind !== "tensor") throw new Error("no type was inferred");
      expect(dataTypeName(type.dtype)).toBe(ORT_NAMES[result.type] ?? result.type);
      expect(type.shape?.map((dim, axis) => dim ?? result.dims[axis]) ?? result.dims).toEqual(result.dims);
      if (each.tells !== "type") expect(type.shape).toEqual(result.dims);
      if (each.tells === "elements") expect(content).not.toBeNull();
      if (content === null) continue;
      if (each.tells === "elements") expect(content).not.toContain(null);
      const truth = valuesOf(result).map((value) => value + 0);
      expect(content.map((element, index) => element ?? truth[index])).toEqual(truth);
    }
  });
});

describe("every rule of inference", () => {
  it("has a case, or a reason for none", () => {
    const tested = new Set(CASES.map(({ op }) => op));
    const missing = [...INFERENCE_RULES.keys()].filter((op) => !tested.has(op) && !(op in WITHOUT_CASE));
    expect(missing).toEqual([]);
    expect(Object.keys(WITHOUT_CASE).filter((op) => tested.has(op) || !INFERENCE_RULES.has(op))).toEqual([]);
  });
});
