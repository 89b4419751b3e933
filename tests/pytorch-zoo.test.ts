import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { DataType, type GraphTensor } from "../src/entries/graph.ts";
import { decodeSafetensors } from "../src/entries/training.ts";
import {
  buildTrainingArtifacts,
  type LossOptions,
  Tensor as OrtTensor,
  readModel,
  TrainingSession,
} from "../src/index.ts";
import { hasShared, SHARED } from "./support/shared.ts";

describe.skipIf(!hasShared)("models exported from PyTorch", () => {
  const names = hasShared
    ? readdirSync(`${SHARED}zoo`)
        .filter((name) => name.endsWith(".onnx"))
        .map((name) => name.slice(0, -5))
    : [];
  /** The logits of albert are [batch, length, classes]. */
  const lossOf = (name: string, kind: string): LossOptions =>
    kind === "ce" ? { kind: "cross-entropy", classAxis: name === "albert" ? -1 : 1 } : { kind: "mse" };

  const load = async (name: string) => {
    const { tensors, metadata } = decodeSafetensors(readFileSync(`${SHARED}zoo/${name}.safetensors`));
    const meta = JSON.parse(metadata.get("meta") ?? "{}") as Readonly<Record<string, readonly number[]>> & {
      lossKind: string;
    };
    return {
      forward: await readModel(`${SHARED}zoo/${name}.onnx`),
      tensors: new Map(tensors.map((each) => [each.name, each.tensor])),
      meta,
    };
  };

  const feedsOf = (session: TrainingSession, tensors: ReadonlyMap<string, GraphTensor>) =>
    Object.fromEntries(
      session.trainingInputNames.map((name) => {
        const held = tensors.get(name === "labels" || name === "target" ? "target" : `in.${name}`);
        if (held === undefined) throw new Error(`no ${name}`);
        const values = held.values();
        return [
          name,
          held.dtype === DataType.int64
            ? new OrtTensor("int64", values as BigInt64Array, [...held.dims])
            : new OrtTensor("float32", Float32Array.from(values as Float64Array), [...held.dims]),
        ];
      }),
    );

  /**
   * PyTorch gives the row of an embedding's padding_idx no gradient, which the exported graph does not say: its elements are not
   * compared.
   */
  const PADDING: Readonly<Record<string, number>> = { "grad.m.albert.embeddings.word_embeddings.weight": 16 };

  it.each(names)("%s: every parameter's gradient", async (name) => {
    const { forward, tensors, meta } = await load(name);
    const { portable } = await buildTrainingArtifacts(forward, {
      loss: lossOf(name, meta.lossKind),
      targets: ["portable"],
    });
    if (portable === null) throw new Error("not built");
    const session = await TrainingSession.create(portable);
    await session.runTrainStep(feedsOf(session, tensors));
    const gradients = await session.getGradients();
    await session.release();
    const expected = [...tensors].filter(([key]) => key.startsWith("grad."));
    expect(Object.keys(gradients).sort()).toEqual(expected.map(([key]) => key.slice(5)).sort());
    const largest = (values: Iterable<number>): number =>
      [...values].reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const overall = Math.max(...expected.map(([, tensor]) => largest(tensor.values() as Float64Array)));
    for (const [key, tensor] of expected) {
      const [reference, actual] = [tensor.values() as Float64Array, gradients[key.slice(5)]?.data as Float32Array];
      /** A gradient that is zero but for rounding (of a key's bias in attention, say) is compared with the others' size. */
      const scale = Math.max(largest(reference), 1e-4 * overall);
      const first = PADDING[key] ?? 0;
      const difference = largest(
        reference.map((value, index) => (index < first ? 0 : value - (actual[index] ?? Number.NaN))),
      );
      expect(difference / scale, key).toBeLessThan(1e-4);
    }
  });

  /** In albert PyTorch also leaves the padding's row of the embedding as it is, which the exported graph does not tell. */
  const LOSS_TOLERANCE: Readonly<Record<string, number>> = { albert: 1e-3 };

  const RUNS = [
    { optimizer: "adamw", agr: false, losses: "losses.adamw", rate: 1e-3, runtime: "ort-node" },
    { optimizer: "adamw", agr: false, losses: "losses.adamw", rate: 1e-3, runtime: "ort-training" },
    { optimizer: "adamw", agr: true, losses: "losses.adamw_agr", rate: 1e-3, runtime: "ort-node" },
    { optimizer: "adan", agr: false, losses: "losses.adan", rate: 1e-3, runtime: "ort-node" },
    { optimizer: "adan", agr: true, losses: "losses.adan_agr", rate: 1e-3, runtime: "ort-node" },
    { optimizer: "sgd", agr: true, losses: "losses.sgd_agr", rate: 0.01, runtime: "ort-node" },
  ] as const;

  for (const { optimizer, agr, losses: key, rate, runtime } of RUNS) {
    it.each(names)(`%s: five steps of ${optimizer}${agr ? " with AGR" : ""} in ${runtime}`, async (name) => {
      const { forward, tensors, meta } = await load(name);
      const built = await buildTrainingArtifacts(forward, {
        loss: lossOf(name, meta.lossKind),
        optimizer: { name: optimizer },
        ...(agr ? { agr: {} } : {}),
        targets: [runtime === "ort-node" ? "portable" : "onnxruntime"],
      });
      const source = runtime === "ort-node" ? built.portable : built.onnxruntime;
      if (source === null) throw new Error("not built");
      const session = await TrainingSession.create(source, { runtime, learningRate: rate });
      const feeds = feedsOf(session, tensors);
      for (const [step, expected] of (meta[key] ?? []).entries()) {
        const [actual = Number.NaN] = await session.trainSteps([feeds]);
        expect(Math.abs(actual / expected - 1), `step ${step}`).toBeLessThan(LOSS_TOLERANCE[name] ?? 2e-4);
      }
      await session.release();
    });
  }
});
