import protobuf from "protobufjs/minimal.js";
import { BYTES, mapTo, PATH, requireArgument } from "../../arguments.ts";
import { FormatError } from "../../errors.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import { decodeNamedTensor } from "../../graph/serde/decode.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Checkpoint, OptimizerGroup, ParameterState, Property } from "./checkpoint.ts";

/** The files of a checkpoint folder as ONNX Runtime wrote them up to 1.15, by name. */
export type CheckpointFolder = ReadonlyMap<string, Uint8Array>;

const TRAINABLE = ["paramtrain_tensors.pbseq", "param_tensors.pbseq"];
const FROZEN = "paramfrozen_tensors.pbseq";
const PROPERTIES = "custom_properties.pbseq";
const MOMENTS = /^optim_(.+)_(momentum[0-9]+)_tensors\.pbseq$/;
const GROUP_PROPERTIES = /^optim_(.+)_properties\.pbseq$/;

export function isPbseqFile(name: string): boolean {
  requireArgument("name", name, PATH);
  return name.endsWith(".pbseq");
}

/** The error for one file of such a folder where a model or a checkpoint is asked for. */
export function pbseqAlone(path: string): FormatError {
  requireArgument("path", path, PATH);
  return new FormatError("E_CHECKPOINT", `${path} is one file of a checkpoint folder of ONNX Runtime up to 1.15`, {
    file: path,
    hint: "Give the folder it lies in.",
  });
}

/**
 * Decodes an old checkpoint folder into what a checkpoint is today.
 * @throws FormatError `E_CHECKPOINT`
 */
export function decodePbseqCheckpoint(folder: CheckpointFolder): Checkpoint {
  requireArgument("folder", folder, mapTo(BYTES, "a map of file names to bytes"));
  const trainableFile = TRAINABLE.find((name) => folder.has(name));
  if (trainableFile === undefined) {
    throw new FormatError(
      "E_CHECKPOINT",
      `the checkpoint folder has no ${TRAINABLE[0]}; it has ${[...folder.keys()].join(", ") || "no files"}`,
    );
  }
  const read = (name: string): NamedTensor[] => decodePbseq(folder.get(name) ?? new Uint8Array([0]), name);
  return {
    trainable: read(trainableFile),
    frozen: read(FROZEN),
    nominal: false,
    optimizerGroups: groups(folder, read),
    properties: new Map(read(PROPERTIES).map(({ name, tensor }) => [name, property(tensor)])),
  };
}

function groups(folder: CheckpointFolder, read: (name: string) => NamedTensor[]): OptimizerGroup[] {
  const names = new Set([...folder.keys()].flatMap((file) => GROUP_PROPERTIES.exec(file)?.[1] ?? []));
  return [...names].sort().map((name) => {
    const properties = read(`optim_${name}_properties.pbseq`);
    const scalar = (part: string): number | bigint =>
      properties.find((each) => each.name.includes(part))?.tensor.values()[0] ?? 0;
    const states = new Map<string, NamedTensor[]>();
    for (const file of [...folder.keys()].sort()) {
      const [, group, moment] = MOMENTS.exec(file) ?? [];
      if (group !== name || moment === undefined) continue;
      for (const { name: parameter, tensor } of read(file)) {
        states.set(parameter, [...(states.get(parameter) ?? []), { name: moment, tensor }]);
      }
    }
    return {
      name,
      step: BigInt(Math.trunc(Number(scalar("step")))),
      initialLearningRate: Number(scalar("learning_rate")),
      states: [...states].map(([parameter, moments]): ParameterState => ({ parameter, moments })),
    };
  });
}

/** varint count of messages, then each as varint length and TensorProto. */
export function decodePbseq(bytes: Uint8Array, file: string): NamedTensor[] {
  const reader = new protobuf.Reader(bytes);
  const fail = (reason: string, cause?: unknown): FormatError =>
    new FormatError("E_CHECKPOINT", `${file}: ${reason}`, { file, ...(cause === undefined ? {} : { cause }) });
  const varint = (what: string): number => {
    try {
      return reader.uint32();
    } catch (cause) {
      throw fail(`${what} is cut off`, cause);
    }
  };
  const count = varint("the number of tensors");
  if (count > bytes.length) throw fail(`${count} tensors do not fit into ${bytes.length} bytes`);
  const tensors = Array.from({ length: count }, (_, index) => {
    const length = varint(`the length of tensor ${index}`);
    if (length > bytes.length - reader.pos)
      throw fail(`tensor ${index} has ${length} bytes, ${bytes.length - reader.pos} are left`);
    const start = reader.pos;
    reader.pos += length;
    return withRawData(decodeNamedTensor(bytes.subarray(start, start + length), `${file}[${index}]`), fail);
  });
  if (reader.pos !== bytes.length) throw fail(`${bytes.length - reader.pos} bytes follow the last tensor`);
  return tensors;
}

function withRawData({ name, tensor }: NamedTensor, fail: (reason: string) => FormatError): NamedTensor {
  if (tensor.data.kind === "strings" || tensor.data.kind === "external") return { name, tensor };
  if (tensor.data.kind === "raw" && tensor.data.bytes.length !== tensor.byteLength) {
    throw fail(
      `"${name}" has ${tensor.data.bytes.length} bytes, ${tensor.byteLength} expected for [${tensor.dims.join(",")}]`,
    );
  }
  return { name, tensor: Tensor.from(tensor.dtype, tensor.dims, tensor.values()) };
}

function property(tensor: Tensor): Property {
  if (tensor.data.kind === "strings") return { kind: "string", value: new TextDecoder().decode(tensor.data.values[0]) };
  const value = tensor.values()[0] ?? 0;
  return typeof value === "bigint" ? { kind: "int", value } : { kind: "float", value };
}
