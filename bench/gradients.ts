/**
 * What gradients cost: the backward pass against the forward pass of models that `build` makes from forward models. The
 * forward pass is the same graph with the loss as its only output.
 *
 *     npm run bench -- gradients --shared <folder with data/zoo> [--rounds 7]
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { removeDeadNodes } from "../src/edits/dead-nodes.ts";
import { DataType, decodeModel, encodeModel, type GraphTensor, lowerTrainingOps } from "../src/entries/graph.ts";
import { loadOrtNode } from "../src/entries/run.ts";
import { decodeCheckpoint } from "../src/entries/training.ts";
import {
  buildTrainingArtifacts,
  type LossOptions,
  type Model,
  type NamedTensors,
  readModel,
  Tensor,
} from "../src/index.ts";
import { median, type Row, table } from "./table.ts";

const BATCH = 32;
const RUNS = 8;
const MODELS: readonly (readonly [name: string, loss: LossOptions])[] = [
  ["mlp", { kind: "cross-entropy" }],
  ["vit", { kind: "cross-entropy" }],
  ["resnet", { kind: "cross-entropy" }],
  ["lenet", { kind: "cross-entropy" }],
  ["unet", { kind: "mse" }],
  ["albert", { kind: "cross-entropy", classAxis: -1 }],
];

/** Feeds of a batch: the model's own where it is fixed. */
function feedsOf(model: Model, held: ReadonlyMap<string, GraphTensor>): NamedTensors {
  return Object.fromEntries(
    model.graph.inputs.map(({ name, type }): [string, Tensor] => {
      const tensor = held.get(name);
      if (tensor !== undefined) return [name, new Tensor("float32", tensor.values() as Float32Array, [...tensor.dims])];
      const shape = type?.kind === "tensor" ? (type.shape ?? []) : [];
      const dims = shape.map((dim) => (typeof dim === "number" ? dim : BATCH));
      const size = dims.reduce((product, dim) => product * dim, 1);
      if (type?.kind === "tensor" && type.dtype === DataType.int64) {
        return [
          name,
          new Tensor(
            "int64",
            BigInt64Array.from({ length: size }, (_, index) => BigInt(index % 3)),
            dims,
          ),
        ];
      }
      return [
        name,
        new Tensor(
          "float32",
          Float32Array.from({ length: size }, (_, index) => Math.sin(index)),
          dims,
        ),
      ];
    }),
  );
}

/** Loss and gradients, with nothing accumulated, and the loss alone. */
function modelsOf(training: Model): { readonly forward: Model; readonly whole: Model } {
  const make = (isWhole: boolean): Model => {
    const model = decodeModel(encodeModel(training));
    const { graph } = model;
    const [loss] = graph.outputs;
    if (loss === undefined) throw new Error("no loss");
    const accumulators = graph.nodes.filter(({ opType }) => opType === "InPlaceAccumulatorV2");
    const gradients = accumulators.flatMap(({ inputs: [buffer, gradient] }) => {
      if (!buffer || !gradient) return [];
      gradient.type ??= buffer.type;
      return [gradient];
    });
    graph.replaceOutputs(isWhole ? [loss, ...new Set(gradients)] : [loss]);
    graph.remove(...accumulators);
    lowerTrainingOps(model);
    removeDeadNodes(graph);
    graph.inputs.splice(0, graph.inputs.length, ...graph.inputs.filter(({ uses }) => uses.length > 0));
    return model;
  };
  return { forward: make(false), whole: make(true) };
}

async function timer(
  model: Model,
  feeds: NamedTensors,
): Promise<{ run: () => Promise<number>; release: () => Promise<void> }> {
  const session = await (await loadOrtNode()).InferenceSession.create(encodeModel(model), { logSeverityLevel: 3 });
  const given = Object.fromEntries(session.inputNames.map((name) => [name, feeds[name] as Tensor]));
  return {
    run: async () => {
      const began = performance.now();
      for (let index = 0; index < RUNS; index++) await session.run(given);
      return (performance.now() - began) / RUNS;
    },
    release: () => session.release(),
  };
}

async function measure(folder: string, name: string, loss: LossOptions, rounds: number): Promise<Row> {
  const model = await readModel(join(folder, `${name}.onnx`));
  const { onnxruntime } = await buildTrainingArtifacts(model, { loss, targets: ["onnxruntime"] });
  if (onnxruntime?.trainingModel == null || onnxruntime.checkpoint === null) throw new Error(`${name} was not built`);
  const { trainable, frozen } = decodeCheckpoint(onnxruntime.checkpoint);
  const held = new Map([...trainable, ...frozen].map((each) => [each.name, each.tensor]));
  const { forward: forwardModel, whole: wholeModel } = modelsOf(onnxruntime.trainingModel);
  const feeds = feedsOf(wholeModel, held);
  const [forward, whole] = [await timer(forwardModel, feeds), await timer(wholeModel, feeds)];
  const samples: { readonly forward: number; readonly whole: number }[] = [];
  for (let round = 0; round <= rounds; round++)
    samples.push({ forward: await forward.run(), whole: await whole.run() });
  await forward.release();
  await whole.release();
  const measured = samples.slice(1);
  return {
    model: name,
    batch: Object.values(feeds)[0]?.dims[0] ?? 0,
    "forward ms": median(measured.map((each) => each.forward)),
    "forward and backward ms": median(measured.map((each) => each.whole)),
    "backward / forward": median(measured.map((each) => each.whole / each.forward)) - 1,
  };
}

export async function benchGradients(options: {
  readonly rounds: number;
  readonly shared: string | null;
}): Promise<readonly Row[]> {
  const folder = options.shared === null ? "" : join(options.shared, "data", "zoo");
  const rows: Row[] = [];
  for (const [name, loss] of MODELS) {
    if (existsSync(join(folder, `${name}.onnx`))) rows.push(await measure(folder, name, loss, options.rounds));
  }
  console.error(rows.length === 0 ? "gradients: no models; name a folder with data/zoo by --shared" : table(rows));
  return rows;
}
