import { describe, expect, it } from "vitest";
import { KNOWN_ATTRIBUTES, unknownAttribute } from "../../src/autodiff/attributes.ts";
import { GRADIENT_RULES } from "../../src/autodiff/table.ts";
import { type Attribute, attribute, Node } from "../../src/entries/graph.ts";
import { GradientError } from "../../src/index.ts";
import { operatorOf, schemaOf } from "../../src/ops/operators/index.ts";
import { keyOf } from "../../src/passes/decompose/compound.ts";
import { COMPOUNDS } from "../../src/passes/decompose/table.ts";
import { SCHEMAS } from "../ops/operator-schemas.ts";
import { build, CASES } from "./cases.ts";

const PARTS = new Set(COMPOUNDS.map(({ domain, op }) => keyOf(domain, op)));

/** Whether the operator has a gradient, of its own or of its parts. */
const isRuled = (op: string): boolean => PARTS.has(op) || (GRADIENT_RULES.has(op) && GRADIENT_RULES.get(op) !== "zero");

/** ONNX's own list: every attribute of every operator with a rule, in the versions of opset 13 and later. */
const SCHEMA: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries(SCHEMAS.operators)
    .filter(([op]) => isRuled(op))
    .map(([op, { attributes }]) => [
      op,
      Object.entries(attributes).flatMap(([name, { until = 99 }]) => (until > 13 ? [name] : [])),
    ]),
);

const KNOWN = new Map(Object.entries(KNOWN_ATTRIBUTES));

const used = (op: string, name: string): boolean =>
  CASES.some((each) => operatorOf({ domain: each.domain, opType: each.op }) === op && name in each.attributes);

function nodeOf(op: string, attributes: readonly Attribute[]): Node {
  const end = op.lastIndexOf(".");
  return new Node(op.slice(end + 1), [], [], { domain: op.slice(0, Math.max(0, end)), attributes });
}

/** The gradient is written without these; each line says why in the table of src/autodiff/attributes.ts. */
const FREE = Object.entries(KNOWN_ATTRIBUTES).flatMap(([op, known]) =>
  Object.entries(known).flatMap(([name, knowledge]) =>
    knowledge === "free" && !used(op, name) ? [`${op}.${name}`] : [],
  ),
);

describe("row 105: every attribute of ONNX's schema is used by a case or refused", () => {
  const all = [...SCHEMA].flatMap(([op, names]) => names.map((name) => [op, name] as const));

  it.each(all)("%s %s", (op, name) => {
    const knowledge = KNOWN.get(op)?.[name] ?? [];
    /** These have tests of their own: control.test.ts, loops.test.ts and quantization.test.ts, with each attribute that is read. */
    const isRead = knowledge === "read" && ["If", "Loop", "Scan", "QuantizeLinear", "DequantizeLinear"].includes(op);
    if (isRead || FREE.includes(`${op}.${name}`)) return;
    if (typeof knowledge === "string") expect(used(op, name)).toBe(true);
    else expect(unknownAttribute(nodeOf(op, [attribute.int(name, 977)]))).toContain(name);
  });

  it("has few that make no difference", () => {
    expect(FREE).toMatchInlineSnapshot(`
      [
        "Attention.softmax_precision",
        "BatchNormalization.momentum",
        "com.microsoft.BatchNormInternal.training_mode",
        "com.microsoft.BatchNormInternal.momentum",
        "Cast.saturate",
        "Cast.round_mode",
        "CastLike.saturate",
        "CastLike.round_mode",
        "Dropout.seed",
        "LayerNormalization.stash_type",
        "MaxPool.storage_order",
        "QuantizeLinear.saturate",
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
      Object.keys(known).filter((name) => !Object.hasOwn(schemaOf(op)?.attributes ?? {}, name)),
    );
    expect(extra).toEqual([]);
    expect(Object.keys(KNOWN_ATTRIBUTES).filter((op) => !isRuled(op))).toEqual([]);
  });
});

/** Values that a rule is right for, which are not the operator's default: each must be a case's. Without a default they say what leaving it out means. */
const SINGLE_VALUES = Object.entries(KNOWN_ATTRIBUTES).flatMap(([op, known]) =>
  Object.entries(known).flatMap(([name, values]) =>
    typeof values === "string"
      ? []
      : values.flatMap((value) =>
          (schemaOf(op)?.attributes[name]?.default ?? value) === value ? [] : [[op, name, value] as const],
        ),
  ),
);

it.each(SINGLE_VALUES)("row 105: %s has a case whose %s is %s", (op, name, value) => {
  const given = CASES.filter((each) => operatorOf({ domain: each.domain, opType: each.op }) === op).flatMap(
    ({ attributes }) => Object.values(attributes[name] ?? {}),
  );
  /** Its default, -1, is what nodes without it have: off, as 0 is. */
  expect(name === "smooth_softmax" ? [...given, 0] : given).toContain(value);
});

const FIRST_CASES = [...new Map(CASES.map((each) => [`${each.domain}.${each.op}`, each])).values()];

it.each(FIRST_CASES.map((each) => [operatorOf({ domain: each.domain, opType: each.op }), each] as const))(
  "row 105: %s is refused with an attribute that nobody knows",
  (_, testCase) => {
    const odd = { ...testCase, attributes: { ...testCase.attributes, slope_of_mine: { int: 3 } } };
    expect(() => build(odd, "float", false)).toThrow(/slope_of_mine is 3, which is not known/);
  },
);

it("row 105: the engine names the node, the attribute and its value", () => {
  const plain = CASES.find(({ op }) => op === "Relu");
  if (plain === undefined) throw new Error("no case");
  const odd = { ...plain, attributes: { slope_of_mine: { int: 3 } } };
  expect(() => build(odd, "float", false)).toThrow(GradientError);
  expect(() => build(odd, "float", false)).toThrow(
    'node "node" (Relu) has no gradient: its attribute slope_of_mine is 3, which is not known to the gradient\'s rule',
  );
});
