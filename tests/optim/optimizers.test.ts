import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { makeLinearArtifacts } from "../../fixtures/linear.ts";
import { DataType, decodeModel, GraphTensor } from "../../src/entries/graph.ts";
import {
  type Hyperparameters,
  type InsertAgrOptions,
  insertAgr,
  lowerArtifacts,
  OPTIMIZER_NAMES,
  type OptimizerName,
  type OptimizerOptions,
  type ParameterGroup,
  type PortableArtifacts,
  Tensor,
  TrainingSession,
} from "../../src/index.ts";
import { agrReference } from "../support/agr-reference.ts";
import { rejectionOf } from "../support/errors.ts";

type Tensors = Readonly<Record<string, readonly number[]>>;

const REFERENCE = JSON.parse(readFileSync(new URL("reference.json", import.meta.url), "utf8")) as {
  readonly learningRate: number;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly start: Tensors;
  readonly gradients: readonly Tensors[];
  readonly cases: readonly {
    readonly name: OptimizerName;
    readonly options: Hyperparameters;
    readonly steps: readonly Tensors[];
  }[];
};
const PARAMETERS = Object.entries(REFERENCE.shapes).map(([name, shape]) => ({ name, shape }));

/** Artifacts whose gradients are what is fed, with an optimizer in the place of their own. */
async function artifacts(
  optimizer: OptimizerOptions,
  more: { readonly agr?: InsertAgrOptions; readonly parameterGroups?: readonly ParameterGroup[] } = {},
  parameters = PARAMETERS,
): Promise<PortableArtifacts> {
  const { trainModel, evalModel, checkpointState } = makeLinearArtifacts(parameters, {});
  const portable = await lowerArtifacts(
    {
      trainingModel: decodeModel(trainModel as Uint8Array),
      evalModel: decodeModel(evalModel as Uint8Array),
      optimizerModel: null,
      checkpoint: checkpointState as Uint8Array,
    },
    { optimizer, ...more },
  );
  if (portable.state === null) throw new Error("no state");
  const tensors = new Map(portable.state.tensors);
  for (const { name, shape } of parameters) tensors.set(name, GraphTensor.floats(shape, REFERENCE.start[name] ?? []));
  return { ...portable, state: { ...portable.state, tensors } };
}

const feedsOf = (gradients: Tensors, parameters: typeof PARAMETERS): Record<string, Tensor> =>
  Object.fromEntries(
    parameters.map(({ name, shape }) => [
      `x_${name}`,
      new Tensor("float32", Float32Array.from(gradients[name] ?? []), [...shape]),
    ]),
  );

async function run(
  source: PortableArtifacts,
  gradients = REFERENCE.gradients,
  parameters = PARAMETERS,
): Promise<readonly Tensors[]> {
  const session = await TrainingSession.create(source, { learningRate: REFERENCE.learningRate });
  const steps: Tensors[] = [];
  for (const each of gradients) {
    await session.trainSteps([feedsOf(each, parameters)]);
    const { tensors } = await session.getState();
    for (const { name, shape } of parameters) expect(tensors.get(name)?.dims).toEqual(shape);
    steps.push(
      Object.fromEntries(PARAMETERS.map(({ name }) => [name, Array.from(tensors.get(name)?.values() ?? [], Number)])),
    );
  }
  await session.release();
  return steps;
}

/** Five steps in float32, whose bias corrections are off by 1e-5 at the first. */
const TOLERANCE = 3e-6;

function expectSame(actual: readonly Tensors[], expected: readonly Tensors[], tolerance = TOLERANCE): void {
  for (const [step, tensors] of expected.entries()) {
    for (const [name, values] of Object.entries(tensors)) {
      for (const [index, value] of values.entries()) {
        const got = actual[step]?.[name]?.[index] ?? Number.NaN;
        expect(Math.abs(got - value), `step ${step}, ${name}[${index}]`).toBeLessThan(tolerance);
      }
    }
  }
}

describe("five steps are the reference's", () => {
  it.each(REFERENCE.cases.map((each) => [`${each.name} ${JSON.stringify(each.options)}`, each] as const))(
    "%s",
    async (_, { name, options, steps }) => {
      expectSame(await run(await artifacts({ name, ...options })), steps);
    },
  );

  it("for every optimizer there is", () => {
    expect(OPTIMIZER_NAMES.filter((name) => !REFERENCE.cases.some((each) => each.name === name))).toEqual([]);
  });
});

it.each(OPTIMIZER_NAMES)("kernels of 1x1 are updated as matrices of their shape are: %s", async (name) => {
  const longer = PARAMETERS.map(({ name: parameter, shape }) => ({
    name: parameter,
    shape: shape.length < 2 ? shape : [...shape, 1, 1],
  }));
  const options: OptimizerOptions = { name, weightDecay: 0.1 };
  const kernels = await artifacts(options, { agr: {} }, longer);
  for (const { name: slot, dims } of kernels.trainStep?.graph.outputs.map(({ name, type }) => ({
    name,
    dims: type?.kind === "tensor" ? type.shape : null,
  })) ?? []) {
    if (/^weight.*(momentum|exp_avg)/.test(slot)) expect(dims?.slice(-2), slot).toEqual([1, 1]);
  }
  const expected = await run(await artifacts(options, { agr: {} }));
  expectSame(await run(kernels, REFERENCE.gradients, longer), expected);
});

describe("AGR before an optimizer", () => {
  const regularized = REFERENCE.gradients.map((gradients) => {
    const list = PARAMETERS.map(({ name, shape }) => ({ shape, values: gradients[name] ?? [] }));
    const results = agrReference(list.map((each) => ({ ...each, name: "" })) as Parameters<typeof agrReference>[0]);
    return Object.fromEntries(PARAMETERS.map(({ name }, index) => [name, results[index] ?? []]));
  });

  it.each(OPTIMIZER_NAMES)("%s sees the regularized gradients, and nothing else changes", async (name) => {
    const options: OptimizerOptions = { name, weightDecay: 0.1 };
    const expected = await run(await artifacts(options), regularized);
    const actual = await run(await artifacts(options, { agr: {} }));
    expectSame(actual, expected, 2e-6);
    expect(actual).not.toEqual(await run(await artifacts(options)));
  });

  it("stands where a list of transforms says", async () => {
    const clipped = await artifacts({ name: "sgd", transforms: ["agr", "clip-value:0.5"] });
    const nodes = clipped.trainStep?.graph.nodes ?? [];
    const clips = nodes.filter(({ opType }) => opType === "Clip");
    expect(clips.map(({ inputs }) => inputs[0]?.producer?.opType)).toEqual(["AGR", "AGR"]);
    expectSame(await run(clipped), await run(await artifacts({ name: "sgd", clipValue: 0.5 }), regularized), 2e-6);
    const last = await artifacts({ name: "adamw", transforms: ["clip-norm:1", "centralize", "agr"] });
    const twice = await artifacts({ name: "adamw", transforms: ["clip-norm:1", "centralize"] }, { agr: {} });
    expect(await run(last)).toEqual(await run(twice));
  });

  it.each([
    [
      ["clip-norm"],
      '"clip-norm" is no transform of gradients; there is clip-norm:<x>, clip-value:<x>, centralize, agc[:<x>]',
    ],
    [["centralize:1"], '"centralize:1"'],
    [["clip:1"], '"clip:1"'],
    [["agr", "agr"], "agr once"],
    [["clip-norm:-1"], "clipNorm must be a number above 0"],
  ])("refuses the list %j", async (transforms, text) => {
    const error = await rejectionOf(artifacts({ name: "sgd", transforms }));
    expect([error.code, error.message]).toEqual(["E_OPTION", expect.stringContaining(text)]);
  });

  it("refuses a list beside the options that stand in it, and cautious updates of others", async () => {
    const twice = await rejectionOf(artifacts({ name: "sgd", transforms: [], clipNorm: 1 }));
    expect([twice.code, twice.field]).toEqual(["E_OPTION", "transforms"]);
    const other = await rejectionOf(artifacts({ name: "sgd", cautious: true }));
    expect([other.code, other.field]).toEqual(["E_OPTION", "cautious"]);
  });

  it("regularizes the gradient of the objective with its proximal term", async () => {
    const options: OptimizerOptions = { name: "sgd", proximal: 0.5 };
    const { trainStep } = await artifacts(options, { agr: {} });
    const agr = trainStep?.graph.nodes.filter(({ opType }) => opType === "AGR") ?? [];
    expect(agr.map(({ inputs }) => inputs[0]?.producer?.opType)).toEqual(["Add", "Add"]);
    const [first] = await run(await artifacts(options, { agr: {} }));
    expect(first).toEqual((await run(await artifacts({ name: "sgd" }, { agr: {} })))[0]);
  });

  it("comes after clipping and centralization", async () => {
    const options: OptimizerOptions = { name: "sgd", clipValue: 0.5 };
    const { trainStep } = await artifacts(options, { agr: {} });
    const nodes = trainStep?.graph.nodes ?? [];
    const agr = nodes.filter(({ opType }) => opType === "AGR");
    expect(agr.map(({ inputs }) => inputs[0]?.producer?.opType)).toEqual(["Clip", "Clip"]);
    if (trainStep !== null) expect(insertAgr(trainStep).changed).toBe(0);
  });
});

describe("options", () => {
  it("of another optimizer, or out of range, are refused", async () => {
    const refused = async (options: OptimizerOptions): Promise<string> =>
      (await rejectionOf(artifacts(options))).message;
    expect(await refused({ name: "sgd", beta1: 0.9 })).toBe(
      "sgd does not take beta1; it takes momentum, nesterov, weightDecay",
    );
    expect(await refused({ name: "adamw", beta1: 1 })).toContain("beta1 must be a number from 0 to below 1");
    expect(await refused({ name: "sgd", clipNorm: 0 })).toContain("clipNorm must be a number above 0");
    expect(await refused({ name: "sgd", proximal: 0 })).toContain("proximal must be a number above 0");
    expect(await refused({ name: "adabound" as OptimizerName })).toContain("there is sgd, adam, adamw, adan");
  });

  it("of groups hold for their parameters alone", async () => {
    const groups = [{ parameters: ["bias"], weightDecay: 0, learningRateScale: 0.5 }];
    const grouped = await run(await artifacts({ name: "adamw", weightDecay: 0.1 }, { parameterGroups: groups }));
    const weights = await run(await artifacts({ name: "adamw", weightDecay: 0.1 }));
    const biases = await run(await artifacts({ name: "adamw", weightDecay: 0 }));
    for (const [step, tensors] of grouped.entries()) {
      expect(tensors["weight"]).toEqual(weights[step]?.["weight"]);
      const start = REFERENCE.start["bias"] ?? [];
      for (const [index, value] of (tensors["bias"] ?? []).entries()) {
        const whole = (biases[step]?.["bias"]?.[index] ?? 0) - (start[index] ?? 0);
        expect(value - (start[index] ?? 0)).toBeCloseTo(whole / 2, 6);
      }
    }
  });

  it("keep the state under names, in float32", async () => {
    const { state } = await artifacts({ name: "adan" });
    const names = [...(state?.tensors.keys() ?? [])];
    expect(names).toContain("weight/adan/previous_gradient");
    expect([...(state?.tensors.values() ?? [])].every(({ dtype }) => dtype === DataType.float)).toBe(true);
  });
});
