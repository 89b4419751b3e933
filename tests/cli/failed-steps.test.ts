import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { attribute, DataType, GraphTensor } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { buildTrainingArtifacts, loadRun, writeBuilt } from "../../src/index.ts";
import { DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

interface Failure {
  readonly error: { readonly code: string; readonly message: string; readonly hint: string };
}

/** Makes its hidden values as many as its second input says: 8 TB of them for 10^12. */
async function wideNet(folder: string): Promise<void> {
  const sketch = new Sketch("wide");
  sketch.input("input", float(["batch", 1]));
  sketch.input("width", tensor(DataType.int64, ["batch", 1]));
  sketch.initializer("weight", GraphTensor.floats([1, 1], [0.5]));
  sketch.initializer("one", GraphTensor.from(DataType.int64, [1], BigInt64Array.of(1n)));
  sketch.node("MatMul", ["input", "weight"], ["h"]);
  sketch.node("ReduceMax", ["width"], ["widest"], [attribute.ints("axes", [0]), attribute.int("keepdims", 0)]);
  sketch.concat(["one", "widest"], 0, "shape");
  sketch.node("Expand", ["h", "shape"], ["wide"]);
  sketch.node("ReduceMean", ["wide"], ["y"], [attribute.ints("axes", [1]), attribute.int("keepdims", 1)]);
  sketch.output("y", float(["batch", 1]));
  const built = await buildTrainingArtifacts(model(sketch.graph, 8, [["", 17]]), {
    loss: { kind: "mse" },
    optimizer: { name: "sgd" },
    targets: ["portable"],
  });
  mkdirSync(folder);
  await writeBuilt(folder, built);
}

function wideData(path: string, widths: readonly bigint[]): void {
  const count = widths.length;
  const ramp = GraphTensor.floats(
    [count, 1],
    widths.map((_, index) => index / count),
  );
  writeFileSync(
    path,
    encodeSafetensors([
      { name: "input", tensor: ramp },
      { name: "width", tensor: GraphTensor.from(DataType.int64, [count, 1], BigInt64Array.from(widths)) },
      { name: "target", tensor: ramp },
    ]),
  );
}

describe("a step that fails", () => {
  it("row 66: for want of memory leaves a checkpoint of the steps before it, and says which batch size to use", async () => {
    const folder = temporaryFolder();
    const [set, data, run] = ["set", "data.safetensors", "run"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    await wideNet(set);
    wideData(data, [1n, 1n, 1n, 1n, 1n, 1n, 10n ** 12n, 1n]);
    const args = ["train", set, "--data", data, "--no-shuffle", "--steps-per-call", "1", "--lr", "0.1", "--json"];
    const { status, stdout, stderr } = await command([...args, "--batch-size", "2", "--checkpoints", run]);
    expect(status, stderr).toBe(9);
    expect(stdout.trim().split("\n")).toHaveLength(3);
    const { error } = JSON.parse(stderr) as Failure;
    expect([error.code, error.message]).toEqual(["E_MEMORY", expect.stringContaining("not enough memory")]);
    expect(error.hint).toBe(
      `What 3 steps had trained is saved in ${run}. Use smaller batches: --init-from ${run} --batch-size 1, in the place of 2.`,
    );
    const { state, manifest } = await loadRun(run);
    expect([state.step, manifest.position]).toMatchObject([3, { epoch: 0, batch: 3 }]);

    const weight = state.tensors.get("weight")?.values()[0];
    wideData(data, [1n, 1n, 1n, 1n, 1n, 1n, 1n, 1n]);
    const other = join(folder, "other");
    await command([...args, "--batch-size", "2", "--checkpoints", other, "--save-every", "3", "--keep", "9"]);
    const third = readdirSync(other).find((name) => name.endsWith("3")) ?? "";
    expect((await loadRun(join(other, third))).state.tensors.get("weight")?.values()[0]).toBe(weight);
  });

  it("row 66: goes on from what was kept of a run whose loss became NaN, as its error says", async () => {
    const folder = temporaryFolder();
    const [data, run] = [join(folder, "data.safetensors"), join(folder, "run")];
    writeFileSync(data, encodeSafetensors(drawDigits(60, 4)));
    const args = ["train", DIGITS, "--data", data, "--batch-size", "10", "--json"];
    const failed = await command([...args, "--lr", "1e30", "--steps-per-call", "2", "--checkpoints", run]);
    expect(failed.status).toBe(7);
    const { error } = JSON.parse(failed.stderr) as Failure;
    const [, advice = ""] = /Lower the learning rate, .*: (--resume .*?--lr \S+?)\. /.exec(error.hint) ?? [];
    expect(advice).toBe(`--resume ${run} --allow-mismatch lr --lr 1e+29`);
    // The weights are of the size of the rate: with such a small one they stay so, and the loss stays what it is.
    const resumed = await command([...args, ...advice.replace("1e+29", "1e-9").split(" "), "--checkpoints", run]);
    expect([resumed.status, resumed.stderr]).toEqual([7, expect.stringMatching(/at step 2 /)]);
  });
});
