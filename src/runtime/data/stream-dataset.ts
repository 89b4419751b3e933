import type { InputSpec } from "../../artifacts/ort-artifacts.ts";
import { UsageError } from "../../errors.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import type { Dataset } from "./dataset.ts";
import type { DatasetOptions } from "./dataset-inputs.ts";
import { type FitOptions, fitTensor, isScaled, pairInputs } from "./fit.ts";
import { placeholder, type Streamed } from "./streamed.ts";

interface StreamedInput {
  readonly input: InputSpec;
  readonly streamed: Streamed;
}

/** What `readDataset` makes of content of which some is not in memory. */
export interface Streaming {
  /** The tensors under the names, types and shapes of the model's inputs. */
  readonly fitted: readonly NamedTensor[];
  /** A dataset of them, with what is not in memory as its source. */
  readonly within: (dataset: Dataset) => Dataset;
}

/**
 * Fits each batch as `fitTensors` fits all samples: every step of it is of one sample alone. One sample is tried here, so that
 * what is chosen is said once.
 * @throws UsageError `E_OPTION` for options that need all samples at once
 */
export async function sourceOf(
  inputs: readonly InputSpec[],
  tensors: readonly NamedTensor[],
  streamed: ReadonlyMap<string, Streamed>,
  options: FitOptions & DatasetOptions,
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
    if (options.normalize === "computed" && isScaled(input, tensor)) {
      throw new UsageError(
        "E_OPTION",
        `--normalize computed (normalize) needs all samples of "${input.name}" in memory`,
        {
          field: "normalize",
          hint: "Give numbers: --normalize <mean>,<deviation>.",
        },
      );
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
    const tried = fitTensor(input, await found.read(Uint32Array.of(0), { seed: 0, epoch: 0 }), options, tell);
    fitted.push({
      name: input.name,
      tensor: placeholder(tried.dtype, [found.dims[0] ?? 0, ...tried.dims.slice(1)], name),
    });
    taken.push({ input, streamed: found });
  }
  if (isAsked && scaled === 0) {
    throw new UsageError("E_OPTION", "--scale and --normalize are for samples of floats, and no input takes such");
  }
  const quiet: FitOptions = { ...options, tell: () => undefined };
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
        taken.map(async ({ input, streamed: each }) => ({
          name: input.name,
          tensor: fitTensor(input, await each.read(samples, moment), quiet, () => undefined),
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
