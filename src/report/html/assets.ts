import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { BackendError, fileSystemError } from "../../errors.ts";
import type { Assets } from "./page.ts";

/** Folders above this code in which the built package has its pages' script and style: in `src` and in `dist`. */
const PLACES = ["./report/", "../report/", "../../report/", "../../../dist/report/"];

/**
 * What draws the curves of a report. Builds put it beside the package's code.
 * @throws BackendError `E_REPORT_FILE` where it is not there, as in a bundle that has this code alone
 */
export async function readAssets(): Promise<Assets> {
  const folder = PLACES.map((place) => new URL(place, import.meta.url)).find((url) =>
    existsSync(new URL("client.js", url)),
  );
  if (folder === undefined) {
    throw new BackendError("E_REPORT_FILE", "the files that a report is made of are not beside this code", {
      field: "report/client.js",
      hint: "In a bundle, leave onnx-agr out of it (--external:onnx-agr). In a clone, run: npm run build.",
    });
  }
  const [script, style] = await Promise.all(["client.js", "client.css"].map((name) => read(new URL(name, folder))));
  return { script: script ?? "", style: style ?? "" };
}

async function read(url: URL): Promise<string> {
  return readFile(url, "utf8").catch((cause: unknown) => {
    throw fileSystemError("read", url.pathname, cause);
  });
}
