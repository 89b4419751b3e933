/**
 * Probabilities that are adjusted for how many there are (Holm 1979), in the order given: whoever calls those below a level a difference finds one where
 * there is none no oftener than that, whichever of them are none.
 */
export function holmAdjusted(probabilities: readonly number[]): readonly number[] {
  const adjusted = new Array<number>(probabilities.length).fill(1);
  const ascending = [...probabilities.entries()].toSorted(([, a], [, b]) => a - b);
  let least = 0;
  for (const [rank, [index, p]] of ascending.entries()) {
    least = Math.max(least, Math.min(1, (probabilities.length - rank) * p));
    adjusted[index] = least;
  }
  return adjusted;
}
