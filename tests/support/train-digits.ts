/** Trains the digits net for a few steps with as many threads as the argument says, and prints the losses. */

import { fileURLToPath } from "node:url";
import { readArtifacts, Tensor, TrainingSession } from "../../src/index.ts";

const artifacts = await readArtifacts(fileURLToPath(new URL("../../fixtures/digits", import.meta.url)));
const session = await TrainingSession.create(artifacts, { threads: Number(process.argv[2]) });
const feeds = {
  input: new Tensor(
    "float32",
    Float32Array.from({ length: 8192 }, (_, index) => Math.sin(index)),
    [32, 1, 16, 16],
  ),
  labels: new Tensor(
    "int64",
    BigInt64Array.from({ length: 32 }, (_, index) => BigInt(index % 10)),
    [32],
  ),
};
const losses: number[] = [];
for (let step = 0; step < 5; step++) {
  const outputs = await session.runTrainStep(feeds);
  losses.push(Number(outputs["loss"]?.data[0]));
  await session.runOptimizerStep();
  await session.lazyResetGrad();
}
await session.release();
console.log(JSON.stringify(losses));
