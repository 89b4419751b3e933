import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../fixtures/optimizer.ts";
import { float, MICROSOFT, model, Sketch } from "../../fixtures/sketch.ts";
import { decodeModel, encodeModel, GraphFunction, Node, Value } from "../../src/entries/graph.ts";
import { readMessage } from "../../src/graph/proto/read.ts";
import { MODEL } from "../../src/graph/proto/schema.ts";
import { writeMessage } from "../../src/graph/proto/write.ts";
import { insertAgr, type Model, stripAgr } from "../../src/index.ts";
import type { Outcome } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

interface Step {
  readonly name: string;
  readonly gradient: string;
}

/** One SGDOptimizer per step; ONNX's operators are imported where `opset` is given. */
function sgd(steps: readonly Step[], opset?: number, irVersion = 8): Model {
  const sketch = new Sketch("g");
  sketch.input("lr", float([1]));
  for (const gradient of new Set(steps.map((each) => each.gradient))) sketch.input(gradient, float([4, 3]));
  for (const [index, { name, gradient }] of steps.entries()) {
    sketch.input(`w${index}`, float([4, 3]));
    sketch.node("SGDOptimizer", ["lr", `w${index}`, gradient], [`new${index}`], [], MICROSOFT);
    const node = sketch.graph.nodes.at(-1);
    if (node !== undefined) node.name = name;
    sketch.output(`new${index}`, float([4, 3]));
  }
  return model(sketch.graph, irVersion, [[MICROSOFT, 1], ...(opset === undefined ? [] : [["", opset] as const])]);
}

function written(of: Model | Uint8Array): string {
  const path = join(temporaryFolder(), "optimizer.onnx");
  writeFileSync(path, of instanceof Uint8Array ? of : encodeModel(of));
  return path;
}

/** `insert` and then `strip`, which has to give the bytes back. */
async function insertAndStrip(path: string, options: readonly string[] = []): Promise<Outcome> {
  const [out, back] = [join(temporaryFolder(), "agr.onnx"), join(temporaryFolder(), "back.onnx")];
  const inserted = await command(["insert", path, "-o", out, ...options]);
  expect([inserted.status, inserted.stderr.includes("error")]).toEqual([0, false]);
  expect((await command(["strip", out, "-o", back])).status).toBe(0);
  expect(Buffer.compare(readFileSync(back), readFileSync(path))).toBe(0);
  return inserted;
}

const TWO: readonly Step[] = [
  { name: "a", gradient: "g" },
  { name: "b", gradient: "h" },
];
const SHARED = TWO.map(({ name }) => ({ name, gradient: "g" }));

describe("a model that imports com.microsoft alone", () => {
  it("row 21: gets an import of ai.onnx, and loses it again", async () => {
    const inserted = await insertAndStrip(written(sgd(TWO)));
    expect(inserted.stderr).toBe("the model imports none of ONNX's own operators: ai.onnx 17 is imported for AGR\n");
  });

  it("row 21: gets one that its IR version can have", async () => {
    expect((await command(["insert", written(sgd(TWO, undefined, 5)), "--dry-run"])).stderr).toContain(
      "ai.onnx 10 is imported",
    );
    const old = await command(["insert", written(sgd(TWO, undefined, 3)), "--dry-run"]);
    expect([old.status, old.stderr]).toEqual([
      4,
      expect.stringMatching(/\[E_OPSET\] opset 8 is older than 9.*IR version/),
    ]);
  });

  it("row 21: is refused where it uses operators of a version it does not say", async () => {
    const odd = sgd(TWO);
    const [value = null] = odd.graph.inputs;
    odd.graph.append(new Node("Relu", [value], [new Value("r")], { name: "relu" }));
    const { status, stderr } = await command(["insert", written(odd), "--dry-run"]);
    expect([status, stderr]).toEqual([
      4,
      expect.stringMatching(/\[E_OPSET\] node "relu".*no version is imported\. Add/),
    ]);
  });

  it("may change its options", () => {
    const original = encodeModel(sgd(TWO));
    const changed = decodeModel(original);
    insertAgr(changed);
    const again = decodeModel(encodeModel(changed));
    insertAgr(again, { strength: 0.5 });
    stripAgr(again);
    expect(encodeModel(again)).toEqual(original);
  });
});

describe("several optimizers", () => {
  it("row 27: of one parameter each are one; --select takes some", async () => {
    const path = written(sgd(TWO, 17));
    expect((await insertAndStrip(path)).stdout).toContain("regularized: w0, w1");
    const one = await insertAndStrip(path, ["--select", "b"]);
    expect(one.stdout).toContain('regularized: w1\n  left alone: "a" (com.microsoft.SGDOptimizer) (not selected)');
  });

  it("row 27: that share a gradient are listed, and --select is asked for", async () => {
    const path = written(sgd(SHARED, 17));
    const refused = await command(["insert", path, "--dry-run"]);
    expect(refused.status).toBe(4);
    expect(refused.stderr).toMatch(
      /\[E_SEVERAL_OPTIMIZERS\] .*2 of 2 optimizers read the gradient "g": "a" \(com\.microsoft\.SGDOptimizer\), "b" .*--select <name>/,
    );
    expect((await insertAndStrip(path, ["--select", "a"])).stdout).toContain("regularized: w0\n");
    expect((await insertAndStrip(path, ["--select", "a", "--select", "b", "--scope", "global"])).stdout).toContain(
      "regularized: w0, w1\n",
    );
    const unknown = await command(["insert", path, "--dry-run", "--select", "c"]);
    expect([unknown.status, unknown.stderr]).toEqual([
      4,
      expect.stringContaining('no optimizer is named "c"; there is "a"'),
    ]);
  });

  it("row 27: of one name are told apart", async () => {
    const path = written(
      sgd(
        SHARED.map((each) => ({ ...each, name: "same" })),
        17,
      ),
    );
    expect((await command(["insert", path, "--dry-run"])).stderr).toContain(
      '"same#1" (com.microsoft.SGDOptimizer), "same#2"',
    );
    expect((await command(["insert", path, "--dry-run", "--select", "same#2"])).stdout).toContain("regularized: w1\n");
  });

  it("row 27: that take sequences are listed, and one is selected", async () => {
    const two = makeOptimizer();
    const [first] = two.graph.nodes;
    if (first === undefined) throw new Error("no optimizer");
    const { domain } = first;
    two.graph.append(new Node(first.opType, first.inputs, [new Value("other_flag")], { domain, name: "second" }));
    const path = written(two);
    const refused = await command(["insert", path, "--dry-run"]);
    expect([refused.status, refused.stderr]).toEqual([
      4,
      expect.stringMatching(/there are 2 optimizers.*"updated_flag\/AdamWOptimizer" .*"second"/),
    ]);
    expect((await command(["insert", path, "--dry-run", "--select", "second"])).status).toBe(0);
  });
});

describe("a function of the model that is named as an optimizer", () => {
  it("is not taken for it", async () => {
    const own = sgd(TWO, 17);
    const fake = new GraphFunction("SGDOptimizer", MICROSOFT);
    const x = new Value("x");
    fake.body.inputs.push(x);
    const y = new Value("y");
    fake.body.append(new Node("Relu", [x], [y]));
    fake.body.addOutput(y);
    fake.opsets.set("", 17);
    own.functions.push(fake);
    const path = written(own);
    const { status, stderr } = await command(["insert", path, "--dry-run"]);
    expect([status, stderr]).toEqual([
      4,
      expect.stringMatching(/\[E_NO_OPTIMIZER\].*"a".*a function of its own named com\.microsoft\.SGDOptimizer/),
    ]);
  });
});

describe("inspect tells what is there, with a note, of a model that every other command refuses", () => {
  it.each([
    ["imports that contradict each other", /domain "ai\.onnx" is imported twice, as 17 and as 18/],
    ["unsorted nodes", /graph: the nodes are unsorted/],
    ["an opset of the future", /opset 99 is newer than/],
  ])("%s", async (what, note) => {
    const proto = readMessage(MODEL, encodeModel(sgd(TWO, 17)));
    if (what === "unsorted nodes") {
      const late = { opType: "Relu", input: ["g"], output: ["made"], name: "late" };
      const early = { opType: "Relu", input: ["made"], output: ["read"], name: "early" };
      proto.graph?.node?.push(early, late);
    } else if (what === "an opset of the future") {
      proto.opsetImport = [
        { domain: "", version: 99n },
        { domain: MICROSOFT, version: 1n },
      ];
    } else proto.opsetImport?.push({ domain: "ai.onnx", version: 18n });
    const path = written(Buffer.concat([...writeMessage(MODEL, proto).parts]));
    const told = await command(["inspect", path, "--json"]);
    expect(told.status).toBe(0);
    expect(JSON.parse(told.stdout)).toMatchObject({
      kind: "model",
      optimizers: [{ name: "a" }, { name: "b" }],
      mistakes: [expect.stringMatching(note)],
    });
    expect([3, 4]).toContain((await command(["insert", path, "--dry-run"])).status);
  });

  it("and does not call nodes unsorted that a search in breadth would put into another order", async () => {
    const path = fileURLToPath(new URL("../../experiments/resnet/model.onnx", import.meta.url));
    const told = await command(["inspect", path, "--json"]);
    expect(JSON.parse(told.stdout)).not.toHaveProperty("mistakes");
  });
});
