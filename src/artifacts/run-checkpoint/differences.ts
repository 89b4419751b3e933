import { type Kind, OPTIONS, requireArgument, withFields } from "../../arguments.ts";
import type { RunManifest } from "./manifest.ts";

const IDENTITY: Kind = withFields({ options: OPTIONS, hashes: OPTIONS }, "what a run is made of: { options, hashes }");

/** Which items of a run differ from those a checkpoint was made with. */
export function differences(
  manifest: Pick<RunManifest, "options" | "hashes">,
  now: Pick<RunManifest, "options" | "hashes">,
): readonly { readonly item: string; readonly was: string; readonly is: string }[] {
  requireArgument("manifest", manifest, IDENTITY);
  requireArgument("now", now, IDENTITY);
  const items = (each: Pick<RunManifest, "options" | "hashes">): Map<string, string> =>
    new Map(
      [...Object.entries(each.options), ...Object.entries(each.hashes)].map(([item, value]) => [item, String(value)]),
    );
  const [was, is] = [items(manifest), items(now)];
  return [...new Set([...was.keys(), ...is.keys()])]
    .filter((item) => was.get(item) !== is.get(item))
    .map((item) => ({ item, was: was.get(item) ?? "nothing", is: is.get(item) ?? "nothing" }));
}
