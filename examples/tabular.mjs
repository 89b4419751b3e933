/**
 * A table with a column of words to predict. The file says how many features there are and which words:
 *
 *     node tabular.mjs model.onnx flowers.csv species
 *
 * The model takes one row of features, as floats, and gives a score for each class.
 */

import {
  buildTrainingArtifacts,
  evaluate,
  readDataset,
  readModel,
  splitDataset,
  TrainingSession,
  train,
} from "onnx-agr";
import { InferenceSession, Tensor } from "onnxruntime-node";

const [model = "model.onnx", table = "table.csv", label = "label"] = process.argv.slice(2);

const built = await buildTrainingArtifacts(await readModel(model), { loss: { kind: "cross-entropy" }, agr: {} });
const session = await TrainingSession.create(built, { learningRate: 0.01 });
try {
  // Each feature is brought to mean 0 and deviation 1. What was done is printed: a prediction needs the same.
  const all = await readDataset(session.trainingInputs, table, {
    label,
    normalize: "computed",
    tell: (note) => console.error(note),
  });
  const { training, validation } = splitDataset(all, 0.25, 1);
  for await (const _ of train(session, training, { epochs: 40, batchSize: 16, seed: 1 }));
  const { metrics } = await evaluate(session, validation);
  if (metrics?.task !== "classification") throw new Error("the column holds numbers, not classes");
  console.log(`accuracy ${metrics.accuracy} of ${metrics.judged} rows`);

  // The first row that was kept apart, by the exported model.
  const trained = await InferenceSession.create(await session.exportModel());
  const rows = validation.tensors.find(({ name }) => name !== "labels")?.tensor;
  const width = rows?.dims[1] ?? 0;
  const first = new Tensor("float32", Float32Array.from(rows?.values() ?? [], Number).subarray(0, width), [1, width]);
  const scores = Object.values(await trained.run({ [trained.inputNames[0] ?? ""]: first }))[0]?.data ?? [];
  const winner = Array.from(scores, Number).reduce((best, score, at, all) => (score > (all[best] ?? 0) ? at : best), 0);
  console.log(`the first of them is ${validation.classes?.[winner]}`);
} finally {
  await session.release();
}
