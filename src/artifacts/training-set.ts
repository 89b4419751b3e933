import { constants } from "node:fs";
import { access, realpath, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { type Kind, OPTIONS, orNull, PATH, requireArgument, withFields } from "../arguments.ts";
import { errnoCode, FormatError, fileSystemError, UsageError } from "../errors.ts";
import { completeSet, publishSet, SET_JOURNAL } from "../graph/io/file-set.ts";
import { prepareModel } from "../graph/io/model-file.ts";
import { filePieces, listFolder } from "../graph/io/read-file.ts";
import { sweep } from "../graph/io/temporary.ts";
import { type PendingFile, writePending } from "../graph/io/write-file.ts";
import type { Model } from "../graph/model.ts";
import { ODTC_DATA_SUFFIX } from "./checkpoint/read-odtc.ts";
import { loadArtifacts } from "./load-artifacts.ts";
import { ARTIFACT_FILES, ARTIFACTS, type ReadSetOptions, type TrainingArtifacts } from "./ort-artifacts.ts";
import { loadPortable } from "./portable/load-portable.ts";
import { PORTABLE, PORTABLE_FILES, type PortableArtifacts } from "./portable/portable-artifacts.ts";
import { stateParts } from "./portable/state.ts";
import { checkSetManifest, encodeSetManifest, readSetManifest } from "./set-manifest.ts";
import { SET_MANIFEST } from "./set-manifest-format.ts";

/** What a folder holds for training, as one thing: ONNX Runtime's artifacts, the portable set, or the same training as both. */
export interface TrainingSet {
  readonly onnxruntime: TrainingArtifacts | null;
  readonly portable: PortableArtifacts | null;
}

export const A_SET: Kind = withFields(
  { onnxruntime: orNull(ARTIFACTS), portable: orNull(PORTABLE) },
  "a training set, as readTrainingSet gives it: { onnxruntime, portable }, null where there is none",
);

const OWN_MODELS = [ARTIFACT_FILES.trainingModel, ARTIFACT_FILES.evalModel, ARTIFACT_FILES.optimizerModel];

const withData = (names: readonly string[]): readonly string[] => names.flatMap((name) => [name, `${name}.data`]);

const PORTABLE_NAMES = withData(Object.values(PORTABLE_FILES));

/** Whether a file of this name would be read as one of a set. */
const isOfSet = (name: string): boolean => withData(OWN_MODELS).includes(name) || PORTABLE_NAMES.includes(name);

/** The same where the names of ONNX Runtime's files may begin with a prefix. */
const isOfPrefixedSet = (name: string): boolean =>
  isOfSet(name) || withData([...OWN_MODELS, ARTIFACT_FILES.checkpoint]).some((file) => name.endsWith(file));

/**
 * Names in a folder of artifacts, after completing what an interrupted command has begun there.
 * @throws FormatError `E_NO_FILE`, `E_NO_FOLDER`, `E_JOURNAL`
 */
export async function openFolder(folder: string): Promise<readonly string[]> {
  requireArgument("folder", folder, PATH);
  const real = await realpath(folder).catch((cause: unknown) => {
    if (errnoCode(cause) !== "ENOENT" && errnoCode(cause) !== "ENOTDIR") throw fileSystemError("read", folder, cause);
    throw new FormatError("E_NO_FILE", `${folder}: no such folder`, { file: folder, cause });
  });
  if (!(await stat(real)).isDirectory()) {
    throw new FormatError("E_NO_FOLDER", `${folder} is a file, and training artifacts are a folder`, {
      file: folder,
      hint: `Give the folder that holds ${ARTIFACT_FILES.trainingModel} or ${PORTABLE_FILES.trainStep}. A forward model becomes such a folder with onnx-agr build (buildTrainingArtifacts).`,
    });
  }
  await access(real, constants.R_OK | constants.X_OK).catch((cause: unknown) => {
    throw fileSystemError("read", folder, cause);
  });
  await completeSet(join(real, SET_JOURNAL));
  await sweep(real);
  return listFolder(real);
}

/** What a folder has, by its names alone. */
export async function kindsIn(folder: string): Promise<{ readonly onnxruntime: boolean; readonly portable: boolean }> {
  const names = await openFolder(folder);
  const own = [ARTIFACT_FILES.trainingModel, ARTIFACT_FILES.optimizerModel];
  return {
    onnxruntime: names.some((name) => own.some((file) => name.endsWith(file))),
    portable: names.includes(PORTABLE_FILES.gradients),
  };
}

/** Whether a folder has a portable set. @throws FileSystemError `E_FILE_SYSTEM` where that cannot be told */
export async function isPortableFolder(folder: string): Promise<boolean> {
  requireArgument("folder", folder, PATH);
  return kindsIn(folder).then(
    ({ portable }) => portable,
    (error: unknown) => {
      if (error instanceof FormatError) return false;
      throw error;
    },
  );
}

/** @throws FormatError `E_SET` where the files are not those that were written together */
export async function checkFolder(folder: string): Promise<void> {
  await openFolder(folder);
  await checkSetManifest(folder, isOfSet);
}

/**
 * Reads all that a folder holds.
 * @throws FormatError `E_NO_ARTIFACTS` where it holds nothing, `E_SET`, and what `readArtifacts` and `readPortable` throw
 */
export async function readTrainingSet(folder: string, options: ReadSetOptions = {}): Promise<TrainingSet> {
  requireArgument("folder", folder, PATH);
  requireArgument("options", options, OPTIONS);
  await checkFolder(folder);
  return loadTrainingSet(folder, options);
}

/** `readTrainingSet` of files that may not belong together: `checkFolder` says. */
export async function loadTrainingSet(folder: string, options: ReadSetOptions = {}): Promise<TrainingSet> {
  requireArgument("folder", folder, PATH);
  requireArgument("options", options, OPTIONS);
  const { onnxruntime, portable } = await kindsIn(folder);
  return {
    portable: portable ? await loadPortable(folder, options) : null,
    onnxruntime: onnxruntime || !portable ? await loadArtifacts(folder, options) : null,
  };
}

/**
 * Reads ONNX Runtime's artifacts. At least the training or the optimizer model must be there.
 * @throws FormatError `E_NO_ARTIFACTS` where the folder has none, `E_SET` where its files do not belong together, and what
 *   `readModel` and `decodeCheckpoint` throw
 */
export async function readArtifacts(folder: string, options: ReadSetOptions = {}): Promise<TrainingArtifacts> {
  requireArgument("folder", folder, PATH);
  requireArgument("options", options, OPTIONS);
  await checkFolder(folder);
  return loadArtifacts(folder, options);
}

/**
 * Reads a portable set, as `writePortable` or `onnx-agr lower` writes it.
 * @throws FormatError `E_NO_ARTIFACTS`, `E_PLAN`, `E_SET`, and what `readModel` and `decodeState` throw
 */
export async function readPortable(folder: string, options: ReadSetOptions = {}): Promise<PortableArtifacts> {
  requireArgument("folder", folder, PATH);
  requireArgument("options", options, OPTIONS);
  await checkFolder(folder);
  return loadPortable(folder, options);
}

export interface WriteSetOptions {
  /** Removes the files of another set that the folder holds. Default: they are refused. */
  readonly replace?: boolean;
}

/**
 * Writes all models and states of a set into a folder, which must exist, with a manifest that lists them. A crash at any
 * moment leaves the set that was there or the new one: what was begun is completed by whoever reads the folder next.
 * @returns the names that were written
 * @throws FileSystemError `E_FILE_SYSTEM`, `E_NOT_REGULAR`; UsageError `E_OUTPUT_EXISTS` where the folder holds files of
 *   another set
 */
export async function writeTrainingSet(
  folder: string,
  set: TrainingSet,
  options: WriteSetOptions = {},
): Promise<readonly string[]> {
  requireArgument("set", set, A_SET);
  requireArgument("options", options, OPTIONS);
  const { onnxruntime, portable } = set;
  const { replace = false } = options;
  const there = await openFolder(folder);
  const real = await realpath(folder);
  const writer = new SetWriter(real);
  try {
    if (portable !== null) await preparePortable(writer, portable);
    if (onnxruntime !== null) await prepareArtifacts(writer, onnxruntime);
    const names = await writer.addManifest();
    const leftover = await leftovers(real, there, onnxruntime?.prefix ?? "", names);
    if (leftover.length > 0 && !replace) {
      throw new UsageError("E_OUTPUT_EXISTS", `${folder} holds files of another set: ${leftover.join(", ")}`, {
        file: folder,
        hint: "Write both sets with writeTrainingSet, or into another folder.",
      });
    }
    await publishSet(join(real, SET_JOURNAL), writer.files, leftover);
    return names;
  } finally {
    await writer.discard();
  }
}

/** Writes ONNX Runtime's artifacts. @throws as `writeTrainingSet` */
export async function writeArtifacts(folder: string, artifacts: TrainingArtifacts): Promise<void> {
  requireArgument("folder", folder, PATH);
  requireArgument("artifacts", artifacts, ARTIFACTS);
  await writeTrainingSet(folder, { onnxruntime: artifacts, portable: null });
}

/** Writes a portable set. @throws as `writeTrainingSet` */
export async function writePortable(folder: string, portable: PortableArtifacts): Promise<void> {
  requireArgument("folder", folder, PATH);
  requireArgument("portable", portable, PORTABLE);
  await writeTrainingSet(folder, { onnxruntime: null, portable });
}

/** Files of a set that was there and is not there with the new one. */
async function leftovers(
  folder: string,
  there: readonly string[],
  prefix: string,
  names: readonly string[],
): Promise<readonly string[]> {
  const listed = Object.keys((await readSetManifest(folder).catch(() => null))?.files ?? {});
  const own = withData(OWN_MODELS.map((file) => prefix + file));
  const models = new Set([...own, ...PORTABLE_NAMES, ...listed.filter(isOfPrefixedSet)]);
  const hasModels = there.some((name) => models.has(name));
  const states = hasModels ? withData([prefix + ARTIFACT_FILES.checkpoint]) : [];
  return there.filter((name) => (models.has(name) || states.includes(name)) && !names.includes(name));
}

/** Collects the files of a set under temporary names. */
class SetWriter {
  readonly files: PendingFile[] = [];
  /** Names, and where their content is until they are in place. */
  readonly #contents = new Map<string, string>();
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async addModel(name: string, model: Model): Promise<void> {
    const { files, kept } = await prepareModel(join(this.#folder, name), model);
    for (const file of files) this.#take(file);
    for (const path of kept) this.keep(basename(path));
  }

  async add(name: string, parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
    this.#take(await writePending(join(this.#folder, name), parts));
  }

  /** Takes a file into the set that is in place and stays as it is. */
  keep(name: string): void {
    this.#contents.set(name, join(this.#folder, name));
  }

  pathOf(name: string): string {
    return join(this.#folder, name);
  }

  async addManifest(): Promise<readonly string[]> {
    await this.add(SET_MANIFEST, [await encodeSetManifest(this.#contents)]);
    return [...this.#contents.keys()];
  }

  async discard(): Promise<void> {
    for (const file of this.files) await file.discard();
  }

  #take(file: PendingFile): void {
    this.files.push(file);
    this.#contents.set(basename(file.target), file.temporary);
  }
}

async function prepareArtifacts(writer: SetWriter, artifacts: TrainingArtifacts): Promise<void> {
  const { prefix, checkpoint, checkpointData } = artifacts;
  for (const kind of ["trainingModel", "evalModel", "optimizerModel"] as const) {
    const model = artifacts[kind];
    if (model !== null) await writer.addModel(prefix + ARTIFACT_FILES[kind], model);
  }
  const name = prefix + ARTIFACT_FILES.checkpoint;
  if (checkpointData !== null) await addData(writer, name + ODTC_DATA_SUFFIX, checkpointData);
  if (checkpoint !== null) await writer.add(name, [checkpoint]);
}

async function addData(writer: SetWriter, name: string, source: string): Promise<void> {
  const target = writer.pathOf(name);
  if ((await realpath(source)) === resolve(target)) writer.keep(name);
  else await writer.add(name, filePieces(source));
}

async function preparePortable(writer: SetWriter, portable: PortableArtifacts): Promise<void> {
  for (const kind of ["trainStep", "gradients", "apply", "evalModel"] as const) {
    const model = portable[kind];
    if (model !== null) await writer.addModel(PORTABLE_FILES[kind], model);
  }
  if (portable.state !== null) await writer.add(PORTABLE_FILES.state, stateParts(portable.state));
}
