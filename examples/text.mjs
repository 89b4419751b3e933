/**
 * A language model of the next token, from a file of text and a tokenizer:
 *
 *     node text.mjs model.onnx corpus.txt tokenizer.json
 *
 * The model takes numbers of tokens [batch, length] and gives a score for each token of the vocabulary, at each place.
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

const [model = "model.onnx", corpus = "corpus.txt", tokenizer = "tokenizer.json"] = process.argv.slice(2);

// The scores of the tokens lie along the last axis.
const loss = { kind: /** @type {const} */ ("cross-entropy"), classAxis: -1 };
const built = await buildTrainingArtifacts(await readModel(model), { loss, agr: {} });
const session = await TrainingSession.create(built, { learningRate: 0.01 });
try {
  const all = await readDataset(session.trainingInputs, corpus, {
    text: { tokenizer, target: "next-token" },
    tell: (note) => console.error(note),
  });
  const { training, validation } = splitDataset(all, 0.1, 1);
  for await (const event of train(session, training, { epochs: 4, batchSize: 16, seed: 1 }))
    if (event.type === "epoch") console.log(`epoch ${event.epoch + 1}: loss ${event.loss.toFixed(3)}`);
  const { metrics } = await evaluate(session, validation);
  if (metrics?.task !== "classification") throw new Error("the model gives no scores of tokens");
  console.log(
    `perplexity ${metrics.perplexity?.toFixed(2)}, accuracy ${metrics.accuracy.toFixed(3)} of ${metrics.judged} tokens`,
  );
} finally {
  await session.release();
}
