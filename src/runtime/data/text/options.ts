import { BOOLEAN, type Kind, NUMBER, oneOf, optional, PATH, requireArgument, withFields } from "../../../arguments.ts";
import type { InputSpec } from "../../../artifacts/ort-artifacts.ts";
import { DataError, requireOption, UsageError } from "../../../errors.ts";
import { DataType, dataTypeName } from "../../../graph/data-type.ts";
import { isLabelInput } from "../fit.ts";

/** What is to be found in texts. */
export const TEXT_TARGETS = ["next-token", "masked"] as const;

/** How text becomes samples. */
export interface TextOptions {
  /** The path of the `tokenizer.json`. */
  readonly tokenizer: string;
  /** The token that follows each one, or tokens that are masked. Default `next-token`. */
  readonly target?: (typeof TEXT_TARGETS)[number];
  /** Tokens of a sample, with those that the tokenizer puts around a text. Default: what the model takes, else 128. */
  readonly length?: number;
  /** Whether each line is a sample, cut off or filled up. Default false: lines follow each other, and are cut where a sample is full. */
  readonly lineByLine?: boolean;
  /** Of `masked`: the probability of each token to be one that is to be found. Default 0.15. */
  readonly maskProbability?: number;
}

const TEXT_OPTIONS: Kind = withFields(
  {
    tokenizer: PATH,
    target: optional(oneOf(...TEXT_TARGETS)),
    length: optional(NUMBER),
    lineByLine: optional(BOOLEAN),
    maskProbability: optional(NUMBER),
  },
  "text: { tokenizer: <path>, target, length, lineByLine, maskProbability }",
);

/** @throws UsageError `E_ARGUMENT`, `E_OPTION` */
export function checkTextOptions(options: TextOptions): void {
  requireArgument("text", options, TEXT_OPTIONS);
  const { target, length, maskProbability } = options;
  requireOption(
    length === undefined || (Number.isSafeInteger(length) && length >= 2 && length <= 2 ** 20),
    "length",
    "a whole number of tokens from 2 on",
  );
  requireOption(
    maskProbability === undefined || (maskProbability > 0 && maskProbability <= 1),
    "maskProbability",
    "above 0 and at most 1",
  );
  if (maskProbability !== undefined && target !== "masked") {
    throw new UsageError("E_OPTION", "--mask-probability (maskProbability) is for --text masked (target)", {
      field: "maskProbability",
    });
  }
}

/** What the inputs of a model make of text. */
export interface TextShape {
  /** Inputs beside the tokens and labels, by the names that models have for them. */
  readonly others: readonly string[];
  /** How many tokens the model takes. Default: any number. */
  readonly length?: number;
  /** How many labels a sample has. Default: any number. */
  readonly labels?: number;
  /** The label that the loss does not count; null where it counts all; undefined where that is not known. */
  readonly ignored?: number | null;
  /** The largest number that it takes for a token, as an input, and where it scores tokens. */
  readonly limits: readonly { readonly input: string; readonly greatest: number; readonly of: string }[];
}

/** What text gives beside `input_ids` and `labels`, where a model asks for it. */
export const OTHERS = ["attention_mask", "token_type_ids", "position_ids"] as const;

const isWhole = (dtype: number): boolean => dtype === DataType.int64 || dtype === DataType.int32;

/**
 * What a model takes of text: one input of tokens, labels, and those of `OTHERS` that it has.
 * @param constants the names of inputs that are the same for every batch
 * @throws DataError `E_TEXT` where another input is left, or that of the tokens takes no whole numbers
 */
export function textShapeOf(inputs: readonly InputSpec[], constants: readonly string[]): TextShape {
  const given = new Set<string>(OTHERS);
  const samples = inputs.filter(({ name, shape }) => !constants.includes(name) && shape?.length !== 0);
  const labels = samples.filter((input) => isLabelInput(input));
  const open = samples.filter((input) => !isLabelInput(input) && !given.has(input.name));
  const input = open.find(({ name }) => name === "input_ids") ?? open[0];
  const other = open.find((each) => each !== input);
  if (input === undefined || other !== undefined) {
    throw new DataError(
      "E_TEXT",
      other === undefined
        ? "the model has no input for tokens"
        : `the model takes "${other.name}", which text does not give`,
      {
        ...(other === undefined ? {} : { field: other.name }),
        hint: `Text gives input_ids, labels, ${OTHERS.join(", ")}; prepare other inputs as .safetensors or .npz, or, if it is the same for every batch: --input <name>=constant:<value> (constants).`,
      },
    );
  }
  if (!isWhole(input.dtype)) {
    throw new DataError(
      "E_TEXT",
      `"${input.name}" takes ${dataTypeName(input.dtype)}, and tokens are whole numbers, int64 or int32`,
      { field: input.name, hint: "Give a model that takes the numbers of tokens." },
    );
  }
  const length = input.shape?.[1];
  const label = labels[0];
  const count = label?.shape?.[1];
  return {
    others: samples.flatMap(({ name }) => (given.has(name) ? [name] : [])),
    ...(typeof length === "number" ? { length } : {}),
    ...(typeof count === "number" ? { labels: count } : {}),
    ...(label?.range === undefined ? {} : { ignored: label.range.ignored }),
    limits: [input, ...labels.slice(0, 1)].flatMap(({ name, range }) =>
      range === undefined ? [] : [{ input: name, greatest: range.greatest, of: range.of }],
    ),
  };
}
