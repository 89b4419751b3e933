import { bytesOf, type Kind, mapTo, NUMBER, requireArgument, withFields } from "../../arguments.ts";
import { CheckpointError } from "../../errors.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import { joinBytes } from "../../graph/bytes.ts";
import { DataType, layoutOf } from "../../graph/data-type.ts";
import { A_TENSOR, Tensor } from "../../graph/tensor.ts";
import type { Property } from "../checkpoint/checkpoint.ts";
import { decodeSafetensors, type Safetensors, safetensorsParts } from "../safetensors.ts";
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
export const DEFAULT_INITIAL_RATE = 0.001;

const FORMAT = "onnx-agr.state";
const VERSION = "1";

/** The state as a safetensors file. The same state gives the same bytes. */
export function encodeState(state: TrainingState): Uint8Array {
  requireArgument("state", state, A_STATE);
  return joinBytes(stateParts(state));
}

/**
 * The same in pieces, the tensors' own bytes among them: a large state is written without being copied.
 * @param beside metadata of the file that are not the state's
 */
export function stateParts(
  state: TrainingState,
  beside: ReadonlyMap<string, string> = new Map(),
): readonly Uint8Array[] {
  const tensors = [...state.tensors].map(([name, tensor]) => ({ name, tensor }));
  const metadata = new Map([
    ["format", FORMAT],
    ["version", VERSION],
    ["step", String(state.step)],
    ["initial_learning_rate", String(state.initialLearningRate)],
    ["properties", JSON.stringify([...state.properties].map(([name, { kind, value }]) => [name, kind, String(value)]))],
    ...beside,
  ]);
  return safetensorsParts(tensors, metadata);
}

/** Whether a safetensors file says that it is a training state. */
export const isState = ({ metadata }: Pick<Safetensors, "metadata">): boolean => metadata.get("format") === FORMAT;

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
export function slotZeros(): (like: Tensor) => Tensor {
  let bytes = new Uint8Array();
  return ({ dtype, dims, byteLength }) => {
    const length = byteLength ?? 0;
    if (bytes.length < length) bytes = new Uint8Array(length);
    return new Tensor(dtype, dims, { kind: "raw", bytes: bytes.subarray(0, length) });
  };
}

/** `<parameter>/<transform>/<slot>` taken apart from the end: parameters' names may have slashes. */
export function slotOf(name: string): { readonly parameter: string; readonly slot: string } {
  const [slot = "", , ...rest] = name.split("/").toReversed();
  return { parameter: rest.toReversed().join("/"), slot };
}

/** The state a training begins with: parameters and constants as they are, every slot at zero. */
export function firstState(held: readonly NamedTensor[], planned: readonly PlannedState[]): TrainingState {
  const tensors = new Map(held.map(({ name, tensor }) => [name, tensor]));
  const zerosOf = slotZeros();
  for (const { name, kind, shape, initial } of planned) {
    if (initial !== undefined) tensors.set(name, Tensor.scalar(DataType.float, initial));
    const like = kind === "slot" ? tensors.get(slotOf(name).parameter) : undefined;
    if (like !== undefined) tensors.set(name, shape === undefined ? zerosOf(like) : zeros(like.dtype, shape));
  }
  return { step: 0, tensors, nominal: false, initialLearningRate: DEFAULT_INITIAL_RATE, properties: new Map() };
}
