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
import { decodeModel, encodeModel, encodeSafetensors, SET_MANIFEST, sha256 } from "../../src/index.ts";
import { cli, DIGITS } from "../support/cli.ts";
import { temporaryFolder } from "../support/temporary.ts";

let made: string | null = null;

/** A folder with both sets, data that fit, and room beside them. Made once, and copied. */
function both(): { readonly folder: string; readonly set: string; readonly data: string } {
  made ??= makeBoth();
  const folder = temporaryFolder();
  cpSync(made, folder, { recursive: true });
  return { folder, set: join(folder, "set"), data: join(folder, "data.safetensors") };
}

function makeBoth(): string {
  const folder = mkdtempSync(join(tmpdir(), "onnx-agr-both-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const [forward, set, data] = ["forward.onnx", "set", "data.safetensors"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(data, encodeSafetensors(drawDigits(40, 5)));
  expect(cli(["export", DIGITS, "-o", forward]).status).toBe(0);
  expect(cli(["build", forward, "--loss", "cross-entropy", "--weight-decay", "0", "-o", set]).status).toBe(0);
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
  it("gets AGR in every model that trains, trains with it in either, and gives it back byte for byte", () => {
    const { folder, set, data } = both();
    const [agr, back] = [join(folder, "agr"), join(folder, "back")];
    const train = (of: string, ...more: readonly string[]): unknown[] =>
      losses(cli(["train", of, "--data", data, "--batch-size", "10", "--lr", "0.01", "--json", ...more]).stdout);
    const inserted = cli(["insert", set, "-o", agr]);
    expect([inserted.status, inserted.stdout]).toEqual([
      0,
      expect.stringContaining("the same in train_step.onnx, apply.onnx"),
    ]);
    expect(readdirSync(agr)).toEqual(readdirSync(set));
    expect(OPTIMIZED.map((name) => hasAgr(agr, name))).toEqual([true, true, true]);
    const [plain, regularized] = [train(set), train(agr)];
    expect([plain.length, plain[0]]).toEqual([4, regularized[0]]);
    expect(regularized).not.toEqual(plain);
    const halves = train(agr, "--runtime", "ort-training") as number[];
    for (const [index, loss] of halves.entries())
      expect(Math.abs(loss / Number(regularized[index]) - 1)).toBeLessThan(2e-5);
    expect(cli(["strip", agr, "-o", back]).status).toBe(0);
    for (const name of readdirSync(set)) {
      expect(readFileSync(join(back, name)).equals(readFileSync(join(set, name))), name).toBe(true);
    }
    expect(cli(["diff", set, back]).stdout).toBe("no structural difference\n");
    expect(cli(["strip", set, "--in-place"]).status).toBe(4);
    const { portable } = JSON.parse(cli(["inspect", agr, "--json"]).stdout) as {
      portable: { models: { agr: unknown }[] };
    };
    expect(portable.models.map(({ agr: has }) => has)).toEqual([true, null, true, null]);
  });

  it("or the portable one alone: the same", () => {
    const portable = join(temporaryFolder(), "portable");
    expect(cli(["lower", DIGITS, "-o", portable]).status).toBe(0);
    expect(cli(["insert", portable, "--in-place"]).status).toBe(0);
    expect(OPTIMIZED.slice(1).map((name) => hasAgr(portable, name))).toEqual([true, true]);
    expect(cli(["strip", portable, "--in-place"]).status).toBe(0);
  });
});

describe("row 92: files that do not belong together", () => {
  it("are refused by their hashes, and one file of a set is not changed alone", () => {
    const { folder, set, data } = both();
    const agr = join(folder, "agr");
    expect(cli(["insert", set, "-o", agr]).status).toBe(0);
    const alone = cli(["insert", join(set, "train_step.onnx"), "--in-place"]);
    expect([alone.status, alone.stderr]).toEqual([2, expect.stringMatching(/\[E_SET\].*Give the whole folder/)]);
    cpSync(join(agr, "train_step.onnx"), join(set, "train_step.onnx"));
    for (const args of [
      ["train", set, "--data", data],
      ["inspect", set],
      ["insert", set, "--in-place"],
    ]) {
      const { status, stderr } = cli(args);
      expect([status, stderr]).toEqual([3, expect.stringMatching(/\[E_SET\].*train_step\.onnx is another file/)]);
    }
  });

  it("are refused by what is in them, where no manifest lists them; foreign folders without one train", () => {
    const { set, data } = both();
    const [step, optimizer] = ["train_step.onnx", "optimizer_model.onnx"].map((name) => join(set, name)) as [
      string,
      string,
    ];
    const files = new Map([step, optimizer].map((path) => [path, readFileSync(path)]));
    spawnSync("rm", [join(set, SET_MANIFEST)]);
    const train = () => cli(["train", set, "--data", data]);
    expect(train().status).toBe(0);
    const refused = (reason: RegExp): void => {
      const { status, stderr } = train();
      expect([status, stderr]).toEqual([3, expect.stringMatching(reason)]);
      for (const [path, bytes] of files) writeFileSync(path, bytes);
    };
    expect(cli(["insert", optimizer, "--in-place"]).status).toBe(0);
    refused(/E_SET.*optimizer_model\.onnx has AGR, \w+\.onnx has not/);
    expect(cli(["insert", step, "--in-place"]).status).toBe(0);
    refused(/E_SET.*train_step\.onnx has AGR, \w+\.onnx has not/);
    const model = decodeModel(readFileSync(step));
    const decay = model.graph.nodes.find(({ name, opType }) => name.startsWith("optimizer/") && opType === "Sqrt");
    if (decay !== undefined) (decay as { opType: string }).opType = "Abs";
    writeFileSync(step, encodeModel(model));
    refused(/E_SET.*train_step\.onnx updates the parameters otherwise than apply\.onnx/);
  });

  it("and a run does not go on with another train_step.onnx", () => {
    const { folder, set, data } = both();
    const [agr, run] = [join(folder, "agr"), join(folder, "run")];
    expect(cli(["insert", set, "-o", agr]).status).toBe(0);
    const args = ["train", set, "--data", data, "--checkpoints", run];
    expect(cli(args).status).toBe(0);
    cpSync(join(agr, "train_step.onnx"), join(set, "train_step.onnx"));
    const { status, stderr } = cli([...args, "--epochs", "2", "--resume", run]);
    expect([status, stderr]).toEqual([8, expect.stringMatching(/E_RESUME_MISMATCH.*train_step was/)]);
  });
});

describe("what an output may be", () => {
  const isRoot = process.getuid?.() === 0;

  it("row 96: a device, a pipe or a folder is refused, with --force too, and stays what it is", () => {
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
        const { status, stderr } = cli([...args, "--force", "-o", target]);
        expect([status, stderr]).toEqual([2, expect.stringContaining("[E_NOT_REGULAR]")]);
        expect(statSync(target).mode).toBe(before);
      }
    }
  });

  it("row 97: a file that is replaced keeps mode and owner; a link is followed, also to nothing yet", () => {
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
    expect(cli(["export", DIGITS, "--force", "-o", link]).status).toBe(0);
    const { mode, uid, gid, size } = statSync(file);
    expect([mode & 0o777, size > 1000, ...(isRoot ? [uid, gid] : [])]).toEqual([
      0o600,
      true,
      ...(isRoot ? [1234, 4321] : []),
    ]);
    expect(cli(["export", DIGITS, "--force", "-o", dangling]).status).toBe(0);
    expect(readdirSync(folder).sort()).toEqual(["dangling", "file", "link", "made"]);
    expect(sha256(readFileSync(join(folder, "made")))).toBe(sha256(readFileSync(file)));
  });
});

describe("where a training's result goes", () => {
  it("is said, with the next command, where nobody named a place", () => {
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, "data.safetensors"), encodeSafetensors(drawDigits(20, 5)));
    mkdirSync(join(cwd, "runs", "train-1"), { recursive: true });
    const { status, stdout } = cli(["train", DIGITS, "--data", "data.safetensors"], { cwd });
    expect([status, stdout]).toEqual([
      0,
      expect.stringMatching(
        /run saved in runs\/train-2\nnext: onnx-agr export .* --checkpoint runs\/train-2 -o model.onnx\n$/,
      ),
    ]);
    expect(cli(["export", DIGITS, "--checkpoint", "runs/train-2", "-o", "model.onnx"], { cwd }).status).toBe(0);
    const api = cli(["train", DIGITS, "--data", "data.safetensors", "--runtime", "ort-training"], { cwd });
    expect(api.stdout).toContain("checkpoint written to runs/train-3/checkpoint");
    expect(cli(["train", DIGITS, "--data", "data.safetensors", "--lr", "1e30", "--epochs", "9"], { cwd }).status).toBe(
      7,
    );
    expect(readdirSync(join(cwd, "runs")).sort()).toEqual(["train-1", "train-2", "train-3"]);
  });
});
