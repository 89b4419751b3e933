/**
 * How many times as long eight times the work takes: about 8 where it is linear, 64 where it is quadratic. The fastest of some
 * runs counts, since other processes only ever make one slower.
 */
export function growthOf(work: (size: number) => void, size: number): number {
  const fastest = (count: number): number =>
    Math.min(
      ...Array.from({ length: 5 }, () => {
        const began = performance.now();
        work(count);
        return performance.now() - began;
      }),
    );
  work(size);
  return fastest(8 * size) / fastest(size);
}

/** Below this growth is linear, with room for caches, the collector of garbage and a busy machine. */
export const LINEAR = 48;
