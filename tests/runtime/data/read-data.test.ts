import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { GraphTensor } from "../../../src/entries/graph.ts";
import { encodeSafetensors } from "../../../src/entries/training.ts";
import { readDataFile } from "../../../src/index.ts";
import { rejectionOf } from "../../support/errors.ts";
import { temporaryFolder } from "../../support/temporary.ts";

function npy(header: string, data: Uint8Array, major = 1): Uint8Array {
  const text = new TextEncoder().encode(`${header}\n`);
  const length = major === 1 ? [text.length & 255, text.length >> 8] : [text.length & 255, text.length >> 8, 0, 0];
  return Uint8Array.from([0x93, ...new TextEncoder().encode("NUMPY"), major, 0, ...length, ...text, ...data]);
}

const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
const header = (descr: string, shape: string, fortran = "False"): string =>
  `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': (${shape}), }`;

function place(name: string, bytes: Uint8Array): string {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

describe("data files", () => {
  it("in safetensors are read", async () => {
    const path = place("data.safetensors", encodeSafetensors([{ name: "x", tensor: GraphTensor.floats([1], [2]) }]));
    expect((await readDataFile(path)).map(({ name, tensor }) => [name, [...tensor.values()]])).toEqual([["x", [2]]]);
  });

  it("rows 59, 60: in npz are read, column-major arrays and format 2 too, and names are never paths", async () => {
    const path = place(
      "data.npz",
      zipSync({
        "x.npy": npy(header("<f4", "2, 3"), floats(1, 2, 3, 4, 5, 6)),
        "columns.npy": npy(header("<f4", "2, 3", "True"), floats(1, 4, 2, 5, 3, 6), 2),
        "../../evil.npy": npy(header("|u1", "1,"), Uint8Array.of(9)),
        "scalar.npy": npy(header("<i8", ""), new Uint8Array(8)),
        "readme.txt": new Uint8Array(3),
      }),
    );
    const tensors = await readDataFile(path);
    expect(tensors.map(({ name, tensor }) => [name, tensor.dims, [...tensor.values()]])).toEqual([
      ["x", [2, 3], [1, 2, 3, 4, 5, 6]],
      ["columns", [2, 3], [1, 2, 3, 4, 5, 6]],
      ["../../evil", [1], [9]],
      ["scalar", [], [0n]],
    ]);
  });

  it.each([
    ["data.doc", new Uint8Array(), "E_DATA_FORMAT", /names of data files end in \.safetensors/],
    ["data.npz", new Uint8Array(10), "E_NPZ", /not a valid npz archive/],
    ["data.npz", zipSync({ "x.npy": new Uint8Array(3) }), "E_NPY", /"x" is not a NumPy array/],
    ["data.npz", zipSync({ "x.npy": npy(header("|O", "1,"), new Uint8Array(8)) }), "E_NPY", /holds Python objects/],
    ["data.npz", zipSync({ "x.npy": npy(header(">f4", "1,"), new Uint8Array(4)) }), "E_NPY", /big-endian/],
    [
      "data.npz",
      zipSync({ "x.npy": npy(header("<c8", "1,"), new Uint8Array(8)) }),
      "E_NPY",
      /its type c8 is not supported/,
    ],
    [
      "data.npz",
      zipSync({ "x.npy": npy(header("<f4", "3,"), new Uint8Array(8)) }),
      "E_NPY",
      /8 bytes of data, 12 expected/,
    ],
    [
      "data.npz",
      zipSync({ "x.npy": npy(header("<f4", "99999999999, 99999999999"), new Uint8Array(8)) }),
      "E_NPY",
      /too large/,
    ],
    ["data.npz", zipSync({ "x.npy": npy(header("<f4é", "1,"), new Uint8Array(4)) }), "E_NPY", /header is damaged/],
    ["data.npz", zipSync({ "x.npy": npy("import os", new Uint8Array(8)) }), "E_NPY", /header is damaged/],
    ["data.npz", zipSync({ "x.npy": npy(header("<f4", "1,"), new Uint8Array(4), 9) }), "E_NPY", /format version is 9/],
  ])("rows 59, 60: that are wrong are refused, naming the file: %s %#", async (name, bytes, code, message) => {
    const path = place(name, bytes);
    const error = await rejectionOf(readDataFile(path));
    expect([error.code, error.exitCode, error.file]).toEqual([code, 5, path]);
    expect(error.message).toMatch(message);
  });
});
