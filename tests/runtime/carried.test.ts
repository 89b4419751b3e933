import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { attribute, DataType, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import {
  type BuildOptions,
  buildTrainingArtifacts,
  type Dataset,
  datasetFor,
  evaluate,
  type Model,
  readModel,
  TrainingSession,
  type TrainingSessionOptions,
  type TrainOptions,
  train,
} from "../../src/index.ts";
import { cli } from "../support/cli.ts";
import { temporaryFolder } from "../support/temporary.ts";

interface Numbers {
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

interface Windows {
  readonly words: readonly (readonly number[])[];
  readonly labels: readonly (readonly number[])[];
}

/** Made by scripts/reference/carried.py: PyTorch's losses, states detached between batches. */
const REFERENCE = JSON.parse(readFileSync(new URL("carried.json", import.meta.url), "utf8")) as {
  readonly runs: number;
  readonly rate: number;
  readonly weights: Readonly<Record<string, Numbers>>;
  readonly training: Windows;
  readonly other: Windows;
  readonly losses: readonly number[];
  readonly alone: readonly number[];
  readonly evaluation: number;
  readonly accumulated: Numbers;
};
const WORKER = new URL("../../dist/chunks/onnx-agr-worker.js", import.meta.url);
const [LENGTH, HIDDEN, WORDS] = [5, 8, 11];

/** Words, an LSTM whose states come in and go out, scores of the next word. */
function languageModel(): Model {
  const net = new Sketch("language");
  net.input("words", tensor(DataType.int64, ["N", LENGTH]));
  net.input("h0", float([1, "N", HIDDEN]));
  net.input("c0", float([1, "N", HIDDEN]));
  for (const [name, { dims, data }] of Object.entries(REFERENCE.weights)) {
    net.initializer(name, GraphTensor.floats(dims, data));
  }
  net.initializer("one", GraphTensor.ints([1]));
  net.node("Gather", ["table", "words"], ["embedded"]);
  net.node("Transpose", ["embedded"], ["x"], [attribute.ints("perm", [1, 0, 2])]);
  const size = attribute.int("hidden_size", HIDDEN);
  net.node("LSTM", ["x", "W", "R", "B", "", "h0", "c0"], ["states", "hn", "cn"], [size]);
  net.node("Squeeze", ["states", "one"], ["s"]);
  net.node("Transpose", ["s"], ["t"], [attribute.ints("perm", [1, 0, 2])]);
  net.node("MatMul", ["t", "head"], ["y"]);
  net.output("y", float(["N", LENGTH, WORDS]));
  net.output("hn", float([1, "N", HIDDEN]));
  net.output("cn", float([1, "N", HIDDEN]));
  return model(net.graph, 8, [["", 17]]);
}

const BUILD: BuildOptions = {
  ...{ loss: { kind: "cross-entropy", classAxis: -1 }, optimizer: { name: "sgd" } },
  ...{ carry: { h0: "hn", c0: "cn" }, sizes: { N: REFERENCE.runs } },
};

const tensorsOf = ({ words, labels }: Windows) =>
  Object.entries({ words, labels }).map(([name, rows]) => ({
    name,
    tensor: GraphTensor.from(DataType.int64, [rows.length, LENGTH], BigInt64Array.from(rows.flat(), BigInt)),
  }));

async function opened(
  options: TrainingSessionOptions = {},
): Promise<{ session: TrainingSession; data: Dataset; other: Dataset }> {
  const { portable } = await buildTrainingArtifacts(languageModel(), BUILD);
  if (portable === null) throw new Error("not built");
  const own = { runtime: "ort-node", learningRate: REFERENCE.rate, ...options } as const;
  const session = await TrainingSession.create(portable, own);
  const [data, other] = [REFERENCE.training, REFERENCE.other].map((windows) =>
    datasetFor(session.trainingInputs, tensorsOf(windows)),
  );
  if (data === undefined || other === undefined) throw new Error("no data");
  return { session, data, other };
}

const ORDER: TrainOptions = { epochs: 2, shuffle: false, sequential: true };

async function lossesOf(session: TrainingSession, data: Dataset, options: TrainOptions = ORDER): Promise<number[]> {
  const losses: number[] = [];
  for await (const event of train(session, data, options)) if (event.type === "step") losses.push(event.loss);
  return losses;
}

/** float32 against float64, over twenty steps. */
const TOLERANCE = 2e-5;

function expectClose(actual: readonly number[], expected: readonly number[]): void {
  expect(actual).toHaveLength(expected.length);
  for (const [at, value] of expected.entries()) {
    expect(Math.abs((actual[at] ?? Number.NaN) / value - 1), `${at}`).toBeLessThan(TOLERANCE);
  }
}

describe("states that go on from batch to batch", () => {
  it("give PyTorch's losses over twenty steps and its evaluation, which leaves the training's state as it is", async () => {
    const { session, data, other } = await opened();
    expect(session.trainingInputNames).toEqual(["words", "labels"]);
    const { losses } = REFERENCE;
    expectClose(await lossesOf(session, data), losses);
    expect(Math.max(...losses.map((loss, at) => Math.abs(loss - (REFERENCE.alone[at] ?? 0))))).toBeGreaterThan(0.01);
    const before = await session.getState();
    expectClose([(await evaluate(session, other, { sequential: true })).loss], [REFERENCE.evaluation]);
    expect(await session.getState()).toEqual(before);
    await session.release();
  });

  it.each([
    ["several steps per call", { stepsPerCall: 4 }],
    ["a thread of its own", { isolation: "thread", worker: WORKER }],
  ] as const)("are the same with %s", async (_, options) => {
    const [plain, other] = [await opened({ stepsPerCall: 1 }), await opened(options)];
    expect(await lossesOf(other.session, other.data)).toEqual(await lossesOf(plain.session, plain.data));
    await plain.session.release();
    await other.session.release();
  });

  it("go on over the batches whose gradients are summed", async () => {
    const { session, data } = await opened();
    await lossesOf(session, data, { ...ORDER, epochs: 1, accumulate: 2 });
    const { tensors } = await session.getState();
    await session.release();
    const head = Array.from(tensors.get("head")?.values() ?? [], Number);
    for (const [at, value] of REFERENCE.accumulated.data.entries()) expect(head[at]).toBeCloseTo(value, 4);
  });

  it("are refused where samples are shuffled, and where the sizes are open or the outputs others", async () => {
    const { session, data } = await opened();
    await expect(lossesOf(session, data, {})).rejects.toMatchObject({
      code: "E_CARRY",
      hint: expect.stringContaining("--sequential"),
    });
    await session.release();
    const refused = async (options: Partial<BuildOptions>, message: RegExp): Promise<void> => {
      const error = await buildTrainingArtifacts(languageModel(), { ...BUILD, ...options }).catch(
        (each: unknown) => each,
      );
      expect(error).toMatchObject({ code: "E_CARRY", message: expect.stringMatching(message) });
    };
    await refused({ sizes: {} }, /"h0" is .*N/);
    await refused({ carry: { h0: "none" } }, /no output "none"/);
    await refused({ carry: { none: "hn" } }, /no input "none"/);
    await refused({ carry: { h0: "y" } }, /"y" is .*"h0"/);
  });
});

describe("--carry and --sequential", () => {
  const ran = (...args: readonly (string | undefined)[]): string => {
    const given = args.map((each) => each ?? "");
    const { status, stdout, stderr } = cli(given);
    expect([status, stderr]).toEqual([0, expect.any(String)]);
    return `${stdout}${stderr}`;
  };
  const stepsOf = (text: string): readonly number[] =>
    text
      .split("\n")
      .flatMap((line) => (line.includes('"type":"step"') ? [(JSON.parse(line) as { loss: number }).loss] : []));
  const rate = ["--lr", String(REFERENCE.rate)];

  it("train as PyTorch does, go on bit for bit from the middle of an epoch, evaluate and export", async () => {
    const folder = temporaryFolder();
    const [path, data, other] = ["model.onnx", "data.safetensors", "other.safetensors"].map((name) =>
      join(folder, name),
    );
    const set = join(folder, "set");
    writeFileSync(path ?? "", encodeModel(languageModel()));
    writeFileSync(data ?? "", encodeSafetensors(tensorsOf(REFERENCE.training)));
    writeFileSync(other ?? "", encodeSafetensors(tensorsOf(REFERENCE.other)));
    const loss = ["--loss", "cross-entropy", "--class-axis", "-1", "--optimizer", "sgd"];
    const carry = ["--carry", "h0=hn", "--carry", "c0=cn"];
    const built = ran("build", path, ...loss, ...carry, "--dim", `N=${REFERENCE.runs}`, "-o", set);
    expect(built).toContain('the input "h0" takes over "hn" of the batch before, without a gradient');
    const order = ["--data", data, "--sequential", "--epochs", "2", ...rate, "--json"];
    const [whole, parts] = [join(folder, "whole"), join(folder, "parts")];
    const losses = stepsOf(ran("train", set, ...order, "--checkpoints", whole, "--save-every", "7", "--keep", "9"));
    expectClose(losses, REFERENCE.losses);
    const resumed = ran("train", set, ...order, "--resume", join(whole, "step-0000000007"), "--checkpoints", parts);
    expect(stepsOf(resumed)).toEqual(losses.slice(7));
    const evaluated = ran("eval", set, "--data", other, "--sequential", "--checkpoint", whole, "--json");
    expectClose([(JSON.parse(evaluated) as { loss: number }).loss], [REFERENCE.evaluation]);
    const out = join(folder, "trained.onnx");
    ran("export", set, "--checkpoint", whole, "-o", out);
    const { graph } = await readModel(out);
    expect(graph.inputs.map(({ name }) => name)).toEqual(["words", "h0", "c0"]);
    expect(graph.outputs.map(({ name }) => name)).toEqual(["y", "hn", "cn"]);
    for (const [flags, message] of [
      [[], /E_CARRY.*shuffled.*--sequential/s],
      [["--sequential", "--validation", "0.5"], /E_CARRY.*drawn at random.*--validation <file>/s],
    ] as const) {
      const no = cli(["train", set, "--data", data ?? "", ...flags, "--checkpoints", join(folder, "no")]);
      expect([no.status, no.stderr]).toEqual([2, expect.stringMatching(message)]);
    }
  });
});
