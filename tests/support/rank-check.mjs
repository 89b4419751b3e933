/** Calls of a communicator on every rank of mpirun: each prints one JSON line of what it got. */

import { sha256 } from "../../dist/entries/graph.js";
import { exchangeBytes, exchangeNumbers, joinRanks, requireAlike } from "../../dist/entries/run.js";

const [action = "calls", mpi] = process.argv.slice(2);
const communicator = await joinRanks(mpi === undefined ? {} : { library: mpi });
const { rank, size, library } = communicator;

/** Numbers whose sum depends on the order in which they are added. */
const numbers = (length, of) => Array.from({ length }, (_, index) => Math.sin(of * 1000 + index) * 10 ** (index % 7));

const ACTIONS = {
  async calls() {
    const floats = Float32Array.from(numbers(100_003, rank));
    await communicator.allReduceSum(floats);
    const doubles = Float64Array.from(numbers(11, rank));
    await communicator.allReduceSum(doubles);
    const view = new Float32Array(9).fill(rank + 1);
    await communicator.allReduceSum(view.subarray(2, 5));
    const bytes = Uint8Array.of(rank, rank + 1, rank + 2);
    await communicator.broadcast(bytes, size - 1);
    await communicator.barrier();
    const parts = new Uint8Array(3 * size + 1).fill(99);
    const ends = Array.from({ length: size }, (_, each) => 3 * each + 2 + (each === size - 1 ? 2 : 0));
    parts.fill(rank, ends[rank - 1] ?? 0, ends[rank]);
    await communicator.allGather(parts, ends);
    const text = new TextDecoder().decode(
      await exchangeBytes(communicator, new TextEncoder().encode("n".repeat(rank))),
    );
    const long = new TextEncoder().encode(`rank ${rank} says`.padEnd(rank * 7 + 20));
    return {
      floats: sha256(new Uint8Array(floats.buffer)),
      first: [...floats.subarray(0, 5)],
      doubles: [...doubles],
      view: [...view.subarray(2, 5)],
      isAroundKept: [...view.subarray(0, 2), ...view.subarray(5)].every((value) => value === rank + 1),
      bytes: [...bytes],
      parts: [...parts],
      text,
      long: new TextDecoder().decode(await exchangeBytes(communicator, long, size - 1)).trim(),
      gathered: await exchangeNumbers(communicator, [rank, rank * rank]),
    };
  },
  async differ() {
    try {
      await requireAlike(communicator, { same: "1", lr: rank === 1 ? "0.1" : "0.2" });
      return { code: null };
    } catch ({ code, message, exitCode }) {
      return { code, message, exitCode };
    }
  },
  async end() {
    await communicator.barrier();
    return {};
  },
  async abort() {
    if (rank === size - 1) communicator.abort(10);
    await communicator.barrier();
    return {};
  },
};

const result = await ACTIONS[action]();
process.stdout.write(`${JSON.stringify({ rank, size, library, ...result })}\n`);
await communicator.finalize();
