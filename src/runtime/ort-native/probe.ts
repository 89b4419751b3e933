import { Tensor } from "onnxruntime-common";
import { DataType } from "../../graph/data-type.ts";
import { Graph, Node, Value } from "../../graph/graph.ts";
import { Model, ONNX_DOMAIN } from "../../graph/model.ts";
import { encodeModel } from "../../graph/serde/encode.ts";
import { tensorType } from "../../graph/value-type.ts";
import { floatsOf } from "../ort-tensor.ts";
import type { Native } from "./native.ts";
import { NativeSession } from "./session.ts";

/** A number below the smallest normal float32. */
const DENORMAL = Math.fround(1e-39);
const GIVEN = Float32Array.of(1.5, -3, DENORMAL);

/**
 * Runs a model whose numbers are known: a sum and a whole number beside it, into memory of ONNX Runtime's and into what is
 * given to it, with denormal numbers kept and taken to be zero. So functions that are not where they should be are found
 * before anything is trained with them.
 * @throws Error where a number is wrong
 */
export async function tryOutNative(native: Native): Promise<void> {
  for (const flush of [true, false]) {
    const extra = { session: { set_denormal_as_zero: flush ? "1" : "0" } };
    const session = await NativeSession.create(native, probe(), { intraOpNumThreads: 1, extra });
    const sum = native.tensors.make({ type: "float32", dims: [3] });
    try {
      const expected = [3, -6, flush ? 0 : 2 * DENORMAL];
      const feeds = { in: new Tensor("float32", GIVEN, [3]), count: new Tensor("int64", [7n], []) };
      const { same } = await session.run(feeds, { sum, same: null });
      if (session.inputNames.join() !== "in,count" || session.outputNames.join() !== "sum,same") {
        throw new Error(`its inputs are called ${session.inputNames}, its outputs ${session.outputNames}`);
      }
      const given = [...floatsOf(sum)];
      if (given.join() !== expected.join()) throw new Error(`it added up ${given} where ${expected} is right`);
      if (same?.type !== "int64" || same.dims.length > 0 || same.data[0] !== 7n) {
        throw new Error(`it gave ${same?.type} ${same?.data} where int64 7 is right`);
      }
    } finally {
      native.tensors.release(sum);
      await session.release();
    }
  }
}

function probe(): Uint8Array {
  const graph = new Graph("probe");
  const model = new Model(8, graph);
  model.opsets.set(ONNX_DOMAIN, 17);
  const floats = tensorType(DataType.float, [3]);
  const whole = tensorType(DataType.int64, []);
  const [input, count] = [new Value("in", floats), new Value("count", whole)];
  const [sum, same] = [new Value("sum", floats), new Value("same", whole)];
  graph.inputs.push(input, count);
  graph.append(new Node("Add", [input, input], [sum], { name: "add" }));
  graph.append(new Node("Identity", [count], [same], { name: "copy" }));
  graph.addOutput(sum);
  graph.addOutput(same);
  return encodeModel(model);
}
