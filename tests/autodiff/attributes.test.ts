import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { KNOWN_ATTRIBUTES, unknownAttribute } from "../../src/autodiff/attributes.ts";
import { GRADIENT_RULES } from "../../src/autodiff/table.ts";
import { attribute, GradientError, Node } from "../../src/index.ts";
import { keyOf } from "../../src/passes/decompose/compound.ts";
import { COMPOUNDS } from "../../src/passes/decompose/table.ts";
import { build, CASES } from "./cases.ts";

/** ONNX's own list: every attribute of every operator with a rule, in the versions of opset 13 and later (onnx 1.23). */
const SCHEMA = JSON.parse(readFileSync(new URL("onnx-attributes.json", import.meta.url), "utf8")) as Record<
  string,
  readonly string[]
>;

const used = (op: string, name: string): boolean => CASES.some((each) => each.op === op && name in each.attributes);

/** The gradient is written without these; each line says why in the table of src/autodiff/attributes.ts. */
const FREE = Object.entries(KNOWN_ATTRIBUTES).flatMap(([op, known]) =>
  Object.entries(known).flatMap(([name, knowledge]) =>
    knowledge === "free" && !used(op, name) ? [`${op}.${name}`] : [],
  ),
);

describe("row 105: every attribute of ONNX's schema is used by a case or refused", () => {
  const all = Object.entries(SCHEMA).flatMap(([op, names]) => names.map((name) => [op, name] as const));

  it.each(all)("%s %s", (op, name) => {
    const knowledge = KNOWN_ATTRIBUTES[op]?.[name] ?? [];
    /** Branches of If have tests of their own: control.test.ts. */
    if (op === "If" || FREE.includes(`${op}.${name}`)) return;
    if (typeof knowledge === "string") expect(used(op, name)).toBe(true);
    else expect(unknownAttribute(new Node(op, [], [], { attributes: [attribute.int(name, 977)] }), op)).toContain(name);
  });

  it("has few that make no difference", () => {
    expect(FREE).toMatchInlineSnapshot(`
      [
        "Attention.softmax_precision",
        "BatchNormalization.momentum",
        "com.microsoft.BatchNormInternal.training_mode",
        "com.microsoft.BatchNormInternal.momentum",
        "com.microsoft.EmbedLayerNormalization.mask_index_type",
        "Cast.saturate",
        "Cast.round_mode",
        "CastLike.saturate",
        "CastLike.round_mode",
        "Dropout.seed",
        "LayerNormalization.stash_type",
        "MaxPool.storage_order",
        "Reshape.allowzero",
        "Resize.extrapolation_value",
        "RMSNormalization.stash_type",
        "SimplifiedLayerNormalization.stash_type",
        "Split.num_outputs",
        "Squeeze.axes",
        "TopK.largest",
        "TopK.sorted",
        "Unsqueeze.axes",
      ]
    `);
  });

  it("knows no attribute that is not ONNX's", () => {
    const extra = Object.entries(KNOWN_ATTRIBUTES).flatMap(([op, known]) =>
      SCHEMA[op] === undefined ? [] : Object.keys(known).filter((name) => SCHEMA[op]?.includes(name) !== true),
    );
    expect(extra).toEqual([]);
    const compounds = new Set(COMPOUNDS.map(({ domain, op }) => keyOf(domain, op)));
    const isKnown = (op: string): boolean => GRADIENT_RULES[op] !== undefined || compounds.has(op);
    expect(Object.keys(KNOWN_ATTRIBUTES).filter((op) => !isKnown(op))).toEqual([]);
  });
});

it("row 105: the engine names the node, the attribute and its value", () => {
  const plain = CASES.find(({ op }) => op === "Relu");
  if (plain === undefined) throw new Error("no case");
  const odd = { ...plain, attributes: { slope_of_mine: 3 } };
  expect(() => build(odd, "float", false)).toThrow(GradientError);
  expect(() => build(odd, "float", false)).toThrow(
    'node "node" (Relu) has no gradient: its attribute slope_of_mine is 3, which is not known to the gradient\'s rule',
  );
});
