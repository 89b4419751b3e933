import { DataError } from "../errors.ts";
import type { ValueRange } from "../graph/value-range.ts";

/** The numbers of a range, in words. */
export const describeRange = ({ least, greatest, ignored }: ValueRange): string =>
  `${least} to ${greatest}${ignored === null ? "" : ` or ${ignored}`}`;

/**
 * Checks the values of an input that holds classes or rows. Runtimes do not all notice: a number outside may end a run, or
 * be read from whatever lies there.
 * @param samples entries of the first axis
 * @param where the place of a sample in its file, where that is known
 * @throws DataError `E_INDEX`, naming the first sample whose value is outside
 */
export function checkRange(
  name: string,
  values: ArrayLike<number | bigint>,
  samples: number,
  range: ValueRange | undefined,
  where?: (sample: number) => string,
): void {
  if (range === undefined) return;
  const { least, greatest, ignored, of } = range;
  for (let index = 0; index < values.length; index++) {
    const value = Number(values[index]);
    if ((value >= least && value <= greatest && Number.isInteger(value)) || value === ignored) continue;
    const sample = Math.floor(index / (values.length / samples));
    throw new DataError(
      "E_INDEX",
      `${where === undefined ? "" : `${where(sample)}: `}"${name}" of sample ${sample} is ${values[index]}; it must be a whole number from ${describeRange(range)}, one of ${of}`,
      {
        field: name,
        hint: `Samples count from 0. Number the ${/classes/.test(of) ? "classes" : "entries"} from 0, and look whether the model was made for these data.`,
      },
    );
  }
}
