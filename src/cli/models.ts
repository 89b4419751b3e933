import { checkModel, decodeModel, encodeModel, hasExternalData } from "../entries/graph.ts";
import { isPbseqFile, pbseqAlone } from "../entries/training.ts";
import { type Model, type ReadModelOptions, readModel, UsageError, writeModel } from "../index.ts";
import type { Io } from "./io.ts";

/** `-` stands for stdin or stdout. */
export const STANDARD = "-";

/** @throws UsageError `E_TERMINAL` for stdin from a terminal, and what `readModel` throws */
export async function readModelArgument(
  path: string,
  stdin: Io["stdin"],
  options: ReadModelOptions = {},
): Promise<Model> {
  if (isPbseqFile(path)) throw pbseqAlone(path);
  if (path !== STANDARD) return readModel(path, options);
  if (stdin.isTTY) throw new UsageError("E_TERMINAL", "a model cannot be typed in; pipe it into stdin");
  const chunks: Uint8Array[] = [];
  for await (const chunk of stdin) chunks.push(chunk as Uint8Array);
  const model = decodeModel(Buffer.concat(chunks), options);
  checkModel(model, options);
  return model;
}

export async function writeModelArgument(path: string, stdout: Io["stdout"], model: Model): Promise<void> {
  if (path !== STANDARD) {
    await writeModel(path, model);
    return;
  }
  if (stdout.isTTY) throw new UsageError("E_TERMINAL", "a model is not for the terminal; pipe stdout into a file");
  if (hasExternalData(model))
    throw new UsageError("E_TERMINAL", "a model with external data cannot go to stdout; give a file");
  await new Promise<void>((done, fail) => stdout.write(encodeModel(model), (error) => (error ? fail(error) : done())));
}
