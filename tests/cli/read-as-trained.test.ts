import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { digits, linear } from "../support/data-files.ts";
import { temporaryFolder } from "../support/temporary.ts";

describe("data that are read as those to train with", () => {
  it("columns in another order are refused in --validation and in eval of the run, and so are classes numbered otherwise", async () => {
    const folder = temporaryFolder();
    const place = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const [train, turned, other] = [
      place("train.csv", "a,b,c,label\n1,2,3,cat\n2,1,0,dog\n3,3,1,cat\n"),
      place("turned.csv", "b,a,c,label\n2,1,3,cat\n1,2,0,dog\n"),
      place("other.csv", "a,b,c,label\n1,2,3,cat\n2,1,0,wolf\n"),
    ];
    const [built, run] = [join(folder, "built"), join(folder, "run")];
    expect((await command(["build", linear(folder, 2), "--loss", "cross-entropy", "-o", built])).status).toBe(0);
    const training = ["train", built, "--data", train];
    const refused = await command([...training, "--validation", turned]);
    expect([refused.status, refused.stderr]).toEqual([
      5,
      expect.stringMatching(/E_TABLE\].*turned\.csv has other columns.*--columns a,b,c\./),
    ]);
    const trained = await command([...training, "--normalize", "computed", "--checkpoints", run]);
    expect([trained.status, trained.stderr]).toEqual([
      0,
      expect.stringMatching(/3 features, a, b, c; the label is label(.*\n)*.*for other data: --normalize "2 2 1\.3333/),
    ]);
    const evaluate = (data: string, ...more: readonly string[]) =>
      command(["eval", built, "--data", data, "--checkpoint", run, ...more]);
    for (const [data, message] of [
      [turned, /E_TABLE\].*turned\.csv has other columns/],
      [other, /E_CLASSES\].*other\.csv has other classes.*--classes cat,dog\./],
    ] as const) {
      const { status, stderr } = await evaluate(data);
      expect([status, stderr]).toEqual([5, expect.stringMatching(message)]);
    }
    const [, given = ""] = /for other data: --normalize "(.*?)"/.exec(trained.stderr) ?? [];
    const [without, right] = [
      await evaluate(train),
      await evaluate(turned, "--columns", "a,b,c", "--normalize", given),
    ];
    expect([without.status, without.stderr]).toEqual([
      0,
      expect.stringMatching(/warning: the run was trained with --normalize computed/),
    ]);
    expect([right.status, right.stderr]).toEqual([0, expect.not.stringContaining("warning")]);
  });

  it("--validation of other data takes the mean and deviation of those to train with", async () => {
    const folder = temporaryFolder();
    const { safetensors } = digits(folder, 32);
    const built = join(folder, "other");
    const { idx } = digits(temporaryFolder(), 16);
    const train = ["train", DIGITS, "--data", safetensors, "--validation", idx, "--json"];
    const computed = await command([...train, "--normalize", "computed", "--checkpoints", join(built, "a")]);
    expect(computed.status, computed.stderr).toBe(0);
    const told = await command([
      "train",
      DIGITS,
      "--data",
      safetensors,
      "--normalize",
      "computed",
      "--max-seconds",
      "0.001",
      "--checkpoints",
      join(built, "b"),
    ]);
    const [, given = ""] = /for other data: --normalize "(.*?)"/.exec(told.stderr) ?? [];
    const numbers = await command([...train, "--normalize", given, "--checkpoints", join(built, "c")]);
    const lossOf = (stdout: string): number =>
      stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { type: string; loss: number })
        .find(({ type }) => type === "validation")?.loss ?? Number.NaN;
    /** The numbers that were printed have nine digits. */
    expect(Math.abs(lossOf(numbers.stdout) / lossOf(computed.stdout) - 1)).toBeLessThan(1e-5);
  });
});
