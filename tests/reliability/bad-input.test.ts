import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { strToU8 } from "fflate";
import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../fixtures/optimizer.ts";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { readPlan, writePlan } from "../../src/artifacts/portable/plan.ts";
import { decodeState } from "../../src/artifacts/portable/state.ts";
import { decodeManifest, encodeManifest } from "../../src/artifacts/run-checkpoint/manifest.ts";
import {
  attribute,
  checkModel,
  DataType,
  encodeModel,
  GraphFunction,
  GraphTensor,
  Node,
  raiseOpset,
} from "../../src/entries/graph.ts";
import { identityOf } from "../../src/entries/run.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { sha256 } from "../../src/graph/io/digest.ts";
import { decodeJournal } from "../../src/graph/io/file-set.ts";
import { buildTrainingArtifacts, FormatError, insertAgr } from "../../src/index.ts";
import { cli } from "../support/cli.ts";
import { isFull } from "../support/counts.ts";
import { errorOf, rejectionOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/temporary.ts";

describe("a name that every object of JavaScript has", () => {
  it.each(["constructor", "toString", "__proto__"])("row 50: as an operator's is unknown (%s)", (op) => {
    const sketch = new Sketch("net");
    sketch.input("x", float([2]));
    sketch.node(op, ["x"], ["y"]);
    sketch.output("y", float([2]));
    expect(errorOf(() => raiseOpset(model(sketch.graph, 8, [["", 17]]), 18)).code).toBe("E_NO_UPGRADE");
  });

  it("row 50: as a setting's is unknown", () => {
    const { status, stderr } = cli(["build", "x.onnx", "--group", "*:constructor=1", "-o", "x"]);
    expect([status, stderr]).toEqual([2, expect.stringContaining("neither lr=<number> nor decay=<number>")]);
  });
});

describe("a journal and a plan that are whole and make no sense", () => {
  const temporary = ".a.onnx.12.34.0123abcd.0123456789ab.tmp";

  it.each<readonly [string, unknown]>([
    ["null", null],
    ["no lists", { schema: 1 }],
    ["a rename of one name", { schema: 1, renames: [[temporary]], removals: [] }],
    ["a name that is a number", { schema: 1, renames: [[temporary, 3]], removals: [] }],
    ["a name with a NUL byte", { schema: 1, renames: [[temporary, "a\0"]], removals: [] }],
    ["a name elsewhere", { schema: 1, renames: [[temporary, "../a"]], removals: [] }],
    ["a removal of nothing", { schema: 1, renames: [], removals: [null] }],
    ["no JSON", undefined],
  ])("row 50: %s is refused", (_, journal) => {
    const encoded = (of: unknown): Uint8Array => {
      const text = JSON.stringify(of) ?? "{";
      return strToU8(`${text}\n${sha256(strToU8(text))}\n`);
    };
    const whole = { schema: 1, renames: [[temporary, "a.onnx"]], removals: [{ name: "b", inode: 1, changed: 2 }] };
    expect(decodeJournal(encoded(whole), ".journal")).toEqual(whole);
    const error = errorOf(() => decodeJournal(encoded(journal), ".journal"));
    expect([error.code, error.exitCode, error.file]).toEqual(["E_JOURNAL", 3, ".journal"]);
  });

  it.each([[[]], [["w"]], [["w", "x", "y"]]])("row 50: a plan whose gradients are %j is refused", (gradient) => {
    const made = makeOptimizer();
    const plan = {
      role: "apply",
      inputs: [],
      outputs: [],
      state: [],
      learningRate: null,
      step: null,
      reset: null,
    } as const;
    writePlan(made, { ...plan, gradients: [] });
    expect(readPlan(made, "apply").gradients).toEqual([]);
    writePlan(made, { ...plan, gradients: [gradient as unknown as readonly [string, string]] });
    expect(errorOf(() => readPlan(made, "apply")).code).toBe("E_PLAN");
  });
});

describe("row 50: what a state or a manifest says, whoever wrote it,", () => {
  it.each([
    ["properties", "{"],
    ["properties", "{}"],
    ["properties", '[["a","__proto__","1"]]'],
    ["properties", '[["a","int","1.5"]]'],
    ["step", "1e3"],
    ["step", "-1"],
    ["version", "x"],
    ["initial_learning_rate", "fast"],
  ])("%s %s is refused by its field", (key, text) => {
    const metadata = new Map([
      ["format", "onnx-agr.state"],
      ["version", "1"],
      ["step", "0"],
      ["properties", "[]"],
      [key, text],
    ]);
    const error = errorOf(() => decodeState(encodeSafetensors([], metadata)));
    expect([error.code, error.exitCode, error.field]).toEqual(["E_STATE", 8, `__metadata__.${key}`]);
  });

  const MANIFEST = encodeManifest(
    { step: 1, position: { epoch: 0, batch: 1, lossSum: 1, samples: 2 }, options: {}, hashes: {} },
    {},
  );
  it.each([
    ["step", { step: 1.5 }],
    ["position", { position: null }],
    ["position", { position: { epoch: -1, batch: 0, lossSum: 0, samples: 0 } }],
    ["options", { options: { lr: [] } }],
    ["files", { files: "x" }],
    ["hashes", { hashes: { apply: 1 } }],
  ])("a manifest's %s is refused", (field, change) => {
    const [text = ""] = new TextDecoder().decode(MANIFEST).split(/\n(?=[0-9a-f]{64}\n$)/);
    const changed = JSON.stringify({ ...(JSON.parse(text) as object), ...change });
    const bytes = strToU8(`${changed}\n${sha256(strToU8(changed))}\n`);
    const error = errorOf(() => decodeManifest(bytes, "manifest.json"));
    expect([error.code, error.exitCode, error.file, error.field]).toEqual(["E_CHECKPOINT", 8, "manifest.json", field]);
  });
});

describe("models whose parts contradict each other", () => {
  it("in shapes that do not divide name the node", async () => {
    const narrow = new Sketch("net");
    narrow.input("x", float([2, 4]));
    narrow.initializer("w", GraphTensor.floats([6, 1], [1, 2, 3, 4, 5, 6]));
    narrow.initializer("shape", GraphTensor.ints([-1, 6]));
    narrow.node("Reshape", ["x", "shape"], ["flat"]);
    narrow.node("MatMul", ["flat", "w"], ["y"]);
    narrow.output("y", float(["rows", 1]));
    const error = await rejectionOf(
      buildTrainingArtifacts(model(narrow.graph, 8, [["", 17]]), { loss: { kind: "mse" } }),
    );
    expect([error.code, error.exitCode]).toEqual(["E_SHAPE", 3]);
    expect(error.message).toMatch(/"flat\/Reshape" \(Reshape\).*1\.333/);
  });

  it("row 22: 20,000 functions that call each other in a chain are checked, and a cycle of them is named", () => {
    const sketch = new Sketch("net");
    sketch.input("x", float([2]));
    sketch.node("Relu", ["x"], ["y"]);
    sketch.output("y", float([2]));
    const chain = model(sketch.graph, 8, [
      ["", 17],
      ["d", 1],
    ]);
    const calling = (name: string, callee: string): GraphFunction => {
      const made = new GraphFunction(name, "d");
      made.body.append(new Node(callee, [], [], { domain: "d" }));
      return made;
    };
    for (let index = 0; index < 20_000; index++) chain.functions.push(calling(`f${index}`, `f${index + 1}`));
    expect(() => checkModel(chain)).not.toThrow();
    chain.functions.push(calling("f20000", "f0"));
    const error = errorOf(() => checkModel(chain));
    expect(error.code).toBe("E_FUNCTION_CYCLE");
    expect(error.message).toMatch(/^functions call each other in a cycle: f0 → f1 → /);
    expect(error.message.length).toBeLessThan(300);
  });

  it("a tensor without elements may begin anywhere", () => {
    const tensor = new GraphTensor(DataType.int64, [0], { kind: "raw", bytes: new Uint8Array(16).subarray(3, 3) });
    expect(tensor.values()).toEqual(new BigInt64Array());
  });

  it("and numbers that are no sizes are errors of ours", () => {
    for (const make of [
      () => GraphTensor.ints([0.5]),
      () => attribute.int("axis", Number.NaN),
      () => attribute.ints("pads", [1 / 3]),
    ])
      expect(errorOf(make)).toMatchObject({ code: "E_SHAPE", exitCode: 3 });
  });
});

describe("an entry of the metadata that is damaged", () => {
  it.each(["x", "[]", '{"schema":1,"options":[],"edges":[]}', '{"schema":1,"options":{},"edges":[null]}'])(
    "%s is refused by its field",
    (text) => {
      const damaged = makeOptimizer();
      damaged.metadata.set("onnx-agr", text);
      expect(errorOf(() => insertAgr(damaged, { count: 2 }))).toMatchObject({
        code: "E_RECORD",
        exitCode: 3,
        field: "metadata_props.onnx-agr",
      });
    },
  );

  it("of a step is refused where the run is told apart from others", async () => {
    const linear = new Sketch("linear");
    linear.input("x", float([2, 4]));
    linear.initializer("w", GraphTensor.floats([4, 1], [1, 2, 3, 4]));
    linear.node("MatMul", ["x", "w"], ["y"]);
    linear.output("y", float([2, 1]));
    const forward = model(linear.graph, 8, [["", 17]]);
    const { portable } = await buildTrainingArtifacts(forward, { loss: { kind: "mse" }, agr: {} });
    if (portable?.trainStep == null) throw new Error("not built");
    for (const text of ["x", "7", '{"schema":1}']) {
      portable.trainStep.metadata.set("onnx-agr", text);
      expect(errorOf(() => identityOf(portable))).toMatchObject({ code: "E_RECORD", exitCode: 3 });
    }
  });

  it("ends inspect with 3", () => {
    const damaged = makeOptimizer();
    damaged.metadata.set("onnx-agr", "x");
    const outcome = cli(["inspect", "-", "--json"], { input: encodeModel(damaged) });
    expect(outcome.status).toBe(3);
    expect(JSON.parse(outcome.stderr)).toMatchObject({ error: { code: "E_RECORD", field: "metadata_props.onnx-agr" } });
  });
});

describe("an error that learns its file", () => {
  it("keeps its stack and its cause", () => {
    const cause = new Error("cause");
    const error = new FormatError("E_TENSOR", "wrong", { field: "w", cause });
    const { stack } = error;
    const named = error.inFile("a.onnx");
    expect([named.file, named.stack, named.cause, named.field]).toEqual(["a.onnx", stack, cause, "w"]);
    expect(named.inFile("b.onnx").file).toBe("a.onnx");
  });
});

describe("rows 7, 8: fuzzing", () => {
  it("for some seconds finds nothing", () => {
    const seconds = isFull ? 5 : 2;
    const root = fileURLToPath(new URL("../..", import.meta.url));
    const args = [
      "--import",
      "tsx",
      "scripts/fuzz/main.ts",
      "--minutes",
      String(seconds / 60),
      "--save",
      temporaryFolder(),
    ];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      cwd: root,
      encoding: "utf8",
      timeout: 50_000,
    });
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^\d+ inputs with seed 1, 0 finds/);
    expect(status).toBe(0);
  });
});
