import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { DataType, GraphTensor } from "../../src/entries/graph.ts";
import { encodeSafetensors, SET_MANIFEST } from "../../src/entries/training.ts";
import {
  buildTrainingArtifacts,
  loadRun,
  lowerArtifacts,
  type Model,
  type PortableArtifacts,
  readArtifacts,
  saveRun,
  TrainingSession,
  writePortable,
} from "../../src/index.ts";
import { cli, DIGITS } from "../support/cli.ts";
import { rejectionOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/temporary.ts";

/** What takes minutes and 8 GB of memory too: `ONNX_AGR_LARGE=all npx vitest run tests/reliability/large.test.ts`. */
const isFull = process.env["ONNX_AGR_LARGE"] === "all";
const LONG = 600_000;
const PATIENT = { timeout: LONG };
/** Of `rows` rows, a little more than 2 GiB. */
const columnsFor = (rows: number): number => Math.ceil((2 ** 31 + 2 ** 16) / rows / 4);

/** A file of tensors with one more of more than 2 GiB, all zeros, which take no place on the disk. */
function enlarge(file: string, bytes: Uint8Array, rows: number): void {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<string, unknown>;
  const start = bytes.length - 8 - length;
  const end = start + 4 * rows * columnsFor(rows);
  const extra = { dtype: "F32", shape: [rows, columnsFor(rows)], data_offsets: [start, end] };
  const text = Buffer.from(JSON.stringify({ ...header, extra }));
  const padded = Buffer.concat([text, Buffer.alloc(-text.length & 7, " ")]);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(padded.length));
  writeFileSync(file, Buffer.concat([size, padded, bytes.subarray(8 + length)]));
  truncateSync(file, 8 + padded.length + end);
}

function largeData(): string {
  const file = join(temporaryFolder(), "data.safetensors");
  enlarge(file, encodeSafetensors(drawDigits(20, 5)), 20);
  return file;
}

async function setWithLargeState(): Promise<string> {
  const folder = join(temporaryFolder(), "set");
  mkdirSync(folder);
  await writePortable(folder, await lowerArtifacts(await readArtifacts(DIGITS)));
  rmSync(join(folder, SET_MANIFEST));
  const state = join(folder, "state.safetensors");
  enlarge(state, readFileSync(state), 1);
  return folder;
}

describe("row 94: more than 2 GiB", () => {
  it("of data are read", () => {
    const { status, stdout, stderr } = cli(["eval", DIGITS, "--data", largeData()], PATIENT);
    expect([status, stdout]).toEqual([0, expect.stringMatching(/^20 samples, loss 2\.\d+/)]);
    expect(stderr).toMatch(/^\S+: samples are read as batches need them\n$/);
  }, 120_000);

  it.skipIf(!isFull)(
    "of state are read",
    async () => {
      const { status, stdout } = cli(["inspect", await setWithLargeState()], PATIENT);
      expect([status, stdout]).toEqual([0, expect.stringContaining(`extra: float[1,${columnsFor(1)}]`)]);
    },
    LONG,
  );

  it.skipIf(!isFull)(
    "of data and state train",
    async () => {
      const run = join(temporaryFolder(), "run");
      const set = await setWithLargeState();
      const data = largeData();
      const { status, stderr } = cli(["train", set, "--data", data, "--checkpoints", run], PATIENT);
      expect([status, stderr]).toEqual([0, expect.not.stringContaining("[E_")]);
      const again = cli(
        ["train", set, "--data", data, "--epochs", "2", "--checkpoints", run, "--resume", run],
        PATIENT,
      );
      expect([again.status, (await loadRun(run)).state.step]).toEqual([0, 2]);
    },
    LONG,
  );

  it.skipIf(!isFull)(
    "of a checkpoint are saved, hashed, loaded and exported from",
    async () => {
      const folder = temporaryFolder();
      const { state } = await lowerArtifacts(await readArtifacts(DIGITS));
      if (state === null) throw new Error("no state");
      const large = GraphTensor.from(1, [columnsFor(1)], new Float32Array(columnsFor(1)).fill(1.5, -3));
      const tensors = new Map([...state.tensors, ["extra", large] as const]);
      const position = { epoch: 0, batch: 1, lossSum: 0, samples: 1 };
      const manifest = { step: state.step, position, options: {}, hashes: {} };
      await saveRun(folder, { ...state, tensors }, manifest);
      expect((await loadRun(folder)).state.tensors.get("extra")?.values().at(-1)).toBe(1.5);
      const { status, stderr } = cli(
        ["export", DIGITS, "--checkpoint", folder, "-o", join(folder, "model.onnx")],
        PATIENT,
      );
      expect([status, stderr]).toEqual([0, expect.not.stringContaining("[E_")]);
    },
    LONG,
  );

  it.skipIf(!isFull)(
    "of a checkpoint in ONNX Runtime's format are refused before the training; between 1 and 2 it is written",
    async () => {
      const bytes = new Uint8Array(2 ** 28).fill(1);
      const tensor = new GraphTensor(DataType.float, [8192, 8192], { kind: "raw", bytes });
      const wide = (layers: number): Model => {
        const sketch = new Sketch("wide");
        sketch.input("x", float([1, 8192]));
        for (let layer = 0; layer < layers; layer++) {
          sketch.initializer(`w${layer}`, tensor);
          sketch.node("MatMul", [layer === 0 ? "x" : `h${layer - 1}`, `w${layer}`], [`h${layer}`]);
        }
        sketch.output(`h${layers - 1}`, float([1, 8192]));
        return model(sketch.graph, 8, [["", 17]]);
      };
      const saved = async (layers: number): Promise<number> => {
        const { portable } = await buildTrainingArtifacts(wide(layers), {
          ...{ loss: { kind: "mse" }, optimizer: { name: "sgd" }, targets: ["portable"] },
        });
        const session = await TrainingSession.create(portable as PortableArtifacts);
        try {
          const checkpoint = session.saveCheckpoint();
          const { length } = session.can.saveCheckpoint ? await checkpoint : { length: 0 };
          if (length === 0) expect((await rejectionOf(checkpoint)).code).toBe("E_CHECKPOINT_SIZE");
          return length;
        } finally {
          await session.release();
        }
      };
      const [large, tooLarge] = [await saved(5), await saved(8)];
      expect([Math.floor(large / 2 ** 28), tooLarge]).toEqual([5, 0]);
    },
    LONG,
  );
});
