import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { GraphTensor } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { digits, linear } from "../support/data-files.ts";
import { temporaryFolder } from "../support/temporary.ts";

const lossesOf = (stdout: string): readonly unknown[] =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { type: string; loss: number })
    .flatMap(({ type, loss }) => (type === "step" ? [loss] : []));

describe("data as they come", () => {
  it("IDX files of bytes train as the same numbers in safetensors do, and what was done to them is said once", async () => {
    const folder = temporaryFolder();
    const { idx, safetensors } = digits(folder, 64);
    const args = ["--batch-size", "32", "--lr", "0.01", "--json"];
    const [bytes, floats] = [
      await command(["train", DIGITS, "--data", idx, ...args]),
      await command(["train", DIGITS, "--data", safetensors, ...args]),
    ];
    expect([bytes.status, floats.status]).toEqual([0, 0]);
    const [a, b] = [lossesOf(bytes.stdout), lossesOf(floats.stdout)] as [number[], number[]];
    expect(a).toHaveLength(2);
    for (const [index, loss] of a.entries()) expect(Math.abs(loss / (b[index] ?? 0) - 1)).toBeLessThan(1e-6);
    const { stderr } = await command(["eval", DIGITS, "--data", idx, "--threads", "1"]);
    expect(stderr.split("\n").filter((line) => line !== "")).toEqual(
      [
        '"images" of the data is the model\'s "input"',
        '"input": an axis of one channel added, [64,16,16] to [64,1,16,16]',
        '"input": uint8 to float, times 1/255 (--scale 1 leaves them)',
        '"labels": uint8 to int64',
      ].sort((one, other) => stderr.indexOf(one) - stderr.indexOf(other)),
    );
  });

  it("a table of text classes trains a classifier, one of numbers a regressor", async () => {
    const folder = temporaryFolder();
    const [flowers, prices] = [join(folder, "flowers.csv"), join(folder, "prices.tsv")];
    writeFileSync(flowers, "a,b,c,species\n1,2,3,setosa\n2,1,0,virginica\n0,1,1,setosa\n1,0,2,virginica\n");
    writeFileSync(prices, "price\ta\tb\tc\n1.5\t1\t2\t3\n2.5\t2\t1\t0\n");
    const classifier = ["build", linear(folder, 2), "--loss", "cross-entropy", "-o", join(folder, "classifier")];
    expect((await command(classifier)).status).toBe(0);
    const trained = await command(["train", join(folder, "classifier"), "--data", flowers, "--epochs", "2"]);
    expect([trained.status, trained.stderr]).toEqual([
      0,
      expect.stringContaining('"labels": 2 classes, 0 setosa, 1 virginica'),
    ]);
    const regressor = ["build", linear(folder, 1), "--loss", "mse", "-o", join(folder, "regressor")];
    expect((await command(regressor)).status).toBe(0);
    const evaluated = await command([
      "eval",
      join(folder, "regressor"),
      "--data",
      prices,
      "--label",
      "price",
      "--json",
    ]);
    // Predictions 0.1 b + 0.2 c: 0.8 and 0.1; errors 0.7 and 2.4.
    expect((JSON.parse(evaluated.stdout) as { loss: number }).loss).toBeCloseTo((0.7 ** 2 + 2.4 ** 2) / 2, 5);
  });

  it("words are not numbered otherwise in a file that lacks some of them", async () => {
    const folder = temporaryFolder();
    const place = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const [all, some, other] = [
      place("all.csv", "a,b,c,label\n1,2,3,cat\n2,1,0,dog\n"),
      place("some.csv", "a,b,c,label\n1,2,3,dog\n"),
      place("other.csv", "a,b,c,label\n1,2,3,dog\n1,2,3,emu\n"),
    ];
    const built = join(folder, "built");
    expect((await command(["build", linear(folder, 2), "--loss", "cross-entropy", "-o", built])).status).toBe(0);
    const refused = await command(["eval", built, "--data", some]);
    expect([refused.status, refused.stderr]).toEqual([
      5,
      expect.stringMatching(/E_CLASSES\] the data have 1 classes, 0 dog; the model's "labels" has 2.*--classes dog,/),
    ]);
    const lossOf = async (...args: readonly string[]): Promise<number> =>
      (JSON.parse((await command(["eval", built, "--json", ...args])).stdout) as { loss: number }).loss;
    const numbered = place("numbered.csv", "a,b,c,label\n1,2,3,1\n");
    expect(await lossOf("--data", some, "--classes", "cat,dog")).toBe(await lossOf("--data", numbered));
    const unknown = await command(["eval", built, "--data", other, "--classes", "cat,dog"]);
    expect([unknown.status, unknown.stderr]).toEqual([
      5,
      expect.stringMatching(/other\.csv: 3:4: "emu" is none of the classes/),
    ]);
    const train = ["train", built, "--data", all, "--validation"];
    const differs = await command([...train, other]);
    expect([differs.status, differs.stderr]).toEqual([
      5,
      expect.stringMatching(/E_CLASSES.*other\.csv has other classes/),
    ]);
  });

  it.each([
    [["--columns", "a"], /--columns \(columns\) is for tables/],
    [["--no-label"], /--label \(label\) is for tables/],
    [["--classes", "a,b"], /--classes \(classes\) is for tables/],
  ])("%j of data that are no table is an error", async (args, message) => {
    const { safetensors } = digits(temporaryFolder(), 2);
    const { status, stderr } = await command(["data", safetensors, ...args]);
    expect([status, stderr]).toEqual([2, expect.stringMatching(message)]);
  });

  it("gradcheck takes no options that it would not follow", async () => {
    const path = linear(temporaryFolder(), 1);
    const scaled = await command(["gradcheck", path, "--loss", "mse", "--scale", "2"]);
    expect([scaled.status, scaled.stderr]).toEqual([2, expect.stringContaining("unknown option '--scale'")]);
    const columns = await command(["gradcheck", path, "--loss", "mse", "--columns", "a"]);
    expect([columns.status, columns.stderr]).toEqual([2, expect.stringContaining("need --data")]);
  });

  it("row 61: a label that the model does not have is told by file, line and column", async () => {
    const folder = temporaryFolder();
    const [built, path] = [join(folder, "built"), join(folder, "t.csv")];
    expect((await command(["build", linear(folder, 2), "--loss", "cross-entropy", "-o", built])).status).toBe(0);
    writeFileSync(path, "a,b,c,label\n1,2,3,0\n\n1,2,3,2\n");
    const { status, stderr } = await command(["train", built, "--data", path]);
    expect([status, stderr]).toEqual([
      5,
      expect.stringMatching(/E_INDEX\].*t\.csv:4:4: "labels" of sample 1 is 2.*0 to 1/),
    ]);
  });

  it("row 63: classes that are rows with a one in them are refused with the way to make numbers of them", async () => {
    const folder = temporaryFolder();
    const data = join(folder, "rows.safetensors");
    const ones = [1, 0, 0, 1];
    writeFileSync(
      data,
      encodeSafetensors([
        { name: "x", tensor: GraphTensor.floats([2, 3], [1, 2, 3, 4, 5, 6]) },
        { name: "labels", tensor: GraphTensor.floats([2, 2], ones) },
      ]),
    );
    const built = join(folder, "built");
    expect((await command(["build", linear(folder, 2), "--loss", "cross-entropy", "-o", built])).status).toBe(0);
    const { status, stderr } = await command(["train", built, "--data", data, "--checkpoints", join(folder, "run")]);
    expect([status, stderr]).toEqual([5, expect.stringMatching(/E_FEED.*np\.argmax\(labels, -1\)/)]);
  });

  it("row 62: images and labels of different counts are told by name, and data says it too", async () => {
    const folder = temporaryFolder();
    const [images] = digits(folder, 12).idx.split(",");
    const other = temporaryFolder();
    const [, labels] = digits(other, 11).idx.split(",");
    const { status, stderr } = await command(["train", DIGITS, "--data", `${images},${labels}`]);
    expect([status, stderr]).toEqual([5, expect.stringMatching(/E_DATA\] "input" has 12 samples, "labels" has 11/)]);
    const described = await command(["data", `${images},${labels}`]);
    expect([described.status, described.stderr]).toEqual([
      0,
      expect.stringContaining("the tensors have different numbers of samples: images 12, labels 11"),
    ]);
  });

  it("how they are read is part of what a run is, and eval does not take a mean of what it evaluates", async () => {
    const folder = temporaryFolder();
    const { idx } = digits(folder, 32);
    const run = join(folder, "run");
    const train = ["train", DIGITS, "--data", idx, "--checkpoints", run];
    expect((await command([...train, "--normalize", "0.1,0.3"])).status).toBe(0);
    const other = await command([...train, "--epochs", "2", "--resume", run]);
    expect([other.status, other.stderr]).toEqual([8, expect.stringContaining("normalize")]);
    const evaluated = await command(["eval", DIGITS, "--data", idx, "--normalize", "computed"]);
    expect([evaluated.status, evaluated.stderr]).toEqual([
      2,
      expect.stringContaining("--normalize <mean>,<deviation>"),
    ]);
  });
});
