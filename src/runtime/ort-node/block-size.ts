import type { Tensor } from "onnxruntime-common";
import { DataType } from "../../graph/data-type.ts";
import { Graph, Node, Value } from "../../graph/graph.ts";
import { Model, ONNX_DOMAIN } from "../../graph/model.ts";
import { encodeModel } from "../../graph/serde/encode.ts";
import { tensorType } from "../../graph/value-type.ts";
import { NO_LOG } from "../session-options.ts";
import type { OrtModule } from "./load.ts";

/** What models are loaded with that only try out what a provider does. */
export const PROBE_OPTIONS = { ...NO_LOG, executionProviders: ["cpu"], intraOpNumThreads: 1 };

/** The least number of channels that ONNX Runtime puts into blocks. */
const CHANNELS = 4;

/**
 * How many channels a block has where ONNX Runtime's CPU provider has convolutions in blocks of channels: 16 on processors with AVX-512, 8 with
 * AVX, as it fills them up. Null where it has none.
 */
export async function blockSizeOf(ort: OrtModule): Promise<number | null> {
  let session: Awaited<ReturnType<OrtModule["InferenceSession"]["create"]>>;
  try {
    session = await ort.InferenceSession.create(probeModel(), PROBE_OPTIONS);
  } catch {
    return null;
  }
  try {
    const { out }: Readonly<Record<string, Tensor>> = await session.run({
      in: new ort.Tensor("float32", new Float32Array(CHANNELS), [1, CHANNELS, 1, 1]),
    });
    const size = out?.dims[1] ?? 0;
    return size > CHANNELS ? size : null;
  } finally {
    await session.release();
  }
}

function probeModel(): Uint8Array {
  const graph = new Graph("probe");
  const model = new Model(8, graph);
  model.opsets.set(ONNX_DOMAIN, 17);
  model.opsets.set("com.microsoft.nchwc", 1);
  const [input, output] = [
    new Value("in", tensorType(DataType.float, [1, CHANNELS, 1, 1])),
    new Value("out", tensorType(DataType.float, null)),
  ];
  graph.inputs.push(input);
  graph.append(new Node("ReorderInput", [input], [output], { name: "probe", domain: "com.microsoft.nchwc" }));
  graph.addOutput(output);
  return encodeModel(model);
}
