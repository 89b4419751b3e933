import { join } from "node:path";
import { FormatError } from "../errors.ts";
import { readModel } from "../graph/io/model-file.ts";
import { listFolder } from "../graph/io/read-file.ts";
import type { Model } from "../graph/model.ts";
import { readCheckpointFile } from "./checkpoint/checkpoint-file.ts";
import { ODTC_DATA_SUFFIX } from "./checkpoint/read-odtc.ts";
import { isPbseqFile } from "./checkpoint/read-pbseq.ts";
import { ARTIFACT_FILES, type ArtifactKind, type ReadSetOptions, type TrainingArtifacts } from "./ort-artifacts.ts";

/** `readArtifacts`, of a folder whose files are known to belong together. */
export async function loadArtifacts(folder: string, options: ReadSetOptions = {}): Promise<TrainingArtifacts> {
  const names = await listFolder(folder);
  const prefix = findPrefix(names, folder);
  const dataFile = prefix + ARTIFACT_FILES.checkpoint + ODTC_DATA_SUFFIX;
  const model = async (kind: ArtifactKind): Promise<Model | null> => {
    const name = prefix + ARTIFACT_FILES[kind];
    return names.includes(name) ? readModel(join(folder, name), options) : null;
  };
  return {
    prefix,
    trainingModel: await model("trainingModel"),
    evalModel: await model("evalModel"),
    optimizerModel: await model("optimizerModel"),
    checkpoint: await readCheckpointBytes(folder, prefix, names),
    checkpointData: names.includes(dataFile) ? join(folder, dataFile) : null,
  };
}

/** What folders without models hold that people take for artifacts. */
const OTHER_FOLDERS = [
  {
    has: (name: string) => name.endsWith(".ort"),
    what: "models in ONNX Runtime's .ort format",
    hint: "Give a folder of the .onnx models they were converted from.",
  },
  {
    has: isPbseqFile,
    what: "a checkpoint of ONNX Runtime up to 1.15, without the models",
    hint: "Give the folder of the models; a checkpoint alone is for inspect and for --init-from.",
  },
];

function findPrefix(names: readonly string[], folder: string): string {
  const { trainingModel, optimizerModel } = ARTIFACT_FILES;
  const prefixes = [trainingModel, optimizerModel].flatMap((file) =>
    names.filter((name) => name.endsWith(file)).map((name) => name.slice(0, name.length - file.length)),
  );
  const distinct = [...new Set(prefixes)].sort();
  const [first] = distinct;
  if (first === undefined) {
    const other = OTHER_FOLDERS.find(({ has }) => names.some(has));
    const found = other === undefined ? "" : `; it holds ${other.what}`;
    throw new FormatError("E_NO_ARTIFACTS", `${folder} has neither ${trainingModel} nor ${optimizerModel}${found}`, {
      file: folder,
      hint: other?.hint ?? `ONNX Runtime's training artifacts are ${Object.values(ARTIFACT_FILES).join(", ")}.`,
    });
  }
  if (distinct.length > 1 && first !== "") {
    throw new FormatError(
      "E_NO_ARTIFACTS",
      `${folder} has several sets of artifacts: ${distinct.map((each) => `"${each}"`).join(", ")}`,
      {
        file: folder,
        hint: "Put each set into a folder of its own.",
      },
    );
  }
  return first;
}

async function readCheckpointBytes(
  folder: string,
  prefix: string,
  names: readonly string[],
): Promise<Uint8Array | null> {
  const name = prefix + ARTIFACT_FILES.checkpoint;
  if (names.includes(name)) return readCheckpointFile(join(folder, name));
  return names.some(isPbseqFile) ? readCheckpointFile(folder) : null;
}
