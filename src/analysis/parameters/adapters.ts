/** What PEFT calls the weights under an adapter, and the layers that are trained whole. */
const FROZEN = "base_layer";
const WHOLE = "modules_to_save";

/**
 * What is said of a model that holds PEFT's adapters: a file does not say that the weights under them are frozen
 * (`requires_grad`), so all are trained.
 * @param names of what is trained
 */
export function notesOfAdapters(names: readonly string[]): readonly string[] {
  const modules = new Set(names.flatMap((name) => moduleOf(name, FROZEN) ?? []));
  const kinds = new Set<string>();
  for (const name of names) {
    if (moduleOf(name, WHOLE) !== null) kinds.add(WHOLE);
    for (let end = name.indexOf("."); end >= 0; end = name.indexOf(".", end + 1)) {
      if (!modules.has(name.slice(0, end))) continue;
      const [kind = ""] = name.slice(end + 1).split(".");
      if (kind !== FROZEN) kinds.add(kind);
    }
  }
  if (modules.size === 0 || kinds.size === 0) return [];
  const globs = [...kinds].map((kind) => `--params '*.${kind}.*'`).join(" ");
  return [
    `the model holds adapters (${[...kinds].join(", ")}) and the layers under them; which of its weights are frozen the file does not say, and all are trained. The adapters alone: ${globs}`,
  ];
}

/** The module that has a part of this name; null where the name has none. */
function moduleOf(name: string, part: string): string | null {
  const at = name.indexOf(`.${part}.`);
  return at < 0 ? null : name.slice(0, at);
}
