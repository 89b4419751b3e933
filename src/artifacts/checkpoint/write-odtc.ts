import { Builder, type Offset } from "flatbuffers";
import { requireArgument } from "../../arguments.ts";
import { CheckpointError, FormatError } from "../../errors.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import type { Checkpoint, OptimizerGroup, Property } from "./checkpoint.ts";
import { A_CHECKPOINT, externalTensors } from "./checkpoint.ts";
import { checkpointSpace, MOST_CHECKPOINT_BYTES } from "./checkpoint-space.ts";
import { ODTC, ODTC_DATA_SUFFIX, ODTC_VERSION } from "./read-odtc.ts";

/**
 * Encodes a checkpoint for ONNX Runtime's training API. Tensors come in the order of `checkpoint`; those of the second file
 * stay there.
 * @throws CheckpointError `E_CHECKPOINT_SIZE` where it would have more than 2 GiB
 */
export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  requireArgument("checkpoint", checkpoint, A_CHECKPOINT);
  const space = checkpointSpace(checkpoint);
  if (space > MOST_CHECKPOINT_BYTES) {
    throw new CheckpointError(
      "E_CHECKPOINT_SIZE",
      `the checkpoint would have ${(space / 2 ** 30).toFixed(1)} GiB, and ONNX Runtime's format holds 2`,
      { hint: "Save the state as safetensors: --checkpoints <folder> of train, or encodeState." },
    );
  }
  /** It cannot grow beyond 1 GiB, and has all that it needs from the start. */
  const builder = new Builder(space);
  const parameters = (list: readonly NamedTensor[]): Offset =>
    vector(
      builder,
      list.map((each) => tensor(builder, each)),
    );
  const trainable = parameters(checkpoint.trainable);
  const frozen = parameters(checkpoint.frozen);
  const moduleState = table(builder, [
    { kind: "offset", value: trainable },
    { kind: "offset", value: frozen },
    { kind: "bool", value: checkpoint.nominal },
    { kind: "bool", value: externalTensors(checkpoint).length > 0 },
  ]);
  const groups = checkpoint.optimizerGroups.map((group) => optimizerGroup(builder, group));
  const properties = propertyBag(builder, checkpoint.properties);
  const root = table(builder, [
    { kind: "int32", value: ODTC_VERSION },
    { kind: "offset", value: moduleState },
    { kind: "offset", value: groups.length === 0 ? 0 : vector(builder, groups) },
    { kind: "offset", value: properties },
  ]);
  builder.finish(root, ODTC);
  return builder.asUint8Array();
}

type Field =
  | { readonly kind: "offset" | "int32" | "float"; readonly value: number }
  | { readonly kind: "int64"; readonly value: bigint }
  | { readonly kind: "bool"; readonly value: boolean };

/** Fields in declaration order; those at their default are left out, as FlatBuffers does. */
function table(builder: Builder, fields: readonly Field[]): Offset {
  builder.startObject(fields.length);
  for (const [slot, { kind, value }] of fields.entries()) {
    if (kind === "offset") builder.addFieldOffset(slot, value, 0);
    else if (kind === "int32") builder.addFieldInt32(slot, value, 0);
    else if (kind === "float") builder.addFieldFloat32(slot, value, 0);
    else if (kind === "int64") builder.addFieldInt64(slot, value, 0n);
    else builder.addFieldInt8(slot, value ? 1 : 0, 0);
  }
  return builder.endObject();
}

function vector(builder: Builder, offsets: readonly Offset[]): Offset {
  builder.startVector(4, offsets.length, 4);
  for (const offset of offsets.toReversed()) builder.addOffset(offset);
  return builder.endVector();
}

function tensor(builder: Builder, { name, tensor: { dtype, dims, data } }: NamedTensor): Offset {
  const isOutside = data.kind === "external" && data.at.location === ODTC_DATA_SUFFIX;
  if (data.kind !== "raw" && !isOutside) {
    throw new FormatError("E_CHECKPOINT", `"${name}" must hold its bytes to be written into a checkpoint`, {
      field: name,
    });
  }
  const nameOffset = builder.createString(name);
  builder.startVector(8, dims.length, 8);
  for (const dim of dims.toReversed()) builder.addInt64(BigInt(dim));
  const dimsOffset = builder.endVector();
  const bytes = data.kind === "raw" ? builder.createByteVector(data.bytes) : 0;
  builder.startObject(7);
  builder.addFieldOffset(0, nameOffset, 0);
  builder.addFieldOffset(2, dimsOffset, 0);
  builder.addFieldInt32(3, dtype, 0);
  builder.addFieldOffset(4, bytes, 0);
  if (data.kind === "external") builder.addFieldInt64(6, BigInt(data.at.offset), -1n);
  return builder.endObject();
}

function optimizerGroup(builder: Builder, group: OptimizerGroup): Offset {
  const name = builder.createString(group.name);
  const states = vector(
    builder,
    group.states.map(({ parameter, moments }) => {
      const parameterName = builder.createString(parameter);
      const list = vector(
        builder,
        moments.map((each) => tensor(builder, each)),
      );
      return table(builder, [
        { kind: "offset", value: parameterName },
        { kind: "offset", value: list },
      ]);
    }),
  );
  return table(builder, [
    { kind: "offset", value: name },
    { kind: "int64", value: group.step },
    { kind: "float", value: group.initialLearningRate },
    { kind: "offset", value: states },
  ]);
}

function propertyBag(builder: Builder, properties: ReadonlyMap<string, Property>): Offset {
  if (properties.size === 0) return 0;
  const list = (kind: Property["kind"]): Offset => {
    const entries = [...properties].filter(([, property]) => property.kind === kind);
    return vector(
      builder,
      entries.map(([name, property]) => propertyTable(builder, name, property)),
    );
  };
  const [ints, floats, strings] = [list("int"), list("float"), list("string")];
  return table(builder, [
    { kind: "offset", value: ints },
    { kind: "offset", value: floats },
    { kind: "offset", value: strings },
  ]);
}

function propertyTable(builder: Builder, name: string, property: Property): Offset {
  const nameOffset = builder.createString(name);
  const value: Field =
    property.kind === "int"
      ? { kind: "int64", value: property.value }
      : property.kind === "float"
        ? { kind: "float", value: property.value }
        : { kind: "offset", value: builder.createString(property.value) };
  return table(builder, [{ kind: "offset", value: nameOffset }, value]);
}
