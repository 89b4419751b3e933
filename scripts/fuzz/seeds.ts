import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { zipSync } from "fflate";
import { makeMlpArtifacts } from "../../fixtures/mlp.ts";
import { makeOptimizer } from "../../fixtures/optimizer.ts";
import { makePlainStep } from "../../fixtures/plain-steps.ts";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { makeOrtStep, makePreviewStep } from "../../fixtures/tensor-optimizers.ts";
import { encodeState } from "../../src/artifacts/portable/state.ts";
import { encodeManifest } from "../../src/artifacts/run-checkpoint/manifest.ts";
import { attribute, DataType, encodeModel, GraphTensor, sha256 } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { temporaryPath } from "../../src/graph/io/temporary.ts";
import { insertAgr, lowerArtifacts, type Model } from "../../src/index.ts";
import { encodeProto, FULL_MODEL } from "../../tests/graph/serde/full-model.ts";
import type { Kind } from "./operations.ts";

/** A whole input that mutations begin with. */
export interface Seed {
  readonly name: string;
  readonly kind: Kind;
  readonly bytes: Uint8Array;
}

const digits = (file: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../fixtures/digits/${file}`, import.meta.url)));

/** A forward model with most of what the passes look at: convolution, normalization, pooling, shape arithmetic, If, a function. */
function forward(): Model {
  const sketch = new Sketch("net");
  sketch.input("image", float(["batch", 2, 4, 4]));
  const weight = (name: string, dims: readonly number[]): void => {
    const size = dims.reduce((product, dim) => product * dim, 1);
    const values = Float32Array.from({ length: size }, (_, index) => Math.sin(index));
    sketch.initializer(name, GraphTensor.from(DataType.float, dims, values));
  };
  weight("conv.weight", [4, 1, 3, 3]);
  for (const name of ["bn.weight", "bn.bias", "bn.mean", "bn.var"]) weight(name, [4]);
  weight("fc.weight", [3, 16]);
  weight("fc.bias", [3]);
  sketch.initializer("shape", GraphTensor.ints([0, -1]));
  const pads = attribute.ints("pads", [1, 1, 1, 1]);
  sketch.node("Conv", ["image", "conv.weight"], ["conv"], [pads, attribute.int("group", 2)]);
  sketch.node("BatchNormalization", ["conv", "bn.weight", "bn.bias", "bn.mean", "bn.var"], ["bn"]);
  const window = [attribute.ints("kernel_shape", [2, 2]), attribute.ints("strides", [2, 2])];
  sketch.node("MaxPool", ["bn"], ["pool"], window);
  sketch.node("Reshape", ["pool", "shape"], ["flat"]);
  sketch.node("Gemm", ["flat", "fc.weight", "fc.bias"], ["linear"], [attribute.int("transB", 1)]);
  sketch.node("Softmax", ["linear"], ["probabilities"], [attribute.int("axis", -1)]);
  sketch.output("probabilities", float(["batch", 3]));
  return model(sketch.graph, 8, [["", 17]]);
}

function withAgr(of: Model): Model {
  insertAgr(of);
  return of;
}

/** An array file as NumPy writes it. */
export function npy(header: string, data: Uint8Array): Uint8Array {
  const text = new TextEncoder().encode(header);
  const length = Uint8Array.of(text.length & 255, text.length >> 8);
  return Buffer.concat([Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0), length, text, data]);
}

const floats = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer);
const ARRAY = npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n", floats);

const text = (of: string): Uint8Array => new TextEncoder().encode(of);

export async function makeSeeds(): Promise<readonly Seed[]> {
  const models: readonly (readonly [string, Uint8Array])[] = [
    ["every field", encodeProto(FULL_MODEL)],
    ["forward", encodeModel(forward())],
    ["training", digits("training_model.onnx")],
    ["eval", digits("eval_model.onnx")],
    ["sequence optimizer", digits("optimizer_model.onnx")],
    ["sequence optimizer with AGR", encodeModel(withAgr(makeOptimizer()))],
    ["plain step", encodeModel(makePlainStep({ update: "adan" }))],
    ["plain step with AGR", encodeModel(withAgr(makePlainStep({ update: "sgd" })))],
    ["training_info", encodeModel(makePreviewStep("Adam"))],
    ["operator per tensor", encodeModel(makeOrtStep("AdamOptimizer"))],
  ];
  const lowered = await lowerArtifacts(makeMlpArtifacts([3, 2, 2]));
  const portable = [lowered.trainStep, lowered.gradients, lowered.apply, lowered.evalModel].flatMap((each, index) =>
    each === null ? [] : [[`portable ${index}`, encodeModel(each)] as const],
  );
  const state =
    lowered.state === null
      ? new Uint8Array()
      : encodeState({ ...lowered.state, properties: new Map([["epoch", { kind: "int", value: 3n }]]) });
  const tensors = [
    { name: "x", tensor: GraphTensor.floats([2, 2], [1, 2, 3, 4]) },
    { name: "y", tensor: GraphTensor.ints([1, 2]) },
  ];
  const manifest = encodeManifest(
    {
      step: 3,
      position: { epoch: 1, batch: 1, lossSum: 2.5, samples: 8 },
      options: { lr: 0.1, shuffle: true },
      hashes: { apply: "ab" },
    },
    { "state.safetensors": "cd" },
  );
  const journal = JSON.stringify({
    schema: 1,
    renames: [[basename(temporaryPath("a.onnx")), "a.onnx"]],
    removals: [{ name: "b.onnx", inode: 12, changed: 3.5 }],
  });
  return [
    ...[...models, ...portable].map(([name, bytes]): Seed => ({ name, kind: "model", bytes })),
    { name: "checkpoint", kind: "checkpoint", bytes: makeMlpArtifacts([3, 2, 2]).checkpoint ?? new Uint8Array() },
    { name: "tensors", kind: "safetensors", bytes: encodeSafetensors(tensors, new Map([["format", "pt"]])) },
    { name: "state", kind: "state", bytes: state },
    { name: "manifest", kind: "manifest", bytes: manifest },
    {
      name: "set of files",
      kind: "set",
      bytes: text(JSON.stringify({ schema: 1, files: { "a.onnx": "ab".repeat(32) } })),
    },
    { name: "journal", kind: "journal", bytes: text(`${journal}\n${sha256(text(journal))}\n`) },
    { name: "array", kind: "npy", bytes: ARRAY },
    { name: "archive", kind: "npz", bytes: zipSync({ "x.npy": ARRAY, "y.npy": [ARRAY, { level: 0 }] }) },
  ];
}
