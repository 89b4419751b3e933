import { DataError, UsageError } from "../../../errors.ts";
import { DataType } from "../../../graph/data-type.ts";
import { Tensor } from "../../../graph/tensor.ts";
import { generatorOf } from "../augment.ts";
import type { DataContent } from "../formats/format.ts";
import type { Moment } from "../sample-source.ts";
import { placeholder, type Streamed } from "../streamed.ts";
import { OTHERS, type TextOptions, type TextShape } from "./options.ts";
import { readTokens } from "./read-tokens.ts";
import { roomFor, type SampleSettings, sampleOf, type TextSample } from "./samples.ts";
import { spansOf } from "./spans.ts";
import { readTokenizer, type TextTokenizer } from "./tokenizer.ts";

const [LENGTH, MASK_PROBABILITY] = [128, 0.15];
/** What `augment.ts` draws of a sample has the numbers below. */
const MASKS = 3;
/** PyTorch's, for models that do not say which label their loss leaves out. */
const IGNORED = -100;

/**
 * `input_ids` and `labels`, int64 [N,length], of files of text, and what else a model asks for. Tokens are in memory; samples are made
 * when batches need them.
 * @param shape what a model takes. Default: anything
 * @throws DataError `E_TEXT`, `E_TOKENIZER`, `E_VOCABULARY`; UsageError `E_OPTION` for a length that the model does not take
 */
export async function openText(
  files: readonly string[],
  options: TextOptions,
  shape: TextShape = { others: options.lineByLine === true ? ["attention_mask"] : [], ignored: IGNORED, limits: [] },
  tell: (note: string) => void = () => undefined,
): Promise<DataContent> {
  const tokenizer = await readTokenizer(options.tokenizer);
  if (tokenizer.isNearly)
    tell(
      `${options.tokenizer}: its precompiled table of characters is followed nearly, by NFKC; rare characters may differ`,
    );
  const settings = settingsOf(tokenizer, options, shape);
  checkVocabulary(tokenizer, options, shape);
  const isByLine = options.lineByLine === true;
  const room = roomFor(tokenizer, settings);
  const read = await readTokens(files, tokenizer, isByLine ? room : null);
  const { starts, counts } = spansOf(read, tokenizer, settings, room, tell);
  const isFilledUp = counts.some((count) => count < room);
  if ((settings.masking !== null || isFilledUp) && shape.ignored === null) {
    const why =
      settings.masking === null ? "padding is no token to be found" : "tokens that are not masked are not to be found";
    throw new DataError("E_TEXT", `${why}, and the model's loss counts every label`, {
      field: "labels",
      hint: "Build the model with a label that does not count: --ignore-index -100.",
    });
  }
  if (isFilledUp && settings.masking !== null && tokenizer.pad === null) {
    throw new DataError(
      "E_TEXT",
      `${options.tokenizer} has no token for padding, and lines are shorter than ${settings.length} tokens`,
      {
        file: options.tokenizer,
        hint: "Leave out --line-by-line (lineByLine): lines then follow each other.",
      },
    );
  }
  const rows = starts.length;
  const target = settings.masking === null ? "the next token is to be found" : "masked tokens are to be found";
  tell(
    `${files.join(", ")}: ${read.store.length} tokens in ${rows} samples of ${settings.length}, ${isByLine ? "a line each" : "packed"}; ${target}`,
  );
  if (isFilledUp && settings.masking !== null && !shape.others.includes("attention_mask"))
    tell("the model has no attention_mask: it sees the padding of short lines");
  const make = (number: number, moment: Moment): TextSample =>
    sampleOf(
      read.store,
      { start: starts[number] ?? 0, count: counts[number] ?? 0 },
      tokenizer,
      settings,
      generatorOf(moment.seed, moment.epoch, number, MASKS),
    );
  const identity = [
    read.store.digest(),
    tokenizer.digest,
    JSON.stringify({ ...options, tokenizer: null }),
    settings.length,
  ].join(" ");
  const streamed = new Map<string, Streamed>();
  for (const name of ["input_ids", ...OTHERS.filter((each) => shape.others.includes(each)), "labels"])
    streamed.set(name, streamedOf(name, [rows, settings.length], identity, make));
  return {
    tensors: [...streamed].map(([name, { dtype, dims }]) => ({ name, tensor: placeholder(dtype, dims, name) })),
    streamed,
    text: {
      tokens: read.store.length,
      lines: read.lines,
      vocabulary: tokenizer.greatest + 1,
      decode: (tokens) => tokenizer.decode(tokens),
      count: () => read.store.count(tokenizer.unknown),
    },
  };
}

const VALUES: Readonly<Record<string, (sample: TextSample, at: number) => number>> = {
  input_ids: ({ tokens }, at) => tokens[at] ?? 0,
  labels: ({ labels }, at) => labels[at] ?? 0,
  attention_mask: ({ used }, at) => (at < used ? 1 : 0),
  token_type_ids: () => 0,
  position_ids: (_, at) => at,
};

function streamedOf(
  name: string,
  dims: readonly [rows: number, length: number],
  identity: string,
  make: (number: number, moment: Moment) => TextSample,
): Streamed {
  const [, length] = dims;
  const elementOf = VALUES[name] ?? (() => 0);
  return {
    ...{ dtype: DataType.int64, dims, sampleBytes: 8 * length, identity: async () => `${name} ${identity}` },
    read: async (samples, moment) => {
      const values = new BigInt64Array(samples.length * length);
      for (const [row, number] of samples.entries()) {
        const sample = make(number, moment);
        for (let at = 0; at < length; at++) values[row * length + at] = BigInt(elementOf(sample, at));
      }
      return Tensor.from(DataType.int64, [samples.length, length], values);
    },
  };
}

/** @throws DataError `E_VOCABULARY` where a token may have a number that the model does not have */
function checkVocabulary({ greatest }: TextTokenizer, { tokenizer: file }: TextOptions, { limits }: TextShape): void {
  const short = limits.find((limit) => limit.greatest < greatest);
  if (short === undefined) return;
  throw new DataError(
    "E_VOCABULARY",
    `${file} numbers tokens up to ${greatest}, and "${short.input}" of the model takes numbers up to ${short.greatest}, of ${short.of}`,
    { file, field: short.input, hint: "Give the tokenizer that the model was made for, or a model with as many rows." },
  );
}

function settingsOf(tokenizer: TextTokenizer, options: TextOptions, shape: TextShape): SampleSettings {
  const { length: asked, maskProbability = MASK_PROBABILITY } = options;
  if (asked !== undefined && shape.length !== undefined && asked !== shape.length) {
    throw new UsageError("E_OPTION", `the model takes samples of ${shape.length} tokens, not ${asked}`, {
      field: "length",
      hint: "Leave --length (length) out.",
    });
  }
  const length = asked ?? shape.length ?? LENGTH;
  if (shape.labels !== undefined && shape.labels !== length) {
    throw new DataError(
      "E_TEXT",
      `the model takes ${shape.labels} labels for ${length} tokens, and text has one for each`,
      {
        field: "labels",
        hint: "Build it with the classes along the last axis of its scores: --loss cross-entropy --class-axis -1.",
      },
    );
  }
  if (options.target === "masked" && tokenizer.mask === null) {
    throw new DataError("E_TOKENIZER", `${options.tokenizer} has no token that masks others, as [MASK] or <mask>`, {
      file: options.tokenizer,
      hint: "Train with --text next-token (target), or give the tokenizer of a masked language model.",
    });
  }
  const masking =
    options.target === "masked"
      ? { probability: maskProbability, mask: tokenizer.mask ?? 0, greatest: tokenizer.greatest }
      : null;
  if (roomFor(tokenizer, { length, masking }) < 1) {
    const around = tokenizer.prefix.length + tokenizer.suffix.length;
    throw new UsageError("E_OPTION", `${length} tokens leave no room: the tokenizer puts ${around} around each text`, {
      field: "length",
      hint: "Give a larger --length (length).",
    });
  }
  /** A next token that is padding is not counted, and no earlier one sees it: any number does. */
  return { length, masking, pad: tokenizer.pad ?? 0, ignored: shape.ignored ?? IGNORED };
}
