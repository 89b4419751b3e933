import { join } from "node:path";
import { writeFileAtomic } from "../entries/graph.ts";
import { type Assets, comparisonReport } from "../entries/run.ts";
import type { ComparisonEvent } from "../index.ts";
import { curvesSvg } from "./describe/curves.ts";

/** Writes what a comparison found: as JSON, as a picture and as a report. @returns where they are */
export async function writeComparison(
  folder: string,
  model: string,
  comparison: ComparisonEvent,
  json: object,
  assets: Assets,
): Promise<{ readonly file: string; readonly picture: string; readonly report: string }> {
  const paths = {
    file: join(folder, "comparison.json"),
    picture: join(folder, "curves.svg"),
    report: join(folder, "report.html"),
  };
  const write = (path: string, text: string): Promise<void> => writeFileAtomic(path, [new TextEncoder().encode(text)]);
  await write(paths.file, `${JSON.stringify(json, null, 1)}\n`);
  await write(paths.picture, curvesSvg(comparison));
  await write(paths.report, comparisonReport(`Comparison of option sets: ${model}`, comparison, assets));
  return paths;
}
