/**
 * Saves runs into the folder that the first argument names, one after another until it is ended, or as many as the second
 * argument says. Prints the step of each once it is saved.
 */

import { GraphTensor } from "../../dist/entries/graph.js";
import { saveRun } from "../../dist/index.js";

const [folder, count = "Infinity", first = "1"] = process.argv.slice(2);

for (let step = Number(first); step < Number(first) + Number(count); step++) {
  const tensors = new Map([["w", GraphTensor.from(1, [2000], new Float32Array(2000).fill(step))]]);
  const state = { step, tensors, nominal: false, initialLearningRate: 0.001, properties: new Map() };
  const position = { epoch: 0, batch: step, lossSum: 0, samples: step };
  try {
    await saveRun(folder, state, { step, position, options: {}, hashes: {} });
    process.stdout.write(`${step}\n`);
  } catch (error) {
    process.stdout.write(`${error.code} ${error.message}\n`);
    process.exit(error.exitCode ?? 1);
  }
}
