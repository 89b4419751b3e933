import { Command } from "commander";
import {
  AGR_RECORD,
  explainOptimizers,
  type FindOptions,
  findOptimizers,
  formatType,
  type InspectedStep,
  inspectStep,
  type NamedTensor,
  printModel,
  readRecord,
} from "../../entries/graph.ts";
import { inspectPlacement } from "../../entries/run.ts";
import { decodeCheckpoint, isCheckpointFile, isCheckpointFolder, readCheckpointFile } from "../../entries/training.ts";
import {
  type Model,
  readTrainable,
  readTrainingSet,
  type TrainingArtifacts,
  type TrainingSet,
  trainableParameters,
  UsageError,
} from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import type { Document } from "../describe/document.ts";
import { describePlacement } from "../describe/placement.ts";
import { describePortable } from "../describe/portable.ts";
import { describeStep } from "../describe/step.ts";
import type { Io } from "../io.ts";
import { readModelArgument, STANDARD } from "../models.ts";
import { providers } from "../session-options.ts";
import { readingOf, type StrictOption, withStrict } from "../strict.ts";
import { kindOf } from "../target.ts";
import { collect } from "../values.ts";

interface InspectOptions extends StrictOption {
  readonly text?: boolean;
  readonly explain?: boolean;
  readonly state: readonly string[];
  readonly gradient: readonly string[];
  readonly ep?: readonly string[];
  readonly proof: boolean;
}

export function inspectCommand(io: Io): Command {
  return withStrict(new Command("inspect"))
    .description(
      "Say what a model, checkpoint or folder of artifacts is, which optimizers it has, and whether AGR is in it",
    )
    .argument("<input>", "model, checkpoint, folder of training artifacts, or - for a model on stdin")
    .option("--text", "print the whole graph as text")
    .option(
      "--explain",
      "say of every dialect of optimizers what matched or what stopped it; exit with 4 where none is there",
    )
    .option(
      "--state <input=output>",
      "plain train steps: the output that renews a state input; repeatable",
      collect,
      [],
    )
    .option("--gradient <tensor=parameter>", "plain train steps: a parameter's gradient; repeatable", collect, [])
    .option("--no-proof", "plain train steps: go by names and data flow, without running the step in onnxruntime-node")
    .option("--ep <list>", "run one step on these execution providers, and say on which each node ran", providers)
    .addHelpText(
      "after",
      `
Examples:
  onnx-agr inspect artifacts
  onnx-agr inspect artifacts --ep webgpu,cpu
  onnx-agr inspect optimizer_model.onnx --text
  onnx-agr inspect train_step.onnx --explain`,
    )
    .action(async (input: string, options: InspectOptions, command: Command) => {
      const console = new Console(io, command.optsWithGlobals<OutputOptions>());
      const mistakes: string[] = [];
      const document = await inspect(input, io.stdin, options, (mistake) => mistakes.push(mistake));
      for (const mistake of mistakes) console.note(`a mistake in the model: ${mistake}`);
      console.result(
        { command: "inspect", input, ...document.json, ...(mistakes.length === 0 ? {} : { mistakes }) },
        document.lines,
      );
      if (document.isNothing === true) io.exitCode = 4;
    });
}

/** @param tolerate told of what every other command refuses the model for */
async function inspect(
  input: string,
  stdin: Io["stdin"],
  options: InspectOptions,
  tolerate: (mistake: string) => void,
): Promise<Document> {
  const { text = false, explain = false, state, gradient } = options;
  const isFolder = input !== STANDARD && (await kindOf(input)) === "folder";
  if (options.ep !== undefined) {
    const source = isFolder ? await readTrainable(input, readingOf(options)) : null;
    if (source === null) throw new UsageError("E_OPTION", "--ep needs a folder of artifacts, to run a step of them");
    return describePlacement(await inspectPlacement(source, { executionProviders: options.ep }));
  }
  if (isFolder && (await isCheckpointFolder(input))) return describeCheckpoint(await readCheckpointFile(input));
  if (isFolder)
    return inspectSet(await readTrainingSet(input, readingOf(options)), explain ? { state, gradient } : null);
  const isCheckpoint = input !== STANDARD && (await isCheckpointFile(input));
  if (isCheckpoint) return describeCheckpoint(await readCheckpointFile(input));
  const model = await readModelArgument(input, stdin, { ...readingOf(options), tolerate });
  if (explain) return explainModel(model, { state, gradient });
  const step = await inspectStep(model, { state, gradient, proof: options.proof });
  const document = withStep(describeModel(model, step?.options ?? { state, gradient }), step);
  if (!text) return document;
  const printed = printModel(model);
  return { json: { ...document.json, text: printed }, lines: printed.trimEnd().split("\n") };
}

/** Everything a folder holds. @param explain how to look for optimizers, where that is asked for */
function inspectSet({ onnxruntime, portable }: TrainingSet, explain: FindOptions | null): Document {
  const own = onnxruntime?.optimizerModel ?? onnxruntime?.trainingModel;
  const step = portable?.trainStep ?? portable?.gradients;
  const documents = [
    ...(onnxruntime === null ? [] : [explain && own ? explainModel(own, explain) : describeArtifacts(onnxruntime)]),
    ...(portable === null ? [] : [explain && step ? explainModel(step, explain) : describePortable(portable)]),
  ];
  const [first, second] = documents;
  if (first === undefined) throw new Error("a set holds something");
  if (second === undefined) return first;
  return {
    json: { ...first.json, portable: second.json },
    lines: [...first.lines, ...second.lines],
    isNothing: first.isNothing === true && second.isNothing === true,
  };
}

function withStep(document: Document, step: InspectedStep | null): Document {
  if (step === null) return document;
  const { json, lines } = describeStep(step);
  return { ...document, json: { ...document.json, step: json }, lines: [...document.lines, ...lines] };
}

function explainModel(model: Model, options: FindOptions): Document {
  const explanations = explainOptimizers(model, options);
  const dialects = explanations.map(({ dialect, looksFor, sites, refusals }) => ({
    dialect,
    looksFor,
    matched: sites.flatMap(({ name, optimizer, edges }) =>
      edges.map(({ value, kind, parameter }) => ({
        optimizer,
        name,
        gradient: value.name,
        kind,
        parameter: parameter?.name ?? null,
      })),
    ),
    refused: refusals.map(({ at, reason }) => ({ at, reason })),
  }));
  const lines = dialects.flatMap(({ dialect, looksFor, matched, refused }) => [
    `${dialect}: ${matched.length > 0 ? `${matched.length} gradient edges` : "nothing"}; looks for ${looksFor}`,
    ...matched.map(
      ({ optimizer, gradient, kind, parameter }) =>
        `  ${optimizer}: ${kind} "${gradient}"${parameter === null ? "" : ` of ${parameter}`}`,
    ),
    ...refused.map(({ at, reason }) => `  not ${at}: ${reason}`),
  ]);
  return {
    json: { kind: "explanation", dialects },
    lines,
    isNothing: dialects.every(({ matched }) => matched.length === 0),
  };
}

function describeModel(model: Model, options: FindOptions = {}): Document {
  const found = findOptimizers(model, options);
  const { sites } = found;
  const refusals = found.refusals.filter(({ node }) => node !== null || sites.length > 0);
  const agr = readRecord(model, AGR_RECORD);
  const values = (list: Model["graph"]["inputs"]): { name: string; type: string }[] =>
    list.map(({ name, type }) => ({ name, type: formatType(type) }));
  const optimizers = sites.map(({ dialect, name, optimizer, edges }) => ({
    dialect,
    name,
    optimizer,
    gradients: edges.map(({ value, kind, uses, parameter }) => ({
      value: value.name,
      kind,
      parameter: parameter?.name ?? null,
      regularized: uses.some(({ user, index }) => !value.uses.some((use) => use.user === user && use.index === index)),
    })),
  }));
  const json = {
    kind: "model",
    irVersion: model.irVersion,
    opsets: Object.fromEntries(model.opsets),
    producer: `${model.producerName} ${model.producerVersion}`.trim(),
    nodes: model.graph.nodeCount,
    functions: model.functions.length,
    inputs: values(model.graph.inputs),
    outputs: values([...model.graph.outputs]),
    optimizers,
    refusals: refusals.map(({ dialect, at, reason }) => ({ dialect, at, reason })),
    agr,
  };
  const lines = [
    `ONNX model, IR ${model.irVersion}, ${[...model.opsets].map(([domain, version]) => `${domain || "ai.onnx"} ${version}`).join(", ")}${json.producer === "" ? "" : `, made by ${json.producer}`}`,
    `  ${json.nodes} nodes, ${model.graph.initializers.length} initializers, ${json.functions} functions`,
    ...json.inputs.map(({ name, type }) => `  input  ${name}: ${type}`),
    ...json.outputs.map(({ name, type }) => `  output ${name}: ${type}`),
    ...optimizers.flatMap(({ optimizer, dialect, name, gradients }) => [
      `  optimizer ${optimizer} "${name}" (${dialect})`,
      ...gradients.map(
        ({ value, kind, parameter, regularized }) =>
          `    gradients: ${kind} "${value}"${parameter === null ? "" : ` of ${parameter}`}, ${regularized ? "with AGR" : "without AGR"}`,
      ),
    ]),
    ...(optimizers.length === 0 ? ["  no optimizer"] : []),
    ...refusals.map(({ at, reason }) => `  not an optimizer: ${at}: ${reason}`),
  ];
  return { json, lines };
}

function describeCheckpoint(bytes: Uint8Array): Document {
  const { trainable, frozen, nominal, optimizerGroups, properties } = decodeCheckpoint(bytes);
  const shapes = (list: readonly NamedTensor[]): { name: string; type: string }[] =>
    list.map(({ name, tensor: { dtype, dims } }) => ({
      name,
      type: formatType({ kind: "tensor", dtype, shape: dims }),
    }));
  const groups = optimizerGroups.map(({ name, step, initialLearningRate, states }) => ({
    name,
    step: String(step),
    initialLearningRate,
    states: states.length,
  }));
  const json = {
    kind: "checkpoint",
    nominal,
    trainable: shapes(trainable),
    frozen: shapes(frozen),
    optimizerGroups: groups,
    properties: [...properties.keys()],
  };
  const lines = [
    `ONNX Runtime training checkpoint${nominal ? ", nominal (no values)" : ""}: ${trainable.length} trainable and ${frozen.length} frozen parameters`,
    ...json.trainable.map(({ name, type }) => `  trainable ${name}: ${type}`),
    ...json.frozen.map(({ name, type }) => `  frozen    ${name}: ${type}`),
    ...groups.map(({ name, step, states }) => `  optimizer group ${name}: step ${step}, state of ${states} parameters`),
  ];
  return { json, lines };
}

function describeArtifacts(artifacts: TrainingArtifacts): Document {
  const parts = (["trainingModel", "evalModel", "optimizerModel"] as const).map((kind) => {
    const model = artifacts[kind];
    return [kind, model === null ? null : describeModel(model)] as const;
  });
  const checkpoint = artifacts.checkpoint === null ? null : describeCheckpoint(artifacts.checkpoint);
  const all = [...parts, ["checkpoint", checkpoint] as const];
  const json = {
    kind: "artifacts",
    parameters: trainableParameters(artifacts),
    ...Object.fromEntries(all.map(([name, document]) => [name, document?.json ?? null])),
  };
  const lines = all.flatMap(([name, document]) => {
    const [first = "missing", ...rest] = document?.lines ?? [];
    return [`${name}: ${first}`, ...rest];
  });
  return { json, lines };
}
