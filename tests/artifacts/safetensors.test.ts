import { describe, expect, it } from "vitest";
import { DataType, GraphTensor } from "../../src/entries/graph.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/entries/training.ts";
import { errorOf } from "../support/errors.ts";

/** A file from a header text and data, as any writer could make it. */
function file(header: string, data = new Uint8Array()): Uint8Array {
  const json = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + json.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  bytes.set(data, 8 + json.length);
  return bytes;
}

const entry = (dtype: string, shape: readonly number[], begin: number, end: number): string =>
  `{"dtype":"${dtype}","shape":[${shape.join(",")}],"data_offsets":[${begin},${end}]}`;
const withLength = (length: bigint): Uint8Array => {
  const bytes = file("{}");
  new DataView(bytes.buffer).setBigUint64(0, length, true);
  return bytes;
};

describe("safetensors", () => {
  it("are read back as they were written, metadata and odd names too", () => {
    const tensors = [
      { name: "float", tensor: GraphTensor.floats([2, 1], [1.5, -2]) },
      { name: "__proto__", tensor: GraphTensor.ints([-1, 2]) },
      { name: "empty", tensor: GraphTensor.floats([0, 3], []) },
      { name: "bytes", tensor: GraphTensor.from(DataType.uint8, [3], Uint8Array.of(1, 2, 3)) },
    ];
    const decoded = decodeSafetensors(encodeSafetensors(tensors, new Map([["format", "pt"]])));
    expect(decoded.metadata).toEqual(new Map([["format", "pt"]]));
    expect(decoded.tensors.map(({ name, tensor }) => [name, tensor.dtype, tensor.dims, [...tensor.values()]])).toEqual(
      tensors.map(({ name, tensor }) => [name, tensor.dtype, tensor.dims, [...tensor.values()]]),
    );
  });

  it("of a known file are read byte for byte", () => {
    const bytes = file(`{"x":${entry("F32", [2], 0, 8)}}`, Uint8Array.of(0, 0, 128, 63, 0, 0, 0, 192));
    const [x] = decodeSafetensors(bytes).tensors;
    expect([x?.name, [...(x?.tensor.values() ?? [])]]).toEqual(["x", [1, -2]]);
  });

  it.each([
    ["row 56: too short", Uint8Array.of(1, 2), /2 bytes are too few/],
    ["row 56: a header longer than the file", withLength(1000n), /a header of 1000 bytes in a file of 10/],
    ["row 56: a header above 100 MB", withLength(2n ** 40n), /too large/],
    ["row 56: a header below 2 bytes", withLength(1n), /a header of 1 bytes/],
    ["row 56: a header that is not UTF-8", Uint8Array.from([2, 0, 0, 0, 0, 0, 0, 0, 0xc3, 0x28]), /not valid UTF-8/],
    ["row 56: a header that is no object", file("[]"), /does not begin with/],
    ["row 56: a header that is no JSON", file("{nonsense}"), /not JSON/],
    ["row 56: a header nested deeply", file(`{"a":${"[".repeat(100000)}`), /nested deeper than 3/],
    [
      "row 58: a name given twice",
      file(`{"x":${entry("U8", [1], 0, 1)},"x":${entry("U8", [1], 0, 1)}}`, new Uint8Array(1)),
      /the key "x" is there twice/,
    ],
    ["row 58: metadata that are no text", file('{"__metadata__":{"a":1}}'), /__metadata__ "a" is not a string/],
    [
      "row 56: trailing bytes",
      file(`{"x":${entry("U8", [1], 0, 1)}}`, new Uint8Array(2)),
      /1 bytes follow the last tensor/,
    ],
    [
      "row 57: a hole",
      file(`{"x":${entry("U8", [1], 0, 1)},"y":${entry("U8", [1], 2, 3)}}`, new Uint8Array(3)),
      /"y" begins at 2, the data before it end at 1/,
    ],
    [
      "row 57: an overlap",
      file(`{"x":${entry("U8", [2], 0, 2)},"y":${entry("U8", [2], 1, 3)}}`, new Uint8Array(3)),
      /"y" begins at 1/,
    ],
    [
      "row 57: an end beyond the file",
      file(`{"x":${entry("U8", [9], 0, 9)}}`, new Uint8Array(1)),
      /"x" takes bytes 0 to 9 of 1/,
    ],
    [
      "row 57: an end before the beginning",
      file(`{"x":${entry("U8", [1], 1, 0)}}`, new Uint8Array(1)),
      /"x" takes bytes 1 to 0/,
    ],
    [
      "row 57: a size that does not fit the type",
      file(`{"x":${entry("F32", [2], 0, 4)}}`, new Uint8Array(4)),
      /"x" has 4 bytes, 8 expected for F32 \[2\]/,
    ],
    [
      "row 57: an unsafe number",
      file('{"x":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,1]}}', new Uint8Array(1)),
      /"x" has no valid shape/,
    ],
    [
      "row 57: a negative number",
      file('{"x":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}', new Uint8Array(1)),
      /"x" has no valid shape/,
    ],
    [
      "row 57: an unsafe number for a place",
      file('{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,9007199254740993]}}', new Uint8Array(1)),
      /"x"/,
    ],
    ["an unknown type", file(`{"x":${entry("Q9", [1], 0, 1)}}`, new Uint8Array(1)), /unknown type "Q9"/],
    ["an entry that is no object", file('{"x":null}'), /"x" has the unknown type/],
  ])("are refused with %s", (_, bytes, message) => {
    const error = errorOf(() => decodeSafetensors(bytes));
    expect([error.code, error.exitCode]).toEqual(["E_SAFETENSORS", 3]);
    expect(error.message).toMatch(message);
  });
});
