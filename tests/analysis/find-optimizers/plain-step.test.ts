import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { makePlainStep, type PlainStepOptions, UPDATES, type UpdateName } from "../../../fixtures/plain-steps.ts";
import { checkModel, decodeModel, encodeModel, findOptimizers, Graph, printModel } from "../../../src/entries/graph.ts";
import { type InsertAgrOptions, insertAgr, Model, stripAgr, verifyInsertion } from "../../../src/index.ts";
import { errorOf } from "../../support/errors.ts";
import { openSession } from "../../support/ort.ts";
import { valuesOf } from "../../support/tensor-values.ts";

/** Rounding of the same formula written in another order. */
const TOLERANCE = 1e-6;

async function run(model: Model): Promise<Map<string, number[]>> {
  const session = await openSession(encodeModel(model));
  const feeds = model.graph.inputs.map(({ name, type }, position): [string, Tensor] => {
    const shape = type?.kind === "tensor" ? (type.shape ?? []).map(Number) : [];
    const size = shape.reduce((product, dim) => product * dim, 1);
    const isSquare = /exp_avg_sq|\.n$/.test(name);
    const values = Float32Array.from({ length: size }, (_, index) =>
      name === "lr" ? 0.1 : Math.sin(7 * position + index + 1),
    );
    return [name, new Tensor("float32", isSquare ? values.map((value) => value * value) : values, shape)];
  });
  const results = await session.run(Object.fromEntries(feeds));
  await session.release();
  return new Map(Object.entries(results).map(([name, value]) => [name, valuesOf(value)]));
}

function worst(a: ReadonlyMap<string, readonly number[]>, b: ReadonlyMap<string, readonly number[]>): number {
  expect([...a.keys()]).toEqual([...b.keys()]);
  return Math.max(
    ...[...a].flatMap(([name, values]) =>
      values.map((value, index) => Math.abs(value - (b.get(name)?.[index] ?? Number.NaN))),
    ),
  );
}

const gradients = (model: Model): [string, string | undefined][] =>
  findOptimizers(model).sites.flatMap(({ edges }) =>
    edges.map(({ value, parameter }): [string, string | undefined] => [value.name, parameter?.name]),
  );

/** Inserts into the step, and compares with the step in which AGR was written by hand. */
async function compare(
  options: PlainStepOptions,
  insert: InsertAgrOptions = {},
  reached: readonly string[] = ["weight", "bias"],
): Promise<void> {
  const original = encodeModel(makePlainStep(options));
  for (const each of [insert, { ...insert, form: "inline" as const }]) {
    const model = decodeModel(original);
    expect(insertAgr(model, each).reached).toEqual(reached);
    const inserted = encodeModel(model);
    checkModel(decodeModel(inserted));
    const byHand = await run(makePlainStep({ ...options, agr: true }));
    const plain = await run(makePlainStep(options));
    expect(worst(plain, byHand)).toBeGreaterThan(100 * TOLERANCE);
    expect(worst(await run(decodeModel(inserted)), byHand)).toBeLessThan(TOLERANCE);
    const again = decodeModel(inserted);
    expect(insertAgr(again, each).changed).toBe(0);
    expect(encodeModel(again)).toEqual(inserted);
    stripAgr(again);
    expect(encodeModel(again)).toEqual(original);
  }
}

describe.each(Object.keys(UPDATES) as UpdateName[])("%s", (update) => {
  it("is found at its gradients", () => {
    expect(gradients(makePlainStep({ update }))).toEqual([
      ["weight_gradient", "weight"],
      ["bias_gradient", "bias"],
    ]);
  });

  it("with AGR does what the formula written by hand does", () => compare({ update }));

  it("of an attention layer, whose position embedding has the shape of the activations", () =>
    compare({ update, network: "attention" }, {}, ["query", "key", "value", "position", "gain"]));

  it("with its gradients clipped by their common norm too", () => compare({ update, clip: true }));
});

describe("golden text", () => {
  it("of Adan, which keeps the gradient as a slot", async () => {
    const model = makePlainStep({ update: "adan" });
    const before = printModel(model);
    insertAgr(model);
    await expect(`${before}@@@\n${printModel(model)}`).toMatchFileSnapshot(
      "../../../fixtures/passes/insert-agr/plain-step-adan.txt",
    );
  });
});

describe("names of renewals", () => {
  it.each([
    ["x_out", (name: string) => `${name}_out`],
    ["new_x", (name: string) => `new_${name}`],
    ["x/new", (name: string) => `${name}/new`],
    ["next.x", (name: string) => `next.${name}`],
    ["x.updated", (name: string) => `${name}.updated`],
  ])("%s", (_, renewal) => compare({ update: "adan", renewal }));

  it("that say nothing are told by the data flow, by option or by metadata", () => {
    const names = ["weight", "bias", "weight.momentum", "bias.momentum"];
    const renewal = (name: string): string => `r${names.indexOf(name)}`;
    const options = { update: "lion", renewal } as const;
    const silent = makePlainStep(options);
    expect(insertAgr(makePlainStep(options)).reached).toEqual(["weight", "bias"]);
    const state = names.map((name) => `${name}=${renewal(name)}`);
    expect(insertAgr(silent, { state }).reached).toEqual(["weight", "bias"]);
    const described = makePlainStep(options);
    described.metadata.set(
      "onnx-agr.state",
      JSON.stringify(Object.fromEntries(names.map((name) => [name, renewal(name)]))),
    );
    expect(insertAgr(described).reached).toEqual(["weight", "bias"]);
    expect(errorOf(() => insertAgr(makePlainStep(options), { state: ["weight=nothing"] })).message).toContain(
      "no such output",
    );
  });
});

/** As PyTorch's exporter writes it: what computes an output has the output's name, without an Identity in between. */
function direct(model: Model): Model {
  for (const [index, output] of model.graph.outputs.entries()) {
    const { producer, name, type } = output;
    const [source = null] = producer?.opType === "Identity" ? producer.inputs : [];
    if (producer === null || source === null || source.producer === null) continue;
    model.graph.setOutput(index, source);
    model.graph.remove(producer);
    source.name = name;
    source.type = type;
  }
  return model;
}

describe("a slot whose renewal is the gradient itself, without an Identity in between", () => {
  it.each([{}, { form: "inline" }, { scope: "global" }, { exclude: ["bias"] }] as const)(
    "gets g' under its own name: %o",
    async (options) => {
      const step = { update: "adan" } as const;
      const original = encodeModel(direct(makePlainStep(step)));
      const model = decodeModel(original);
      expect(model.graph.outputs.map(({ name, producer }) => [name, producer?.opType])).toContainEqual([
        "weight.previous_out",
        "MatMul",
      ]);
      const report = insertAgr(model, options);
      expect(report.edges[0]).toEqual({
        from: "onnx-agr/weight.previous_out/raw",
        to: "weight.previous_out",
        renamed: true,
      });
      const inserted = encodeModel(model);
      const again = decodeModel(inserted);
      checkModel(again);
      expect(again.graph.outputs.map(({ name }) => name)).toEqual(
        decodeModel(original).graph.outputs.map(({ name }) => name),
      );
      if (!("scope" in options) && !("exclude" in options)) {
        expect(
          worst(await run(decodeModel(inserted)), await run(direct(makePlainStep({ ...step, agr: true })))),
        ).toBeLessThan(TOLERANCE);
      }
      const { edges, identicalAtStrengthZero } = await verifyInsertion(
        decodeModel(original),
        decodeModel(inserted),
        options,
      );
      expect([edges?.length, identicalAtStrengthZero]).toEqual([report.edges.length, true]);
      expect(insertAgr(again, options).changed).toBe(0);
      expect(encodeModel(again)).toEqual(inserted);
      stripAgr(again);
      expect(encodeModel(again)).toEqual(original);
    },
  );
});

describe("gradients that the user gets to see", () => {
  it("stay what they were, unless asked otherwise", async () => {
    const options = { update: "sgd", report: true } as const;
    const plain = await run(makePlainStep(options));
    const raw = makePlainStep(options);
    insertAgr(raw);
    const shown = await run(raw);
    expect(shown.get("weight_gradient")).toEqual(plain.get("weight_gradient"));
    const original = encodeModel(makePlainStep(options));
    const regularized = decodeModel(original);
    insertAgr(regularized, { reported: "regularized" });
    const inserted = encodeModel(regularized);
    const changed = await run(decodeModel(inserted));
    expect([...changed.keys()]).toEqual([...plain.keys()]);
    expect(changed.get("weight_gradient")).not.toEqual(plain.get("weight_gradient"));
    expect(changed.get("weight_out")).toEqual(shown.get("weight_out"));
    const again = decodeModel(inserted);
    expect(insertAgr(again, { reported: "regularized" }).changed).toBe(0);
    stripAgr(again);
    expect(encodeModel(again)).toEqual(original);
  });
});

describe("a step without a loss", () => {
  it("is refused, since nothing tells data from rates", () => {
    const model = makePlainStep({ update: "sgd" });
    const [loss, ...renewed] = model.graph.outputs;
    const step = new Graph("step");
    step.inputs.push(...model.graph.inputs);
    step.initializers.push(...model.graph.initializers);
    step.append(...model.graph.nodes);
    for (const value of renewed) step.addOutput(value);
    const silent = new Model(model.irVersion, step);
    silent.opsets.set("", 17);
    expect(loss?.name).toBe("loss");
    expect(errorOf(() => insertAgr(silent)).message).toContain("the loss must be an output");
  });
});

describe("a parameter", () => {
  it("without a gradient is left alone by name", () => {
    const report = insertAgr(makePlainStep({ update: "sgd", frozen: true }));
    expect(report.reached).toEqual(["weight", "bias"]);
    expect(report.skipped).toEqual([
      { at: 'parameter "scale"', reason: "nothing that depends on the data reaches its update: it has no gradient" },
    ]);
  });

  it("whose update is no elementwise function of one tensor is refused by name, until the gradient is named", () => {
    const model = makePlainStep({ update: "sgd", matrix: true });
    const report = insertAgr(model, { exclude: [] });
    expect(report.reached).toEqual(["bias"]);
    expect(report.skipped[0]?.at).toBe('parameter "weight"');
    expect(report.skipped[0]?.reason).toMatch(
      /stands node ".*" \((MatMul|Transpose)\); if that is the gradient, say --gradient weight_gradient=weight/,
    );
    const told = makePlainStep({ update: "sgd", matrix: true });
    expect(insertAgr(told, { gradient: ["weight_gradient=weight"] }).reached).toEqual(["weight", "bias"]);
    expect(errorOf(() => insertAgr(told, { gradient: ["nothing=weight"] })).code).toBe("E_GRADIENT");
  });

  it("is selected by name", () => {
    const report = insertAgr(makePlainStep({ update: "adan" }), { exclude: ["bias"] });
    expect([report.reached, report.skipped]).toEqual([["weight"], [{ at: "bias", reason: "excluded by name" }]]);
  });
});

describe("graphs of more than one kind", () => {
  it("two parameter groups with optimizers of their own", () => compare({ update: "adan", biasUpdate: "sgd" }));

  it("a weight used twice: the gradient is the sum", async () => {
    await compare({ update: "adam with coupled weight decay", tied: true });
    const [edge] = findOptimizers(makePlainStep({ update: "adan", tied: true })).sites[0]?.edges ?? [];
    expect(edge?.value.producer?.opType).toBe("Add");
  });

  it("a gradient that comes out of an If", async () => {
    await compare({ update: "adan", branch: true });
    expect(gradients(makePlainStep({ update: "sgd", branch: true }))[0]).toEqual(["weight_gradient", "weight"]);
  });

  it("names that JavaScript and file systems take for something else survive", () => {
    const model = makePlainStep({ update: "adan" });
    const names = new Map([
      ["weight", "__proto__"],
      ["weight_out", "__proto___out"],
      ["bias", "名前 with spaces/and/slashes"],
      ["bias_out", "名前 with spaces/and/slashes_out"],
      ["weight_gradient", "constructor"],
      ["bias_gradient", "a b\n"],
    ]);
    for (const value of [...model.graph.inputs, ...model.graph.nodes.flatMap(({ outputs }) => outputs)]) {
      if (value !== null) value.name = names.get(value.name) ?? value.name;
    }
    const original = encodeModel(model);
    const changed = decodeModel(original);
    expect(insertAgr(changed, { exclude: ["名前*"] }).reached).toEqual(["__proto__"]);
    const again = decodeModel(encodeModel(changed));
    expect(again.graph.nodes.some(({ name }) => name === "onnx-agr/constructor/AGR")).toBe(true);
    stripAgr(again);
    expect(encodeModel(again)).toEqual(original);
  });
});

describe("scopes", () => {
  it("channel and global work on whole steps", () => {
    const global = makePlainStep({ update: "adan" });
    expect(insertAgr(global, { scope: "global" }).reached).toEqual(["weight", "bias"]);
    expect(global.graph.nodes.filter(({ opType }) => opType === "AGRSum")).toHaveLength(2);
    expect(insertAgr(makePlainStep({ update: "sgd" }), { scope: "channel" }).skipped).toEqual([
      { at: "bias", reason: "sums over 1 elements, fewer than 2" },
    ]);
  });
});
