import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { onnx } from "onnx-proto";
import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../../fixtures/optimizer.ts";
import { attribute, decodeModel, encodeModel } from "../../../src/entries/graph.ts";
import type { FieldSpec, Message, Schema } from "../../../src/graph/proto/message.ts";
import { readMessage } from "../../../src/graph/proto/read.ts";
import { MODEL, type ModelProto } from "../../../src/graph/proto/schema.ts";
import { writeMessage } from "../../../src/graph/proto/write.ts";
import { insertAgr } from "../../../src/index.ts";
import { isFull } from "../../support/counts.ts";
import { hasShared, SHARED } from "../../support/shared.ts";
import { encodeProto, FULL_MODEL } from "./full-model.ts";

const read = (bytes: Uint8Array): object =>
  onnx.ModelProto.toObject(onnx.ModelProto.decode(bytes), { longs: String, bytes: String });

describe("decoding and encoding changes nothing", () => {
  it("in a model with every field of the schema", () => {
    const bytes = encodeProto(FULL_MODEL);
    expect(encodeModel(decodeModel(bytes))).toEqual(bytes);
  });

  it("row 15: in fields this version does not know, at every level, in their place", () => {
    const unknown = (number: number) => ({
      number,
      bytes: Uint8Array.of((((number << 3) | 0) & 0x7f) | 0x80, (number << 3) >> 7, 42),
    });
    const graph = FULL_MODEL.graph ?? {};
    const [first = {}, ...rest] = graph.node ?? [];
    const model: ModelProto = {
      ...FULL_MODEL,
      unknown: [unknown(100)],
      graph: { ...graph, unknown: [unknown(99)], node: [{ ...first, unknown: [unknown(98)] }, ...rest] },
    };
    const bytes = encodeProto(model);
    const decoded = decodeModel(bytes);
    expect(encodeModel(decoded)).toEqual(bytes);
    decoded.graph.nodes[0]?.attributes.set("added", attribute.int("added", 1));
    const changed = readMessage(MODEL, encodeModel(decoded));
    expect(changed.graph?.node?.[0]?.unknown).toEqual(model.graph?.node?.[0]?.unknown);
  });

  it("for an independent reader, whatever the order of the fields was", () => {
    const bytes = encodeProto(FULL_MODEL);
    const { irVersion, ...others } = FULL_MODEL;
    const reversed = Buffer.concat([encodeProto(others), encodeProto({ irVersion: irVersion ?? 0n })]);
    expect(Buffer.compare(reversed, bytes)).not.toBe(0);
    expect(read(encodeModel(decodeModel(reversed)))).toEqual(read(reversed));
  });

  it("in numbers that another writer packed, or did not pack", () => {
    const field = (number: number, ...payload: number[]): number[] => [(number << 3) | 2, payload.length, ...payload];
    const name = field(8, ...Buffer.from("constant"));
    const dims = field(1, 2, 1);
    const floats = [0x25, 0, 0, 128, 63, 0x25, 0, 0, 0, 64];
    const graph = field(5, ...dims, 0x10, 1, ...floats, ...name);
    const bytes = Uint8Array.from([0x08, 8, ...field(7, ...graph), ...field(8, 0x10, 17)]);
    const model = decodeModel(bytes);
    const [constant] = model.graph.initializers;
    expect(constant?.tensor?.dims).toEqual([2, 1]);
    expect([...(constant?.tensor?.values() ?? [])]).toEqual([1, 2]);
    expect(encodeModel(model)).not.toEqual(bytes);
    expect(read(encodeModel(model))).toEqual(read(bytes));
  });

  it("in what an independent writer wrote", () => {
    const proto = onnx.ModelProto.create({
      irVersion: 8,
      opsetImport: [{ domain: "", version: 13 }],
      graph: {
        name: "g",
        node: [{ opType: "Add", input: ["x", "c"], output: ["y"] }],
        input: [{ name: "x", type: { tensorType: { elemType: 1 } } }],
        output: [{ name: "y" }],
        initializer: [{ name: "c", dims: [2], dataType: 1, floatData: [1, 2] }],
      },
    });
    const bytes = onnx.ModelProto.encode(proto).finish();
    expect(read(encodeModel(decodeModel(bytes)))).toEqual(read(bytes));
  });

  it.skipIf(!hasShared)("in real exports", () => {
    const files = readdirSync(SHARED, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".onnx"));
    expect(files.length).toBeGreaterThan(10);
    for (const name of files) {
      const bytes = readFileSync(join(SHARED, name));
      expect(Buffer.compare(encodeModel(decodeModel(bytes)), bytes), name).toBe(0);
    }
  });
});

describe("what we write", () => {
  it("an independent reader reads", () => {
    const model = makeOptimizer();
    insertAgr(model, { count: 2 });
    const proto = onnx.ModelProto.decode(encodeModel(model));
    expect(proto.functions.map(({ name, domain }) => [name, domain])).toEqual([["AGR", "onnx-agr"]]);
    expect(proto.graph?.node?.filter(({ opType }) => opType === "AGR")).toHaveLength(2);
    expect(proto.functions[0]?.node?.[0]?.attribute?.[0]).toMatchObject({
      name: "value_float",
      refAttrName: "strength",
      type: 1,
    });
    expect(proto.metadataProps.map(({ key }) => key)).toEqual(["onnx-agr"]);
  });
});

/** Any message of a schema, down to a few levels. */
function arbitrary(schema: Schema<Message>, depth: number): fc.Arbitrary<Message> {
  const fields = schema.ordered.filter(([, spec]) => spec.kind !== "message" || depth > 0);
  const oneofs = new Set<string>();
  const single = fields.filter(([, { oneof }]) => {
    if (oneof === undefined) return true;
    return oneofs.size !== oneofs.add(oneof).size;
  });
  return fc.record(Object.fromEntries(single.map(([key, spec]) => [key, fieldValue(spec, depth)])), {
    requiredKeys: [],
  }) as fc.Arbitrary<Message>;
}

function fieldValue(spec: FieldSpec, depth: number): fc.Arbitrary<unknown> {
  const kinds: Record<FieldSpec["kind"], () => fc.Arbitrary<unknown>> = {
    string: () => fc.string({ unit: "binary" }),
    bytes: () => fc.uint8Array({ maxLength: 40 }),
    int32: () => fc.integer(),
    int64: () => fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    float: () => fc.float({ noNaN: true }),
    packed: () =>
      fc
        .array(fc.constantFrom(1, 2, 127), { minLength: 1, maxLength: 5 })
        .map((each) => new Uint8Array(each.flatMap((value) => Array<number>(8).fill(value)))),
    message: () => arbitrary((spec.schema as () => Schema<Message>)(), depth - 1),
  };
  const value = kinds[spec.kind]();
  return spec.repeated && spec.kind !== "packed" ? fc.array(value, { minLength: 1, maxLength: 3 }) : value;
}

describe("the codec", () => {
  it("reads back any message it wrote", () => {
    fc.assert(
      fc.property(arbitrary(MODEL as Schema<Message>, 3), (message) => {
        const bytes = Buffer.concat(writeMessage(MODEL, message as ModelProto).parts);
        expect(readMessage(MODEL, bytes)).toEqual(message);
      }),
      { numRuns: isFull ? 150 : 50, seed: 7 },
    );
  });
});
