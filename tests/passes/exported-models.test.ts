import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { DataType, type GraphTensor } from "../../src/entries/graph.ts";
import { decodeSafetensors } from "../../src/entries/training.ts";
import {
  type BuildOptions,
  type BuildReport,
  buildTrainingArtifacts,
  readModel,
  Tensor,
  TrainingSession,
} from "../../src/index.ts";
import { valuesOf } from "../support/tensor-values.ts";

const FOLDER = fileURLToPath(new URL("../../fixtures/pytorch/exported/", import.meta.url));

interface Trained {
  readonly report: BuildReport;
  readonly gradients: Readonly<Record<string, Tensor>>;
  /** PyTorch's, in float64. */
  readonly expected: ReadonlyMap<string, GraphTensor>;
}

/** The gradients of a model that `scripts/reference/exported-programs.py` wrote, and PyTorch's. */
async function train(name: string, options: Partial<BuildOptions> = {}): Promise<Trained> {
  const { tensors } = decodeSafetensors(readFileSync(`${FOLDER}${name}.safetensors`));
  const held = new Map(tensors.map((each) => [each.name, each.tensor]));
  const { portable, report } = await buildTrainingArtifacts(await readModel(`${FOLDER}${name}.onnx`), {
    loss: { kind: "mse" },
    optimizer: { name: "sgd" },
    targets: ["portable"],
    ...options,
  });
  if (portable === null) throw new Error("no portable artifacts");
  const session = await TrainingSession.create(portable);
  const feeds = session.trainingInputNames.map((input) => {
    const tensor = held.get(`in.${input}`);
    if (tensor === undefined) throw new Error(`no ${input}`);
    const isWhole = tensor.dtype === DataType.int64;
    return [
      input,
      isWhole
        ? new Tensor("int64", BigInt64Array.from(tensor.values(), BigInt), [...tensor.dims])
        : new Tensor("float32", Float32Array.from(tensor.realValues()), [...tensor.dims]),
    ] as const;
  });
  await session.runTrainStep(Object.fromEntries(feeds));
  const gradients = await session.getGradients();
  await session.release();
  const expected = new Map(
    [...held].flatMap(([key, value]) => (key.startsWith("grad.") ? [[key.slice(5), value]] : [])),
  );
  return { report, gradients, expected };
}

/** Elements of sums of a few float32 products, the largest near 1: rounding is below 1e-6. */
const TOLERANCE = 2e-6;

function requireEqual(actual: Tensor | undefined, expected: GraphTensor | undefined): void {
  const values = valuesOf(actual);
  const reference = expected?.realValues() ?? [];
  expect(values.length).toBeGreaterThan(0);
  for (const [index, value] of values.entries())
    expect(Math.abs(value - (reference[index] ?? Number.NaN))).toBeLessThan(TOLERANCE);
}

describe("models as PyTorch's exporters write them", () => {
  it.each([
    ["convolution_of_slices", {}, {}],
    ["splits", {}, {}],
    ["groups", {}, {}],
    ["types", {}, {}],
    ["decays", {}, {}],
    ["class_token", {}, {}],
    ["fixed_positions", {}, {}],
    ["tied_float16", { precision: "float32" }, { "head.weight": "table.weight" }],
    ["tied_bfloat16", { precision: "float32" }, { "head.weight": "table.weight" }],
    ["adapted", { parameters: ["*.lora_A.*", "*.lora_B.*"] }, {}],
    ["fixed_norms_traced", {}, {}],
    ["partly_frozen", {}, {}],
    ["partly_frozen_traced", {}, {}],
    ["frozen_beside_dropout_traced", {}, {}],
  ] as const)(
    "%s: PyTorch's parameters are trained, nothing else, and by its gradients",
    async (name, options, tied) => {
      const { gradients, expected } = await train(name, options);
      const names = new Map<string, string>(Object.entries(tied));
      const byName = Object.entries(gradients).map(([key, value]) => [names.get(key) ?? key, value] as const);
      expect(byName.map(([key]) => key).sort()).toEqual([...expected.keys()].sort());
      for (const [key, gradient] of byName) requireEqual(gradient, expected.get(key));
    },
  );

  it("says which parameters are there in part, and how to have them whole", async () => {
    const { report } = await train("types");
    const notes = report.notes.join("\n");
    expect(notes).toMatch(/no more than what the program looked up .*: types\.weight \[1,1,5\]/);
    expect(notes).toContain("torch.onnx.export(..., optimize=False) writes every parameter as PyTorch trains it");
  });

  it("says that tied weights are one, and no more than that", async () => {
    const { report } = await train("tied_float16", { precision: "float32" });
    const notes = report.notes.join("\n");
    expect(notes).toMatch(/nothing in the file reads by their names: table\.weight; they are tied to others/);
    expect(notes).not.toMatch(/do_constant_folding|writes every parameter/);
  });

  it("says that what an adapter adapts is trained, and how to train adapters alone, where nothing is chosen", async () => {
    const { report, gradients } = await train("adapted");
    expect(Object.keys(gradients)).toHaveLength(6);
    const said = "The adapters alone: --params '*.lora_A.*' --params '*.lora_B.*'";
    expect(report.notes.join("\n")).toContain(said);
    const chosen = await train("adapted", { freeze: ["*.base_layer.*", "head.*"] });
    expect(chosen.report.notes.join("\n")).not.toContain(said);
    expect(Object.keys(chosen.gradients).sort()).toEqual([...chosen.expected.keys()].sort());
  });

  it("says that the exporter left out the dropout of attention", async () => {
    const { report } = await train("attends");
    expect(report.notes.join("\n")).toMatch(/attention without dropout in 1 operation, where PyTorch drops 0\.2/);
    expect((await train("adapted")).report.notes.join("\n")).not.toContain("dropout");
  });

  it("trains positions of sines and cosines where they are named", async () => {
    const { report } = await train("fixed_positions");
    expect(report.skipped).toContainEqual({ at: "positions.weight", reason: "it is a table of sinusoids" });
    expect(Object.keys((await train("fixed_positions", { parameters: ["positions.*"] })).gradients)).toEqual([
      "positions.weight",
    ]);
  });

  it("says what of normalizations by fixed statistics is not trained, and trains it where it is named", async () => {
    const { report } = await train("fixed_norms_traced");
    expect(Object.fromEntries(report.skipped.map(({ at, reason }) => [at, reason]))).toEqual({
      "bn1.weight": "it is a scale or an offset of a normalization by fixed statistics",
      "bn1.bias": "it is a scale or an offset of a normalization by fixed statistics",
      "bn1.running_mean": "it is a running statistic, by its name",
      "bn1.running_var": "it is a running statistic, by its name",
      "norm.center": "it is a mean that a normalization subtracts",
      "norm.spread": "it is a variance that a normalization divides by",
    });
    const said =
      "not trained: bn1.bias, bn1.weight, since they are computed with fixed statistics before they meet data";
    expect(report.notes.join("\n")).toContain(said);
    expect(report.notes.join("\n")).toContain("--params '*' --params 'bn1.bias'");
    const named = await train("fixed_norms_traced", { parameters: ["*", "bn1.weight", "bn1.bias"] });
    expect(Object.keys(named.gradients)).toEqual(expect.arrayContaining(["bn1.weight", "bn1.bias", "norm.weight"]));
    expect(named.report.notes.join("\n")).not.toContain(said);
  });

  it("says which batch normalization keeps its statistics, and takes those of the batch where it is told to", async () => {
    const notes = async (name: string, options: Partial<BuildOptions> = {}): Promise<string> =>
      (await train(name, options)).report.notes.join("\n");
    for (const name of ["partly_frozen", "partly_frozen_traced"])
      expect(await notes(name)).toMatch(
        /1 of 2 BatchNormalization are in inference mode .* where others are in training mode.*\(bn1\.weight\)/,
      );
    expect(await notes("frozen_beside_dropout_traced")).toMatch(/2 of 2 .* where Dropout is in training mode/);
    const { report, gradients, expected } = await train("partly_frozen_traced", { batchNorm: "batch" });
    expect(report.notes.join("\n")).not.toContain("BatchNormalization");
    /** A shift before a mean that is subtracted has no gradient. */
    const [other, own] = [gradients["conv1.weight"], expected.get("conv1.weight")];
    expect(valuesOf(other)).not.toEqual(own?.realValues());
  });
});
