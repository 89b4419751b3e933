import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { decodeCheckpoint, readCheckpointFile } from "../../src/entries/training.ts";
import { TENSOR, type TensorProto } from "../../src/graph/proto/schema.ts";
import { writeMessage } from "../../src/graph/proto/write.ts";
import { rejectionOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/temporary.ts";

describe("a checkpoint folder from before ONNX Runtime 1.16", () => {
  const pbseq = (...tensors: TensorProto[]): Uint8Array => {
    const messages = tensors.map((tensor) => Buffer.concat(writeMessage(TENSOR, tensor).parts));
    return Buffer.concat([
      Uint8Array.of(tensors.length),
      ...messages.flatMap((message) => [Uint8Array.of(message.length), message]),
    ]);
  };
  const floats = (name: string, ...values: number[]): TensorProto => ({
    name,
    dims: [BigInt(values.length)],
    dataType: 1,
    floatData: new Uint8Array(Float32Array.from(values).buffer),
  });

  it("is converted", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "paramtrain_tensors.pbseq"), pbseq(floats("w", 1, 2), floats("b", 3)));
    writeFileSync(join(folder, "paramfrozen_tensors.pbseq"), pbseq(floats("mean", 4)));
    writeFileSync(join(folder, "optim_group0_momentum0_tensors.pbseq"), pbseq(floats("w", 5, 6)));
    writeFileSync(join(folder, "optim_group0_momentum1_tensors.pbseq"), pbseq(floats("w", 7, 8)));
    const step: TensorProto = { name: "builtin.step", dims: [1n], dataType: 7, int64Data: Uint8Array.of(9) };
    writeFileSync(
      join(folder, "optim_group0_properties.pbseq"),
      pbseq(floats("builtin.initial_learning_rate", 0.5), step),
    );
    writeFileSync(join(folder, "custom_properties.pbseq"), pbseq(floats("score", 0.75)));
    const checkpoint = decodeCheckpoint(await readCheckpointFile(folder));
    expect(checkpoint.trainable.map(({ name, tensor }) => [name, ...tensor.values()])).toEqual([
      ["w", 1, 2],
      ["b", 3],
    ]);
    expect(checkpoint.frozen.map(({ name }) => name)).toEqual(["mean"]);
    const [group] = checkpoint.optimizerGroups;
    expect([group?.name, group?.step, group?.initialLearningRate]).toEqual(["group0", 9n, 0.5]);
    expect(
      group?.states.map(({ parameter, moments }) => [
        parameter,
        ...moments.map(({ name, tensor }) => [name, ...tensor.values()]),
      ]),
    ).toEqual([["w", ["momentum0", 5, 6], ["momentum1", 7, 8]]]);
    expect(checkpoint.properties.get("score")).toEqual({ kind: "float", value: 0.75 });
  });

  it.each([
    ["cut off", pbseq(floats("w", 1)).subarray(0, 5), /has \d+ bytes, \d+ are left/],
    ["longer than it says", Buffer.concat([pbseq(floats("w", 1)), Uint8Array.of(0)]), /1 bytes follow the last tensor/],
    ["with more tensors than bytes", Uint8Array.of(100), /100 tensors do not fit/],
  ])("is refused %s", async (_, bytes, message) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "paramtrain_tensors.pbseq"), bytes);
    const error = await rejectionOf(readCheckpointFile(folder));
    expect(error.exitCode).toBe(3);
    expect(error.message).toMatch(message);
  });

  it("without parameters is refused by the file's name", async () => {
    const folder = join(temporaryFolder(), "empty");
    mkdirSync(folder);
    expect((await rejectionOf(readCheckpointFile(folder))).message).toContain("paramtrain_tensors.pbseq");
  });
});
