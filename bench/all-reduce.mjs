/** On two ranks: how long all-reduces of several sizes take, as JSON on rank 0. */

import { joinRanks } from "../dist/entries/run.js";

const communicator = await joinRanks();
const times = [];
for (const bytes of [4 << 10, 64 << 10, 1 << 20, 4 << 20, 16 << 20]) {
  const values = new Float32Array(bytes / 4);
  const seconds = [];
  for (let round = 0; round < 12; round++) {
    await communicator.barrier();
    const began = performance.now();
    await communicator.allReduceSum(values);
    seconds.push((performance.now() - began) / 1000);
  }
  times.push([bytes, seconds.slice(2).sort((a, b) => a - b)[5]]);
}
if (communicator.rank === 0) process.stdout.write(JSON.stringify(times));
await communicator.finalize();
