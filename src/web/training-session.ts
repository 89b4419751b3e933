import { type Kind, OPTIONS, requireArgument, withFields } from "../arguments.ts";
import { decodeCheckpoint } from "../artifacts/checkpoint/read-odtc.ts";
import { ARTIFACTS, type TrainingArtifacts } from "../artifacts/ort-artifacts.ts";
import { namingFile } from "../errors.ts";
import { checkModel } from "../graph/check.ts";
import type { Model } from "../graph/model.ts";
import { decodeModel } from "../graph/serde/decode.ts";
import type { ParameterGroup } from "../optim/parameter-groups.ts";
import type { TrainingSession as Session } from "../runtime/session.ts";
import type { DecodedArtifacts } from "../runtime/session-files.ts";
import { lowered, programsOf } from "../session-programs.ts";
import { requireKnown } from "../session-settings.ts";
import { decodedOf } from "../session-source.ts";
import {
  openIn,
  PORTABLE_SOURCE,
  type PortableSource,
  portableOf,
  WEB_OPTIONS,
  type WebSessionOptions,
} from "./open.ts";
import { nameOf, optionalSource, readSource, SOURCE, type WebSource } from "./read-source.ts";

export interface TrainingSessionOptions extends WebSessionOptions {
  /** Parameters with a learning rate or weight decay of their own. For ONNX Runtime's artifacts. */
  readonly parameterGroups?: readonly ParameterGroup[];
}

/** ONNX Runtime's four artifacts, each an address, a `File` or bytes. */
export interface TrainingSessionCreateOptions {
  readonly checkpointState: WebSource;
  readonly trainModel: WebSource;
  readonly evalModel?: WebSource;
  readonly optimizerModel?: WebSource;
}

export type SessionSource = PortableSource | TrainingSessionCreateOptions | TrainingArtifacts;

export type TrainingSession = Session;

const FILES: Kind = withFields(
  { checkpointState: SOURCE, trainModel: SOURCE, evalModel: optionalSource, optimizerModel: optionalSource },
  "",
);

const ANY_SOURCE: Kind = {
  what: `{ checkpointState, trainModel, evalModel?, optimizerModel? }, each an address, a File or bytes, or ${PORTABLE_SOURCE.what}`,
  holds: (given) => FILES.holds(given) || ARTIFACTS.holds(given) || PORTABLE_SOURCE.holds(given),
};

/** Training in a page, with the names and meaning that onnxruntime-web's own session had up to 1.19. */
export const TrainingSession = {
  /**
   * Makes a session from ONNX Runtime's four artifacts, as onnxruntime-web 1.19 did, or from a portable set. The artifacts are
   * lowered to standard operators first.
   * @throws as `readPortable` and `lowerArtifacts`; BackendError `E_EXECUTION_PROVIDER`, `E_NOT_ISOLATED`, `E_TOO_LARGE`
   */
  async create(source: SessionSource, options: TrainingSessionOptions = {}): Promise<TrainingSession> {
    requireArgument("source", source, ANY_SOURCE);
    requireArgument("options", options, OPTIONS);
    requireKnown({ ...WEB_OPTIONS, parameterGroups: true }, options);
    return openIn(programsOf(await modelsOf(source, options), options), options);
  },
};

async function modelsOf(source: SessionSource, options: TrainingSessionOptions) {
  if (isFiles(source)) return lowered(await decoded(source), options);
  if (isArtifacts(source)) return lowered(await decodedOf(source), options);
  return portableOf(source);
}

const isFiles = (source: SessionSource): source is TrainingSessionCreateOptions => FILES.holds(source);
const isArtifacts = (source: SessionSource): source is TrainingArtifacts => ARTIFACTS.holds(source);

async function decoded(files: TrainingSessionCreateOptions): Promise<DecodedArtifacts> {
  const { evalModel, optimizerModel } = files;
  const model = async (option: keyof TrainingSessionCreateOptions, source: WebSource): Promise<Model> => {
    const bytes = await readSource(option, source);
    return namingFile(nameOf(option, source), () => {
      const made = decodeModel(bytes);
      checkModel(made);
      return made;
    });
  };
  const [checkpoint, trainModel, evaluation, optimizer] = await Promise.all([
    readSource("checkpointState", files.checkpointState),
    model("trainModel", files.trainModel),
    evalModel === undefined ? null : model("evalModel", evalModel),
    optimizerModel === undefined ? null : model("optimizerModel", optimizerModel),
  ]);
  return {
    checkpoint: namingFile(nameOf("checkpointState", files.checkpointState), () => decodeCheckpoint(checkpoint)),
    ...{ trainModel, evalModel: evaluation, optimizerModel: optimizer },
  };
}
