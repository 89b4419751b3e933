/**
 * Makes a model trainable, trains it, keeps the best weights and writes an inference model:
 *
 *     node train.mjs model.onnx train.safetensors trained.onnx
 */
import { writeFile } from "node:fs/promises";
import {
  buildTrainingArtifacts,
  evaluate,
  readDataset,
  readModel,
  splitDataset,
  TrainingSession,
  train,
} from "onnx-agr";

const [model = "model.onnx", data = "train.safetensors", output = "trained.onnx"] = process.argv.slice(2);

const built = await buildTrainingArtifacts(await readModel(model), { loss: { kind: "cross-entropy" }, agr: {} });
const session = await TrainingSession.create(built, { learningRate: 0.003 });
try {
  const all = await readDataset(session.trainingInputs, data, { tell: (note) => console.error(note) });
  const { training, validation } = splitDataset(all, 0.2, 1);
  let best = { loss: Number.POSITIVE_INFINITY, state: await session.getState() };
  for await (const event of train(session, training, { epochs: 8, batchSize: 16, seed: 1 })) {
    if (event.type !== "epoch") continue;
    const { loss, metrics } = await evaluate(session, validation);
    const accuracy = metrics?.task === "classification" ? metrics.accuracy : Number.NaN;
    console.log(`epoch ${event.epoch}: loss ${event.loss.toFixed(4)}, validation ${loss.toFixed(4)}, ${accuracy}`);
    if (loss < best.loss) best = { loss, state: await session.getState() };
  }
  await session.loadState(best.state);
  await writeFile(output, await session.exportModel());
} finally {
  await session.release();
}
