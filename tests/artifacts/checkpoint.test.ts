import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkpointSpace, MOST_CHECKPOINT_BYTES } from "../../src/artifacts/checkpoint/checkpoint-space.ts";
import { DataType, decodeModel, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { averageCheckpoints } from "../../src/entries/run.ts";
import {
  type Checkpoint,
  checkCheckpointFits,
  decodeCheckpoint,
  encodeCheckpoint,
} from "../../src/entries/training.ts";
import { lowerArtifacts, readArtifacts, readWeights, TrainingSession, writeArtifacts } from "../../src/index.ts";
import { withVersion } from "../support/checkpoint-version.ts";
import { DIGITS } from "../support/cli.ts";
import { errorOf, rejectionOf } from "../support/errors.ts";
import { hasShared, SHARED } from "../support/shared.ts";
import { temporaryFolder } from "../support/temporary.ts";

const CHECKPOINT: Checkpoint = {
  trainable: [
    { name: "fc.weight", tensor: GraphTensor.floats([2, 2], [1, 2, 3, 4]) },
    { name: "__proto__", tensor: GraphTensor.floats([0], []) },
  ],
  frozen: [{ name: "mean", tensor: GraphTensor.ints([7]) }],
  nominal: false,
  optimizerGroups: [
    {
      name: "group0",
      step: 12n,
      initialLearningRate: 0.5,
      states: [
        { parameter: "fc.weight", moments: [{ name: "momentum0", tensor: GraphTensor.floats([2, 2], [0, 0, 0, 1]) }] },
      ],
    },
  ],
  properties: new Map([
    ["epoch", { kind: "int", value: -3n }],
    ["score", { kind: "float", value: 0.25 }],
    ["note", { kind: "string", value: "ünïcode" }],
  ]),
};

describe("a checkpoint", () => {
  it("is read back as it was written", () => {
    expect(decodeCheckpoint(encodeCheckpoint(CHECKPOINT))).toEqual(CHECKPOINT);
  });

  it.skipIf(!hasShared)("of onnxruntime-training is read, and what we write of it ONNX Runtime reads", async () => {
    const folder = `${SHARED}artifacts/conv-l1`;
    const bytes = readFileSync(`${folder}/checkpoint`);
    const checkpoint = decodeCheckpoint(bytes);
    expect(checkpoint.trainable.map(({ name, tensor }) => [name, tensor.dims])).toEqual([
      ["conv.weight", [4, 1, 4]],
      ["conv.bias", [4]],
      ["fc.weight", [2, 8]],
      ["fc.bias", [2]],
    ]);
    const parameters = async (checkpointState: Uint8Array): Promise<unknown> => {
      const session = await TrainingSession.create({ checkpointState, trainModel: `${folder}/training_model.onnx` });
      const { data } = await session.getContiguousParameters();
      await session.release();
      return data;
    };
    expect(await parameters(encodeCheckpoint(checkpoint))).toEqual(await parameters(bytes));
  });

  it("is written into as much memory as it may take, and no more than a few kilobytes are left", () => {
    const [long] = [["weight".repeat(300), "ünïcode/".repeat(50)]];
    const many = (names: readonly string[]): Checkpoint => ({
      ...CHECKPOINT,
      trainable: names.map((name) => ({ name, tensor: GraphTensor.floats([1, 1, 1, 1, 2], [1, 2]) })),
      properties: new Map(names.map((name) => [name, { kind: "string", value: name.repeat(9) }])),
    });
    const numbered = Array.from({ length: 200 }, (_, index) => `p${index}`);
    for (const checkpoint of [CHECKPOINT, many([]), many(long ?? []), many(numbered)]) {
      const { length } = encodeCheckpoint(checkpoint);
      expect(length).toBeLessThanOrEqual(checkpointSpace(checkpoint));
      expect(decodeCheckpoint(encodeCheckpoint(checkpoint))).toEqual(checkpoint);
    }
  });

  it("of more than 2 GiB is refused, with another way to save", () => {
    const zeros = new Uint8Array(2 ** 28);
    const tensor = new GraphTensor(DataType.float, [2 ** 26], { kind: "raw", bytes: zeros });
    const trainable = Array.from({ length: 8 }, (_, index) => ({ name: `w${index}`, tensor }));
    const error = errorOf(() => encodeCheckpoint({ ...CHECKPOINT, trainable }));
    expect([error.code, error.exitCode]).toEqual(["E_CHECKPOINT_SIZE", 8]);
    expect(error.message).toContain("2.0 GiB");
    expect(error.hint).toContain("--checkpoints");
    expect(checkpointSpace({ ...CHECKPOINT, trainable: trainable.slice(1) })).toBeLessThan(MOST_CHECKPOINT_BYTES);
  });

  describe("with tensors in a second file", () => {
    const at = (offset: number) => ({ location: ".data", offset, length: null, checksum: null });
    const outside = (name: string, dims: readonly number[], offset: number) => ({
      name,
      tensor: new GraphTensor(DataType.float, dims, { kind: "external", at: at(offset) }),
    });

    it("is read back as it was written, where each begins", () => {
      const checkpoint = {
        ...CHECKPOINT,
        trainable: [
          outside("fc.weight", [2, 2], 0),
          outside("fc.bias", [2], 2 ** 33),
          ...CHECKPOINT.trainable.slice(1),
        ],
      };
      expect(decodeCheckpoint(encodeCheckpoint(checkpoint))).toEqual(checkpoint);
    });

    /** The digits' artifacts as ONNX Runtime's tools lay out those of large models. */
    const folderOf = (): string => {
      const folder = temporaryFolder();
      cpSync(DIGITS, folder, { recursive: true });
      const checkpoint = decodeCheckpoint(readFileSync(join(folder, "checkpoint")));
      const weight = checkpoint.trainable.find(({ name }) => name === "fc.weight");
      if (weight?.tensor.data.kind !== "raw") throw new Error("no weight");
      writeFileSync(join(folder, "checkpoint.data"), weight.tensor.data.bytes);
      const trainable = checkpoint.trainable.map((each) => (each === weight ? outside(each.name, [10, 256], 0) : each));
      writeFileSync(join(folder, "checkpoint"), encodeCheckpoint({ ...checkpoint, trainable }));
      return folder;
    };

    it("is edited and copied with its set, and refused by name, with what to do, where its elements are needed", async () => {
      const folder = folderOf();
      const [artifacts, copy] = [await readArtifacts(folder), temporaryFolder()];
      await writeArtifacts(copy, artifacts);
      for (const name of ["checkpoint", "checkpoint.data"])
        expect(readFileSync(join(copy, name))).toEqual(readFileSync(join(folder, name)));
      const path = join(folder, "checkpoint");
      for (const run of [
        () => lowerArtifacts(artifacts),
        () => readWeights(path),
        () => averageCheckpoints([path, path]),
        () => TrainingSession.create(artifacts, { runtime: "ort-node" }),
        () => TrainingSession.create(artifacts, { runtime: "ort-training" }),
      ]) {
        const error = await rejectionOf((async () => run())());
        expect([error.code, error.message, error.hint]).toEqual([
          "E_CHECKPOINT_EXTERNAL",
          expect.stringContaining("second file"),
          expect.stringMatching(/onnx-agr build|native training API/),
        ]);
      }
    });
  });

  it("that is nominal says so and has no values", () => {
    const nominal = { ...CHECKPOINT, nominal: true, optimizerGroups: [] };
    expect(decodeCheckpoint(encodeCheckpoint(nominal)).nominal).toBe(true);
  });

  it("of version 1, which has no flag of nominal ones, is read as version 2 is", () => {
    expect(decodeCheckpoint(withVersion(encodeCheckpoint(CHECKPOINT), 1))).toEqual(CHECKPOINT);
  });

  it("of another version is refused by number", () => {
    const other = withVersion(encodeCheckpoint(CHECKPOINT), 3);
    expect(errorOf(() => decodeCheckpoint(other))).toMatchObject({
      code: "E_CHECKPOINT_VERSION",
      message: "checkpoint version 3, this package reads versions 1 and 2",
    });
  });
});

describe("row 47: a damaged checkpoint is refused and never read past its end", () => {
  const bytes = encodeCheckpoint(CHECKPOINT);
  const outcome = (damaged: Uint8Array): number => {
    try {
      decodeCheckpoint(damaged);
      return 0;
    } catch (error) {
      return (error as { exitCode?: number }).exitCode ?? 1;
    }
  };

  it("cut off anywhere before the padding at its end", () => {
    const outcomes = Array.from({ length: bytes.length }, (_, length) => outcome(bytes.subarray(0, length)));
    expect(new Set(outcomes.slice(0, -8))).toEqual(new Set([3]));
  });

  it("with any bit flipped", () => {
    const allowed = new Set([0, 3, 4]);
    for (let position = 0; position < bytes.length * 8; position++) {
      const flipped = bytes.slice();
      flipped[position >> 3] = (flipped[position >> 3] ?? 0) ^ (1 << (position & 7));
      expect(allowed).toContain(outcome(flipped));
    }
  });

  it("with the root beyond the end", () => {
    const wrong = bytes.slice();
    new DataView(wrong.buffer).setUint32(0, 0x7fffffff, true);
    expect(errorOf(() => decodeCheckpoint(wrong)).message).toMatch(
      /the checkpoint is damaged: checkpoint: bytes 2147483647 to/,
    );
  });

  it("of random bytes", () => {
    let state = 1;
    for (let round = 0; round < 200; round++) {
      const random = Uint8Array.from({ length: 200 }, () => (state = (state * 48271) % 0x7fffffff));
      random.set(new TextEncoder().encode("ODTC"), 4);
      new DataView(random.buffer).setUint32(0, 8 + (round % 180), true);
      expect([3, 4]).toContain(outcome(random));
    }
  });

  it("never reaches ONNX Runtime", async () => {
    const folder = new URL("../../fixtures/digits/", import.meta.url).pathname;
    const error = await rejectionOf(
      TrainingSession.create({ checkpointState: bytes.subarray(0, 60), trainModel: `${folder}training_model.onnx` }),
    );
    expect([error.code, error.file]).toEqual(["E_CHECKPOINT", "checkpointState"]);
  });
});

describe("a checkpoint of another model", () => {
  it("row 49: is refused with up to ten differences", async () => {
    const { trainingModel, checkpoint } = await readArtifacts(
      new URL("../../fixtures/digits", import.meta.url).pathname,
    );
    if (trainingModel === null || checkpoint === null) throw new Error("the fixture is incomplete");
    const own = decodeCheckpoint(checkpoint);
    expect(() => checkCheckpointFits(trainingModel, own)).not.toThrow();
    const symbolic = decodeModel(encodeModel(trainingModel));
    for (const input of symbolic.graph.inputs) {
      if (input.name === "fc.bias") input.type = { kind: "tensor", dtype: 1, shape: ["classes"] };
    }
    expect(() => checkCheckpointFits(symbolic, own)).not.toThrow();
    const [first, second, third, ...rest] = own.trainable;
    if (first === undefined || second === undefined || third === undefined)
      throw new Error("the fixture is incomplete");
    const wrong: Checkpoint = {
      ...own,
      trainable: [{ name: first.name, tensor: GraphTensor.floats([1], [0]) }, ...rest],
      frozen: [second, { name: "extra", tensor: GraphTensor.floats([1], [0]) }],
    };
    const error = errorOf(() => checkCheckpointFits(trainingModel, wrong));
    expect([error.code, error.exitCode]).toEqual(["E_CHECKPOINT_MISMATCH", 8]);
    expect(error.message).toContain('"conv1.weight" has shape [1], the model takes [8,1,3,3]');
    expect(error.message).toContain('"conv1.bias" is frozen in the checkpoint, trainable in the model');
    expect(error.message).toContain('"conv2.weight" is missing in the checkpoint');
    expect(error.message).not.toContain("extra");
  });
});
