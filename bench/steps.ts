import { DataType } from "../src/entries/graph.ts";
import type { InputSpec } from "../src/entries/training.ts";
import { type NamedTensors, Tensor, type TrainingSession } from "../src/index.ts";

/** Small reals, and whole numbers below as many classes or tokens as an input has. */
export function randomFeeds(
  inputs: readonly InputSpec[],
  batch: number,
  seed: number,
  classes: (name: string) => number = () => 2,
): NamedTensors {
  return Object.fromEntries(
    inputs.map(({ name, dtype, shape }) => {
      const dims = (shape ?? []).map((dim, axis) => (typeof dim === "number" ? dim : axis === 0 ? batch : 8));
      const size = dims.reduce((product, dim) => product * dim, 1);
      const value = (index: number): number => Math.sin(seed * 7919 + index * 12.9898);
      if (dtype === DataType.int64) {
        const most = classes(name);
        const whole = BigInt64Array.from({ length: size }, (_, index) =>
          BigInt(Math.floor(most * Math.abs(value(index)))),
        );
        return [name, new Tensor("int64", whole, dims)];
      }
      return [
        name,
        new Tensor(
          "float32",
          Float32Array.from({ length: size }, (_, index) => value(index)),
          dims,
        ),
      ];
    }),
  );
}

/** Milliseconds per step. */
export async function time(
  session: TrainingSession,
  batches: readonly NamedTensors[],
  together: boolean,
): Promise<number> {
  const began = performance.now();
  if (together) await session.trainSteps(batches);
  else for (const feeds of batches) await session.trainSteps([feeds]);
  return (performance.now() - began) / batches.length;
}

/** The same through the three calls that the training API had. */
export async function timeHalves(session: TrainingSession, batches: readonly NamedTensors[]): Promise<number> {
  const began = performance.now();
  for (const feeds of batches) {
    await session.runTrainStep(feeds);
    await session.runOptimizerStep();
    await session.lazyResetGrad();
  }
  return (performance.now() - began) / batches.length;
}
