import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makePlainStep } from "../fixtures/plain-steps.ts";
import * as onnxAgr from "./support/exports.ts";

const FOLDER = mkdtempSync(join(tmpdir(), "onnx-agr-test-"));

/** What a JavaScript caller may give by mistake. */
const WRONG = {
  undefined: undefined,
  null: null,
  number: 3,
  text: join(FOLDER, "nothing"),
  ArrayBuffer: new ArrayBuffer(16),
  Buffer: Buffer.from("no model at all, but bytes"),
  empty: {},
  tensors: { x: new onnxAgr.Tensor("float32", Float32Array.of(1), [1]) },
  list: ["x"],
} as const;

/** Classes and constants are among them. */
const EXPORTS = new Map<string, unknown>(Object.entries(onnxAgr));

type WrongName = keyof typeof WRONG;

/** A parameter: which of these it takes (what happens then is not this test's matter), and something right. */
interface Parameter {
  readonly name: string;
  readonly takes: readonly WrongName[];
  readonly right: () => unknown;
}

const parameter =
  (takes: readonly WrongName[], right: () => unknown) =>
  (name: string): Parameter => ({ name, takes, right });

const root = fileURLToPath(new URL("../fixtures/digits", import.meta.url));
let artifacts: onnxAgr.TrainingArtifacts;
let portable: onnxAgr.PortableArtifacts;
let dataset: onnxAgr.Dataset;
let session: onnxAgr.TrainingSession;
let ranks: onnxAgr.Communicator;
let anyGradients: onnxAgr.NamedTensors;

const optionsTake: readonly WrongName[] = ["undefined", "empty", "tensors"];
const path = parameter(["text"], () => join(FOLDER, "not-there"));
const bytes = parameter(["ArrayBuffer", "Buffer"], () => Buffer.from("x"));
const model = parameter([], () => (artifacts.optimizerModel as onnxAgr.Model).clone());
const options = parameter(optionsTake, () => ({}));
const number = parameter(["number"], () => 1);
const optionalNumber = parameter(["number", "undefined"], () => 1);
const text = parameter(["text"], () => "x");
const checkpoint = parameter([], () => onnxAgr.decodeCheckpoint(artifacts.checkpoint as Uint8Array));
const state = parameter([], () => portable.state);
const source = parameter([], () => portable);
const wholeStep = parameter([], () => onnxAgr.stepArtifacts(makePlainStep({ update: "sgd" })));
const set = parameter([], () => ({ onnxruntime: artifacts, portable }));
const inputs = parameter([], () => session.trainingInputs);
const data = parameter([], () => dataset);
const identity = parameter([], () => ({ options: {}, hashes: {} }));
const communicator = parameter([], () => ranks);
const prefer = parameter(["undefined"], () => "portable");

/** Arguments of what compares option sets. */
function comparison(): readonly Parameter[] {
  const both = parameter([], () => ({ training: dataset, validation: dataset }));
  const arms = [{ name: "one", build: { loss: { kind: "cross-entropy" } } }];
  return [model("model"), both("data"), parameter([], () => ({ arms }))("options")];
}

/** Every function that is exported. One without a row makes the test fail. */
const FUNCTIONS: Readonly<Record<string, readonly Parameter[]>> = {
  findLearningRate: [parameter([], () => session)("session"), data("dataset"), options("options")],
  comparisonReport: [
    text("title"),
    parameter([], () => ({
      arms: [],
      contrasts: [],
      runs: [],
      seeds: [],
      sweeps: [],
      metric: "loss",
      weights: "given",
      hashes: {},
      versions: {},
    }))("comparison"),
    parameter([], () => ({ script: "", style: "" }))("assets"),
  ],
  eventFileName: [number("milliseconds"), number("process")],
  readAssets: [],
  trainingReport: [
    parameter([], () => ({ title: "", points: [], epochs: [], statistics: [], configuration: [], versions: [] }))(
      "report",
    ),
    parameter([], () => ({ script: "", style: "" }))("assets"),
  ],
  averageCheckpoints: [parameter(["list"], () => [join(FOLDER, "not-there")])("paths"), options("options")],
  batches: [
    data("dataset"),
    number("epoch"),
    parameter([], () => ({ batchSize: 1, shuffle: false, seed: 0, dropLast: false }))("options"),
  ],
  readBatches: [
    data("dataset"),
    number("epoch"),
    parameter([], () => ({ batchSize: 1, shuffle: false, seed: 0, dropLast: false }))("options"),
  ],
  imageFolderAt: [path("path")],
  readRunManifest: [path("path")],
  namesAndSizes: [path("folder"), parameter(["list"], () => [])("files")],
  buildTrainingArtifacts: [model("model"), parameter(["empty", "tensors"], () => ({}))("options")],
  checkCheckpointFits: [model("trainingModel"), checkpoint("checkpoint")],
  checkGradients: [model("model"), parameter(["empty", "tensors"], () => ({}))("options")],
  checkModel: [model("model"), options("options")],
  checkTrainingSet: [path("folder"), set("set")],
  compare: comparison(),
  estimateComparison: comparison(),
  pairedDifference: [parameter([], () => [1, 2])("differences"), options("options")],
  summarize: [parameter([], () => [1, 2])("values")],
  tProbability: [number("t"), number("degrees")],
  tQuantile: [parameter(["number"], () => 0.5)("probability"), number("degrees")],
  dataTypeName: [number("code")],
  datasetFor: [inputs("inputs"), parameter(["empty", "tensors"], () => dataset.tensors)("tensors"), options("options")],
  externalFiles: [model("model")],
  fixedBatchSize: [inputs("inputs"), data("dataset")],
  sizesOfBatches: [inputs("inputs"), data("dataset"), number("batchSize")],
  ortNodeVersion: [],
  grantedProcessors: [],
  processorTime: [],
  samplesOf: [data("dataset"), parameter(["empty", "tensors"], () => ({}))("feeds")],
  decodeCheckpoint: [bytes("bytes")],
  decodeModel: [bytes("bytes"), options("options")],
  decodePbseqCheckpoint: [parameter([], () => new Map())("folder")],
  decodeSafetensors: [bytes("bytes")],
  decodeState: [bytes("bytes")],
  describeNode: [parameter([], () => artifacts.optimizerModel?.graph.nodes[0])("node")],
  diffModels: [model("a"), model("b")],
  differences: [identity("manifest"), identity("now")],
  encodeCheckpoint: [checkpoint("checkpoint")],
  encodeModel: [model("model")],
  encodeSafetensors: [
    parameter([], () => dataset.tensors)("tensors"),
    parameter(["undefined"], () => new Map())("metadata"),
  ],
  encodeState: [state("state")],
  explainOptimizers: [model("model"), options("options")],
  extractForward: [model("model"), parameter([], () => ({ weights: new Map() }))("options")],
  findOptimizers: [model("model"), options("options")],
  formatType: [parameter(["null"], () => null)("type")],
  hasExternalData: [model("model")],
  identityOf: [source("source")],
  inspectStep: [model("model"), options("options")],
  insertAgr: [model("model"), options("options")],
  insertProven: [model("model"), options("options")],
  inspectPlacement: [source("source"), options("options")],
  isCheckpointFile: [path("path")],
  isCheckpointFolder: [path("path")],
  isPbseqFile: [path("name")],
  isPortable: [source("source")],
  isStep: [source("source")],
  isPortableFolder: [path("folder")],
  learningRateAt: [parameter([], () => ({ rate: 1 }))("schedule"), number("step")],
  loadOrtNode: [],
  loadRun: [path("path")],
  loadTrainingSet: [path("folder"), options("options")],
  exchangeBytes: [communicator("communicator"), bytes("own"), optionalNumber("root")],
  exchangeNumbers: [communicator("communicator"), parameter([], () => [1])("own")],
  isOfAllRanks: [],
  joinRanks: [options("options")],
  ranksHere: [],
  ranksStarted: [],
  ofAllRanks: [parameter([], () => new Error("x"))("error")],
  requireAlike: [communicator("communicator"), parameter(["empty", "tensors"], () => ({}))("own")],
  lockRuns: [parameter(["text"], () => FOLDER)("folder"), options("options")],
  lowerArtifacts: [parameter([], () => artifacts)("artifacts"), options("options")],
  lowerTrainingOps: [model("model")],
  newRun: [path("folder")],
  open: [path("path"), options("options")],
  openFolder: [path("folder")],
  pbseqAlone: [path("path")],
  pipeline: [parameter(["list"], () => [])("passes")],
  planTraining: [inputs("inputs"), data("dataset"), options("options")],
  printModel: [model("model"), options("options")],
  proveGradients: [model("model"), options("options"), optionalNumber("seed")],
  putWeights: [model("model"), parameter([], () => new Map())("weights")],
  raiseOpset: [model("model"), number("to")],
  readArtifacts: [path("folder"), options("options")],
  readCheckpointFile: [path("path")],
  summarizeModel: [model("model"), options("options")],
  readData: [path("specification"), options("options")],
  readDataFile: [path("path"), options("options")],
  readDataset: [inputs("inputs"), path("specification"), options("options")],
  openData: [path("specification"), options("options")],
  describeData: [parameter([], () => ({ tensors: dataset.tensors }))("content")],
  contactSheet: [parameter([], () => ({ tensors: dataset.tensors }))("content")],
  fitTensors: [inputs("inputs"), parameter([], () => dataset.tensors)("tensors"), options("options")],
  dataFilesOf: [path("specification")],
  readExternalTensors: [model("model")],
  readModel: [path("path"), options("options")],
  readPlan: [parameter([], () => portable.gradients)("model"), parameter([], () => "gradients")("role")],
  readPortable: [path("folder"), options("options")],
  readRecord: [model("model"), text("key")],
  readSetManifest: [path("folder")],
  readStep: [path("path"), options("options")],
  readTrainable: [path("folder"), options("options")],
  readTrainingSet: [path("folder"), options("options")],
  readWeights: [path("path")],
  removeLearningRate: [model("model")],
  reportGradients: [parameter(["empty", "tensors"], () => ({}))("gradients"), optionalNumber("strength")],
  runPass: [model("model"), parameter([], () => onnxAgr.pipeline([]))("pass"), options("options")],
  saveRun: [
    path("folder"),
    state("state"),
    parameter([], () => ({ step: 1, position: {}, options: {}, hashes: {} }))("manifest"),
    options("options"),
  ],
  setLearningRate: [model("model"), parameter([], () => ({ rate: 1 }))("schedule")],
  sha256: [bytes("parts")],
  sha256OfFile: [path("path")],
  stepArtifacts: [model("model"), options("options")],
  stripAgr: [model("model")],
  splitDataset: [data("dataset"), number("fraction"), optionalNumber("seed")],
  evaluate: [parameter([], () => session)("session"), data("dataset"), options("options")],
  train: [parameter([], () => session)("session"), data("dataset"), options("options")],
  trainableOf: [set("set"), prefer("prefer")],
  trainableParameters: [parameter([], () => artifacts)("artifacts")],
  trainingInputsOf: [source("source"), path("folder")],
  userInputs: [model("model"), checkpoint("checkpoint")],
  verifyInsertion: [model("original"), model("inserted"), options("options"), optionalNumber("seed")],
  whatIs: [parameter([], () => ({ isDirectory: () => true }))("found")],
  withInitialState: [
    wholeStep("source"),
    parameter([], () => new Map())("tensors"),
    parameter(["undefined", "number"], () => 0)("step"),
  ],
  withWeights: [source("source"), parameter([], () => new Map())("weights")],
  verifyFinished: [model("model"), options("options")],
  writeArtifacts: [path("folder"), parameter([], () => artifacts)("artifacts")],
  writeBuilt: [path("folder"), set("built"), options("options")],
  writeFileAtomic: [
    parameter(["text"], () => join(FOLDER, "new"))("path"),
    parameter(["ArrayBuffer", "Buffer", "list"], () => [])("parts"),
  ],
  writeModel: [parameter(["text"], () => join(FOLDER, "new"))("path"), model("model")],
  writePortable: [path("folder"), parameter([], () => portable)("portable")],
  writeTrainingSet: [path("folder"), set("set"), options("options")],
};

const feeds = parameter(["empty", "tensors"], () => [...onnxAgr.batches(dataset, 0, BATCHING)][0]);
const gradients = parameter(["empty", "tensors"], () => anyGradients);
const BATCHING = { batchSize: 4, shuffle: false, seed: 0, dropLast: true };
const fetches = parameter([...optionsTake, "list"], () => undefined);
const trainableOnly = parameter(["undefined"], () => true);

/** Every method of a session. */
const METHODS: Readonly<Record<string, readonly Parameter[]>> = {
  applyGradients: [gradients("gradients"), parameter(optionsTake, () => undefined)("statistics")],
  exportModel: [parameter(["undefined", "list"], () => undefined)("outputs")],
  findNotFinite: [parameter(["undefined", "empty", "tensors"], () => undefined)("feeds")],
  getContiguousParameters: [trainableOnly("trainableOnly")],
  getGradients: [],
  gradientsOf: [feeds("feeds")],
  getParametersSize: [trainableOnly("trainableOnly")],
  getState: [],
  lazyResetGrad: [],
  lossScale: [],
  lendState: [parameter([], () => "parameter")("kind")],
  learningRateOf: [number("step")],
  loadParametersBuffer: [bytes("buffer"), trainableOnly("trainableOnly")],
  loadState: [state("state")],
  release: [],
  runEvalStep: [feeds("feeds"), fetches("fetches")],
  runOptimizerStep: [],
  runTrainStep: [feeds("feeds"), fetches("fetches")],
  saveCheckpoint: [],
  setLearningRate: [number("rate")],
  sharedUpdates: [],
  trainSteps: [parameter([], () => [])("batches"), parameter(["undefined"], () => undefined)("rates")],
};

type Call = (...args: unknown[]) => unknown;

/** What a call throws or rejects with; undefined where it does not. */
async function failureOf(call: Call, args: readonly unknown[]): Promise<unknown> {
  try {
    const result = await call(...args);
    if (typeof result === "object" && result !== null && "next" in result) await (result as Iterator<unknown>).next();
    if (typeof result === "function") await (result as () => Promise<void>)();
    return undefined;
  } catch (error) {
    return error;
  }
}

async function faultsOf(call: Call, parameters: readonly Parameter[]): Promise<readonly string[]> {
  const faults: string[] = [];
  for (const [at, { name, takes }] of parameters.entries()) {
    for (const wrong of Object.keys(WRONG) as WrongName[]) {
      const args = parameters.map(({ right }, index) => (index === at ? WRONG[wrong] : right()));
      const error = await failureOf(call, args);
      const fits = takes.includes(wrong)
        ? error === undefined || error instanceof onnxAgr.OnnxAgrError
        : error instanceof onnxAgr.UsageError && error.message.length > 20;
      if (!fits) faults.push(`${name} = ${wrong}: ${String(error)}`);
    }
  }
  return faults;
}

beforeAll(async () => {
  artifacts = await onnxAgr.readArtifacts(root);
  portable = await onnxAgr.lowerArtifacts(artifacts);
  ranks = await onnxAgr.joinRanks();
  session = await onnxAgr.TrainingSession.create(portable);
  anyGradients = await session.getGradients();
  dataset = onnxAgr.datasetFor(session.trainingInputs, {
    input: new onnxAgr.Tensor("float32", new Float32Array(4 * 256), [4, 1, 16, 16]),
    labels: new onnxAgr.Tensor("int64", BigInt64Array.of(0n, 1n, 2n, 3n), [4]),
  });
});

afterAll(async () => {
  await session.release();
  rmSync(FOLDER, { recursive: true, force: true });
});

describe("arguments that are wrong", () => {
  it("have a row for every function that is exported, and every method of a session", () => {
    const functions = [...EXPORTS].filter(([, value]) => typeof value === "function" && !/^class/.test(`${value}`));
    expect(functions.map(([name]) => name).sort()).toEqual(Object.keys(FUNCTIONS).sort());
    const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(session)).filter(
      (name) =>
        name !== "constructor" &&
        typeof Object.getOwnPropertyDescriptor(Object.getPrototypeOf(session), name)?.value === "function",
    );
    expect(methods.sort()).toEqual(Object.keys(METHODS).sort());
  });

  it.each(Object.entries(FUNCTIONS))("of %s are usage errors", async (name, parameters) => {
    expect(await faultsOf(EXPORTS.get(name) as Call, parameters)).toEqual([]);
  });

  it("of TrainingSession.create are usage errors", async () => {
    const create: Call = (...args) => (onnxAgr.TrainingSession.create as Call)(...args);
    expect(await faultsOf(create, [parameter(["text"], () => portable)("source")])).toEqual([]);
    for (const wrong of [null, 3, "ort-node", ["x"]]) {
      expect(await failureOf(create, [portable, wrong])).toBeInstanceOf(onnxAgr.UsageError);
    }
    const files = { checkpointState: 3, trainModel: new Uint8Array(1) };
    expect(await failureOf(create, [files])).toBeInstanceOf(onnxAgr.UsageError);
  });

  it.each(Object.entries(METHODS))("of session.%s are usage errors", async (name, parameters) => {
    const call: Call = (...args) => (session[name as "release"] as Call).apply(session, args as []);
    expect(await faultsOf(call, parameters)).toEqual([]);
  });
});

describe("arguments in other forms", () => {
  it("bytes may be an ArrayBuffer, a Buffer or any view", async () => {
    const bytes = onnxAgr.encodeModel(artifacts.optimizerModel as onnxAgr.Model);
    const own = bytes.slice();
    for (const form of [own, own.buffer, Buffer.from(own), new DataView(own.buffer)]) {
      const decoded = onnxAgr.decodeModel(form as Uint8Array);
      expect(Buffer.from(onnxAgr.encodeModel(decoded)).equals(bytes)).toBe(true);
    }
  });

  it("a dataset is the same of ONNX Runtime's tensors and of the graph's", () => {
    const list = dataset.tensors.map(({ name, tensor }) => ({ name, tensor }));
    const byName = Object.fromEntries(list.map(({ name, tensor }) => [name, tensor]));
    for (const form of [list, byName]) expect(onnxAgr.datasetFor(session.trainingInputs, form)).toEqual(dataset);
  });

  it("an error names the argument, what it takes and what was given", async () => {
    const error = await failureOf(onnxAgr.insertAgr as Call, ["model.onnx"]);
    expect(error).toMatchObject({ code: "E_ARGUMENT", exitCode: 2, field: "model" });
    expect(String(error)).toContain('model must be a Model, as readModel and decodeModel give it; it is "model.onnx"');
  });
});
