import { describe, expect, it } from "vitest";
import { makeOptimizer, type OptimizerVariant } from "../../fixtures/optimizer.ts";
import {
  attribute,
  checkModel,
  DataType,
  decodeModel,
  encodeModel,
  findOptimizers,
  Node,
  printModel,
  Value,
} from "../../src/entries/graph.ts";
import { type InsertAgrOptions, insertAgr, type Model, stripAgr } from "../../src/index.ts";
import { errorOf } from "../support/errors.ts";

const PARAMETERS = [
  { name: "conv.weight", shape: [4, 1, 3] },
  { name: "conv.bias", shape: [4] },
  { name: "scale", shape: [1] },
];

/** What a file of the variant decodes to. */
const load = (variant: OptimizerVariant = {}): Model => decodeModel(encodeModel(makeOptimizer(variant)));

const GOLDEN: readonly (readonly [file: string, variant: OptimizerVariant, options: InsertAgrOptions])[] = [
  ["adamw-function", {}, { parameters: PARAMETERS.slice(0, 2) }],
  ["adamw-inline", { irVersion: 7, opset: 14 }, { parameters: PARAMETERS.slice(0, 1) }],
  ["adamw-map", {}, {}],
  ["sgd-clip", { algorithm: "SGDOptimizerV2", clip: true, opset: 21 }, { parameters: PARAMETERS.slice(0, 1) }],
  ["small-parameter", {}, { parameters: PARAMETERS.slice(1) }],
  ["channel", {}, { parameters: PARAMETERS.slice(0, 1), scope: "channel", strength: 0.5 }],
  ["global", {}, { parameters: PARAMETERS.slice(0, 2), scope: "global" }],
  ["by-name", {}, { parameters: PARAMETERS.slice(0, 2), include: ["*.weight"] }],
];

describe("golden text", () => {
  for (const [file, variant, options] of GOLDEN) {
    it(file, async () => {
      const model = load(variant);
      const before = printModel(model);
      insertAgr(model, options);
      checkModel(decodeModel(encodeModel(model)));
      await expect(`${before}@@@\n${printModel(model)}`).toMatchFileSnapshot(
        `../../fixtures/passes/insert-agr/${file}.txt`,
      );
    });
  }
});

describe("every variant and form", () => {
  const variants = [14, 17, 21].flatMap((opset) =>
    [7, 8, 9, 10].flatMap((irVersion) =>
      (["AdamWOptimizer", "SGDOptimizerV2"] as const).flatMap((algorithm) =>
        [false, true].map((clip): OptimizerVariant => ({ opset, irVersion, algorithm, clip })),
      ),
    ),
  );
  const options: readonly InsertAgrOptions[] = [
    { parameters: PARAMETERS },
    { parameters: PARAMETERS, form: "inline" },
    { parameters: PARAMETERS, scope: "channel", strength: 0.25 },
    { parameters: PARAMETERS, scope: "global", minRank: 2 },
    { count: 3 },
    {},
    { scope: "global" },
  ];

  it.each(variants)(
    "$algorithm opset $opset IR $irVersion clip $clip: insert is idempotent, strip restores the bytes",
    (variant) => {
      const original = encodeModel(makeOptimizer(variant));
      for (const each of options) {
        const model = decodeModel(original);
        const mapped = each.parameters === undefined && each.count === undefined;
        if (mapped && variant.opset === 14) {
          expect(errorOf(() => insertAgr(model, each)).code).toBe("E_COUNT_NEEDED");
          expect(encodeModel(model)).toEqual(original);
          continue;
        }
        const report = insertAgr(model, each);
        expect(report.changed).toBe(1);
        const inserted = encodeModel(model);
        const again = decodeModel(inserted);
        checkModel(again);
        const agrNodes = again.graph.nodes.filter(({ opType }) => opType === "AGR" || opType === "SequenceMap");
        if (mapped) expect(agrNodes).toHaveLength(each.scope === "global" ? 2 : 1);
        else if (report.form === "function") expect(agrNodes).toHaveLength(3);
        else expect(again.graph.nodes.filter(({ opType }) => opType === "SequenceAt")).toHaveLength(3);
        expect(report.form).toBe(
          mapped || each.form === "inline" || (variant.irVersion ?? 0) < 8 ? "inline" : "function",
        );
        expect(insertAgr(again, each).changed).toBe(0);
        expect(encodeModel(again)).toEqual(inserted);
        expect(stripAgr(again).changed).toBe(1);
        expect(encodeModel(again)).toEqual(original);
        expect(stripAgr(again).changed).toBe(0);
      }
    },
  );
});

describe("a second insert", () => {
  it("with other options replaces the first", () => {
    const original = encodeModel(makeOptimizer());
    const model = decodeModel(original);
    insertAgr(model, { parameters: PARAMETERS });
    const report = insertAgr(model, { parameters: PARAMETERS, strength: 0.5 });
    expect(report.notes).toEqual(["AGR was already there with other options; they were replaced"]);
    const direct = decodeModel(original);
    insertAgr(direct, { parameters: PARAMETERS, strength: 0.5 });
    expect(encodeModel(model)).toEqual(encodeModel(direct));
    stripAgr(model);
    expect(encodeModel(model)).toEqual(original);
  });

  it("that fails leaves the first as it was", () => {
    const model = load();
    insertAgr(model, { parameters: PARAMETERS });
    const bytes = encodeModel(model);
    expect(errorOf(() => insertAgr(model, { parameters: PARAMETERS, include: ["nothing"] })).code).toBe("E_SELECTION");
    expect(encodeModel(model)).toEqual(bytes);
  });
});

describe("selection", () => {
  it("reports which parameters AGR reaches, and why others are left alone", () => {
    const report = insertAgr(load(), { parameters: PARAMETERS, minRank: 2 });
    expect(report.reached).toEqual(["conv.weight"]);
    expect(report.skipped).toEqual([
      { at: "conv.bias", reason: "its rank 1 is below 2" },
      { at: "scale", reason: "sums over 1 elements, fewer than 2" },
    ]);
  });

  it("tests nothing in the graph where every parameter is reached", () => {
    const model = load();
    insertAgr(model, { parameters: PARAMETERS.slice(0, 2) });
    expect(model.graph.nodes.some(({ opType }) => opType === "Size" || opType === "Shape")).toBe(false);
  });

  it("refuses names that only differ where the graph cannot see it", () => {
    const twins = [
      { name: "a.weight", shape: [4, 4] },
      { name: "b.weight", shape: [4, 4] },
    ];
    const model = load();
    const before = encodeModel(model);
    const error = errorOf(() => insertAgr(model, { parameters: twins, exclude: ["b.*"] }));
    expect(error.code).toBe("E_SELECTION");
    expect(error.message).toContain('"a.weight" and "b.weight" (excluded by name) both have the shape [4,4]');
    expect(encodeModel(model)).toEqual(before);
  });

  it("refuses names for a lone optimizer model", () => {
    expect(errorOf(() => insertAgr(load(), { include: ["*"] })).code).toBe("E_SELECTION");
  });

  it("matches globs across dots and slashes, and names with glob characters literally", () => {
    const parameters = [
      { name: "encoder/layer.0/weight", shape: [2, 3] },
      { name: "head[0]", shape: [5] },
      { name: "__proto__", shape: [6] },
    ];
    expect(insertAgr(load(), { parameters, include: ["encoder*"] }).reached).toEqual(["encoder/layer.0/weight"]);
    expect(insertAgr(load(), { parameters, include: ["head[0]"] }).reached).toEqual(["head[0]"]);
    expect(insertAgr(load(), { parameters, include: ["__proto__"] }).reached).toEqual(["__proto__"]);
  });

  it("row 30: leaves zero-size and one-element parameters alone", () => {
    const parameters = [
      { name: "empty", shape: [0, 4] },
      { name: "scalar", shape: [] },
      { name: "weight", shape: [3] },
    ];
    expect(insertAgr(load(), { parameters }).reached).toEqual(["weight"]);
    expect(insertAgr(load(), { parameters, minElements: 1 }).reached).toEqual(["scalar", "weight"]);
  });
});

describe("refusals", () => {
  it("row 25: of a model without an optimizer names what was looked for", () => {
    const model = load();
    const optimizer = model.graph.nodes[0];
    const flag = new Value("flag");
    if (optimizer === undefined) throw new Error("no node");
    model.graph.insertBefore(optimizer, new Node("Identity", [model.graph.inputs[0] ?? null], [flag]));
    model.graph.setOutput(0, flag);
    model.graph.remove(optimizer);
    const error = errorOf(() => insertAgr(model));
    expect([error.code, error.exitCode]).toEqual(["E_NO_OPTIMIZER", 4]);
    expect(error.message).toContain("AdamWOptimizer or SGDOptimizerV2");
  });

  it("row 28: of gradients that are not floating point names the tensor and the type", () => {
    const model = load();
    for (const input of model.graph.inputs) {
      if (input.name === "gradients") {
        input.type = { kind: "sequence", element: { kind: "tensor", dtype: DataType.int64, shape: null } };
      }
    }
    const error = errorOf(() => insertAgr(model));
    expect(error.exitCode).toBe(4);
    expect(error.message).toContain('its gradients "gradients" are int64, not floating point');
  });

  it("row 27: of several optimizers lists them, and --select takes one", () => {
    const model = load();
    const [optimizer] = model.graph.nodes;
    if (optimizer === undefined) throw new Error("no node");
    const second = new Node(optimizer.opType, optimizer.inputs, [new Value("other_flag")], {
      domain: optimizer.domain,
      name: "second",
    });
    model.graph.append(second);
    const error = errorOf(() => insertAgr(model));
    expect([error.code, error.exitCode]).toEqual(["E_SEVERAL_OPTIMIZERS", 4]);
    expect(error.message).toContain('"second" (com.microsoft.AdamWOptimizer)');
    insertAgr(model, { select: "second" });
    expect(second.inputs[3]?.name).toBe("onnx-agr/gradients/SequenceMap:out");
    expect(optimizer.inputs[3]?.name).toBe("gradients");
  });

  it("of functions below IR 8, where they were asked for", () => {
    expect(errorOf(() => insertAgr(load({ irVersion: 7 }), { count: 1, form: "function" })).code).toBe("E_IR_VERSION");
  });

  it.each([
    { strength: -1 },
    { strength: Number.NaN },
    { minElements: 0 },
    { minRank: 0.5 },
    { count: 0 },
    { scope: "layer" as "tensor" },
  ])("of an option out of its range: %o", (options) => {
    expect(errorOf(() => insertAgr(load(), options)).exitCode).toBe(2);
  });
});

describe("whoever else reads the gradients", () => {
  it("row 32: keeps the original edge", () => {
    const model = load();
    const gradients = model.graph.inputs.find(({ name }) => name === "gradients");
    const [optimizer] = model.graph.nodes;
    if (gradients === undefined || optimizer === undefined) throw new Error("not an optimizer");
    const length = new Value("length");
    model.graph.append(new Node("SequenceLength", [gradients], [length]));
    model.graph.addOutput(gradients);
    insertAgr(model, { count: 2 });
    expect(model.graph.outputs[1]?.name).toBe("gradients");
    expect(length.producer?.inputs[0]?.name).toBe("gradients");
    expect(optimizer.inputs[3]?.name).toMatch(/^onnx-agr\//);
  });
});

describe("names", () => {
  it("row 31: that collide with inserted ones are avoided the same way every time", () => {
    const make = (): Uint8Array => {
      const model = load();
      const [optimizer] = model.graph.nodes;
      if (optimizer === undefined) throw new Error("no node");
      const taken = new Value("onnx-agr/gradients/0/AGR:out");
      const constant = new Node("Constant", [], [taken], {
        name: "onnx-agr/gradients/0/AGR",
        attributes: [attribute.float("value_float", 1)],
      });
      model.graph.insertBefore(optimizer, constant);
      return encodeModel(model);
    };
    const original = make();
    const [first, second] = [decodeModel(original), decodeModel(make())];
    insertAgr(first, { count: 1 });
    insertAgr(second, { count: 1 });
    expect(encodeModel(first)).toEqual(encodeModel(second));
    expect(first.graph.nodes.some(({ name }) => name === "onnx-agr/gradients/0/AGR_1")).toBe(true);
    stripAgr(first);
    expect(encodeModel(first)).toEqual(original);
  });
});

describe("findOptimizers", () => {
  it("finds the same edge before and after", () => {
    const model = load({ clip: true });
    const edge = (): string | undefined => findOptimizers(model).sites[0]?.edges[0]?.value.name;
    expect(edge()).toBe("clipped");
    insertAgr(model, { count: 2 });
    expect(edge()).toBe("clipped");
  });
});
