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
export interface RunManifest {
  /** Updates done. */
  readonly step: number;
  readonly position: TrainPosition;
  readonly options: RunOptions;
  /** SHA-256 of what the run is made of, as hexadecimal: models, data. */
  readonly hashes: Readonly<Record<string, string>>;
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
  { step, position, options, hashes }: RunManifest,
  files: Readonly<Record<string, string>>,
  { run, saved }: Order = { run: 1, saved: 0 },
): Uint8Array {
  const written: Written = { schema: MANIFEST_SCHEMA, run, saved, step, position, options, hashes, files };
  const text = JSON.stringify(written, null, 2);
  return new TextEncoder().encode(`${text}\n${sha256(new TextEncoder().encode(text))}\n`);
}

/**
 * @throws CheckpointError `E_CHECKPOINT_HASH` where the file was changed; `E_CHECKPOINT_VERSION` where a newer version wrote
 *   it
 */
export function decodeManifest(bytes: Uint8Array, file: string): Written {
  const all = new TextDecoder().decode(bytes);
  const end = all.lastIndexOf("\n", all.length - 2);
  const text = all.slice(0, Math.max(end, 0));
  if (all.slice(end + 1) !== `${sha256(new TextEncoder().encode(text))}\n`) throw damaged(file);
  /** The first checkpoints did not say whose they are. */
  const manifest = { run: 1, saved: 0, ...(JSON.parse(text) as Omit<Written, keyof Order>) };
  if (manifest.schema > MANIFEST_SCHEMA) {
    throw new CheckpointError(
      "E_CHECKPOINT_VERSION",
      `${file} was written by a newer version (format ${manifest.schema}); this one reads up to ${MANIFEST_SCHEMA}`,
      { file, hint: "Update onnx-agr." },
    );
  }
  return manifest;
}

export function damaged(file: string): CheckpointError {
  return new CheckpointError("E_CHECKPOINT_HASH", `${file} is damaged: its SHA-256 is not the one that was recorded`, {
    file,
    hint: "Use an earlier checkpoint of the run: give its folder to --resume.",
  });
}

/** Which items of a run differ from those a checkpoint was made with. */
export function differences(
  manifest: Pick<RunManifest, "options" | "hashes">,
  now: Pick<RunManifest, "options" | "hashes">,
): readonly { readonly item: string; readonly was: string; readonly is: string }[] {
  const items = (each: Pick<RunManifest, "options" | "hashes">): Map<string, string> =>
    new Map(
      [...Object.entries(each.options), ...Object.entries(each.hashes)].map(([item, value]) => [item, String(value)]),
    );
  const [was, is] = [items(manifest), items(now)];
  return [...new Set([...was.keys(), ...is.keys()])]
    .filter((item) => was.get(item) !== is.get(item))
    .map((item) => ({ item, was: was.get(item) ?? "nothing", is: is.get(item) ?? "nothing" }));
}
