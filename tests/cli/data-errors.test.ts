import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { DataType, GraphTensor, type NamedTensor } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

const COUNT = 40;
const [images, labels] = drawDigits(COUNT, 5) as [NamedTensor, NamedTensor];

function file(...tensors: readonly NamedTensor[]): string {
  const path = join(temporaryFolder(), "data.safetensors");
  writeFileSync(path, encodeSafetensors(tensors));
  return path;
}

const zeros = (shape: readonly number[]): GraphTensor =>
  GraphTensor.floats(shape, new Array<number>(shape.reduce((size, dim) => size * dim, 1)).fill(0));

/** The drawn labels with another one at sample 37. */
function labelsWith(label: bigint): NamedTensor {
  const values = (labels.tensor.values() as BigInt64Array).slice();
  values[37] = label;
  return { name: labels.name, tensor: GraphTensor.from(DataType.int64, [COUNT], values) };
}

describe("row 101: labels that are no classes", () => {
  it("end train and eval of either set, on either runtime, with exit code 5", async () => {
    const portable = join(temporaryFolder(), "portable");
    expect((await command(["lower", DIGITS, "-o", portable])).status).toBe(0);
    for (const [label, ...args] of [
      [10n, "train", DIGITS],
      [-1n, "train", portable],
      [-100n, "train", DIGITS, "--runtime", "ort-training"],
      [2n ** 40n, "eval", portable],
    ] as const) {
      const { status, stderr } = await command([...args, "--data", file(images, labelsWith(label))]);
      expect([status, stderr]).toEqual([
        5,
        expect.stringContaining(`"labels" of sample 37 is ${label}; it must be a whole number from 0 to 9`),
      ]);
    }
  });

  it.each([["no whole numbers", 1.5, /E_INDEX.*"labels" of sample 0 is 1.5; it must be a whole number from 0 to 9/]])(
    "are refused where they are %s",
    async (_, label, message) => {
      const floats = GraphTensor.floats([COUNT], new Array<number>(COUNT).fill(label));
      const { status, stderr } = await command([
        "train",
        DIGITS,
        "--data",
        file(images, { name: "labels", tensor: floats }),
      ]);
      expect([status, stderr]).toEqual([5, expect.stringMatching(message)]);
    },
  );
});

describe("row 63: data that do not fit the model", () => {
  it.each([
    [
      "another size",
      [{ name: "input", tensor: zeros([COUNT, 1, 16, 15]) }, labels],
      /its axis 3 must be 16.*\[batch,1,16,16\]/,
    ],
    [
      "another rank",
      [{ name: "input", tensor: zeros([COUNT, 255]) }, labels],
      /"input" is float32\[32,255\].*\[batch,1,16,16\]/,
    ],
    ["a missing input", [images], /no tensor "labels", which the model takes; they have "input"/],
    [
      "other counts",
      [{ name: "input", tensor: zeros([7, 1, 16, 16]) }, labels],
      /"labels" has 40 samples, "input" has 7/,
    ],
    [
      "another type",
      [
        {
          name: "input",
          tensor: GraphTensor.from(DataType.float8e4m3fn, [COUNT, 1, 16, 16], new Uint8Array(256 * COUNT)),
        },
        labels,
      ],
      /"input".*float8/,
    ],
    ["a scalar", [images, { name: "labels", tensor: GraphTensor.scalar(DataType.int64, 1) }], /"labels" is a scalar/],
  ] as const)("%s: exit code 5, with what was expected and what was given", async (_, tensors, message) => {
    const { status, stderr } = await command(["train", DIGITS, "--data", file(...tensors)]);
    expect([status, stderr]).toEqual([5, expect.stringMatching(message)]);
  });

  it("but with a tensor more than the model takes, or a smaller last batch, are trained", async () => {
    const extra = file(images, labels, { name: "extra", tensor: zeros([3]) });
    expect((await command(["train", DIGITS, "--data", extra, "--batch-size", "32"])).status).toBe(0);
  });
});
