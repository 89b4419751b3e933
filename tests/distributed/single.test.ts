import { describe, expect, it } from "vitest";
import { SINGLE } from "../../src/distributed/single.ts";
import { DataType, GraphTensor } from "../../src/entries/graph.ts";
import { batches, planTraining } from "../../src/entries/run.ts";
import {
  buildTrainingArtifacts,
  type Dataset,
  datasetFor,
  type PortableArtifacts,
  TrainingSession,
  train,
} from "../../src/index.ts";
import { DataParallel } from "../../src/runtime/updates/data-parallel.ts";
import { smallNet } from "../support/small-net.ts";

const SAMPLES = 50;
const EPOCHS = 6;

function dataOf(session: TrainingSession): Dataset {
  const values = Float32Array.from({ length: SAMPLES * 12 }, (_, index) => Math.sin(index * 12.9898));
  return datasetFor(session.trainingInputs, [
    { name: "input", tensor: GraphTensor.from(DataType.float, [SAMPLES, 12], values) },
    {
      name: "labels",
      tensor: GraphTensor.from(
        DataType.int64,
        [SAMPLES],
        BigInt64Array.from({ length: SAMPLES }, (_, index) => BigInt(index % 4)),
      ),
    },
  ]);
}

async function portableOf(): Promise<PortableArtifacts> {
  const { portable } = await buildTrainingArtifacts(smallNet(), {
    loss: { kind: "cross-entropy" },
    optimizer: { name: "adamw" },
    agr: {},
    targets: ["portable"],
  });
  if (portable === null) throw new Error("nothing was built");
  return portable;
}

/** Losses and state of updates that go through the exchange, with nobody to exchange with. */
async function exchanged(portable: PortableArtifacts, accumulate: number) {
  const session = await TrainingSession.create(portable, { threads: 1 });
  const dataset = dataOf(session);
  const plan = planTraining(session.trainingInputs, dataset, { batchSize: 8, epochs: EPOCHS, accumulate });
  const rates = { given: (step: number) => 0.02 / step, of: (step: number) => 0.02 / step };
  const updater = await DataParallel.create({
    session,
    dataset,
    plan,
    communicator: SINGLE,
    rates,
    signal: undefined,
    statistics: null,
    saveEvery: Number.POSITIVE_INFINITY,
  });
  const losses: number[] = [];
  for (let epoch = 0; epoch < EPOCHS; epoch++) {
    const all = [...batches(dataset, epoch, plan)];
    for (let batch = 0; batch < all.length; batch += accumulate) {
      const group = all.slice(batch, batch + accumulate);
      const { updates } = await updater.run(group, { step: losses.length, epoch, batch });
      losses.push(...updates.map(({ loss }) => loss));
    }
  }
  const state = await session.getState();
  await session.release();
  return { losses, state };
}

/** The same by the loop of one process. */
async function alone(portable: PortableArtifacts, accumulate: number) {
  const session = await TrainingSession.create(portable, { threads: 1, stepsPerCall: 1 });
  const options = { batchSize: 8, epochs: EPOCHS, accumulate, learningRate: (step: number) => 0.02 / step };
  const losses: number[] = [];
  for await (const event of train(session, dataOf(session), options)) {
    if (event.type === "step") losses.push(event.loss);
  }
  const state = await session.getState();
  await session.release();
  return { losses, state };
}

describe("one rank that exchanges with nobody", () => {
  it.each([1, 3])("is one process, bit for bit; %i batches per update", async (accumulate) => {
    const portable = await portableOf();
    const [first, second] = [await exchanged(portable, accumulate), await alone(portable, accumulate)];
    /** The loss of several batches is a mean that is rounded to float32 on its way through the buffer. */
    expect(first.losses.map(Math.fround)).toEqual(second.losses.map(Math.fround));
    expect(first.state).toEqual(second.state);
  });
});
