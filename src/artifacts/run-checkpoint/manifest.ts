import { type Kind, NUMBER, OPTIONS, withFields } from "../../arguments.ts";
import { CheckpointError } from "../../errors.ts";
import { sha256 } from "../../graph/io/digest.ts";

/** Where a training run stands in its data. */
export interface TrainPosition {
  /** Counted from 0. */
  readonly epoch: number;
  /** Batches of this epoch that are done. */
  readonly batch: number;
  /** Sum of the losses of this epoch so far, each times its samples. */
  readonly lossSum: number;
  /** Samples of this epoch so far. */
  readonly samples: number;
}

/** What decides how a run goes on; a run that resumes must have the same. */
export type RunOptions = Readonly<Record<string, string | number | boolean | null>>;

/** What lies beside the state of a checkpoint. */
const RECORD = OPTIONS;
export const RUN_MANIFEST: Kind = withFields(
  { step: NUMBER, position: RECORD, options: RECORD, hashes: RECORD },
  "what a run is saved with: { step, position, options, hashes }",
);

export interface RunManifest {
  /** Updates done. */
  readonly step: number;
  readonly position: TrainPosition;
  readonly options: RunOptions;
  /** SHA-256 of what the run is made of, as hexadecimal: models, data. */
  readonly hashes: Readonly<Record<string, string>>;
  /**
   * Where the models lie: a folder, or the file of a whole step. It is written as the way there from the checkpoint, and read as
   * a whole path. Default: not said.
   */
  readonly models?: string;
}

/** Where a checkpoint stands among those of its folder. */
export interface Order {
  /** Number of the run in its folder, from 1 on. */
  readonly run: number;
  /** Counts what was saved in the folder, by whatever run. */
  readonly saved: number;
}

export const MANIFEST_SCHEMA = 1;

export interface Written extends RunManifest, Order {
  readonly schema: number;
  /** SHA-256 of every other file of the checkpoint. */
  readonly files: Readonly<Record<string, string>>;
}

/** The manifest as a file: one JSON object, and its own hash on the line below. */
export function encodeManifest(
  { step, position, options, hashes, models }: RunManifest,
  files: Readonly<Record<string, string>>,
  { run, saved }: Order = { run: 1, saved: 0 },
): Uint8Array {
  const written: Written = {
    schema: MANIFEST_SCHEMA,
    run,
    saved,
    step,
    position,
    options,
    hashes,
    files,
    ...(models === undefined ? {} : { models }),
  };
  const text = JSON.stringify(written, null, 2);
  return new TextEncoder().encode(`${text}\n${sha256(new TextEncoder().encode(text))}\n`);
}

/**
 * @throws CheckpointError `E_CHECKPOINT_HASH` where the file was changed; `E_CHECKPOINT_VERSION` where a newer version wrote
 *   it; `E_CHECKPOINT`, naming the field, where it says what no manifest says
 */
export function decodeManifest(bytes: Uint8Array, file: string): Written {
  const all = new TextDecoder().decode(bytes);
  const end = all.lastIndexOf("\n", all.length - 2);
  const text = all.slice(0, Math.max(end, 0));
  if (all.slice(end + 1) !== `${sha256(new TextEncoder().encode(text))}\n`) throw damaged(file);
  let manifest: unknown;
  try {
    manifest = JSON.parse(text);
  } catch (cause) {
    throw wrong(file, "manifest", cause);
  }
  /** The first checkpoints did not say whose they are. */
  if (fieldsOf(manifest) !== null) manifest = { run: 1, saved: 0, ...(manifest as object) };
  const schema = fieldsOf(manifest)?.["schema"];
  if (Number.isSafeInteger(schema) && Number(schema) > MANIFEST_SCHEMA) {
    throw new CheckpointError(
      "E_CHECKPOINT_VERSION",
      `${file} was written by a newer version (format ${schema}); this one reads up to ${MANIFEST_SCHEMA}`,
      { file, hint: "Update onnx-agr." },
    );
  }
  const field = wrongField(manifest);
  if (field !== null) throw wrong(file, field);
  return manifest as Written;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
/** A sum of losses that was infinite or NaN is `null` in JSON. */
const isSum = (value: unknown): boolean => value === null || typeof value === "number";
const isText = (value: unknown): boolean => typeof value === "string";
const isOption = (value: unknown): boolean => value === null || ["string", "number", "boolean"].includes(typeof value);
const each =
  (holds: (value: unknown) => boolean) =>
  (value: unknown): boolean =>
    Object.values(fieldsOf(value) ?? { none: undefined }).every(holds);

const FIELDS: Readonly<Record<keyof Written, (value: unknown) => boolean>> = {
  schema: (value) => value === MANIFEST_SCHEMA,
  run: isCount,
  saved: isCount,
  step: isCount,
  position: (value) => {
    const { epoch, batch, lossSum, samples } = fieldsOf(value) ?? {};
    return isCount(epoch) && isCount(batch) && isSum(lossSum) && isCount(samples);
  },
  options: each(isOption),
  hashes: each(isText),
  files: each(isText),
  models: (value) => value === undefined || isText(value),
};

/** The first field that is not what a manifest has there; null where all are. A right hash says who wrote it, not what. */
function wrongField(manifest: unknown): string | null {
  const fields = fieldsOf(manifest);
  if (fields === null) return "manifest";
  return Object.entries(FIELDS).find(([name, holds]) => !holds(fields[name]))?.[0] ?? null;
}

function wrong(file: string, field: string, cause?: unknown): CheckpointError {
  return new CheckpointError("E_CHECKPOINT", `${file} is no manifest of a run: its ${field} is not what it should be`, {
    file,
    field,
    hint: "Use an earlier checkpoint of the run: give its folder to --resume.",
    cause,
  });
}

export function damaged(file: string): CheckpointError {
  return new CheckpointError("E_CHECKPOINT_HASH", `${file} is damaged: its SHA-256 is not the one that was recorded`, {
    file,
    hint: "Use an earlier checkpoint of the run: give its folder to --resume.",
  });
}
