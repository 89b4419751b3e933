import { bytesOf, type Kind, mapTo, NUMBER, requireArgument, withFields } from "../../arguments.ts";
import { CheckpointError } from "../../errors.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import { layoutOf } from "../../graph/data-type.ts";
import { A_TENSOR, Tensor } from "../../graph/tensor.ts";
import type { Checkpoint, ParameterState, Property } from "../checkpoint/checkpoint.ts";
import { decodeSafetensors, safetensorsParts } from "../safetensors.ts";
import type { PlannedState } from "./plan.ts";

/** The state of a training run: parameters by their names, slots as `<parameter>/<transform>/<slot>`. */
export interface TrainingState {
  /** Updates done so far. */
  readonly step: number;
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** True where the tensors have no values yet: those of a nominal checkpoint. */
  readonly nominal: boolean;
  /** What an ONNX Runtime checkpoint carries beside tensors, kept for writing one again. */
  readonly initialLearningRate: number;
  readonly properties: ReadonlyMap<string, Property>;
}

export const A_STATE: Kind = withFields(
  {
    step: NUMBER,
    tensors: mapTo(A_TENSOR, "tensors by name"),
    properties: mapTo({ what: "a property", holds: () => true }, "properties"),
  },
  "a training state, as getState of a session and decodeState give it",
);

/** What ONNX Runtime writes where nobody set another. */
const DEFAULT_INITIAL_RATE = 0.001;
/** Its one group of parameters. */
const GROUP = "group0";

const FORMAT = "onnx-agr.state";
const VERSION = "1";

/** The state as a safetensors file. The same state gives the same bytes. */
export function encodeState(state: TrainingState): Uint8Array {
  requireArgument("state", state, A_STATE);
  return Buffer.concat(stateParts(state));
}

/** The same in pieces, the tensors' own bytes among them: a large state is written without being copied. */
export function stateParts(state: TrainingState): readonly Uint8Array[] {
  const tensors = [...state.tensors].map(([name, tensor]) => ({ name, tensor }));
  const metadata = new Map([
    ["format", FORMAT],
    ["version", VERSION],
    ["step", String(state.step)],
    ["initial_learning_rate", String(state.initialLearningRate)],
    ["properties", JSON.stringify([...state.properties].map(([name, { kind, value }]) => [name, kind, String(value)]))],
  ]);
  return safetensorsParts(tensors, metadata);
}

/** @throws FormatError `E_SAFETENSORS`; CheckpointError `E_STATE_VERSION` for files of a newer version, `E_STATE` for others */
export function decodeState(bytes: Uint8Array | ArrayBuffer): TrainingState {
  bytes = bytesOf("bytes", bytes);
  const { tensors, metadata } = decodeSafetensors(bytes);
  const version = metadata.get("version") ?? "";
  if (metadata.get("format") !== FORMAT) {
    throw new CheckpointError("E_STATE", "the file holds tensors, but is no training state", {
      field: "__metadata__.format",
      hint: "Use state.safetensors of a portable set or of a checkpoint.",
    });
  }
  if (version !== VERSION && !(Number(version) > Number(VERSION))) {
    throw new CheckpointError("E_STATE", `"${version}" is no version of a training state`, {
      field: "__metadata__.version",
    });
  }
  if (version !== VERSION) {
    throw new CheckpointError("E_STATE_VERSION", `the state was written by a newer version (format ${version})`, {
      field: "__metadata__.version",
      hint: `This version reads up to ${VERSION}; update onnx-agr.`,
    });
  }
  const step = Number(metadata.get("step"));
  if (!/^\d+$/.test(metadata.get("step") ?? "") || !Number.isSafeInteger(step)) {
    throw new CheckpointError("E_STATE", `"${metadata.get("step") ?? ""}" is no number of steps`, {
      field: "__metadata__.step",
    });
  }
  const rate = Number(metadata.get("initial_learning_rate") ?? DEFAULT_INITIAL_RATE);
  if (!Number.isFinite(rate)) {
    throw new CheckpointError("E_STATE", `"${metadata.get("initial_learning_rate") ?? ""}" is no learning rate`, {
      field: "__metadata__.initial_learning_rate",
    });
  }
  return {
    step,
    tensors: new Map(tensors.map(({ name, tensor }) => [name, tensor])),
    nominal: false,
    initialLearningRate: rate,
    properties: decodeProperties(metadata.get("properties") ?? "[]"),
  };
}

/** `[[name, kind, value as text], ...]` */
function decodeProperties(text: string): ReadonlyMap<string, Property> {
  const fail = (reason: string, cause?: unknown): CheckpointError =>
    new CheckpointError("E_STATE", `the properties ${reason}`, {
      field: "__metadata__.properties",
      hint: "The file was changed by something that damaged the entry; use another copy.",
      cause,
    });
  let listed: unknown;
  try {
    listed = JSON.parse(text);
  } catch (cause) {
    throw fail("are not JSON", cause);
  }
  if (!Array.isArray(listed)) throw fail("are no list");
  const properties = new Map<string, Property>();
  for (const each of listed as readonly unknown[]) {
    const [name, kind, value] = Array.isArray(each) ? (each as readonly unknown[]) : [];
    if (typeof name !== "string" || typeof value !== "string" || typeof kind !== "string")
      throw fail("are not names, kinds and values");
    const property = Object.hasOwn(PROPERTIES, kind) ? PROPERTIES[kind as Property["kind"]](value) : null;
    if (property === null) throw fail(`have "${name}" with ${JSON.stringify(value)}, which is no ${kind}`);
    if (properties.has(name)) throw fail(`have "${name}" twice`);
    properties.set(name, property);
  }
  return properties;
}

/** Null where the text is no such value. Floats may be infinite or NaN: the text of each reads back as itself. */
const PROPERTIES: Readonly<Record<Property["kind"], (text: string) => Property | null>> = {
  int: (text) => (/^-?\d{1,19}$/.test(text) ? { kind: "int", value: BigInt(text) } : null),
  float: (text) => (text === String(Number(text)) ? { kind: "float", value: Number(text) } : null),
  string: (text) => ({ kind: "string", value: text }),
};

export function zeros(dtype: number, dims: readonly number[]): Tensor {
  const size = dims.reduce((product, dim) => product * dim, 1);
  return new Tensor(dtype, dims, { kind: "raw", bytes: new Uint8Array((size * (layoutOf(dtype)?.bits ?? 32)) / 8) });
}

/** Zeros like other tensors, all views of as little memory as the largest takes: tensors are immutable. */
function sharedZeros(): (like: Tensor) => Tensor {
  let bytes = new Uint8Array();
  return ({ dtype, dims, byteLength }) => {
    const length = byteLength ?? 0;
    if (bytes.length < length) bytes = new Uint8Array(length);
    return new Tensor(dtype, dims, { kind: "raw", bytes: bytes.subarray(0, length) });
  };
}

/** `<parameter>/<transform>/<slot>` taken apart from the end: parameters' names may have slashes. */
function partsOf(name: string): { readonly parameter: string; readonly slot: string } {
  const [slot = "", , ...rest] = name.split("/").toReversed();
  return { parameter: rest.toReversed().join("/"), slot };
}

/**
 * The state an ONNX Runtime checkpoint holds, as a step with these slots takes it. Slots begin at zero where the
 * checkpoint has none.
 * @throws CheckpointError `E_CHECKPOINT_MISMATCH` where it has the slots of some parameters only
 */
export function stateOfCheckpoint(checkpoint: Checkpoint, planned: readonly PlannedState[]): TrainingState {
  const tensors = new Map<string, Tensor>(
    [...checkpoint.trainable, ...checkpoint.frozen].map(({ name, tensor }) => [name, tensor]),
  );
  const zerosOf = sharedZeros();
  const [group] = checkpoint.optimizerGroups;
  const moments = new Map(group?.states.map(({ parameter, moments: held }) => [parameter, held]));
  for (const { name, kind } of planned) {
    if (kind !== "slot") continue;
    const { parameter, slot } = partsOf(name);
    const like = tensors.get(parameter);
    if (like === undefined) continue;
    const held = moments.get(parameter)?.find((each) => each.name === slot)?.tensor;
    if (held === undefined && moments.size > 0) {
      throw new CheckpointError(
        "E_CHECKPOINT_MISMATCH",
        `the checkpoint has optimizer state, but no ${slot} of parameter "${parameter}"`,
        { field: parameter, hint: "Use the checkpoint that was saved with this optimizer model." },
      );
    }
    tensors.set(name, held ?? (checkpoint.nominal ? like : zerosOf(like)));
  }
  return {
    step: Number(group?.step ?? 0n),
    tensors,
    nominal: checkpoint.nominal,
    initialLearningRate: group?.initialLearningRate ?? DEFAULT_INITIAL_RATE,
    properties: checkpoint.properties,
  };
}

/** The state as an ONNX Runtime checkpoint, the optimizer's moments included. Names of the planned state say what is what. */
export function checkpointOfState(state: TrainingState, planned: readonly PlannedState[]): Checkpoint {
  const named = (kinds: readonly PlannedState["kind"][]): NamedTensor[] =>
    planned
      .filter(({ kind }) => kinds.includes(kind))
      .flatMap(({ name }) => {
        const tensor = state.tensors.get(name);
        return tensor === undefined ? [] : [{ name, tensor }];
      });
  const states = new Map<string, NamedTensor[]>();
  for (const { name, tensor } of named(["slot"])) {
    const { parameter, slot } = partsOf(name);
    states.set(parameter, [...(states.get(parameter) ?? []), { name: slot, tensor }]);
  }
  const group = {
    name: GROUP,
    step: BigInt(state.step),
    initialLearningRate: state.initialLearningRate,
    states: [...states].map(([parameter, moments]): ParameterState => ({ parameter, moments })),
  };
  return {
    trainable: named(["parameter"]),
    frozen: named(["frozen", "buffer"]),
    nominal: false,
    optimizerGroups: states.size > 0 || state.step > 0 ? [group] : [],
    properties: state.properties,
  };
}
