import { bytesOf } from "../../arguments.ts";
import { FormatError, PassError } from "../../errors.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Checkpoint, OptimizerGroup, Property } from "./checkpoint.ts";
import { damaged, FlatBuffer, type Table } from "./flatbuffer.ts";

export const ODTC = "ODTC";
/** What is written. */
export const ODTC_VERSION = 2;
/** Version 2 appended the flag of nominal checkpoints; without it a checkpoint is not nominal. */
const READABLE = [1, ODTC_VERSION];
/** File beside the checkpoint that holds tensors too large for it. */
export const ODTC_DATA_SUFFIX = ".data";

/**
 * Decodes a checkpoint of ONNX Runtime's training API (1.16 and later: FlatBuffers, identifier `ODTC`, version 1 of 1.16 or
 * version 2). Tensor data are views into `bytes`; tensors in the external data file come as external data of that name.
 * @throws FormatError `E_CHECKPOINT` for damaged bytes, PassError `E_CHECKPOINT_VERSION` for another version.
 */
export function decodeCheckpoint(bytes: Uint8Array | ArrayBuffer): Checkpoint {
  bytes = bytesOf("bytes", bytes);
  const root = new FlatBuffer(bytes).root(ODTC);
  const version = root.int32(0, "version");
  if (!READABLE.includes(version)) {
    throw new PassError(
      "E_CHECKPOINT_VERSION",
      `checkpoint version ${version}, this package reads versions ${READABLE.join(" and ")}`,
      { field: "version", hint: "Make the artifacts with onnxruntime-training 1.16 to 1.19." },
    );
  }
  const module = root.table(1, "module_state");
  if (module === null) throw damaged("module_state is missing");
  const nominal = module.bool(2, "is_nominal_state");
  const parameters = (field: number, name: string): NamedTensor[] => {
    const tables = module.tables(field, name);
    if (tables === null) throw damaged(`module_state.${name} is missing`);
    return tables.map((table) => tensor(table, nominal));
  };
  const trainable = parameters(0, "requires_grad_params");
  const frozen = parameters(1, "frozen_params");
  const twice = duplicate([...trainable, ...frozen].map(({ name }) => name));
  if (twice !== undefined) throw damaged(`the parameter "${twice}" is there twice`);
  return {
    trainable,
    frozen,
    nominal,
    optimizerGroups: (root.tables(2, "optimizer_groups") ?? []).map(group),
    properties: properties(root.table(3, "property_bag")),
  };
}

/** The version of the format that the bytes say they have. @throws FormatError `E_CHECKPOINT` */
export function checkpointVersion(bytes: Uint8Array): number {
  return new FlatBuffer(bytes).root(ODTC).int32(0, "version");
}

function duplicate(names: readonly string[]): string | undefined {
  const seen = new Set<string>();
  return names.find((name) => seen.size === seen.add(name).size);
}

function tensor(table: Table, nominal: boolean): NamedTensor {
  const name = table.string(0, "name");
  const dims = table.int64s(2, "dims").map((dim) => {
    if (dim < 0n || dim > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged(`"${name}" has the dimension ${dim}`);
    return Number(dim);
  });
  const dtype = table.int32(3, "data_type");
  const offset = table.int64(6, "external_data_offset", -1n);
  if (offset >= 0n) {
    const at = { location: ODTC_DATA_SUFFIX, offset: Number(offset), length: null, checksum: null };
    return { name, tensor: new Tensor(dtype, dims, { kind: "external", at }) };
  }
  const bytes = table.bytes(4, "raw_data") ?? new Uint8Array();
  const decoded = new Tensor(dtype, dims, { kind: "raw", bytes });
  if (decoded.byteLength === null) {
    throw new FormatError("E_CHECKPOINT", `"${name}" has elements of type ${dtype}, which checkpoints cannot hold`, {
      field: name,
    });
  }
  if (!nominal && bytes.length !== decoded.byteLength) {
    throw damaged(
      `"${name}" has ${bytes.length} bytes, ${decoded.byteLength} expected for its shape [${dims.join(",")}]`,
    );
  }
  return { name, tensor: decoded };
}

function group(table: Table): OptimizerGroup {
  return {
    name: table.string(0, "group_name"),
    step: table.int64(1, "step"),
    initialLearningRate: table.float(2, "initial_learning_rate"),
    states: (table.tables(3, "optimizer_states") ?? []).map((state) => ({
      parameter: state.string(0, "param_name"),
      moments: (state.tables(1, "momentums") ?? []).map((moment) => tensor(moment, false)),
    })),
  };
}

function properties(bag: Table | null): ReadonlyMap<string, Property> {
  const all = new Map<string, Property>();
  if (bag === null) return all;
  for (const each of bag.tables(0, "ints") ?? [])
    all.set(each.string(0, "name"), { kind: "int", value: each.int64(1, "value") });
  for (const each of bag.tables(1, "floats") ?? [])
    all.set(each.string(0, "name"), { kind: "float", value: each.float(1, "value") });
  for (const each of bag.tables(2, "strings") ?? [])
    all.set(each.string(0, "name"), { kind: "string", value: each.string(1, "value") });
  return all;
}
