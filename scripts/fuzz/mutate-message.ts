import type { Message, Schema } from "../../src/graph/proto/message.ts";
import { readMessage } from "../../src/graph/proto/read.ts";
import { MODEL, type ModelProto } from "../../src/graph/proto/schema.ts";
import { writeMessage } from "../../src/graph/proto/write.ts";
import type { Random } from "./random.ts";

const INTS = [
  0n,
  1n,
  2n,
  3n,
  -1n,
  7n,
  17n,
  64n,
  255n,
  1000n,
  65537n,
  2n ** 31n - 1n,
  2n ** 31n,
  -(2n ** 31n),
  2n ** 53n,
  2n ** 63n - 1n,
  -(2n ** 63n),
];
const NAMES = ["", "__proto__", "constructor", "a".repeat(3000), "x/y", "\u001b[2J\r\n", "out.out.out.out", "é"];

/** A model whose encoding is right and whose meaning is not: sizes, types, names, counts and nesting changed in one to three places. */
export function mutateMessage(bytes: Uint8Array, random: Random): Uint8Array {
  const model = readMessage(MODEL, bytes);
  for (let left = 1 + random.below(3); left > 0; left--) change(model, random);
  const { parts } = writeMessage(MODEL, model);
  return Buffer.concat(parts);
}

interface Site {
  readonly message: Record<string, unknown>;
  readonly key: string;
  readonly kind: string;
  readonly repeated: boolean;
}

function change(model: ModelProto, random: Random): void {
  const sites = sitesIn(model);
  const { message, key, kind, repeated } = random.of(sites);
  const value = message[key];
  if (repeated && Array.isArray(value)) {
    const at = random.below(value.length);
    const list: unknown[] = value;
    switch (random.below(5)) {
      case 0:
        list.splice(at, 1);
        return;
      case 1:
        list.splice(random.below(list.length + 1), 0, list[at]);
        return;
      case 2:
        for (let copies = random.of([2, 40, 300]); copies > 0; copies--) list.push(list[at]);
        return;
      case 3:
        [list[at], list[0]] = [list[0], list[at]];
        return;
      default:
        if (kind !== "message") list[at] = scalar(kind, list[at], sites, random);
        return;
    }
  }
  if (random.chance(6)) delete message[key];
  else if (kind === "message") message[key] = random.of(sites.filter((each) => each.key === key)).message[key];
  else message[key] = scalar(kind, value, sites, random);
}

/** Another value of the same kind: an odd one, or one that stands elsewhere in the model. */
function scalar(kind: string, value: unknown, sites: readonly Site[], random: Random): unknown {
  const elsewhere = (): unknown => {
    const { message, key } = random.of(sites.filter((each) => each.kind === kind));
    const found = message[key];
    return Array.isArray(found) ? (found[0] ?? value) : found;
  };
  if (random.chance(2)) return elsewhere();
  switch (kind) {
    case "int64":
      return random.of(INTS);
    case "int32":
      return Number(random.of(INTS) & 0x7fffffffn);
    case "float":
      return random.of([0, -1, 1e-45, 3e38, Number.NaN, Number.POSITIVE_INFINITY]);
    case "string":
      return random.of(NAMES);
    default: {
      const old = value instanceof Uint8Array ? value : new Uint8Array();
      return random.of([
        old.subarray(0, random.below(old.length)),
        new Uint8Array(random.below(64)),
        old.map((byte) => byte ^ (1 << random.below(8))),
      ]);
    }
  }
}

function sitesIn(model: ModelProto): readonly Site[] {
  const sites: Site[] = [];
  const pending: (readonly [Message, Schema<Message>])[] = [[model, MODEL as unknown as Schema<Message>]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [message, schema] = next;
    const fields = message as Record<string, unknown>;
    for (const [key, { kind, repeated, schema: of }] of schema.ordered) {
      const value = fields[key];
      if (value === undefined) continue;
      sites.push({ message: fields, key, kind, repeated: repeated && kind !== "packed" });
      const children = kind === "message" ? (Array.isArray(value) ? value : [value]) : [];
      if (of !== undefined) for (const child of children) pending.push([child as Message, of()]);
    }
  }
  return sites;
}
