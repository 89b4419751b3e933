import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Built or not, this code lies two folders below the package's own. */
const ROOT = new URL("../../", import.meta.url);

/** Artifacts of a small convolutional net, made by fixtures/digits/make.ts. */
export const DIGITS = fileURLToPath(new URL("fixtures/digits/", ROOT));

/** The version of this package. */
export function packageVersion(): string {
  const text = readFileSync(new URL("package.json", ROOT), "utf8");
  return (JSON.parse(text) as { readonly version: string }).version;
}
