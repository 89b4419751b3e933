import { OPTIONS, PATH, requireArgument } from "../../arguments.ts";
import { INPUT_SPECS, type InputSpec } from "../../artifacts/ort-artifacts.ts";
import { DataError, requireOption } from "../../errors.ts";
import { isFolder } from "../../graph/io/read-file.ts";
import { checkRange } from "../value-range.ts";
import { type Dataset, datasetFor } from "./dataset.ts";
import type { DatasetOptions } from "./dataset-inputs.ts";
import { type FitOptions, fitTensors } from "./fit.ts";
import type { ImageShape } from "./images.ts";
import type { NormalizationNumbers } from "./normalize.ts";
import { type OpenOptions, openData } from "./read-data.ts";
import { sourceOf } from "./stream-dataset.ts";
import { textShapeOf } from "./text/options.ts";

export interface ReadDatasetOptions extends Omit<OpenOptions, "images" | "textShape">, FitOptions, DatasetOptions {
  /** Height and width to which the images of a folder are scaled. Default: what the model takes, else those of the first image. */
  readonly imageSize?: readonly [height: number, width: number];
}

/**
 * Reads data and makes of them what a model takes: `readData`, names, types and shapes fitted where there is one way to, `datasetFor`.
 *
 * @param inputs `trainingInputs` of a session
 * @param specification as `readData` takes it
 * @throws DataError `E_CLASSES` where words are not as many as the model has classes, and `classes` does not say them; what `readData` and `datasetFor` throw; of tables with the line and column of a label that is out of range
 */
export async function readDataset(
  inputs: readonly InputSpec[],
  specification: string,
  options: ReadDatasetOptions = {},
): Promise<Dataset> {
  requireArgument("inputs", inputs, INPUT_SPECS);
  requireArgument("specification", specification, PATH);
  requireArgument("options", options, OPTIONS);
  const tell = options.tell ?? (() => undefined);
  const { tensors, classes, columns, where, streamed } = await openData(specification, {
    ...options,
    images: await imagesOf(inputs, specification, options),
    ...(options.text === undefined ? {} : { textShape: textShapeOf(inputs, Object.keys(options.constants ?? {})) }),
  });
  const computed: NormalizationNumbers[] = [];
  const fit = { ...options, computed: (_: string, moments: NormalizationNumbers) => computed.push(moments) };
  const source = streamed === undefined || streamed.size === 0 ? null : await sourceOf(inputs, tensors, streamed, fit);
  const fitted = source?.fitted ?? fitTensors(inputs, tensors, fit);
  const words = classes?.["labels"];
  if (words !== undefined) {
    if (options.classes === undefined) requireAll(words, inputs);
    tell(`"labels": ${words.length} classes, ${listed(words)}`);
  }
  if (where !== undefined) {
    for (const { name, range } of inputs) {
      const tensor = fitted.find((each) => each.name === name)?.tensor;
      if (tensor !== undefined && tensor.data.kind !== "external")
        checkRange(name, tensor.values(), tensor.dims[0] ?? 1, range, (row) => where("labels", row));
    }
  }
  const whole = datasetFor(inputs, fitted, options);
  const dataset = source === null ? whole : source.within(whole);
  const [normalization, others] = computed;
  return {
    ...dataset,
    ...(words === undefined ? {} : { classes: words }),
    ...(columns === undefined ? {} : { columns }),
    ...(normalization === undefined || others !== undefined ? {} : { normalization }),
  };
}

/** What the images of a folder become: as the one input of four axes takes them, or as they are asked for. */
async function imagesOf(
  inputs: readonly InputSpec[],
  specification: string,
  { imageSize }: ReadDatasetOptions,
): Promise<ImageShape> {
  if (imageSize !== undefined) {
    requireOption(
      imageSize.length === 2 && imageSize.every((side) => Number.isSafeInteger(side) && side >= 1 && side <= 8192),
      "imageSize",
      "height and width in pixels, from 1 to 8192",
    );
  }
  if (!(await isFolder(specification))) return { isResized: imageSize !== undefined };
  const [input, other] = inputs.filter(({ shape }) => shape?.length === 4);
  const [, channels, height, width] = (other === undefined && input?.shape) || [];
  const own = typeof height === "number" && typeof width === "number" ? ([height, width] as const) : undefined;
  const size = imageSize ?? own;
  return {
    isResized: size !== undefined,
    ...(typeof channels === "number" ? { channels } : {}),
    ...(size === undefined ? {} : { size }),
  };
}

const listed = (words: readonly string[]): string =>
  `${words
    .slice(0, 12)
    .map((word, index) => `${index} ${word}`)
    .join(", ")}${words.length > 12 ? ", ..." : ""}`;

/** Where a file lacks a class, those behind it would have other numbers than in one that has them all. */
function requireAll(words: readonly string[], inputs: readonly InputSpec[]): void {
  for (const { name, range } of inputs) {
    if (range === undefined || !/class/.test(range.of)) continue;
    const count = range.greatest - range.least + 1;
    if (count === words.length) continue;
    throw new DataError(
      "E_CLASSES",
      `the data have ${words.length} classes, ${listed(words)}; the model's "${name}" has ${count}`,
      {
        field: name,
        hint: `Say which number each word is, by its place, with all ${count} of them: --classes ${words.join(",")},... (classes).`,
      },
    );
  }
}
