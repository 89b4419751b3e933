import type { InputSpec } from "../../artifacts/ort-artifacts.ts";
import { UsageError } from "../../errors.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import type { Dataset } from "./dataset.ts";
import type { DatasetOptions } from "./dataset-inputs.ts";
import { type FitOptions, type FitTold, fitTensor, isScaled, pairInputs } from "./fit.ts";
import { MomentSums, type NormalizationNumbers, normalizationOption } from "./normalize.ts";
import { placeholder, type Streamed } from "./streamed.ts";

/** What samples that are looked through take at once. */
const CHUNK_BYTES = 2 ** 25;

interface StreamedInput {
  readonly input: InputSpec;
  readonly streamed: Streamed;
  /** How its samples are fitted: with means and deviations that are known. */
  readonly fit: FitOptions;
}

/** What `readDataset` makes of content of which some is not in memory. */
export interface Streaming {
  /** The tensors under the names, types and shapes of the model's inputs. */
  readonly fitted: readonly NamedTensor[];
  /** A dataset of them, with what is not in memory as its source. */
  readonly within: (dataset: Dataset) => Dataset;
}

const silent = (): void => undefined;

/** Of all samples, as they are before they are normalized. */
async function momentsOf(
  input: InputSpec,
  streamed: Streamed,
  { normalize: _, ...options }: FitOptions,
): Promise<NormalizationNumbers> {
  const sums = new MomentSums(input.name);
  const [size = 0] = streamed.dims;
  const rows = Math.max(1, Math.floor(CHUNK_BYTES / (4 * streamed.sampleBytes)));
  for (let first = 0; first < size; first += rows) {
    const samples = Uint32Array.from({ length: Math.min(rows, size - first) }, (__, index) => first + index);
    const tensor = fitTensor(input, await streamed.read(samples, { seed: 0, epoch: 0 }), options, silent);
    sums.add(tensor.realValues(), tensor.dims);
  }
  return sums.moments;
}

/**
 * Fits each batch as `fitTensors` fits all samples: every step of it is of one sample alone, once means and deviations are known, for which
 * all are read. One sample is tried here, so that what is chosen is said once.
 * @throws UsageError `E_OPTION` for options that fit nothing; DataError `E_DATA` where there is no mean
 */
export async function sourceOf(
  inputs: readonly InputSpec[],
  tensors: readonly NamedTensor[],
  streamed: ReadonlyMap<string, Streamed>,
  options: FitTold & DatasetOptions,
): Promise<Streaming> {
  const tell = options.tell ?? (() => undefined);
  const pairs = pairInputs(inputs, tensors, tell);
  const taken: StreamedInput[] = [];
  const fitted: NamedTensor[] = [];
  const isAsked = options.scale !== undefined || options.normalize !== undefined;
  let scaled = 0;
  for (const [input, { name, tensor }] of pairs) {
    const found = streamed.get(name);
    if (isScaled(input, tensor)) scaled++;
    if (found === undefined) {
      fitted.push({ name: input.name, tensor: fitTensor(input, tensor, options, tell) });
      continue;
    }
    if ((options.sampleAxes?.[input.name] ?? 0) !== 0) {
      throw new UsageError(
        "E_OPTION",
        `"${input.name}" is read as batches need it, and its samples must lie along axis 0`,
        {
          field: input.name,
        },
      );
    }
    const moments =
      options.normalize === "computed" && isScaled(input, tensor) ? await momentsOf(input, found, options) : null;
    const fit: FitOptions = moments === null ? options : { ...options, normalize: moments };
    const tried = fitTensor(input, await found.read(Uint32Array.of(0), { seed: 0, epoch: 0 }), fit, tell);
    if (moments !== null) {
      options.computed?.(input.name, moments);
      const again = normalizationOption(moments);
      tell(`"${input.name}": mean and deviation are those of all ${found.dims[0]} samples, which were read for it`);
      if (again !== null) tell(`"${input.name}": ${again}`);
    }
    fitted.push({
      name: input.name,
      tensor: placeholder(tried.dtype, [found.dims[0] ?? 0, ...tried.dims.slice(1)], name),
    });
    taken.push({ input, streamed: found, fit: { ...fit, tell: silent } });
  }
  if (isAsked && scaled === 0) {
    throw new UsageError("E_OPTION", "--scale and --normalize are for samples of floats, and no input takes such");
  }
  const names = taken.map(({ input }) => input.name);
  const source = {
    names,
    sampleBytes: taken.reduce((sum, { streamed: each }) => sum + 4 * each.sampleBytes, 0),
    identity: async () => {
      const each = taken.map(async ({ input, streamed: own }) => `${input.name}: ${await own.identity()}`);
      return [...(await Promise.all(each)), JSON.stringify([options.scale ?? null, options.normalize ?? null])].join(
        "\n",
      );
    },
    read: (samples: Uint32Array, moment: { readonly seed: number; readonly epoch: number }) =>
      Promise.all(
        taken.map(async ({ input, streamed: each, fit }) => ({
          name: input.name,
          tensor: fitTensor(input, await each.read(samples, moment), fit, silent),
        })),
      ),
  };
  return {
    fitted: [...tensors.filter((each) => ![...pairs.values()].includes(each)), ...fitted],
    within: (dataset) => ({
      ...dataset,
      tensors: dataset.tensors.filter(({ name }) => !names.includes(name)),
      source,
    }),
  };
}
