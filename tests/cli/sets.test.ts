import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { decodeModel, encodeModel, sha256 } from "../../src/entries/graph.ts";
import { encodeSafetensors, SET_MANIFEST } from "../../src/entries/training.ts";
import { DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

let made: string | null = null;

interface Both {
  readonly folder: string;
  readonly set: string;
  readonly data: string;
}

/** A folder with both sets, data that fit, and room beside them. Made once, and copied. */
async function both(): Promise<Both> {
  made ??= await makeBoth();
  const folder = temporaryFolder();
  cpSync(made, folder, { recursive: true });
  return { folder, set: join(folder, "set"), data: join(folder, "data.safetensors") };
}

async function makeBoth(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "onnx-agr-both-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const [forward, set, data] = ["forward.onnx", "set", "data.safetensors"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(data, encodeSafetensors(drawDigits(40, 5)));
  expect((await command(["export", DIGITS, "-o", forward])).status).toBe(0);
  expect((await command(["build", forward, "--loss", "cross-entropy", "--weight-decay", "0", "-o", set])).status).toBe(
    0,
  );
  return folder;
}

const hasAgr = (folder: string, name: string): boolean =>
  decodeModel(readFileSync(join(folder, name))).metadata.has("onnx-agr");
const losses = (text: string): unknown[] =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { type: string; loss: number })
    .flatMap(({ type, loss }) => (type === "step" ? [loss] : []));
const OPTIMIZED = ["optimizer_model.onnx", "train_step.onnx", "apply.onnx"];

describe("row 90: a folder with both sets", () => {
  it("gets AGR in every model that trains, trains with it in either, and gives it back byte for byte", async () => {
    const { folder, set, data } = await both();
    const [agr, back] = [join(folder, "agr"), join(folder, "back")];
    const train = async (of: string, ...more: readonly string[]): Promise<unknown[]> =>
      losses(
        (await command(["train", of, "--data", data, "--batch-size", "10", "--lr", "0.01", "--json", ...more])).stdout,
      );
    const inserted = await command(["insert", set, "-o", agr]);
    expect([inserted.status, inserted.stdout]).toEqual([
      0,
      expect.stringContaining("the same in train_step.onnx, apply.onnx"),
    ]);
    expect(readdirSync(agr)).toEqual(readdirSync(set));
    expect(OPTIMIZED.map((name) => hasAgr(agr, name))).toEqual([true, true, true]);
    const [plain, regularized] = [await train(set), await train(agr)];
    expect([plain.length, plain[0]]).toEqual([4, regularized[0]]);
    expect(regularized).not.toEqual(plain);
    const halves = (await train(agr, "--runtime", "ort-training")) as number[];
    for (const [index, loss] of halves.entries())
      expect(Math.abs(loss / Number(regularized[index]) - 1)).toBeLessThan(2e-5);
    expect((await command(["strip", agr, "-o", back])).status).toBe(0);
    for (const name of readdirSync(set)) {
      expect(readFileSync(join(back, name)).equals(readFileSync(join(set, name))), name).toBe(true);
    }
    expect((await command(["diff", set, back])).stdout).toBe("no structural difference\n");
    expect((await command(["strip", set, "--in-place"])).status).toBe(4);
    const { portable } = JSON.parse((await command(["inspect", agr, "--json"])).stdout) as {
      portable: { models: { agr: unknown }[] };
    };
    expect(portable.models.map(({ agr: has }) => has)).toEqual([true, null, true, null]);
  });

  it("or the portable one alone: the same", async () => {
    const portable = join(temporaryFolder(), "portable");
    expect((await command(["lower", DIGITS, "-o", portable])).status).toBe(0);
    expect((await command(["insert", portable, "--in-place"])).status).toBe(0);
    expect(OPTIMIZED.slice(1).map((name) => hasAgr(portable, name))).toEqual([true, true]);
    expect((await command(["strip", portable, "--in-place"])).status).toBe(0);
  });
});

describe("row 92: files that do not belong together", () => {
  it("are refused by their hashes, and one file of a set is not changed alone", async () => {
    const { folder, set, data } = await both();
    const agr = join(folder, "agr");
    expect((await command(["insert", set, "-o", agr])).status).toBe(0);
    const alone = await command(["insert", join(set, "train_step.onnx"), "--in-place"]);
    expect([alone.status, alone.stderr]).toEqual([2, expect.stringMatching(/\[E_SET\].*Give the whole folder/)]);
    cpSync(join(agr, "train_step.onnx"), join(set, "train_step.onnx"));
    for (const args of [
      ["train", set, "--data", data],
      ["inspect", set],
      ["insert", set, "--in-place"],
    ]) {
      const { status, stderr } = await command(args);
      expect([status, stderr]).toEqual([3, expect.stringMatching(/\[E_SET\].*train_step\.onnx is another file/)]);
    }
  });

  it("are refused by what is in them, where no manifest lists them; foreign folders without one train", async () => {
    const { set, data } = await both();
    const [step, optimizer] = ["train_step.onnx", "optimizer_model.onnx"].map((name) => join(set, name)) as [
      string,
      string,
    ];
    const files = new Map([step, optimizer].map((path) => [path, readFileSync(path)]));
    spawnSync("rm", [join(set, SET_MANIFEST)]);
    const train = async () => await command(["train", set, "--data", data]);
    expect((await train()).status).toBe(0);
    const refused = async (reason: RegExp): Promise<void> => {
      const { status, stderr } = await train();
      expect([status, stderr]).toEqual([3, expect.stringMatching(reason)]);
      for (const [path, bytes] of files) writeFileSync(path, bytes);
    };
    expect((await command(["insert", optimizer, "--in-place"])).status).toBe(0);
    await refused(/E_SET.*optimizer_model\.onnx has AGR, \w+\.onnx has not/);
    expect((await command(["insert", step, "--in-place"])).status).toBe(0);
    await refused(/E_SET.*train_step\.onnx has AGR, \w+\.onnx has not/);
    const model = decodeModel(readFileSync(step));
    const decay = model.graph.nodes.find(({ name, opType }) => name.startsWith("optimizer/") && opType === "Sqrt");
    if (decay !== undefined) (decay as { opType: string }).opType = "Abs";
    writeFileSync(step, encodeModel(model));
    await refused(/E_SET.*train_step\.onnx updates the parameters otherwise than apply\.onnx/);
  });

  it("and a run does not go on with another train_step.onnx", async () => {
    const { folder, set, data } = await both();
    const [agr, run] = [join(folder, "agr"), join(folder, "run")];
    expect((await command(["insert", set, "-o", agr])).status).toBe(0);
    const args = ["train", set, "--data", data, "--checkpoints", run];
    expect((await command(args)).status).toBe(0);
    cpSync(join(agr, "train_step.onnx"), join(set, "train_step.onnx"));
    const { status, stderr } = await command([...args, "--epochs", "2", "--resume", run]);
    expect([status, stderr]).toEqual([8, expect.stringMatching(/E_RESUME_MISMATCH.*train_step was/)]);
  });
});

describe("what an output may be", () => {
  const isRoot = process.getuid?.() === 0;

  it("row 96: a device, a pipe or a folder is refused, with --force too, and stays what it is", async () => {
    const folder = temporaryFolder();
    const [pipe, device] = [join(folder, "pipe"), join(folder, "null")];
    spawnSync("mkfifo", [pipe]);
    const targets = [pipe, folder];
    if (isRoot && spawnSync("mknod", [device, "c", "1", "3"]).status === 0) targets.push(device);
    for (const target of targets) {
      for (const args of [
        ["export", DIGITS],
        ["train", DIGITS, "--data", "x.npz"],
        ["insert", join(DIGITS, "optimizer_model.onnx")],
      ]) {
        const before = statSync(target).mode;
        const { status, stderr } = await command([...args, "--force", "-o", target]);
        expect([status, stderr]).toEqual([2, expect.stringContaining("[E_NOT_REGULAR]")]);
        expect(statSync(target).mode).toBe(before);
      }
    }
  });

  it("rows 73, 97: a file that is replaced keeps mode and owner; a link is followed, also to nothing yet", async () => {
    const folder = temporaryFolder();
    const [file, link, dangling] = ["file", "link", "dangling"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(file, "old");
    chmodSync(file, 0o600);
    if (isRoot) chownSync(file, 1234, 4321);
    symlinkSync("file", link);
    symlinkSync("made", dangling);
    expect((await command(["export", DIGITS, "--force", "-o", link])).status).toBe(0);
    const { mode, uid, gid, size } = statSync(file);
    expect([mode & 0o777, size > 1000, ...(isRoot ? [uid, gid] : [])]).toEqual([
      0o600,
      true,
      ...(isRoot ? [1234, 4321] : []),
    ]);
    expect((await command(["export", DIGITS, "--force", "-o", dangling])).status).toBe(0);
    expect(readdirSync(folder).sort()).toEqual(["dangling", "file", "link", "made"]);
    expect(sha256(readFileSync(join(folder, "made")))).toBe(sha256(readFileSync(file)));
  });
});

describe("where a training's result goes", () => {
  it("is said, with the next command, where nobody named a place", async () => {
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, "data.safetensors"), encodeSafetensors(drawDigits(20, 5)));
    mkdirSync(join(cwd, "runs", "train-1"), { recursive: true });
    const { status, stdout } = await command(["train", DIGITS, "--data", "data.safetensors"], { cwd });
    expect([status, stdout]).toEqual([
      0,
      expect.stringMatching(
        /run saved in runs\/train-2\nnext: onnx-agr export .* --checkpoint runs\/train-2 -o model.onnx\n$/,
      ),
    ]);
    expect(
      (await command(["export", DIGITS, "--checkpoint", "runs/train-2", "-o", "model.onnx"], { cwd })).status,
    ).toBe(0);
    const api = await command(["train", DIGITS, "--data", "data.safetensors", "--runtime", "ort-training"], { cwd });
    expect(api.stdout).toContain("checkpoint written to runs/train-3/checkpoint");
    const toCheckpoints = ["--runtime", "ort-training", "--checkpoints", "kept"];
    const refused = await command(["train", DIGITS, "--data", "data.safetensors", ...toCheckpoints], { cwd });
    expect([refused.status, refused.stderr]).toEqual([9, expect.stringMatching(/^error \[E_UNSUPPORTED\] .* Use -o/)]);
    const failed = await command(["train", DIGITS, "--data", "data.safetensors", "--lr", "1e30", "--epochs", "9"], {
      cwd,
    });
    expect(failed.status).toBe(7);
    expect(failed.stderr).toContain("What 1 step had trained is saved in runs/train-4.");
    expect(readdirSync(join(cwd, "runs")).sort()).toEqual(["train-1", "train-2", "train-3", "train-4"]);
  });
});
