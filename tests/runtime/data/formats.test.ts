import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { readData } from "../../../src/index.ts";
import { place, shown } from "../../support/data-content.ts";
import { rejectionOf } from "../../support/errors.ts";
import { temporaryFolder } from "../../support/temporary.ts";

/** Written out by the description of the format, not by what reads it. */
function idx(type: number, sizes: readonly number[], data: Uint8Array): Uint8Array {
  const head = sizes.flatMap((size) => [size >>> 24, (size >> 16) & 255, (size >> 8) & 255, size & 255]);
  return Uint8Array.from([0, 0, type, sizes.length, ...head, ...data]);
}

describe("IDX", () => {
  const images = idx(8, [2, 2, 3], Uint8Array.of(0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255));
  const labels = idx(8, [2], Uint8Array.of(7, 3));

  it("pairs are read, gzipped or not, and as a folder under their usual names", async () => {
    const folder = temporaryFolder();
    place("train-images-idx3-ubyte.gz", gzipSync(images), folder);
    place("train-labels-idx1-ubyte", labels, folder);
    const expected = {
      images: [
        [2, 2, 3],
        [0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255],
      ],
      labels: [[2], [7, 3]],
    };
    expect(shown(await readData(folder))).toEqual(expected);
    const pair = [place("a.idx", images), place("b.idx.gz", gzipSync(labels))];
    expect(shown(await readData(pair.join(",")))).toEqual(expected);
  });

  it.each([
    [0x09, [0xff, 0x7f], [-1, 127]],
    [0x0b, [0x80, 0x00, 0x01, 0x02], [-32_768, 258]],
    [0x0c, [0xff, 0xff, 0xff, 0xfe, 0, 1, 0, 0], [-2, 65_536]],
    [0x0d, [0x3f, 0x80, 0, 0, 0xc0, 0x20, 0, 0], [1, -2.5]],
    [0x0e, [0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xc0, 4, 0, 0, 0, 0, 0, 0], [1, -2.5]],
  ])("of type %i is big-endian", async (type, bytes, values) => {
    const content = await readData(place("x.idx", idx(type, [2], Uint8Array.from(bytes))));
    expect(shown(content)).toEqual({ labels: [[2], values] });
  });

  it.each([
    ["a wrong magic", Uint8Array.of(0, 1, 8, 1, 0, 0, 0, 0), /begins with 00 01 08 01/],
    ["an unknown type", idx(0x0f, [1], Uint8Array.of(1)), /begins with 00 00 0f 01/],
    ["no axes", Uint8Array.of(0, 0, 8, 0), /begins with 00 00 08 00/],
    ["sizes cut off", images.subarray(0, 9), /its 3 sizes are cut off/],
    ["data cut off", images.subarray(0, images.length - 1), /\[2,2,3\] takes 28 bytes, it has 27/],
    ["too much data", Uint8Array.of(...images, 0), /it has 29/],
    ["sizes beyond any memory", idx(8, [2 ** 31, 2 ** 31, 2 ** 31], Uint8Array.of()), /takes 9\.90\d*e\+27 bytes/],
    ["nothing", new Uint8Array(), /has 0 bytes/],
  ])("row 62: with %s is refused by file", async (_, bytes, message) => {
    const path = place("x.idx", bytes);
    const error = await rejectionOf(readData(path));
    expect([error.code, error.exitCode, error.file, error.message]).toEqual([
      "E_IDX",
      5,
      path,
      expect.stringMatching(message),
    ]);
  });
});

describe("CIFAR", () => {
  const record = (labels: readonly number[], pixel: number): number[] => [...labels, ...new Array(3072).fill(pixel)];

  it("of ten classes is read, its five parts of a folder as one", async () => {
    const folder = temporaryFolder();
    for (const part of [1, 2, 3, 4, 5]) place(`data_batch_${part}.bin`, Uint8Array.from(record([part], part)), folder);
    const { tensors } = await readData(folder);
    expect(tensors.map(({ name, tensor }) => [name, tensor.dims])).toEqual([
      ["images", [5, 3, 32, 32]],
      ["labels", [5]],
    ]);
    expect([...(tensors[1]?.tensor.values() ?? [])]).toEqual([1, 2, 3, 4, 5]);
    expect(tensors[0]?.tensor.values()[3072]).toBe(2);
  });

  it("of a hundred classes has the coarse ones too", async () => {
    const { tensors } = await readData(
      place("train.bin", Uint8Array.from([...record([19, 99], 0), ...record([0, 1], 0)])),
    );
    expect(tensors.map(({ name, tensor }) => [name, [...tensor.values()].slice(0, 2)])).toEqual([
      ["images", [0, 0]],
      ["coarse_labels", [19, 0]],
      ["labels", [99, 1]],
    ]);
  });

  it.each([
    ["cut off", record([1], 0).slice(1), /3072 bytes are no whole number of records/],
    ["with a class that is none", record([10], 0), /labels of sample 0 is 10; CIFAR-10 has 0 to 9/],
  ])("row 62: %s is refused", async (_, bytes, message) => {
    const error = await rejectionOf(readData(place("test.bin", Uint8Array.from(bytes))));
    expect([error.code, error.exitCode, error.message]).toEqual(["E_CIFAR", 5, expect.stringMatching(message)]);
  });
});

describe("NumPy's other arrays", () => {
  it.each([
    ["<U3", "np.unique(labels, return_inverse=True)"],
    ["|O", "np.unique(labels, return_inverse=True)"],
    [">f4", 'newbyteorder("<")'],
    ["<c8", "x.real, x.imag"],
    ["<M8[s]", "numbers that mean something"],
  ])("row 59: of type %s are refused with what to do", async (descr, hint) => {
    const head = `{'descr': '${descr}', 'fortran_order': False, 'shape': (1,), }\n`;
    const file = Buffer.concat([
      Buffer.from(`\u0093NUMPY\u0001\u0000${String.fromCharCode(head.length)}\u0000${head}`, "latin1"),
      Buffer.alloc(8),
    ]);
    const error = await rejectionOf(readData(place("x.npy", file)));
    expect([error.code, error.exitCode, error.hint]).toEqual(["E_NPY", 5, expect.stringContaining(hint)]);
  });
});

describe("several files", () => {
  it("of the same tensors are put together; of other samples, or of other classes, refused", async () => {
    const folder = temporaryFolder();
    const parts = ["1,0\n2,1\n", "3,1\n"].map((text, index) => place(`${index}.csv`, text, folder));
    expect(shown(await readData(parts.join(",")))).toEqual({
      features: [
        [3, 1],
        [1, 2, 3],
      ],
      labels: [[3], [0, 1, 1]],
    });
    const other = place("other.csv", "1,2,0\n", folder);
    expect((await rejectionOf(readData(`${parts[0]},${other}`))).message).toMatch(
      /"features" is \[2,1\] in one file and \[1,2\]/,
    );
    const [cats, dogs] = [place("cats.csv", "a,label\n1,cat\n", folder), place("dogs.csv", "a,label\n1,dog\n", folder)];
    expect((await rejectionOf(readData(`${cats},${dogs}`))).message).toContain("different classes");
  });

  it("a path with a comma in it is a path", async () => {
    expect(shown(await readData(place("a,b.csv", "1,0\n")))).toEqual({ features: [[1, 1], [1]], labels: [[1], [0]] });
  });

  it("what is not there, empty, or of no known kind is named", async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "empty"));
    for (const [specification, code] of [
      [join(folder, "empty"), "E_DATA_FORMAT"],
      [join(folder, "x.doc"), "E_DATA_FORMAT"],
      [join(folder, "nothing.csv"), "E_NO_FILE"],
      [`${place("x.csv", "1,0\n", folder)},`, "E_NO_FILE"],
      [place("x.csv.gz", "no gzip", folder), "E_DATA_FORMAT"],
      [place("y.csv", "version https://git-lfs.github.com/spec/v1\n", folder), "E_DATA_FORMAT"],
    ])
      expect((await rejectionOf(readData(specification ?? ""))).code).toBe(code);
  });
});
