import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../fixtures/optimizer.ts";
import {
  attribute,
  decodeModel,
  encodeModel,
  extractForward,
  lowerTrainingOps,
  Node,
  PASSES,
  type Pass,
  type PassRequest,
  pipeline,
  raiseOpset,
  removeLearningRate,
  runPass,
  setLearningRate,
  Value,
} from "../../src/entries/graph.ts";
import { insertAgr, type Model, type Report, stripAgr } from "../../src/index.ts";
import { errorOf } from "../support/errors.ts";
import { damaged, damagedRate, halfLowered, halfRaised, plain, REFUSED, twice } from "./refused-models.ts";

const report = (pass: string, changed: number): Report => ({ pass, changed, skipped: [], notes: [] });

describe("a pass that refuses leaves the model as it was", () => {
  it.each(Object.entries(REFUSED))("%s", (name, [make, options, code]) => {
    const given = make();
    const before = encodeModel(given);
    const pass = pipeline([{ name, options: { ...options } }]);
    expect(errorOf(() => runPass(given, pass, { validate: "never" })).code).toBe(code);
    expect(encodeModel(given)).toEqual(before);
  });

  it.each<readonly [string, () => Model, (given: Model) => unknown]>([
    ["insertAgr", plain, (given) => insertAgr(given)],
    ["stripAgr", damaged, (given) => stripAgr(given)],
    ["setLearningRate", damagedRate, (given) => setLearningRate(given, { rate: 1 })],
    ["setLearningRate, of no optimizer", plain, (given) => setLearningRate(given, { rate: 1 })],
    ["removeLearningRate", damagedRate, (given) => removeLearningRate(given)],
    ["raiseOpset", halfRaised, (given) => raiseOpset(given, 17)],
    ["lowerTrainingOps", halfLowered, (given) => lowerTrainingOps(given)],
    ["extractForward", plain, (given) => extractForward(given, { weights: new Map(), outputs: ["gone"] })],
    ["extractForward, of a loss alone", plain, (given) => extractForward(given, { weights: new Map() })],
  ])("called as %s", (_, make, run) => {
    const given = make();
    const before = encodeModel(given);
    errorOf(() => run(given));
    expect(encodeModel(given)).toEqual(before);
  });

  it("and every pass that can refuse has such a model", () => {
    const names = PASSES.map(({ name }) => name);
    expect(names.filter((name) => !Object.hasOwn(REFUSED, name))).toEqual([
      "unwrap-maps",
      "lift-precision",
      "remove-dead-nodes",
    ]);
  });
});

describe("runPass", () => {
  const breaking: Pass = {
    name: "break-it",
    run: ({ graph }) => {
      graph.append(new Node("Relu", [new Value("nowhere")], [new Value("z")], { name: "late" }));
      return report("break-it", 1);
    },
  };

  it("names the pass that broke the model, which stays as it was", () => {
    const given = twice();
    const before = encodeModel(given);
    const all = pipeline(["remove-dead-nodes", breaking, "simplify"]);
    const error = errorOf(() => runPass(given, all, { validate: "each" }));
    expect([error.code, error.exitCode]).toEqual(["E_INVALID_RESULT", 4]);
    expect(error.message).toBe(
      'pass break-it (2 of 3) left a model that is not valid: node "late" (Relu) reads "nowhere", which is not made before it',
    );
    expect(encodeModel(given)).toEqual(before);
  });

  it("checks the ends by default, and nothing where it is told so", () => {
    expect(errorOf(() => runPass(twice(), breaking)).code).toBe("E_INVALID_RESULT");
    expect(runPass(twice(), breaking, { validate: "never" }).changed).toBe(1);
    const invalid = twice();
    breaking.run(invalid);
    expect(errorOf(() => runPass(invalid, pipeline([]))).code).toBe("E_GRAPH");
  });

  it.each<readonly [string, (given: Model) => void, string]>([
    [
      "an attribute that the operator does not have",
      ({ graph }) => graph.nodes[0]?.attributes.set("alpha", attribute.float("alpha", 1)),
      'the operator has no attribute "alpha" in opset 17',
    ],
    [
      "an attribute of another kind",
      ({ graph }) =>
        graph.append(
          new Node("Concat", [...graph.outputs], [new Value("z")], {
            name: "c",
            attributes: [attribute.float("axis", 0)],
          }),
        ),
      'node "c" (Concat): its attribute "axis" is of kind float, not int',
    ],
    [
      "no attribute where there must be one",
      ({ graph }) => graph.append(new Node("Concat", [...graph.outputs], [new Value("z")], { name: "c" })),
      'node "c" (Concat): its attribute "axis" is missing',
    ],
    [
      "an input too few",
      ({ graph }) => graph.append(new Node("Add", [...graph.outputs], [new Value("z")], { name: "a" })),
      'node "a" (Add): its input 1, B, is missing',
    ],
    [
      "an output too many",
      ({ graph }) => graph.append(new Node("Neg", [...graph.outputs], [new Value("z"), new Value("w")], { name: "n" })),
      'node "n" (Neg): it has 2 outputs, and the operator 1',
    ],
    [
      "one name for two values",
      ({ graph }) => graph.append(new Node("Neg", [...graph.outputs], [new Value("a")], { name: "n" })),
      '"a" is made twice; the second time by node "n" (Neg)',
    ],
  ])("finds %s", (_, change, message) => {
    const run = (given: Model): Report => {
      change(given);
      return report("own", 1);
    };
    const pass: Pass = { name: "own", run };
    expect(errorOf(() => runPass(twice(), pass)).message).toContain(message);
  });
});

describe("a pipeline", () => {
  it("runs its passes in order and tells what each did", () => {
    const given = twice();
    const { changed, steps } = runPass(given, pipeline(["simplify", { name: "raise-opset", options: { opset: 21 } }]));
    expect(steps.map(({ pass, changed: own }) => [pass, own])).toEqual([
      ["simplify", 2],
      ["raise-opset", 1],
    ]);
    expect([changed, given.opset, given.graph.nodes.map(({ opType }) => opType)]).toEqual([3, 21, ["Relu", "Add"]]);
  });

  it("takes what is written in a file, and passes of one's own", () => {
    const requests = JSON.parse('["remove-dead-nodes",{"name":"raise-opset","options":{"opset":18}}]') as PassRequest[];
    const own: Pass = { name: "own", run: () => report("own", 0) };
    const { steps } = runPass(twice(), pipeline([...requests, own]));
    expect(steps.map(({ pass }) => pass)).toEqual(["remove-dead-nodes", "raise-opset", "own"]);
  });

  it("names the step that refuses", () => {
    const given = halfRaised();
    const before = encodeModel(given);
    const error = errorOf(() =>
      runPass(given, pipeline(["simplify", { name: "raise-opset", options: { opset: 17 } }])),
    );
    expect(error.code).toBe("E_NO_UPGRADE");
    expect(error.message).toMatch(/^pass raise-opset \(2 of 2\): node "y\/BatchNormalization"/);
    expect(encodeModel(given)).toEqual(before);
  });

  it.each<readonly [string, readonly unknown[], string]>([
    [
      "a pass that there is not",
      ["raise-opset2"],
      'passes[0]: there is no pass "raise-opset2"; there are insert-agr, strip-agr,',
    ],
    [
      "an option that the pass does not have",
      ["simplify", { name: "raise-opset", options: { opest: 21 } }],
      "passes[1].options.opest: raise-opset has no such option; it has opset",
    ],
    [
      "an option of a pass that has none",
      [{ name: "strip-agr", options: { x: 1 } }],
      "strip-agr has no such option; it has none",
    ],
    [
      "an option of the wrong kind",
      [{ name: "raise-opset", options: { opset: "21" } }],
      "passes[0].options.opset: must be a number",
    ],
    ["an option that must be given", ["raise-opset"], "passes[0].options.opset: must be a number, and is not given"],
    [
      "a key beside name and options",
      [{ name: "simplify", opset: 3 }],
      "passes[0].opset: a pass has a name and options",
    ],
    ["what is no pass", [3], "passes[0]: is neither a name nor { name, options }"],
    ["a name of every object", ["constructor"], 'passes[0]: there is no pass "constructor"'],
  ])("refuses %s", (_, passes, message) => {
    const error = errorOf(() => pipeline(passes as Parameters<typeof pipeline>[0]));
    expect([error.code, error.exitCode]).toEqual(["E_PIPELINE", 2]);
    expect(error.message).toContain(message);
  });

  it("gives the same bytes as its passes by themselves", () => {
    const alone = decodeModel(encodeModel(makeOptimizer()));
    insertAgr(alone, { count: 2, strength: 0.5 });
    const together = decodeModel(encodeModel(makeOptimizer()));
    const agr = { name: "insert-agr", options: { count: 2, strength: 0.5 } };
    runPass(together, pipeline(["strip-agr", agr]));
    expect(encodeModel(together)).toEqual(encodeModel(alone));
  });
});
