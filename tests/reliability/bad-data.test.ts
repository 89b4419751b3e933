import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32, deflateRawSync } from "node:zlib";
import { strToU8, zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { decodeSafetensors } from "../../src/entries/training.ts";
import { readDataFile } from "../../src/index.ts";
import { decodeNpy } from "../../src/runtime/data/npy.ts";
import { decodeNpz } from "../../src/runtime/data/npz.ts";
import { errorOf, rejectionOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/temporary.ts";

function safetensors(header: string, data = new Uint8Array()): Uint8Array {
  const json = strToU8(header);
  const size = new Uint8Array(8);
  new DataView(size.buffer).setBigUint64(0, BigInt(json.length), true);
  return Buffer.concat([size, json, data]);
}

function npy(
  header: string,
  data: Uint8Array = new Uint8Array(8),
  version: readonly [number, number] = [1, 0],
): Uint8Array {
  const text = strToU8(header);
  return Buffer.concat([
    Uint8Array.of(0x93),
    strToU8("NUMPY"),
    Uint8Array.of(...version, text.length & 255, text.length >> 8),
    text,
    data,
  ]);
}

const ARRAY = npy(
  "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n",
  new Uint8Array(Float32Array.of(1, 2).buffer),
);
const archive = (): Uint8Array => zipSync({ "x.npy": ARRAY, "y.npy": [ARRAY, { level: 0 }] });

describe("row 56: a safetensors header", () => {
  it("of 4 MB inside an open string is refused within a second", () => {
    const bytes = safetensors(`{"${'\\"'.repeat(2_000_000)}`);
    const start = performance.now();
    expect(errorOf(() => decodeSafetensors(bytes)).message).toMatch(/ends inside a string/);
    expect(performance.now() - start).toBeLessThan(1000);
  });
});

describe("row 58: a key that is there twice", () => {
  const entry = '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}';
  it.each([
    ["written with an escape", `{"a":${entry},"\\u0061":${entry}}`],
    ["in the metadata", '{"__metadata__":{"a":"1","a":"2"}}'],
    ["in the metadata, with an escape", '{"__metadata__":{"a":"1","\\u0061":"2"}}'],
    ["of an entry", '{"x":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}'],
  ])("%s is refused", (_, header) => {
    const error = errorOf(() => decodeSafetensors(safetensors(header, new Uint8Array(1))));
    expect([error.code, error.exitCode]).toEqual(["E_SAFETENSORS", 3]);
    expect(error.message).toMatch(/is there twice/);
  });

  it("in two different objects is no repetition", () => {
    expect(decodeSafetensors(safetensors('{"__metadata__":{"a":"a","b":"a:"}}')).metadata.size).toBe(2);
  });
});

describe("row 59: an array file", () => {
  const header = (shape: string): string => `{'descr': '<f4', 'fortran_order': True, 'shape': (${shape}), }\n`;
  it.each([
    ["of 20,000 dimensions", npy(header("1,".repeat(20_000))), /20000 dimensions; NumPy allows 64/],
    ["of version 1.9", npy(header("2,"), new Uint8Array(8), [1, 9]), /version is 1\.9/],
    ["with a key twice", npy(header("2,").replace("}", "'shape': (1,), }")), /header is damaged/],
    ["of records", npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }\n"), /header is damaged/],
    ["with an expression in its header", npy(header("2,").replace("(2,)", "(2,) + (3,)")), /header is damaged/],
    ["with a dimension that no number holds", npy(header("0, 99999999999999999999")), /too large/],
  ])("%s is refused", (_, bytes, message) => {
    const error = errorOf(() => decodeNpy(bytes, "x"));
    expect([error.code, error.exitCode]).toEqual(["E_NPY", 5]);
    expect(error.message).toMatch(message);
  });
});

describe("row 60: an archive", () => {
  it("with any one bit flipped gives the same numbers or none", () => {
    const good = archive();
    const whole = decodeNpz(good).map(({ name, tensor }) => [name, [...tensor.values()]]);
    let refused = 0;
    for (let bit = 0; bit < 8 * good.length; bit++) {
      const bytes = Uint8Array.from(good);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      try {
        expect(decodeNpz(bytes).map(({ name, tensor }) => [name, [...tensor.values()]])).toEqual(whole);
      } catch (error) {
        expect(error).toHaveProperty("exitCode", 5);
        refused++;
      }
    }
    /** What is left are times, versions and permissions, which say nothing of the data. */
    expect(refused).toBeGreaterThan(6 * good.length);
  });

  /** Writes a number of 16 bits at a place in the first local header and at another in its entry of the directory. */
  function patched(local: number, central: number, value: number): Uint8Array {
    const bytes = Uint8Array.from(archive());
    const view = new DataView(bytes.buffer);
    const directory = view.getUint32(bytes.length - 6, true);
    view.setUint16(local, value, true);
    view.setUint16(directory + central, value, true);
    return bytes;
  }

  function claiming(size: number): Uint8Array {
    const bytes = Uint8Array.from(archive());
    const view = new DataView(bytes.buffer);
    view.setUint32(view.getUint32(bytes.length - 6, true) + 24, size, true);
    return bytes;
  }

  function twice(): Uint8Array {
    const bytes = Uint8Array.from(archive());
    for (let at = 0; at < bytes.length; at++)
      if (Buffer.from(bytes.subarray(at, at + 5)).toString() === "y.npy") bytes[at] = 0x78;
    return bytes;
  }

  it.each([
    ["that is encrypted", patched(6, 8, 1), /is encrypted/],
    ["packed by another method", patched(8, 10, 14), /method 14/],
    ["that unpacks to 1 GB", claiming(2 ** 30), /more than 200 times its size/],
    ["that lacks its zip64 sizes", claiming(2 ** 32 - 1), /lacks its zip64 sizes/],
    ["with a name twice", twice(), /"x\.npy" is there twice/],
    ["with bytes behind its end", Buffer.concat([archive(), new Uint8Array(3)]), /no directory at its end/],
  ])("%s is refused", (_, bytes, message) => {
    const error = errorOf(() => decodeNpz(bytes));
    expect([error.code, error.exitCode]).toEqual(["E_NPZ", 5]);
    expect(error.message).toMatch(message);
  });

  /** An archive of one deflated entry, with any size said of it. */
  function archiveOf(packed: Uint8Array, crc: number, size: number): Uint8Array {
    const name = strToU8("x.npy");
    const sizes = (bytes: Buffer, at: number): void => {
      bytes.writeUInt32LE(crc, at);
      bytes.writeUInt32LE(packed.length, at + 4);
      bytes.writeUInt32LE(size, at + 8);
      bytes.writeUInt16LE(name.length, at + 12);
    };
    const [local, central, end] = [Buffer.alloc(30), Buffer.alloc(46), Buffer.alloc(22)];
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(8, 8);
    sizes(local, 14);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(8, 10);
    sizes(central, 16);
    end.writeUInt32LE(0x06054b50, 0);
    end.writeUInt16LE(1, 8);
    end.writeUInt16LE(1, 10);
    end.writeUInt32LE(central.length + name.length, 12);
    end.writeUInt32LE(local.length + name.length + packed.length, 16);
    return Buffer.concat([local, name, packed, central, name, end]);
  }

  it("that is a bomb, honest or lying, is refused before it takes memory", () => {
    const zeros = Buffer.alloc(2 ** 30);
    const [packed, crc] = [deflateRawSync(zeros, { level: 1 }), crc32(zeros)];
    const small = deflateRawSync(ARRAY);
    expect(decodeNpz(archiveOf(small, crc32(ARRAY), ARRAY.length))).toHaveLength(1);
    const before = process.memoryUsage().arrayBuffers;
    const messageOf = (size: number): string => errorOf(() => decodeNpz(archiveOf(packed, crc, size))).message;
    expect(messageOf(zeros.length)).toMatch(/unpacks to 1073741824 bytes, more than 200 times its size/);
    expect(messageOf(1000)).toMatch(/"x\.npy" cannot be unpacked/);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 26);
  });

  it("on the command line ends with 5 and names the file", async () => {
    const path = join(temporaryFolder(), "data.npz");
    writeFileSync(path, patched(6, 8, 1));
    expect((await rejectionOf(readDataFile(path))).file).toBe(path);
  });
});
