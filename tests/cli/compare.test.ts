import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeModel } from "../../src/index.ts";
import { MAIN } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { smallNet, writeData } from "../support/small-net.ts";
import { temporaryFolder } from "../support/temporary.ts";

async function task(): Promise<{ readonly folder: string; readonly out: string; readonly args: readonly string[] }> {
  const folder = temporaryFolder();
  const out = join(folder, "out");
  await writeModel(join(folder, "net.onnx"), smallNet());
  writeData(join(folder, "data.safetensors"), 100);
  const files = ["compare", join(folder, "net.onnx"), "--data", join(folder, "data.safetensors")];
  return { folder, out, args: [...files, "--loss", "cross-entropy", "--validation", "0.2", "--threads", "1"] };
}

const parsed = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;

describe("compare", () => {
  it("says what differs from what, and goes on where it was broken off", async () => {
    const { out, args } = await task();
    const all = [...args, "--vary", "optimizer=adamw,sgd", "--vary", "agr=off,on", "--lr", "0.01", "-o", out];
    expect(await command([...all, "--seeds", "2"])).toMatchObject({ status: 0 });
    expect(readdirSync(join(out, "runs"))).toHaveLength(8);
    const { status, stdout, stderr } = await command([...all, "--seeds", "3"]);
    expect(status, stderr).toBe(0);
    expect(stderr.match(/kept from before/g)).toHaveLength(8);
    expect(stderr).toMatch(/^weights: all runs begin with those of the model$/m);
    const compared = [...stdout.matchAll(/^(.*), compared with (.*?): (.*)$/gm)].map(([, arm, against]) => [
      arm,
      against,
    ]);
    expect(compared).toEqual([
      ["optimizer=adamw agr=on", "optimizer=adamw agr=off"],
      ["optimizer=sgd agr=off", "optimizer=adamw agr=off"],
      ["optimizer=sgd agr=on", "optimizer=adamw agr=on"],
      ["optimizer=sgd agr=on", "optimizer=sgd agr=off"],
    ]);
    expect(stdout).toMatch(/Of 4 comparisons at 95 %, some may find a difference by chance\./);
    const picture = readFileSync(join(out, "curves.svg"), "utf8");
    expect(picture.match(/<polyline points="([\d.]+,[\d.]+ ?)+"/g)).toHaveLength(4);
    expect(picture.match(/<text[^>]*>optimizer=(adamw|sgd) agr=(on|off)<\/text>/g)).toHaveLength(4);
    const { runs, contrasts } = parsed(readFileSync(join(out, "comparison.json"), "utf8"));
    expect([runs, contrasts]).toEqual([
      expect.objectContaining({ length: 12 }),
      expect.objectContaining({ length: 4 }),
    ]);
  });

  it("row 76: ends with 130 where it is interrupted, keeps what is done and goes on from there", async () => {
    const { out, args } = await task();
    const all = [...args, "--vary", "agr=off,on", "--seeds", "2", "--epochs", "40", "-o", out];
    const child = spawn(process.execPath, [MAIN, ...all], { stdio: ["ignore", "ignore", "pipe"] });
    let told = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      if (!told.includes("1/4") && `${told}${text}`.includes("1/4")) child.kill("SIGINT");
      told += text;
    });
    const [status] = (await once(child, "close")) as [number | null];
    expect([status, told]).toEqual([130, expect.stringMatching(/^interrupted: the runs that are done are kept in /m)]);
    const done = readdirSync(join(out, "runs")).length;
    expect(done).toBeGreaterThan(0);
    expect(done).toBeLessThan(4);
    const { stderr } = await command(all);
    expect(stderr.match(/kept from before/g)).toHaveLength(done);
  });

  it("--json gives what the folder has, with versions and hashes", async () => {
    const { out, args } = await task();
    const { stdout, stderr } = await command([
      ...args,
      "--vary",
      "strength=1,0",
      "--agr",
      "--seeds",
      "4,7,9",
      "-o",
      out,
      "--json",
    ]);
    const { command: name, model: _, output, picture, report, schemaVersion, ...own } = parsed(stdout);
    expect([picture, report]).toEqual([join(out, "curves.svg"), join(out, "report.html")]);
    expect([name, output, schemaVersion, stderr]).toEqual(["compare", out, 1, ""]);
    expect(own).toEqual(parsed(readFileSync(join(out, "comparison.json"), "utf8")));
    expect(own).toMatchObject({
      ...{ seeds: [4, 7, 9], weights: "given", metric: "accuracy" },
      versions: { "onnx-agr": expect.stringMatching(/^\d/), "onnxruntime-node": expect.stringMatching(/^1\./) },
      hashes: { model: expect.stringMatching(/^[0-9a-f]{64}$/) },
      arms: [{ arm: "strength=1" }, { arm: "strength=0" }],
    });
  });

  it("says that there is no measurable difference where there is none", async () => {
    const { out, args } = await task();
    // Strength 0 is no regularization: the gradients are those without AGR.
    const alike = ["--vary", "strength=0,1e-30", "--agr", "--weights", "shuffled", "-o", out];
    const { stdout } = await command([...args, ...alike]);
    expect(stdout).toMatch(/: (no measurable difference|identical), by accuracy$/m);
    expect(stdout).not.toMatch(/: (better|worse), by/);
  });

  it("--dry-run says how long it will take, and keeps nothing", async () => {
    const { out, args } = await task();
    const { status, stdout } = await command([...args, "--vary", "agr=off,on", "--dry-run", "-o", out]);
    expect([status, existsSync(out)]).toEqual([0, false]);
    expect(stdout).toMatch(/^agr=off: .* a run: 3 steps of .* ms, 1 evaluations of .* ms$/m);
    expect(stdout).toMatch(/^10 runs of 10 are to be done: about /m);
  });

  it("--sweep-lr gives each the rate that is best for it", async () => {
    const { out, args } = await task();
    const sweep = ["--vary", "agr=off,on", "--seeds", "2", "--sweep-lr", "1e-7,0.05", "--schedule", "cosine"];
    const { status, stdout, stderr } = await command([...args, ...sweep, "--metric", "loss", "-o", out]);
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/^agr=off: learning rate 0\.05 of 1e-7: .*, 0\.05: .*; it is at the end of the list/m);
    expect(stderr).toMatch(/^1\/8 {2}rate 1e-7 {2}agr=off, seed 3 /m);
  });

  it("an option may have commas in its values, and its default", async () => {
    const { out, args } = await task();
    const { status, stdout, stderr } = await command([
      ...[...args, "--seeds", "1", "--vary", "betas=default|0.9,0.99", "--vary", "drop-last=off,on", "-o", out],
    ]);
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(
      /betas=0\.9,0\.99 drop-last=on, compared with betas=default drop-last=on: inconclusive, by accuracy$/m,
    );
  });
});

describe("compare refuses", () => {
  it.each([
    [["--vary", "optimiser=adamw,sgd"], "E_OPTION", /no option --optimiser .*It may be loss,.* optimizer/],
    [["--vary", "data=a,b"], "E_OPTION", /no option --data/],
    [["--vary", "optimizer=adamw,adamx"], "E_OPTION", /--vary optimizer: "adamx": Allowed choices/],
    [["--vary", "agr=yes,no"], "E_OPTION", /yes is neither on nor off/],
    [["--vary", "lr=fast"], "E_OPTION", /--vary lr: "fast"/],
    [["--vary", "loss=default"], "E_OPTION", /it has no default/],
    [["--vary", "agr"], "E_USAGE", /Give an option and its values/],
    [["--vary", "agr=on,on"], "E_USAGE", /a value twice/],
    [["--vary", "lr=0.01,0.010"], "E_OPTION", /lr=0.01 and lr=0.010 are the same/],
    [["--vary", "agr=on", "--vary", "agr=off"], "E_USAGE", /varied already/],
    [["--seeds", "0"], "E_USAGE", /number of seeds/],
    [["--seeds", "3,3"], "E_USAGE", /different seeds/],
    [["--seeds", "1-100000"], "E_USAGE", /10000 seeds/],
    [["--confidence", "95"], "E_USAGE", /between 0 and 1/],
    [["--sweep-lr", "0.1,0"], "E_USAGE", /above 0/],
    [["--sweep-lr", "0.1", "--lr", "0.1"], "E_OPTION", /--sweep-lr chooses/],
    [["--runtime", "ort-training"], "E_OPTION", /run on ort-node/],
    [["--metric", "charm"], "E_USAGE", /Allowed choices are loss, accuracy/],
  ])("%j", async (options, code, message) => {
    const { out, args } = await task();
    const { status, stderr } = await command([...args, "-o", out, ...options]);
    expect([status, stderr]).toEqual([2, expect.stringMatching(message)]);
    expect(stderr).toContain(code);
    expect(existsSync(out)).toBe(false);
  });

  it("a file in the place of the folder", async () => {
    const { folder, args } = await task();
    writeFileSync(join(folder, "file"), "");
    const { status, stderr } = await command([...args, "-o", join(folder, "file")]);
    expect([status, stderr]).toEqual([2, expect.stringContaining("E_NOT_REGULAR")]);
  });
});
