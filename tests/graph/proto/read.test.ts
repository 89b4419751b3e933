import { describe, expect, it } from "vitest";
import { decodeModel, encodeModel } from "../../../src/entries/graph.ts";
import { errorOf } from "../../support/errors.ts";
import { encodeProto, FULL_MODEL } from "../serde/full-model.ts";

const MINIMAL = encodeProto({ irVersion: 8n, opsetImport: [{ version: 17n }], graph: { name: "g" } });
const with_ = (...bytes: number[]): Uint8Array => Uint8Array.from([...MINIMAL, ...bytes]);

/** Rows 9 to 14 of the matrix of bad inputs: what is wrong, the bytes after a valid model, what the message says. */
const BROKEN: readonly (readonly [what: string, bytes: Uint8Array, message: RegExp])[] = [
  [
    "a length beyond the end of the file",
    with_(0x32, 0x10, 0x61),
    /docString: 16 bytes declared, 1 left \(offset \d+\)/,
  ],
  ["a length of 2^31-1", with_(0x3a, 0xff, 0xff, 0xff, 0xff, 0x07), /graph: 2147483647 bytes declared, 0 left/],
  [
    "a length of 2^63",
    with_(0x3a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01),
    /graph: 92233720368547\d+ bytes declared/,
  ],
  [
    "a varint of 11 bytes",
    with_(0x08, ...Array<number>(10).fill(0x80), 0x01),
    /irVersion: it is not a valid varint \(offset \d+\)/,
  ],
  ["a truncated varint", with_(0x08, 0x80), /irVersion: the data end in the middle of it/],
  ["wire type 6", with_(0x0e), /wire type 6/],
  ["wire type 7", with_(0x0f), /wire type 7/],
  ["wire type 6 in an unknown field", with_(0xfe, 0x7f), /wire type 6 does not exist/],
  ["field number 0", with_(0x00, 0x00), /a field has number 0/],
  ["a known field with another wire type", with_(0x0a, 0x01, 0x08), /irVersion: wire type 2 where 0 is expected/],
  [
    "a float cut off",
    with_(0x3a, 6, 0x0a, 4, 0x2a, 2, 0x15, 0x00),
    /graph\.node\[0\]\.attribute\[0\]\.f: the data end|runs past the end/,
  ],
  [
    "packed floats that are not whole",
    with_(0x3a, 5, 0x2a, 3, 0x22, 1, 0),
    /graph\.initializer\[0\]\.floatData: 1 bytes are not a whole number of 4-byte elements/,
  ],
  ["an unknown group that is never closed", with_(0xfb, 0x07), /group 127 is never closed/],
  ["an unknown group closed as another", with_(0xfb, 0x07, 0xf4, 0x07), /group 127 is closed as 126/],
];

describe("row 9, row 10, row 14: refuses, with the field and the offset,", () => {
  it.each(BROKEN)("%s", (_, bytes, message) => {
    const error = errorOf(() => decodeModel(bytes));
    expect([error.code, error.exitCode]).toEqual(["E_PROTOBUF", 3]);
    expect(error.message).toMatch(message);
  });

  it("row 16: text that is not UTF-8, naming the field", () => {
    const name = [0x42, 2, 0xc3, 0x28];
    const error = errorOf(() => decodeModel(with_(0x3a, 2 + name.length, 0x2a, name.length, ...name)));
    expect(error.message).toMatch(/^graph\.initializer\[0\]\.name: the text is not valid UTF-8/);
  });

  it("row 12: messages nested 100 000 deep", () => {
    const nested = (count: number, tags: readonly number[]): Uint8Array => {
      let length = 0;
      const parts: number[][] = [];
      for (let level = 0; level < count; level++) {
        const tag = tags[level % tags.length] ?? 0;
        const varint: number[] = [];
        for (let rest = length; ; rest >>>= 7) {
          varint.push(rest > 127 ? (rest & 127) | 128 : rest);
          if (rest <= 127) break;
        }
        parts.push([tag, ...varint]);
        length += 1 + varint.length;
      }
      return Uint8Array.from(parts.reverse().flat());
    };
    const g = [0x32, 0x2a, 0x0a];
    const deep = nested(99_999, g);
    const model = Uint8Array.from([
      ...MINIMAL,
      0x3a,
      ...[(deep.length & 127) | 128, ((deep.length >> 7) & 127) | 128, deep.length >> 14],
      ...deep,
    ]);
    expect(errorOf(() => decodeModel(model)).message).toMatch(/messages are nested deeper than 100/);
  });

  it("row 13: unknown groups nested 100 000 deep", () => {
    const groups = new Uint8Array(200_000).map((_, index) => (index % 2 === 0 ? 0xfb : 0x07));
    expect(errorOf(() => decodeModel(Uint8Array.from([...MINIMAL, ...groups]))).message).toMatch(
      /groups are nested deeper than 100/,
    );
  });
});

describe("accepts", () => {
  it("row 11: varints longer than need be, and writes them short", () => {
    const bytes = with_(0xb2, 0x00, 0x83, 0x00, 0x61, 0x62, 0x63);
    const model = decodeModel(bytes);
    expect(model.docString).toBe("abc");
    expect(encodeModel(model).length).toBe(bytes.length - 2);
  });

  it("unknown groups, and keeps them", () => {
    const bytes = with_(0xfb, 0x07, 0x08, 0x01, 0xfc, 0x07);
    expect(encodeModel(decodeModel(bytes))).toEqual(bytes);
  });

  it("row 17: a message given twice, and merges it", () => {
    const graph = (name: string, docString?: string): Uint8Array =>
      encodeProto({ graph: { name, ...(docString === undefined ? {} : { docString }) } });
    const model = decodeModel(
      Uint8Array.from([
        ...encodeProto({ irVersion: 8n, opsetImport: [{ version: 17n }] }),
        ...graph("first", "doc"),
        ...graph("second"),
      ]),
    );
    expect([model.graph.name, model.graph.docString]).toEqual(["second", "doc"]);
  });

  it("the last member of a oneof that is given twice", () => {
    const dim = [0x08, 0x05, 0x12, 0x01, 0x4e];
    const shape = [0x0a, dim.length, ...dim];
    const type = [0x0a, shape.length + 4, 0x08, 1, 0x12, shape.length, ...shape];
    const input = [0x0a, 1, 0x78, 0x12, type.length, ...type];
    const [value] = decodeModel(with_(0x3a, input.length + 2, 0x5a, input.length, ...input)).graph.inputs;
    expect(value?.type).toEqual({ kind: "tensor", dtype: 1, shape: ["N"] });
  });
});

describe("never hangs or crashes", () => {
  const bytes = encodeProto(FULL_MODEL);
  const outcome = (damaged: Uint8Array): "model" | "error" => {
    try {
      decodeModel(damaged);
      return "model";
    } catch (error) {
      expect(error).toHaveProperty("code");
      expect(error).toHaveProperty("exitCode", 3);
      return "error";
    }
  };

  it("row 7: on a model cut off at any byte", () => {
    const outcomes = Array.from({ length: bytes.length }, (_, length) => outcome(bytes.subarray(0, length)));
    expect(outcomes.filter((each) => each === "error").length).toBeGreaterThan(bytes.length * 0.8);
  });

  it("row 8: on a model with any bit flipped", () => {
    let models = 0;
    for (let position = 0; position < bytes.length * 8; position++) {
      const flipped = bytes.slice();
      flipped[position >> 3] = (flipped[position >> 3] ?? 0) ^ (1 << (position & 7));
      if (outcome(flipped) === "model") models++;
    }
    expect(models).toBeGreaterThan(0);
    expect(models).toBeLessThan(bytes.length * 8);
  });
});
