import type { Random } from "./random.ts";

const VALUES: readonly unknown[] = [
  ...[null, true, 0, -1, 0.5, 1e300, 2 ** 53, "", "x", "__proto__", "constructor", "-5", "NaN"],
  ...[[], {}, [[]], { a: { b: { c: {} } } }, "a".repeat(1000), [0, 4], ["x", "int", "1.5"], [["x", "__proto__", "1"]]],
];

/** JSON text with one value, key or piece of text changed; strings that hold JSON are gone into. */
export function mutateJson(text: string, random: Random): string {
  if (random.chance(8)) return text.replace(/[{}[\]",:]/, () => random.of(["", "{", "[", '"', "\\u0061"]));
  const root: { value: unknown } = { value: JSON.parse(text) };
  const places = placesIn(root);
  const { holder, key } = random.of(places);
  const old = holder[key];
  const choice = random.below(4);
  if (typeof old === "string" && old.startsWith("[") && random.chance(2)) holder[key] = mutateJson(old, random);
  else if (choice === 0) delete holder[key];
  else if (choice === 1) holder[random.of(["__proto__x", "constructor", `${key}2`, ""])] = old;
  else holder[key] = random.of(VALUES);
  const written = JSON.stringify(root.value ?? null);
  if (!random.chance(6)) return written;
  const at = written.indexOf('"');
  return at < 0 ? written : `${written.slice(0, at)}"x":1,"\\u0078":2,${written.slice(at)}`;
}

interface Place {
  readonly holder: Record<string, unknown>;
  readonly key: string;
}

function placesIn(root: { value: unknown }): readonly Place[] {
  const places: Place[] = [];
  const pending: object[] = [root];
  for (let each = pending.pop(); each !== undefined; each = pending.pop()) {
    const holder = each as Record<string, unknown>;
    for (const [key, value] of Object.entries(holder)) {
      places.push({ holder, key });
      if (typeof value === "object" && value !== null) pending.push(value);
    }
  }
  return places;
}
