import type { TrainingArtifacts } from "./artifacts/ort-artifacts.ts";
import { type Plan, type Role, readPlan } from "./artifacts/portable/plan.ts";
import type { PortableArtifacts } from "./artifacts/portable/portable-artifacts.ts";
import { type TrainableParameter, trainableParameters } from "./artifacts/trainable-parameters.ts";
import type { TrainingSet } from "./artifacts/training-set.ts";
import { AGR_RECORD, readRecord } from "./edits/record.ts";
import { FormatError } from "./errors.ts";
import { describeTensor, isSameAttribute } from "./graph/diff.ts";
import type { Node, Value } from "./graph/graph.ts";
import type { Model } from "./graph/model.ts";
import { formatType } from "./graph/value-type.ts";

interface PortableModel {
  readonly file: string;
  readonly model: Model;
  readonly plan: Plan;
}

/**
 * Checks that the models of a set are parts of the same training, by what is in them: the same parameters, the same AGR, the
 * halves of a portable step the same computation as the whole step. That holds without a manifest too.
 * @throws FormatError `E_SET`, naming two files that do not belong together
 */
export function checkConsistency({ onnxruntime, portable }: TrainingSet, folder: string): void {
  const models = portable === null ? [] : planned(portable);
  const agr = [
    ...models.filter(({ plan }) => plan.role === "train_step" || plan.role === "apply"),
    ...(onnxruntime?.optimizerModel ? [{ file: "optimizer_model.onnx", model: onnxruntime.optimizerModel }] : []),
  ];
  const problem =
    stateProblem(models) ??
    agrProblem(agr) ??
    stepProblem(models) ??
    parameterProblem({ onnxruntime, portable }, models);
  if (problem === null) return;
  throw new FormatError("E_SET", `the files of ${folder} do not belong together: ${problem.what}`, {
    file: folder,
    hint: problem.remedy ?? `Write the set again${portable === null ? "" : " with onnx-agr build or lower"}.`,
  });
}

interface Problem {
  readonly what: string;
  readonly remedy?: string;
}

function planned({ trainStep, gradients, apply, evalModel }: PortableArtifacts): readonly PortableModel[] {
  const all: readonly (readonly [string, Role, Model | null])[] = [
    ["gradients.onnx", "gradients", gradients],
    ["apply.onnx", "apply", apply],
    ["train_step.onnx", "train_step", trainStep],
    ["eval.onnx", "eval", evalModel],
  ];
  return all.flatMap(([file, role, model]) => (model === null ? [] : [{ file, model, plan: readPlan(model, role) }]));
}

/** What two models call by the same name must be of the same type, and all that train must train the same. */
function stateProblem(models: readonly PortableModel[]): Problem | null {
  const seen = new Map<string, { readonly file: string; readonly type: string }>();
  for (const { file, model, plan } of models) {
    const state = new Set(plan.state.map(({ name }) => name));
    for (const { name, type } of model.graph.inputs) {
      if (!state.has(name)) continue;
      const earlier = seen.get(name);
      const is = formatType(type);
      if (earlier !== undefined && earlier.type !== is) {
        return { what: `"${name}" is ${is} in ${file}, ${earlier.type} in ${earlier.file}` };
      }
      seen.set(name, { file, type: is });
    }
  }
  const [first, ...others] = models.filter(({ plan }) => plan.role !== "eval");
  if (first === undefined) return null;
  const names = parametersOf(first);
  const other = others.find((each) => parametersOf(each) !== names);
  return other === undefined ? null : { what: `${other.file} and ${first.file} train other parameters` };
}

const parametersOf = ({ plan }: PortableModel): string =>
  JSON.stringify(plan.state.flatMap(({ name, kind }) => (kind === "parameter" ? [name] : [])).sort());

const AGR_OPTIONS = ["scope", "strength", "minElements", "minRank", "include", "exclude"];

function agrProblem(models: readonly { readonly file: string; readonly model: Model }[]): Problem | null {
  const [first, ...others] = models.map(({ file, model }) => ({ file, agr: agrOf(model) }));
  const other = others.find(({ agr }) => agr !== first?.agr);
  if (first === undefined || other === undefined) return null;
  const [with_, without] = first.agr === null ? [other, first] : [first, other];
  const what =
    without.agr === null
      ? `${with_.file} has AGR, ${without.file} has not`
      : `AGR has other options in ${first.file} than in ${other.file}`;
  return {
    what,
    remedy: "Give the whole folder to onnx-agr insert or strip, with --in-place: all its models are then alike.",
  };
}

function agrOf(model: Model): string | null {
  const record = readRecord(model, AGR_RECORD);
  return record === null ? null : JSON.stringify(AGR_OPTIONS.map((name) => record.options[name] ?? null));
}

/** The whole step must compute what its halves do: the outputs as `gradients`, the next state as `apply`. */
function stepProblem(models: readonly PortableModel[]): Problem | null {
  const of = (role: Role): PortableModel | undefined => models.find(({ plan }) => plan.role === role);
  const [step, gradients, apply] = [of("train_step"), of("gradients"), of("apply")];
  if (step === undefined) return null;
  const differs = (half: PortableModel, pairs: readonly (readonly [string, string])[]): boolean =>
    half.model.opset === step.model.opset && !computesAlike(half, step, pairs);
  if (gradients !== undefined) {
    const { outputs } = gradients.plan;
    const pairs = outputs.map((name, index) => [name, step.plan.outputs[index] ?? ""] as const);
    if (outputs.length !== step.plan.outputs.length || differs(gradients, pairs)) {
      return { what: `${step.file} computes another loss than ${gradients.file}` };
    }
  }
  if (apply === undefined) return null;
  const next = new Map(step.plan.state.map((state) => [state.name, state.next]));
  const pairs = apply.plan.state.flatMap((state) =>
    state.next === null ? [] : [[state.next, next.get(state.name) ?? ""] as const],
  );
  return differs(apply, pairs) ? { what: `${step.file} updates the parameters otherwise than ${apply.file}` } : null;
}

/** The parameters of both sets. */
function parameterProblem({ onnxruntime, portable }: TrainingSet, models: readonly PortableModel[]): Problem | null {
  const own = onnxruntime === null ? null : knownParameters(onnxruntime);
  if (onnxruntime === null || own === null) return null;
  const shown = (list: readonly { readonly name: string; readonly shape: readonly unknown[] }[]): string =>
    list
      .map(({ name, shape }) => `${name} [${shape.join()}]`)
      .sort()
      .join();
  const { optimizerModel } = onnxruntime;
  const recorded = optimizerModel === null ? undefined : readRecord(optimizerModel, AGR_RECORD)?.options["parameters"];
  if (Array.isArray(recorded) && shown(recorded) !== shown(own)) {
    return { what: "AGR in optimizer_model.onnx was made for other parameters than training_model.onnx has" };
  }
  const gradients = models.find(({ plan }) => plan.role === "gradients");
  if (portable === null || gradients === undefined) return null;
  const names = JSON.stringify(own.map(({ name }) => name).sort());
  return names === parametersOf(gradients)
    ? null
    : { what: "gradients.onnx and training_model.onnx train other parameters" };
}

/** Null where no file tells their shapes. */
function knownParameters(artifacts: TrainingArtifacts): readonly TrainableParameter[] | null {
  try {
    return trainableParameters(artifacts);
  } catch (error) {
    if (error instanceof FormatError) return null;
    throw error;
  }
}

/** What an input is to a step, under whatever name. */
function rolesOf({ model, plan }: PortableModel): ReadonlyMap<Value, string> {
  const special = new Map([
    [plan.learningRate, "learning rate"],
    [plan.step, "step"],
  ]);
  return new Map(model.graph.inputs.map((value) => [value, special.get(value.name) ?? `tensor ${value.name}`]));
}

/**
 * Whether outputs of one graph are computed as outputs of another are: the same operators on the same inputs, whatever the
 * tensors between are called. A gradient that the first takes as an input stands for any tensor of the second.
 */
function computesAlike(a: PortableModel, b: PortableModel, pairs: readonly (readonly [string, string])[]): boolean {
  const outputs = ({ model }: PortableModel): ReadonlyMap<string, Value> =>
    new Map([...model.graph.outputs].map((value) => [value.name, value]));
  const [outputsA, outputsB] = [outputs(a), outputs(b)];
  const [rolesA, rolesB] = [rolesOf(a), rolesOf(b)];
  const free = new Set(a.plan.role === "apply" ? a.plan.gradients.map(([, input]) => `tensor ${input}`) : []);
  const seen = new Map<Value, Set<Value>>();
  const pending: (readonly [Value | null | undefined, Value | null | undefined])[] = pairs.map(([from, to]) => [
    outputsA.get(from),
    outputsB.get(to),
  ]);
  for (let pair = pending.pop(); pair !== undefined; pair = pending.pop()) {
    const [x, y] = pair;
    if (x === null && y === null) continue;
    if (!x || !y) return false;
    const partners = seen.get(x) ?? new Set();
    seen.set(x, partners);
    if (partners.has(y)) continue;
    partners.add(y);
    const role = rolesA.get(x);
    if (role !== undefined && free.has(role)) {
      if (partners.size > 1) return false;
    } else if (role !== undefined || rolesB.has(y)) {
      if (role !== rolesB.get(y)) return false;
    } else if (x.producer !== null && y.producer !== null) {
      if (!isSameNode(x.producer, y.producer) || outputIndex(x) !== outputIndex(y)) return false;
      const length = Math.max(x.producer.inputs.length, y.producer.inputs.length);
      for (let index = 0; index < length; index++) {
        pending.push([x.producer.inputs[index] ?? null, y.producer.inputs[index] ?? null]);
      }
    } else if (x.tensor === null || y.tensor === null || describeTensor(x.tensor) !== describeTensor(y.tensor)) {
      return false;
    }
  }
  return true;
}

const outputIndex = (value: Value): number => value.producer?.outputs.indexOf(value) ?? -1;

function isSameNode(a: Node, b: Node): boolean {
  if (a.domain !== b.domain || a.opType !== b.opType || a.attributes.size !== b.attributes.size) return false;
  return [...a.attributes].every(([name, attribute]) => {
    const other = b.attributes.get(name);
    return other !== undefined && isSameAttribute(attribute, other);
  });
}
