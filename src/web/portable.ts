import { type Kind, requireArgument, withFields } from "../arguments.ts";
import { readPlan } from "../artifacts/portable/plan.ts";
import { PORTABLE_FILES, type PortableArtifacts } from "../artifacts/portable/portable-artifacts.ts";
import { decodeState } from "../artifacts/portable/state.ts";
import { decodeSetManifest, SET_MANIFEST } from "../artifacts/set-manifest-format.ts";
import { FormatError, namingFile, UsageError } from "../errors.ts";
import { checkModel } from "../graph/check.ts";
import type { Model } from "../graph/model.ts";
import { decodeModel } from "../graph/serde/decode.ts";
import { ADDRESS, nameOf, optionalSource, readSource, SOURCE, type WebSource } from "./read-source.ts";

/** The files of a portable set, as `onnx-agr build --set portable` and `onnx-agr lower` write them. */
export interface PortableSources {
  /** `gradients.onnx` */
  readonly gradients: WebSource;
  /** `train_step.onnx`: for `trainSteps` and `train`. */
  readonly trainStep?: WebSource;
  /** `apply.onnx`: for `runOptimizerStep`. */
  readonly apply?: WebSource;
  /** `eval.onnx`: for `runEvalStep` and `exportModel`. */
  readonly evalModel?: WebSource;
  /** `state.safetensors` */
  readonly state: WebSource;
}

export const PORTABLE_SOURCES: Kind = withFields(
  {
    ...{ gradients: SOURCE, state: SOURCE },
    ...{ trainStep: optionalSource, apply: optionalSource, evalModel: optionalSource },
  },
  "the files of a portable set, { gradients, state, trainStep?, apply?, evalModel? }, each an address, a File or bytes",
);

const ROLES = { gradients: "gradients", trainStep: "train_step", apply: "apply", evalModel: "eval" } as const;

/**
 * Fetches a portable set from a folder of a server, by its manifest, and checks that its files belong together: a cache may give
 * an old one beside new ones.
 * @throws as `readPortable`; FormatError `E_SET` for files of different sets
 */
export async function fetchPortable(folder: string | URL): Promise<PortableArtifacts> {
  requireArgument("folder", folder, ADDRESS);
  const base = new URL(String(folder), globalThis.location.href);
  const slashed = base.href.endsWith("/") ? base : new URL(`${base.href}/`);
  const at = (name: string): URL => new URL(name, slashed);
  const { files } = decodeSetManifest(await readSource(SET_MANIFEST, at(SET_MANIFEST)), at(SET_MANIFEST).href);
  /** Loaded where files have to be compared. */
  const { sha256 } = await import("../graph/io/digest.ts");
  const fetched = await Promise.all(
    Object.entries(PORTABLE_FILES).map(async ([file, name]) => {
      const hash = files[name];
      if (hash === undefined) return null;
      const bytes = await readSource(name, at(name));
      if (sha256(bytes) === hash) return [file, bytes] as const;
      throw new FormatError("E_SET", `${at(name).href} is not the file that the set was written with`, {
        file: at(name).href,
        hint: "Reload without the cache; on the server, put all files of the set there together.",
      });
    }),
  );
  const sources = Object.fromEntries(fetched.flatMap((each) => (each === null ? [] : [each])));
  if (!isSources(sources)) {
    throw new FormatError("E_NO_ARTIFACTS", `${slashed.href} has no ${PORTABLE_FILES.gradients} or no state`, {
      file: slashed.href,
      hint: "Make the set with onnx-agr build --set portable, or with onnx-agr lower.",
    });
  }
  return readPortable(sources);
}

const isSources = (given: Readonly<Record<string, Uint8Array>>): given is PortableSources & typeof given =>
  "gradients" in given && "state" in given;

/**
 * Reads a portable set in a page.
 * @throws FileSystemError `E_FETCH`, `E_FILE_SYSTEM`; FormatError, GraphError, CheckpointError for files that are no such set,
 *   naming the file; UsageError `E_OPTION`
 */
export async function readPortable(sources: PortableSources): Promise<PortableArtifacts> {
  requireArgument("sources", sources, PORTABLE_SOURCES);
  const bytes = async (file: keyof PortableSources): Promise<Uint8Array | null> => {
    const source = sources[file];
    return source === undefined ? null : readSource(file, source);
  };
  const names = ["gradients", "trainStep", "apply", "evalModel"] as const;
  const [gradients, trainStep, apply, evalModel] = await Promise.all(
    names.map(async (file): Promise<Model | null> => {
      const read = await bytes(file);
      if (read === null) return null;
      return namingFile(nameOf(file, sources[file]), () => {
        const model = decodeModel(read);
        checkModel(model);
        readPlan(model, ROLES[file]);
        return model;
      });
    }),
  );
  const state = await bytes("state");
  if (gradients === null || gradients === undefined || state === null) {
    throw new UsageError("E_OPTION", "a portable set needs gradients and state", { field: "gradients" });
  }
  return {
    ...{ gradients, trainStep: trainStep ?? null, apply: apply ?? null, evalModel: evalModel ?? null },
    state: namingFile(nameOf("state", sources.state), () => decodeState(state)),
  };
}
