import { ROLES, readPlan } from "../../src/artifacts/portable/plan.ts";
import { decodeState } from "../../src/artifacts/portable/state.ts";
import { decodeManifest } from "../../src/artifacts/run-checkpoint/manifest.ts";
import { decodeSetManifest } from "../../src/artifacts/set-manifest-format.ts";
import {
  AGR_RECORD,
  checkModel,
  decodeModel,
  diffModels,
  encodeModel,
  explainOptimizers,
  extractForward,
  findOptimizers,
  lowerTrainingOps,
  printModel,
  raiseOpset,
  readRecord,
  setLearningRate,
} from "../../src/entries/graph.ts";
import {
  decodeCheckpoint,
  decodeSafetensors,
  encodeCheckpoint,
  encodeSafetensors,
} from "../../src/entries/training.ts";
import { decodeJournal } from "../../src/graph/io/file-set.ts";
import {
  buildTrainingArtifacts,
  insertAgr,
  insertProven,
  lowerArtifacts,
  type Model,
  OnnxAgrError,
  stripAgr,
} from "../../src/index.ts";
import { decodeNpy } from "../../src/runtime/data/npy.ts";
import { decodeNpz } from "../../src/runtime/data/npz.ts";

export type Kind = "model" | "checkpoint" | "safetensors" | "state" | "manifest" | "set" | "journal" | "npy" | "npz";

type Operation = (bytes: Uint8Array) => unknown;

/** Every operation has a model of its own: they change it. */
const onModel =
  (operation: (model: Model) => unknown): Operation =>
  (bytes) => {
    const model = decodeModel(bytes);
    checkModel(model);
    return operation(model);
  };

function mustBeEqual(a: Uint8Array, b: Uint8Array, what: string): void {
  if (Buffer.compare(a, b) !== 0) throw new Error(`not the same after ${what}`);
}

function roundTrip(model: Model): void {
  const once = encodeModel(model);
  mustBeEqual(encodeModel(decodeModel(once)), once, "decoding and encoding");
}

function insertAndStrip(model: Model): void {
  /** AGR that is there already goes too: what a stripped model has lost then is no fault. */
  if (readRecord(model, AGR_RECORD) !== null || model.opsets.has("onnx-agr")) return;
  const before = encodeModel(model);
  insertAgr(model, { count: 2 });
  checkModel(decodeModel(encodeModel(model)));
  stripAgr(model);
  mustBeEqual(encodeModel(model), before, "insert and strip");
}

/** What is refused by name is as it should be. */
function orOurs(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof OnnxAgrError)) throw error;
  }
}

const artifacts = { trainingModel: null, evalModel: null, optimizerModel: null, checkpoint: null };

/** What an input of each kind goes through. Errors of ours are right answers; anything else is a find. */
const OPERATIONS: Readonly<Record<Kind, Readonly<Record<string, Operation>>>> = {
  model: {
    roundTrip: onModel(roundTrip),
    print: onModel((model) => printModel(model)),
    find: onModel((model) => findOptimizers(model)),
    explain: onModel((model) => explainOptimizers(model)),
    insertAndStrip: onModel(insertAndStrip),
    insertProven: onModel((model) => insertProven(model, { proof: false })),
    plan: onModel((model) => {
      for (const role of ROLES) orOurs(() => readPlan(model, role));
    }),
    raise: onModel((model) => {
      raiseOpset(model, 21);
      encodeModel(model);
    }),
    strip: onModel((model) => stripAgr(model)),
    learningRate: onModel((model) => setLearningRate(model, { rate: 0.1, decay: "cosine", totalSteps: 10 })),
    extract: onModel((model) => extractForward(model, { weights: new Map() })),
    lowerOperators: onModel((model) => {
      lowerTrainingOps(model);
      encodeModel(model);
    }),
    lower: onModel((model) => lowerArtifacts({ ...artifacts, trainingModel: model, optimizerModel: model })),
    build: onModel((model) => buildTrainingArtifacts(model, { loss: { kind: "mse" } })),
    diff: (bytes) => onModel((model) => onModel((other) => diffModels(model, other))(bytes))(bytes),
  },
  checkpoint: { roundTrip: (bytes) => encodeCheckpoint(decodeCheckpoint(bytes)) },
  safetensors: {
    roundTrip(bytes) {
      const { tensors, metadata } = decodeSafetensors(bytes);
      const once = encodeSafetensors(tensors, metadata);
      for (const { tensor } of tensors) tensor.values();
      decodeSafetensors(once);
    },
  },
  state: { decode: decodeState },
  manifest: { decode: (bytes) => decodeManifest(bytes, "manifest.json") },
  set: { decode: (bytes) => decodeSetManifest(bytes, "set.json") },
  journal: { decode: (bytes) => decodeJournal(bytes, ".journal") },
  npy: { decode: (bytes) => decodeNpy(bytes, "x").values() },
  npz: { decode: decodeNpz },
};

export interface Find {
  readonly operation: string;
  readonly message: string;
}

/** @returns the first operation that ended in anything but a result or an error of ours; null where none did */
export async function attack(kind: Kind, bytes: Uint8Array): Promise<Find | null> {
  for (const [operation, run] of Object.entries(OPERATIONS[kind])) {
    try {
      await run(bytes);
    } catch (error) {
      if (error instanceof OnnxAgrError) continue;
      return { operation, message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    }
  }
  return null;
}
