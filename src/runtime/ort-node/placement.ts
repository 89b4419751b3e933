import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tensor } from "onnxruntime-common";
import type { InputSpec } from "../../artifacts/ort-artifacts.ts";
import { inputSpecs, readPlan } from "../../artifacts/portable/plan.ts";
import type { TrainingState } from "../../artifacts/portable/state.ts";
import type { Model } from "../../graph/model.ts";
import { encodeModel } from "../../graph/serde/encode.ts";
import { Tensor as GraphTensor } from "../../graph/tensor.ts";
import { toOrtTensor } from "../feeds.ts";
import { runtimeError } from "../ort-errors.ts";
import type { NamedTensors, Reached } from "../session.ts";
import { chooseProvider, type OrtNodeOptions } from "./providers.ts";
import { BINDING, WAYS } from "./ways.ts";

/** Where the nodes of a training step ran. */
export interface Placement {
  readonly executionProvider: string;
  /** How a session that trains reaches ONNX Runtime. */
  readonly way: Reached;
  /** Providers that were preferred and did not work, with the reason. */
  readonly passedOver: readonly (readonly [name: string, reason: string])[];
  /** By execution provider, as ONNX Runtime calls it, how many nodes of each operator ran there, after its own rewriting. */
  readonly nodes: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** What symbolic and unknown sizes are taken to be. */
const SIZE = 2;

/**
 * Runs one training step on made-up inputs under ONNX Runtime's profiler, and tells where each node ran.
 * @param step a portable `train_step`, or `gradients` where there is no optimizer
 * @throws BackendError `E_EXECUTION_PROVIDER`, `E_LOAD`
 */
export async function placementOf(
  {
    step,
    role,
    state,
  }: { readonly step: Model; readonly role: "train_step" | "gradients"; readonly state: TrainingState },
  options: OrtNodeOptions,
): Promise<Placement> {
  const { way } = await chooseProvider(WAYS, options);
  /** Profiles are written through the binding alone; the nodes are the same. */
  const { name, passedOver, create } = await chooseProvider([BINDING], options);
  const folder = await mkdtemp(join(tmpdir(), "onnx-agr-profile-"));
  try {
    const profiling = { enableProfiling: true, profileFilePrefix: join(folder, "step") };
    const session = await create(encodeModel(step), profiling);
    await session.run(inputsOf(step, role, state));
    session.endProfiling();
    await session.release();
    const [file] = await readdir(folder);
    if (file === undefined) throw new Error("ONNX Runtime wrote no profile");
    const events = JSON.parse(await readFile(join(folder, file), "utf8")) as readonly ProfileEvent[];
    return { executionProvider: name, passedOver, way, nodes: count(events) };
  } catch (cause) {
    throw runtimeError("E_LOAD", `ONNX Runtime could not run the ${role} model on ${name}`, cause, { field: role });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  readonly args?: { readonly op_name?: string; readonly provider?: string };
}

function count(events: readonly ProfileEvent[]): Record<string, Record<string, number>> {
  const nodes: Record<string, Record<string, number>> = {};
  for (const { cat, name, args } of events) {
    const { op_name: op, provider } = args ?? {};
    if (cat !== "Node" || !name.endsWith("_kernel_time") || op === undefined || provider === undefined) continue;
    const ops = nodes[provider] ?? {};
    ops[op] = (ops[op] ?? 0) + 1;
    nodes[provider] = ops;
  }
  return nodes;
}

function inputsOf(model: Model, role: "train_step" | "gradients", state: TrainingState): NamedTensors {
  const plan = readPlan(model, role);
  const accumulators = new Map(plan.gradients.map(([parameter, input]) => [input, parameter]));
  const specs = inputSpecs(
    model,
    model.graph.inputs.map(({ name }) => name),
  );
  return Object.fromEntries(
    specs.map((spec) => {
      const held = state.tensors.get(spec.name) ?? state.tensors.get(accumulators.get(spec.name) ?? "");
      if (held !== undefined) return [spec.name, toOrtTensor(held, spec.name)];
      if (spec.name === plan.reset) return [spec.name, new Tensor("bool", Uint8Array.of(1), [1])];
      return [spec.name, toOrtTensor(zeros(spec), spec.name)];
    }),
  );
}

function zeros({ dtype, shape }: InputSpec): GraphTensor {
  const dims = (shape ?? []).map((dim) => (typeof dim === "number" ? dim : SIZE));
  const empty = new GraphTensor(dtype, dims, { kind: "raw", bytes: new Uint8Array() });
  return new GraphTensor(dtype, dims, { kind: "raw", bytes: new Uint8Array(empty.byteLength ?? 0) });
}
