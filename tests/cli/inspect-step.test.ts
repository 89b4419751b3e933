import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { makePlainStep, numbered } from "../../fixtures/plain-steps.ts";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { encodeModel } from "../../src/entries/graph.ts";
import { command } from "../support/command.ts";

/** Two states that one loss reads, each renewed by a mix of both. */
function crossed(): Uint8Array {
  const sketch = new Sketch("crossed");
  for (const name of ["a", "b", "x"]) sketch.input(name, float([3]));
  const op = numbered(sketch);
  sketch.node("ReduceSum", [op("Mul", "x", op("Mul", "a", "b"))], ["loss"]);
  sketch.output("loss", float([1]));
  for (const [name, factor] of [
    ["p", 0.1],
    ["q", 0.2],
  ] as const) {
    const renewed = op("Sub", op("Add", "a", op("Mul", "b", factor)), op("Mul", op("Mul", "x", "b"), factor));
    sketch.node("Identity", [renewed], [name]);
    sketch.output(name, float([3]));
  }
  return encodeModel(model(sketch.graph, 10, [["", 13]]));
}

describe("inspect of a plain train step", () => {
  const folder = mkdtempSync(join(tmpdir(), "onnx-agr-test-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const step = join(folder, "step.onnx");
  writeFileSync(step, encodeModel(makePlainStep({ update: "adam with coupled weight decay" })));

  it("lists parameters with slots and gradients, other state, and what renews what", async () => {
    const { status, stdout } = await command(["inspect", step, "--json"]);
    const { step: found } = JSON.parse(stdout);
    expect(status).toBe(0);
    expect(found.losses).toEqual(["loss"]);
    expect(found.parameters).toMatchObject([
      {
        state: "weight",
        renewedBy: "weight_out",
        gradient: "weight_gradient",
        loss: "loss",
        slots: [
          { state: "weight.exp_avg", renewedBy: "weight.exp_avg_out" },
          { state: "weight.exp_avg_sq", renewedBy: "weight.exp_avg_sq_out" },
        ],
      },
      { state: "bias", gradient: "bias_gradient", unproven: null },
    ]);
    expect(Math.abs(found.parameters[0].cosine)).toBeGreaterThan(0.999999);
    expect(found.proof).toEqual({ precision: "float64", method: "gradients", reason: null });
    const text = (await command(["inspect", step])).stdout;
    expect(text).toContain(
      "    parameter bias, renewed by bias_out\n      gradient bias_gradient, cosine 1.000000 with",
    );
    expect(text).toContain("      slot bias.exp_avg, renewed by bias.exp_avg_out\n");
  });

  it("says why state is no parameter, and of which parameter no gradient is proven", async () => {
    const path = join(folder, "scaled.onnx");
    writeFileSync(path, encodeModel(makePlainStep({ update: "sgd", frozen: true })));
    const { step: found } = JSON.parse((await command(["inspect", path, "--json"])).stdout);
    expect(found.otherState).toEqual([
      { state: "scale", renewedBy: "scale_out", reason: expect.stringContaining("renewed from other state alone") },
    ]);
    const unproven = found.parameters.map((each: { unproven: string | null }) => each.unproven);
    expect(unproven).toEqual([null, null].map(() => expect.stringContaining('is not the derivative of "loss"')));
    expect((await command(["inspect", path])).stdout).toContain("    other state scale, renewed by scale_out: ");
  });

  it("goes by names and data flow with --no-proof, and says so", async () => {
    const { step: found } = JSON.parse((await command(["inspect", step, "--no-proof", "--json"])).stdout);
    expect(found.parameters.map(({ state }: { state: string }) => state)).toEqual(["weight", "bias"]);
    expect(found.proof).toEqual({ precision: null, method: null, reason: "it was not asked for" });
  });

  it("sees the same once AGR is in it", async () => {
    const out = join(folder, "agr.onnx");
    expect((await command(["insert", step, "-o", out])).status).toBe(0);
    const inspected = async (path: string) => JSON.parse((await command(["inspect", path, "--json"])).stdout);
    const [before, after] = [await inspected(step), await inspected(out)];
    expect(after.step).toEqual(before.step);
    expect(after.optimizers[0].gradients).toMatchObject([{ regularized: true }, { regularized: true }]);
  });

  it("prints the flags where what renews what is not unique, and takes them", async () => {
    const path = join(folder, "crossed.onnx");
    writeFileSync(path, crossed());
    const { step: open } = JSON.parse((await command(["inspect", path, "--json"])).stdout);
    expect(open.flags).toHaveLength(2);
    expect((await command(["inspect", path])).stdout).toContain(
      `what renews what is not unique; say: ${open.flags.join(" ")}`,
    );
    const told = open.flags.flatMap((flag: string) => flag.split(" "));
    const { status, stdout } = await command(["inspect", path, "--json", ...told]);
    expect([status, JSON.parse(stdout).step.flags]).toEqual([0, []]);
  });

  it("says nothing of steps in models that have none", async () => {
    const path = join(folder, "forward.onnx");
    const sketch = new Sketch("forward");
    sketch.input("x", float([3]));
    sketch.node("Relu", ["x"], ["y"]);
    sketch.output("y", float([3]));
    writeFileSync(path, encodeModel(model(sketch.graph, 10, [["", 17]])));
    expect(JSON.parse((await command(["inspect", path, "--json"])).stdout)).not.toHaveProperty("step");
  });
});
