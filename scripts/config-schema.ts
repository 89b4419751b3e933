/**
 * Writes docs/onnx-agr.config.schema.json: what a configuration file may say, for editors.
 *
 *     npm run docs
 */

import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { COMMANDS } from "../src/cli/commands.ts";
import { schemaOf } from "../src/cli/config/schema.ts";

/** The text of docs/onnx-agr.config.schema.json. */
export async function configSchema(): Promise<string> {
  const commands = await Promise.all(Object.values(COMMANDS).map(({ load }) => load(process)));
  return `${JSON.stringify(schemaOf(commands), null, 2)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL("../docs/onnx-agr.config.schema.json", import.meta.url), await configSchema());
}
