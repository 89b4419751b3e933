import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeModel } from "../../src/index.ts";
import { smallNet, writeData } from "./small-net.ts";
import { temporaryFolder } from "./temporary.ts";

/** A folder with a model and data, and files of its own. */
export async function workplace(files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  const folder = temporaryFolder();
  await writeModel(join(folder, "net.onnx"), smallNet());
  writeData(join(folder, "data.safetensors"), 64);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}
