import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { decodeRun, encodeRun } from "../../src/artifacts/run-checkpoint/one-file.ts";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { decodeSafetensors, decodeState, encodeSafetensors, encodeState } from "../../src/entries/training.ts";
import { TrainingSession } from "../../src/index.ts";
import { DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { errorOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/temporary.ts";

async function firstState() {
  const session = await TrainingSession.create(DIGITS, { runtime: "ort-node" });
  const state = await session.getState();
  await session.release();
  return state;
}

const POSITION = { epoch: 2, batch: 3, lossSum: 1.5, samples: 96 };

describe("a run as one file", () => {
  it("comes back as it was, and is a state to whatever reads states", async () => {
    const state = await firstState();
    const bytes = encodeRun({ state, position: POSITION, options: { batchSize: 32, seed: 1 } });
    const run = decodeRun(bytes, { batchSize: 32, seed: 1 });
    expect([run.position, run.options]).toEqual([POSITION, { batchSize: 32, seed: 1 }]);
    expect(encodeState(run.state)).toEqual(encodeState(state));
    expect(encodeState(decodeState(bytes))).toEqual(encodeState(state));
    const folder = temporaryFolder();
    writeFileSync(join(folder, "run.safetensors"), bytes);
    writeFileSync(join(folder, "data.safetensors"), encodeSafetensors(drawDigits(16, 1)));
    const { status, stderr } = await command(
      ["train", DIGITS, "--data", "data.safetensors", "--init-from", "run.safetensors", "--checkpoints", "run"],
      { cwd: folder },
    );
    expect(status, stderr).toBe(0);
  });

  it("is refused for a training with other options, with what differs", async () => {
    const bytes = encodeRun({ state: await firstState(), position: POSITION, options: { batchSize: 32 } });
    expect(errorOf(() => decodeRun(bytes, { batchSize: 16, seed: 1 }))).toMatchObject({
      code: "E_RESUME_MISMATCH",
      message: expect.stringContaining("batchSize was 32, is 16; seed was nothing, is 1"),
    });
  });

  it("without a position, or with a damaged one, is refused by name", async () => {
    const state = await firstState();
    expect(errorOf(() => decodeRun(encodeState(state)))).toMatchObject({ code: "E_NO_POSITION" });
    const { tensors, metadata } = decodeSafetensors(encodeState(state));
    for (const entry of ["{", "[]", "{}", '{"position":{"epoch":1},"options":{}}', '{"position":3,"options":{}}']) {
      const damaged = encodeSafetensors(tensors, new Map([...metadata, ["onnx-agr.run", entry]]));
      expect(
        errorOf(() => decodeRun(damaged)),
        entry,
      ).toMatchObject({ code: "E_STATE" });
    }
  });
});
