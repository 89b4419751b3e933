import { spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { DataType } from "../../src/entries/graph.ts";
import { decodeSafetensors, encodeSafetensors, PORTABLE_FILES, SET_MANIFEST } from "../../src/entries/training.ts";
import { loadRun } from "../../src/index.ts";
import { cli, DIGITS, MAIN } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { openSession } from "../support/ort.ts";
import { temporaryFolder } from "../support/temporary.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

function data(count: number, seed = 5): string {
  const path = join(temporaryFolder(), "digits.safetensors");
  writeFileSync(path, encodeSafetensors(drawDigits(count, seed)));
  return path;
}

const parse = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;
const lines = (text: string): Record<string, unknown>[] => text.trim().split("\n").map(parse);
const lossesOf = (text: string): unknown[] =>
  lines(text).flatMap(({ type, step, loss }) => (type === "step" ? [[step, loss]] : []));

describe("lower, train, eval, export: the portable way", () => {
  it("from ONNX Runtime's artifacts to an inference model", async () => {
    const folder = temporaryFolder();
    const [portable, run, model] = ["portable", "run", "model.onnx"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const lowered = await command(["lower", DIGITS, "-o", portable]);
    expect([lowered.status, lowered.stdout]).toEqual([0, expect.stringContaining("a step has ")]);
    expect(readdirSync(portable).sort()).toEqual([...Object.values(PORTABLE_FILES), SET_MANIFEST].sort());
    expect((await command(["lower", DIGITS, "-o", portable])).status).toBe(2);

    const agr = await command(["insert", join(portable, "train_step.onnx"), "-o", join(folder, "agr.onnx"), "--json"]);
    expect([agr.status, parse(agr.stdout)["changed"]]).toEqual([0, 6]);

    const file = data(300);
    const args = ["--data", file, "--epochs", "5", "--lr", "0.01", "--json"];
    const trained = await command(["train", portable, ...args, "--checkpoints", run]);
    expect([trained.status, trained.stderr]).toEqual([0, ""]);
    expect(lines(trained.stdout).at(-1)).toMatchObject({ type: "end", runtime: "ort-node", steps: 50 });
    const before = parse((await command(["eval", portable, "--data", file, "--json"])).stdout);
    const after = parse((await command(["eval", portable, "--data", file, "--checkpoint", run, "--json"])).stdout);
    expect(after).toMatchObject({ samples: 300, accuracy: expect.any(Number) });
    expect(Number(after["loss"])).toBeLessThan(Number(before["loss"]) / 2);
    expect(Number(after["accuracy"])).toBeGreaterThan(0.7);

    expect((await command(["export", portable, "--checkpoint", run, "-o", model])).status).toBe(0);
    const [images] = drawDigits(300, 5);
    const session = await openSession(model);
    const input = new Tensor("float32", images?.tensor.values() as Float32Array, [300, 1, 16, 16]);
    const { logits } = await session.run({ input });
    expect(logits?.dims).toEqual([300, 10]);
  });

  it("trains the same in either form, and in several steps per call", async () => {
    const portable = join(temporaryFolder(), "portable");
    expect((await command(["lower", DIGITS, "-o", portable])).status).toBe(0);
    const args = ["--data", data(96), "--lr", "0.01", "--seed", "4", "--json"];
    const expected = lossesOf((await command(["train", DIGITS, "--runtime", "ort-node", ...args])).stdout);
    expect(expected).toHaveLength(3);
    expect(lossesOf((await command(["train", portable, ...args])).stdout)).toEqual(expected);
    expect(lossesOf((await command(["train", portable, ...args, "--steps-per-call", "2"])).stdout)).toEqual(expected);
    expect(lossesOf(cli(["train", portable, ...args, "--isolate"]).stdout)).toEqual(expected);
    const grouped = await command(["train", DIGITS, ...args, "--group", "*:lr=0.5,decay=0"]);
    expect([grouped.status, lossesOf(grouped.stdout)[0]]).toEqual([0, expected[0]]);
    expect(lossesOf(grouped.stdout)).not.toEqual(expected);
  });
});

describe("train --checkpoints and --resume", () => {
  const args = (file: string, ...more: readonly string[]): readonly string[] => [
    ...["train", DIGITS, "--data", file, "--batch-size", "10", "--lr", "0.01", "--json"],
    ...more,
  ];

  it("row 53: goes on with the command it printed where it was interrupted, bit for bit, and refuses another run", async () => {
    const folder = temporaryFolder();
    const file = data(100);
    const whole = await command(args(file, "--epochs", "40", "--checkpoints", join(folder, "whole")));
    const run = join(folder, "the user's run");
    const child = spawn(process.execPath, [MAIN, ...args(file, "--epochs", "40", "--checkpoints", run)]);
    let output = "";
    /** A second signal would end the process before it saves. */
    let isAsked = false;
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      if (!isAsked && output.split("\n").length > 7) isAsked = child.kill("SIGTERM");
    });
    expect(await new Promise((done) => child.on("close", done))).toBe(143);
    expect(readdirSync(run)).toHaveLength(1);
    const { next } = lines(output).at(-1) as { next: string };
    const pasted = `onnx-agr() { "$NODE" "$MAIN" "$@"; }; ${next}`;
    const env = { ...process.env, NODE: process.execPath, MAIN };
    const resumed = spawnSync("bash", ["-c", pasted], { encoding: "utf8", env, cwd: folder });
    expect(resumed.status).toBe(0);
    expect([...lossesOf(output), ...lossesOf(resumed.stdout)]).toEqual(lossesOf(whole.stdout));
    const last = (at: string): Buffer =>
      readFileSync(join(at, readdirSync(at).sort().at(-1) ?? "", "state.safetensors"));
    expect(last(run).equals(last(join(folder, "whole")))).toBe(true);

    const other = await command(args(file, "--epochs", "40", "--resume", run, "--seed", "9"));
    expect([other.status, other.stderr]).toEqual([8, expect.stringMatching(/E_RESUME_MISMATCH.*seed was 0, is 9/)]);
    expect(parse(other.stderr)).toMatchObject({ error: { hint: expect.stringContaining("--allow-mismatch seed") } });
    const allowed = await command(
      args(file, "--epochs", "41", "--resume", run, "--seed", "9", "--allow-mismatch", "seed"),
    );
    expect([allowed.status, lossesOf(allowed.stdout)]).toEqual([0, expect.any(Array)]);
    const data2 = await command(args(data(100, 6), "--epochs", "41", "--resume", run));
    expect([data2.status, data2.stderr]).toEqual([8, expect.stringContaining("data was ")]);
  });

  it("row 54: weights alone do not resume, but a run may begin with them", async () => {
    const folder = temporaryFolder();
    const file = data(40);
    const weights = join(folder, "trained");
    expect((await command(args(file, "-o", weights))).status).toBe(0);
    const resumed = await command(args(file, "--resume", weights));
    expect([resumed.status, resumed.stderr]).toEqual([8, expect.stringMatching(/E_NO_OPTIMIZER_STATE.*--init-from/)]);
    const begun = await command(args(file, "--init-from", weights));
    expect([begun.status, lossesOf(begun.stdout).length]).toEqual([0, 4]);
    const both = await command(args(file, "--init-from", weights, "--resume", weights));
    expect(both.status).toBe(2);
    const none = await command(args(file, "--resume", join(folder, "nothing")));
    expect([none.status, none.stderr]).toEqual([8, expect.stringContaining("E_NO_CHECKPOINT")]);
  });

  it.each([
    ["parameters that become infinite", "1e39", [], /after the update of step 1, .*" has (NaN|-?Infinity)/, 0],
    ["a loss that becomes NaN", "1e30", [], /at step 2 .*has (NaN|-?Infinity)/, 1],
    ["the same in a call of several steps", "1e30", ["--steps-per-call", "4"], /at step 2 .*has (NaN|-?Infinity)/, 1],
  ])(
    "row 66: %s: the last good checkpoint stays, the step and the first bad tensor are named",
    async (_, lr, more, message, good) => {
      const run = join(temporaryFolder(), "run");
      const { status, stderr } = await command([
        ...["train", DIGITS, "--data", data(200), "--batch-size", "10", "--lr", lr, "--json"],
        ...["--checkpoints", run, "--save-every", more.length === 0 ? "1" : "4"],
        ...more,
      ]);
      expect(status).toBe(7);
      expect(parse(stderr)).toMatchObject({
        error: {
          code: "E_NOT_FINITE",
          message: expect.stringMatching(message),
          hint: expect.stringMatching(
            more.length === 0
              ? /^Lower the learning rate: --lr 1e\+(29|38)\. /
              : /^What 1 step had trained is saved in .*run\. Lower the learning rate, .*: --resume .*run --allow-mismatch lr --lr 1e\+29\. /,
          ),
        },
      });
      const kept = readdirSync(run).filter((name) => name.startsWith("step-"));
      expect(kept).toHaveLength(good);
      if (good === 0) return;
      const { state } = await loadRun(run);
      expect(state.step).toBe(1);
      for (const tensor of state.tensors.values()) {
        if (tensor.dtype === DataType.float)
          expect((tensor.values() as Float32Array).every(Number.isFinite)).toBe(true);
      }
    },
  );

  it("row 75: refuses a folder that another process trains into", async () => {
    const run = join(temporaryFolder(), "run");
    const file = data(100);
    const child = spawn(process.execPath, [MAIN, ...args(file, "--epochs", "100000", "--checkpoints", run)]);
    await new Promise((done) => child.stdout.once("data", done));
    const second = await command(args(file, "--checkpoints", run));
    expect([second.status, second.stderr]).toEqual([6, expect.stringContaining(`process ${child.pid} `)]);
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGINT");
    expect(await ended).toBe(130);
    expect(existsSync(join(run, ".lock"))).toBe(false);
  });
});

describe("diagnose", () => {
  it("tells of every gradient what AGR would change, and saves the gradients", async () => {
    const save = join(temporaryFolder(), "gradients.safetensors");
    const { status, stdout } = await command(["diagnose", DIGITS, "--data", data(16), "--save", save, "--json"]);
    expect(status).toBe(0);
    const { gradients } = parse(stdout) as { gradients: Record<string, number>[] };
    expect(gradients.map(({ parameter }) => parameter)).toContain("fc.weight");
    const { tensors } = decodeSafetensors(readFileSync(save));
    for (const { name, tensor } of tensors) {
      const values = [...(tensor.values() as Float32Array)];
      const sum = values.reduce((total, value) => total + Math.abs(value), 0);
      const report = gradients.find(({ parameter }) => String(parameter) === name);
      expect(report?.["largestAlpha"]).toBeCloseTo(Math.max(...values.map(Math.abs)) / sum, 6);
    }
  });
});

describe("without a runtime", () => {
  /** The package with all it depends on but the runtimes. */
  function bareInstall(): string {
    const folder = temporaryFolder();
    cpSync(join(ROOT, "dist"), join(folder, "dist"), { recursive: true });
    cpSync(join(ROOT, "package.json"), join(folder, "package.json"));
    cpSync(DIGITS, join(folder, "fixtures", "digits"), { recursive: true });
    const modules = join(folder, "node_modules");
    for (const name of readdirSync(join(ROOT, "node_modules"))) {
      if (name.startsWith(".") || /^onnxruntime-(node|web)$/.test(name)) continue;
      mkdirSync(dirname(join(modules, name)), { recursive: true });
      symlinkSync(join(ROOT, "node_modules", name), join(modules, name));
    }
    return join(folder, "dist", "cli", "main.js");
  }

  it("models are still edited, and training says what to install", async () => {
    const main = bareInstall();
    const { spawnSync } = await import("node:child_process");
    const run = (...args: readonly string[]) => spawnSync(process.execPath, [main, ...args], { encoding: "utf8" });
    const out = join(temporaryFolder(), "out");
    expect(run("insert", DIGITS, "-o", out).status).toBe(0);
    const node = run("train", DIGITS, "--data", data(10), "--runtime", "ort-node");
    expect([node.status, node.stderr]).toEqual([
      9,
      expect.stringMatching(/E_RUNTIME_MISSING.*npm install onnxruntime-node/),
    ]);
    const either = run("train", DIGITS, "--data", data(10));
    expect([either.status, either.stderr]).toEqual([9, expect.stringMatching(/E_RUNTIME_MISSING.*npm install/)]);
  });
});
